"""Finding the one thing that somebody means, and asking before it is gone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from keystead.cli.refusal import Mistake, Refusal
from keystead.cli.screen import Screen, printable

Thing = TypeVar("Thing")


def choose(
    things: Sequence[Thing],
    wanted: str,
    *,
    kind: str,
    identity: Callable[[Thing], str],
    names: Callable[[Thing], tuple[str, ...]],
) -> Thing:
    """Return the thing with this id, else the only one with this name. ``kind`` is the word for such a thing.

    Nothing is guessed: raises NotFound where there is none, and Mistake where several have the name.
    """
    by_id = [thing for thing in things if identity(thing) == wanted]
    found = by_id or [thing for thing in things if wanted in names(thing)]
    if len(found) == 1:
        return found[0]
    if not found:
        from keystead.client._errors import NotFound

        raise NotFound(f"There is no {kind} '{wanted}' that you can see.", status=404, code="not_found")
    ids = "\n".join(f"  {identity(thing)}" for thing in found)
    raise Mistake(f"{len(found)} {kind}s are called '{printable(wanted)}'. Name one by its id:\n{ids}")


def confirm(screen: Screen, what: str, *, yes: bool) -> None:
    """Ask whether ``what`` is meant, unless ``yes`` says so already.

    Raises Mistake where nobody is there to answer, and Refusal when the answer is no.
    """
    if yes:
        return
    if screen.as_json or not screen.can_ask:
        raise Mistake("This cannot be undone, and there is nobody here to ask. Add --yes if you mean it.")
    if not click.confirm(f"{printable(what)}?", err=True):
        raise Refusal("Nothing was done.")


def yes_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask; this is meant.")(function)
