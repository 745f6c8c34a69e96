"""``keystead tokens``: short-term tokens, which act as you for a day at most."""

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.choosing import confirm, yes_option
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.screen import Time
from keystead.cli.shapes import FLAG, SECRET, TEXT, TOKEN, as_json
from keystead.cli.times import both


@click.group(cls=Family, epilog=examples("TOKEN=$(keystead tokens create)", "keystead tokens list"))
def tokens() -> None:
    """Create, list and revoke short-term tokens: bearer tokens that act as you and end by themselves."""


@tokens.command(
    "create",
    cls=UserCommand,
    answers={"token": TOKEN, "secret": SECRET},
    epilog=examples("TOKEN=$(keystead tokens create)", "keystead tokens create --json"),
)
def create_token(call: Call) -> None:
    """Make a short-term token and print it. It is not shown again."""
    with call.client() as client:
        made = client.account.tokens.create()
    if call.screen.as_json:
        call.screen.answer({"token": as_json(TOKEN, made.token), "secret": made.secret.reveal()})
        return
    call.screen.print(made.secret.reveal())
    ends = both(made.token.expires_at, call.screen.now)
    call.screen.tell(f"This token works until {ends}. It is not shown again. Its id: {made.token.id}")


@tokens.command(
    "list",
    cls=UserCommand,
    answers={"tokens": [TOKEN]},
    epilog=examples("keystead tokens list", "keystead tokens list --json"),
)
def list_tokens(call: Call) -> None:
    """List your short-term tokens that still work, without their texts."""
    with call.client() as client:
        found = client.account.tokens.list()
    if call.screen.as_json:
        call.screen.answer({"tokens": as_json([TOKEN], found)})
        return
    rows = [(token.id, Time(token.created_at), Time(token.expires_at)) for token in found]
    call.screen.rows(("ID", "CREATED", "EXPIRES"), rows, none="There are no short-term tokens.")


@tokens.command(
    "revoke",
    cls=UserCommand,
    answers={"revoked": FLAG, "id": TEXT},
    epilog=examples("keystead tokens revoke ID", "keystead tokens revoke ID --yes"),
)
@click.argument("token_id", metavar="ID")
@yes_option
def revoke_token(call: Call, token_id: str, yes: bool) -> None:
    """Take a short-term token back. It stops working at once. ID is what keystead tokens list shows."""
    confirm(call.screen, f"Revoke the short-term token {token_id}", yes=yes)
    with call.client() as client:
        client.account.tokens.revoke(token_id)
    if call.screen.as_json:
        call.screen.answer({"revoked": True, "id": token_id})
    else:
        call.screen.tell(f"The short-term token {token_id} does not work any more.")
