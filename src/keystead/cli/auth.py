"""``keystead auth``: what is known here of the sign-in, and its token for other programs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from keystead.cli.calling import CONTEXT, JSON, SERVER, Call, UserCommand
from keystead.cli.failing import SIGN_IN as NOT_SIGNED_IN
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.screen import Cell, Time
from keystead.cli.shapes import FLAG, NUMBER, SECRET, SIGN_IN, TEXT, TEXT_OR_NULL, OrNull, as_json

if TYPE_CHECKING:
    from keystead.client._environment import Override
    from keystead.client._store import Context, Store

STORED: Final = "store"
ENVIRONMENT: Final = "environment"
OVERRIDE: Final = {"variable": TEXT, "used": FLAG, "sentence": TEXT}


@click.group(cls=Family, epilog=examples("keystead auth status", "keystead auth token --print"))
def auth() -> None:
    """Show who is signed in here, or print the token for another program."""


@auth.command(
    "status",
    cls=UserCommand,
    answers={
        "signed_in": FLAG,
        "source": TEXT_OR_NULL,
        "sign_in": OrNull(SIGN_IN),
        "overrides": [OVERRIDE],
        "checked": FLAG,
    },
    shares=(CONTEXT, JSON),
    epilog=examples("keystead auth status", "keystead auth status --json", "keystead auth status --check"),
)
@click.option("--check", is_flag=True, help="Ask the server too whether the sign-in still holds.")
def status(call: Call, check: bool) -> int:
    """Show who is signed in, where that is kept, until when, and which variables of the environment come first.

    The server is asked only with --check. Ends with exit code 3 when nobody is signed in.
    """
    from keystead.cli.sign_ins import tell_notices
    from keystead.client._environment import overrides
    from keystead.client._quick import TOKEN_VARIABLES
    from keystead.client._store import Store

    store = Store.open()
    context, variables = _context(call, store), overrides(context=call.context)
    if any(one.used and one.variable in TOKEN_VARIABLES for one in variables):
        source, signed_in = ENVIRONMENT, True
    else:
        source, signed_in = STORED, context is not None and _still_good(context, call.screen.now)
    if check and signed_in:
        with call.client() as client:
            client.whoami()
    state = _State(store, context, variables, source if signed_in else None, checked=check and signed_in)
    if call.screen.as_json:
        call.screen.answer(state.body())
    else:
        call.screen.fields(state.fields())
        if not signed_in:
            call.screen.tell("Nobody is signed in." if context is None else "This sign-in has ended.")
            call.screen.tell("Sign in: keystead login ADDRESS" if context is None else "Sign in again: keystead login")
    tell_notices(call.screen, store)
    return 0 if signed_in else NOT_SIGNED_IN


def _context(call: Call, store: "Store") -> "Context | None":
    """Return the stored sign-in that is meant. Raises SignInRequired for one that is named and not there."""
    named = call.context or os.environ.get("KEYSTEAD_CONTEXT", "").strip()
    return store.context(named) if named or store.current() else None


def _still_good(context: "Context", now: int) -> bool:
    return context.is_valid(now) or context.valid_until == 0 or context.valid_until > now


@dataclass(frozen=True, slots=True)
class _State:
    """What is known here. ``source`` is where the credential comes from, None when nobody is signed in."""

    store: "Store"
    context: "Context | None"
    variables: "Sequence[Override]"
    source: str | None
    checked: bool

    def body(self) -> dict[str, Any]:
        """Return it for programs."""
        from keystead.cli.sign_ins import sign_in_as_json

        return {
            "signed_in": self.source is not None,
            "source": self.source,
            "sign_in": None if self.context is None else sign_in_as_json(self.context, self.store),
            "overrides": [as_json(OVERRIDE, one) for one in self.variables],
            "checked": self.checked,
        }

    def fields(self) -> dict[str, Cell]:
        """Return it for people."""
        fields: dict[str, Cell] = {} if self.context is None else self._stored(self.context)
        for number, one in enumerate(self.variables):
            fields["Environment" + " " * number] = one.sentence
        if self.checked:
            fields["Checked"] = "the server accepts it"
        return fields

    def _stored(self, context: "Context") -> dict[str, Cell]:
        fields: dict[str, Cell] = {
            "User": context.username,
            "Organization": context.organization or context.organization_id,
            "Server": context.server,
            "Context": context.name,
            "Kept in": self.store.where(context.name),
            "Ends unused": Time(context.valid_until or None, never="unknown"),
            "Access token": Time(context.access_token_expires_at),
            "May": " ".join(context.scopes),
        }
        for program in context.also:
            fields[f"Also in {program}"] = str(self.store.also.path(program))
        return fields


@auth.command(
    "token",
    cls=UserCommand,
    answers={"access_token": SECRET, "token_type": TEXT, "expires_in": NUMBER},
    shares=(CONTEXT, SERVER, JSON),
    epilog=examples(
        "keystead auth token --print",
        "keystead auth token --print -o json --context ada@auth.example.com",
        'curl -H "Authorization: Bearer $(keystead auth token --print)" https://auth.example.com/api/auth/session',
    ),
)
@click.option("--print", "print_it", is_flag=True, help="Print the token, which acts as you.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json"]),
    help="How it is printed: the token alone, or as JSON with its lifetime. Default: text.",
)
def token(call: Call, print_it: bool, form: str | None) -> None:
    """Print a token that acts as you, for another program. It is renewed first when it ends soon.

    With -o json, or --json, the answer is {"access_token", "token_type", "expires_in"}, the last in seconds, and absent
    where it is not known. Nothing is printed without --print, because whoever reads a token can use it.
    """
    if not print_it:
        raise click.UsageError("A token acts as you, so it is printed only when asked for: keystead auth token --print")
    from keystead.cli.tokens_at_hand import token_of
    from keystead.client._quick import HANDED_ON, seconds_left

    found = token_of(call.credential(at_least=HANDED_ON))
    if call.screen.as_json or form == "json":
        ends = found.expires_at
        lifetime = {} if ends is None else {"expires_in": seconds_left(ends, call.screen.now)}
        call.screen.answer({"access_token": found.text.reveal(), "token_type": "bearer", **lifetime})
    else:
        call.screen.print(found.text.reveal())
