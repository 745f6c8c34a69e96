"""What the commands of a user have in common: ``--json``, ``--context``, ``--server``, and who is signed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from keystead.cli.screen import Screen
from keystead.cli.shapes import Shape

if TYPE_CHECKING:
    from keystead.client import Keystead
    from keystead.client._credentials import Credential

JSON: Final = "json"
CONTEXT: Final = "context"
SERVER: Final = "server"


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a command: where it answers, and whose sign-in it uses."""

    screen: Screen
    context: str | None
    server: str | None

    def client(self) -> "Keystead":
        """Return the client of whoever is signed in. Raises SignInRequired when nobody is."""
        from keystead.client import Keystead

        return Keystead(self.credential())

    def credential(self, *, at_least: float = 0) -> "Credential":
        """Return the credential to use. Raises SignInRequired where there is none.

        A sign-in that is named with --context comes before what is in the environment. A stored sign-in's token that
        has less than ``at_least`` seconds left is renewed first, once half of its life is over.
        """
        from keystead.client._environment import find_credential

        return find_credential(server=self.server, context=self.context, at_least=at_least)


class UserCommand(click.Command):
    """A command that answers on a ``Screen``; its function is given a ``Call`` beside its own options.

    ``answers`` is the shape of what ``--json`` prints, as the reference page tells it and tests hold it. ``shares``
    names the common options that it has.
    """

    def __init__(
        self, *args: Any, answers: Mapping[str, Shape], shares: Sequence[str] = (CONTEXT, SERVER, JSON), **kwargs: Any
    ) -> None:
        """Add the common options behind the command's own."""
        super().__init__(*args, **kwargs)
        self.answers = answers
        self._shares = tuple(shares)
        self.params += [_SHARED[name]() for name in shares]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        own = dict(ctx.params)
        shared = {name: own.pop(name) for name in self._shares}
        screen = Screen(as_json=shared.get(JSON, False))
        call = Call(screen, context=shared.get(CONTEXT), server=shared.get(SERVER))
        return None if self.callback is None else ctx.invoke(self.callback, call, **own)


def _json_option() -> click.Option:
    return click.Option(["--json", JSON], is_flag=True, help="Answer in JSON, for programs; refusals too.")


def _context_option() -> click.Option:
    return click.Option(
        ["--context", CONTEXT],
        metavar="NAME",
        shell_complete=stored_contexts,
        help="Use this sign-in (see keystead context list) instead of the current one.",
    )


def _server_option() -> click.Option:
    return click.Option(["--server", SERVER], metavar="URL", help="The server's address.")


_SHARED: Final[Mapping[str, Callable[[], click.Option]]] = {
    JSON: _json_option,
    CONTEXT: _context_option,
    SERVER: _server_option,
}


def stored_contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a context."""
    from keystead.client._errors import KeysteadError
    from keystead.client._store import Store

    try:
        names = [context.name for context in Store.open().contexts()]
    except KeysteadError:  # whoever presses the tab key is told nothing
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
