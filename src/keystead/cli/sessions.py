"""``keystead sessions``: the browsers in which you are signed in."""

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.choosing import choose, confirm, yes_option
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.screen import Time
from keystead.cli.shapes import FLAG, SESSION, TEXT, as_json


@click.group(cls=Family, epilog=examples("keystead sessions list", "keystead sessions revoke ID"))
def sessions() -> None:
    """List the browsers in which you are signed in, and sign one out."""


@sessions.command(
    "list",
    cls=UserCommand,
    answers={"sessions": [SESSION]},
    epilog=examples("keystead sessions list", "keystead sessions list --json"),
)
def list_sessions(call: Call) -> None:
    """List the browsers in which you are signed in."""
    with call.client() as client:
        found = client.account.sessions.list()
    if call.screen.as_json:
        call.screen.answer({"sessions": as_json([SESSION], found)})
        return
    rows = [
        (
            *(session.id, session.address, session.user_agent),
            *(Time(session.created_at), Time(session.last_used_at), Time(session.expires_at)),
        )
        for session in found
    ]
    headings = ("ID", "ADDRESS", "BROWSER", "SIGNED IN", "LAST USED", "ENDS")
    call.screen.rows(headings, rows, none="No browser is signed in.")


@sessions.command(
    "revoke",
    cls=UserCommand,
    answers={"revoked": FLAG, "id": TEXT},
    epilog=examples("keystead sessions revoke ID", "keystead sessions revoke ID --yes"),
)
@click.argument("session_id", metavar="ID")
@yes_option
def revoke_session(call: Call, session_id: str, yes: bool) -> None:
    """Sign a browser out, at once. ID is what keystead sessions list shows."""
    with call.client() as client:
        found = client.account.sessions.list()
        known = choose(found, session_id, kind="session", identity=lambda one: one.id, names=lambda one: ())
        confirm(call.screen, f"Sign out the browser '{known.user_agent}' at {known.address}", yes=yes)
        client.account.sessions.revoke(known.id)
    if call.screen.as_json:
        call.screen.answer({"revoked": True, "id": known.id})
    else:
        call.screen.tell(f"The browser at {known.address} is signed out.")
