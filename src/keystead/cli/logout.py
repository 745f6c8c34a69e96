"""``keystead logout``: sign out, on the server first, and say what could not be taken back (promise V6)."""

from typing import TYPE_CHECKING, Final

import click

from keystead.cli.calling import CONTEXT, JSON, Call, UserCommand
from keystead.cli.options import examples
from keystead.cli.shapes import FLAG, TEXT, TIME, TIME_OR_NULL, as_json

if TYPE_CHECKING:
    from keystead.client._models import SignedOut
    from keystead.client._store import Store

SIGNED_OUT: Final = {
    "name": TEXT,
    "server": TEXT,
    "revoked": FLAG,
    "access_token_until": TIME,
    "refresh_token_until": TIME_OR_NULL,
}


@click.command(
    "logout",
    cls=UserCommand,
    answers={"signed_out": [SIGNED_OUT]},
    shares=(CONTEXT, JSON),
    epilog=examples("keystead logout", "keystead logout --context ada@auth.example.com", "keystead logout --all"),
)
@click.option("--all", "everyone", is_flag=True, help="Sign out of every context.")
@click.option(
    "--force", "--local", is_flag=True, help="Delete the sign-in here even when it cannot be taken back on the server."
)
def logout(call: Call, everyone: bool, force: bool) -> None:
    """Sign out: take the sign-in back on the server, then delete it here.

    When the server cannot be told, nothing is deleted, so that you can try again; --force deletes it all the same, and
    says what stays valid on the server until when.
    """
    from keystead.cli.sign_ins import tell_notices
    from keystead.client._store import Store

    if everyone and call.context:
        raise click.UsageError("Give --all or --context, not both.")
    store = Store.open()
    try:
        done = [_sign_out(call, store, name, force=force) for name in _names(call, store, everyone=everyone)]
    finally:
        tell_notices(call.screen, store)
    if call.screen.as_json:
        call.screen.answer({"signed_out": as_json([SIGNED_OUT], done)})
    elif not done:
        call.screen.tell("Nobody is signed in here.")


def _names(call: Call, store: "Store", *, everyone: bool) -> list[str]:
    """Return the sign-ins that are meant. Raises SignInRequired for one that is named and not there."""
    if everyone:
        return [context.name for context in store.contexts()]
    if call.context:
        return [store.context(call.context).name]
    current = store.current()
    return [] if current is None else [current]


def _sign_out(call: Call, store: "Store", name: str, *, force: bool) -> "SignedOut":
    from keystead.client._oauth import revoke
    from keystead.client._sign_out import sign_out

    done = sign_out(store, name, revoke, force=force)
    call.screen.tell(done.sentence)
    return done
