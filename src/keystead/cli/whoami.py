"""``keystead whoami``: who the server says that you are."""

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.options import examples
from keystead.cli.shapes import WHOAMI, as_json


@click.command("whoami", cls=UserCommand, answers=WHOAMI, epilog=examples("keystead whoami", "keystead whoami --json"))
def whoami(call: Call) -> None:
    """Ask the server who you are. Without the network, keystead auth status tells what is known here."""
    with call.client() as client:
        found = client.whoami()
    if call.screen.as_json:
        call.screen.answer(as_json(WHOAMI, found))
        return
    call.screen.fields(
        {
            "User": found.username,
            "Name": found.name,
            "E-mail": found.email,
            "Organization": found.organization,
            "Role": ", ".join(role.removeprefix("org:") for role in found.roles),
            "Platform admin": found.platform_admin,
        }
    )
