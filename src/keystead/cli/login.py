"""``keystead login``: sign in by device (RFC 8628), in a browser here or anywhere else."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from keystead.cli.calling import JSON, Call, UserCommand
from keystead.cli.headless import why_no_browser
from keystead.cli.options import examples
from keystead.cli.shapes import FLAG, NUMBER, SIGN_IN, TEXT, TIME
from keystead.cli.times import both

if TYPE_CHECKING:
    from keystead.cli.presenting import Presenter
    from keystead.client._device import DeviceLogin
    from keystead.client._models import DeviceCode, TokenSet
    from keystead.client._store import Context, Store

CLIENT_NAME: Final = "keystead"
ALSO: Final = ("parallel-cli", "pw")
EVENTS: Final = {
    "auth_start": {},
    "device_code": {
        "verification_uri": TEXT,
        "verification_uri_complete": TEXT,
        "user_code": TEXT,
        "expires_in": NUMBER,
        "interval": NUMBER,
        "browser_open_attempted": FLAG,
        "browser_opened": FLAG,
    },
    "auth_waiting": {},
    "auth_success": SIGN_IN,
    "auth_error": {"error": {"code": TEXT, "message": TEXT, "hint": TEXT}},
}
NO_WAIT: Final = {
    "request_id": TEXT,
    "server": TEXT,
    "verification_uri": TEXT,
    "verification_uri_complete": TEXT,
    "user_code": TEXT,
    "expires_at": TIME,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options of a sign-in say."""

    scopes: tuple[str, ...]
    also: tuple[str, ...]
    require_keyring: bool
    no_browser: bool


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
        "keystead login --resume ID",
    ),
)
@click.argument("address", required=False, metavar="[ADDRESS]")
@click.option("--server", metavar="URL", help="The server's address, as ADDRESS.")
@click.option("--context", metavar="NAME", help="What to call this sign-in. Default: user@server.")
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
def login(
    call: Call,
    address: str | None,
    server: str | None,
    context: str | None,
    no_wait: bool,
    resume: str | None,
    **options: object,
) -> None:
    """Sign in to a server: open a page in any browser, on any machine, and approve there.

    ADDRESS may be left out where KEYSTEAD_URL names the server, or to sign in again where you were signed in last.
    A browser is opened here only where somebody sits in front of it: not over SSH, in a container, without a display
    or without a terminal. Ctrl-C ends the waiting and keeps nothing.

    With --json an event is printed on each line, the last one being auth_success or auth_error. With --no-wait there is
    one object instead, with the request id in it.
    """
