"""``keystead login``: sign in by device (RFC 8628), in a browser here or anywhere else."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from keystead.cli.calling import JSON, Call, UserCommand
from keystead.cli.headless import why_no_browser
from keystead.cli.options import examples
from keystead.cli.shapes import ERROR, FLAG, NUMBER, SIGN_IN, TEXT

if TYPE_CHECKING:
    from keystead.cli.presenting import Presenter
    from keystead.cli.signing_in import SigningIn, Wish
    from keystead.client._store import Store

ALSO: Final = ("parallel-cli", "pw")
CODE: Final = {
    "verification_uri": TEXT,
    "verification_uri_complete": TEXT,
    "user_code": TEXT,
    "expires_in": NUMBER,
    "interval": NUMBER,
}
EVENTS: Final[Mapping[str, Any]] = {
    "auth_start": {},
    "device_code": {**CODE, "browser_open_attempted": FLAG, "browser_opened": FLAG},
    "auth_waiting": {},
    "auth_success": SIGN_IN,
    "auth_error": ERROR,
    "--no-wait": {"request_id": TEXT, "server": TEXT, **CODE},
}


@click.command(
    "login",
    cls=UserCommand,
    answers=EVENTS,
    shares=(JSON,),
    epilog=examples(
        "keystead login https://auth.example.com",
        "keystead login https://auth.example.com --scope keys:read --scope keys:create",
        "keystead login https://auth.example.com --also parallel-cli",
        "ID=$(keystead login https://auth.example.com --no-wait)",
        'keystead login --resume "$ID"',
    ),
)
@click.argument("address", required=False, metavar="[ADDRESS]")
@click.option("--server", metavar="URL", help="The server's address, as ADDRESS.")
@click.option("--context", "name", metavar="NAME", help="What to call this sign-in. Default: user@server.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Ask for this only. May be repeated.")
@click.option(
    "--also",
    multiple=True,
    type=click.Choice(ALSO),
    help="Write the sign-in into the file of this other program too. May be repeated.",
)
@click.option("--require-keyring", is_flag=True, help="Refuse to keep the sign-in in a file of plain text.")
@click.option("--no-browser", is_flag=True, help="Open no browser here.")
@click.option("--no-wait", is_flag=True, help="Print a request id and end; --resume takes it up again.")
@click.option("--resume", metavar="ID", help="Wait for the sign-in that --no-wait began.")
def login(  # noqa: PLR0917 - click gives them by name
    call: Call,
    address: str | None,
    server: str | None,
    name: str | None,
    scopes: tuple[str, ...],
    also: tuple[str, ...],
    require_keyring: bool,
    no_browser: bool,
    no_wait: bool,
    resume: str | None,
) -> None:
    """Sign in to a server: open a page in any browser, on any machine, and approve there.

    ADDRESS may be left out where KEYSTEAD_URL names the server, or to sign in again where you are signed in.
    A browser is opened here only where somebody sits in front of it: not over SSH, in a container, without a display
    or without a terminal. Ctrl-C ends the waiting and keeps nothing.

    With --json an event is printed on each line, the last one being auth_success or auth_error. With --no-wait there is
    one object instead, with the request id in it.
    """
    from keystead.cli.sign_ins import tell_notices
    from keystead.cli.signing_in import SigningIn, Wish
    from keystead.client._store import Store

    if resume is not None and (address or server or name or scopes or also or no_wait):
        raise click.UsageError("--resume goes on with a sign-in as it was begun. Leave the other options out.")
    store = Store.open(require_keyring=require_keyring)
    signing_in = SigningIn(store, _presenter(call), require_keyring)
    try:
        if resume is not None:
            signing_in.resume(store.pending(resume))
            return
        wish = Wish(_server(call, address or server, store), name or "", scopes, also)
        if no_wait:
            _begin(call, signing_in, wish)
            return
        _tell_of_the_earlier(call, store, wish)
        signing_in.run(wish, why_no_browser="of --no-browser" if no_browser else why_no_browser())
    finally:
        tell_notices(call.screen, store)


def _presenter(call: Call) -> "Presenter":
    from keystead.cli.presenting import ForPeople, ForPrograms

    return ForPrograms() if call.screen.as_json else ForPeople(call.screen)


def _server(call: Call, address: str | None, store: "Store") -> str:
    """Return the server to sign in to: the one that was named, else the one of the current sign-in."""
    from keystead.client._address import server_address

    named = address or os.environ.get("KEYSTEAD_URL", "").strip()
    if named:
        return server_address(named)
    current = store.current()
    if current is None:
        raise click.UsageError("Name the server to sign in to: keystead login https://auth.example.com")
    return store.context(current).server


def _begin(call: Call, signing_in: "SigningIn", wish: "Wish") -> None:
    from keystead.cli.presenting import code_as_json, show_qr_code, tell_code

    pending = signing_in.begin(wish)
    if call.screen.as_json:
        call.screen.answer({"request_id": pending.id, "server": pending.server, **code_as_json(pending.code)})
        return
    call.screen.print(pending.id)
    tell_code(call.screen, pending.code)
    show_qr_code(call.screen, pending.code)
    call.screen.tell(f"Afterwards, or meanwhile: keystead login --resume {pending.id}")


def _tell_of_the_earlier(call: Call, store: "Store", wish: "Wish") -> None:
    from keystead.cli.sign_ins import who

    for context in store.contexts():
        if context.server == wish.server and wish.name in {"", context.name}:
            call.screen.tell(f"You are signed in already, as {who(context)}.")
            call.screen.tell("If you approve as the same person, that sign-in is replaced; as another, one is added.")
            return
