"""Finding the one thing that somebody means, and asking before it is gone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from keystead.cli.refusal import Refusal
from keystead.cli.screen import Screen, printable

Thing = TypeVar("Thing")


def choose(
    things: Sequence[Thing], wanted: str, *, kind: str, identity: Callable[[Thing], str], names: Callable[[Thing], str]
) -> Thing:
    """Return the thing with this id, else the only one with this name.

    Raises click.UsageError where there is none or where several have the name: nothing is guessed. ``kind`` is the word
    for such a thing.
    """
    by_id = [thing for thing in things if identity(thing) == wanted]
    found = by_id or [thing for thing in things if names(thing) == wanted]
    if len(found) == 1:
        return found[0]
    if not found:
        raise click.UsageError(f"There is no {kind} '{printable(wanted)}' that you can see.")
    ids = ", ".join(identity(thing) for thing in found)
    raise click.UsageError(f"{len(found)} of your {kind}s are called '{printable(wanted)}'. Name one by its id: {ids}")


def confirm(screen: Screen, what: str, *, yes: bool) -> None:
    """Ask whether ``what`` is meant, unless ``yes`` says so already.

    Raises click.UsageError where nobody is there to answer, and Refusal when the answer is no.
    """
    if yes:
        return
    if screen.as_json or not screen.can_ask:
        raise click.UsageError("This cannot be undone, and there is nobody here to ask. Add --yes if you mean it.")
    if not click.confirm(f"{printable(what)}?", err=True):
        raise Refusal("Nothing was done.")


def yes_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask; this is meant.")(function)
