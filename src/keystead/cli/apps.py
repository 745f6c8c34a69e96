"""``keystead apps``: the named groups of API keys of your organization."""

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.choosing import choose, confirm, yes_option
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.shapes import APP, FLAG, TEXT, as_json


@click.group(cls=Family, epilog=examples("keystead apps list", "keystead apps create ci"))
def apps() -> None:
    """List, create and delete apps. An app is a named group of API keys inside your organization."""


@apps.command(
    "list", cls=UserCommand, answers={"apps": [APP]}, epilog=examples("keystead apps list", "keystead apps list --json")
)
def list_apps(call: Call) -> None:
    """List your organization's apps."""
    with call.client() as client:
        found = client.account.apps.list()
    if call.screen.as_json:
        call.screen.answer({"apps": as_json([APP], found)})
        return
    rows = [(app.id, app.name, app.organization) for app in found]
    headings = ("ID", "NAME", "ORGANIZATION")
    call.screen.rows(headings, rows, none="There are no apps. Make one: keystead apps create NAME")


@apps.command(
    "create",
    cls=UserCommand,
    answers={"app": {"id": TEXT, "name": TEXT}},
    epilog=examples("keystead apps create ci", "APP=$(keystead apps create nightly)"),
)
@click.argument("name", metavar="NAME")
def create_app(call: Call, name: str) -> None:
    """Make an app and print its id."""
    with call.client() as client:
        made = client.account.apps.create(name)
    if call.screen.as_json:
        call.screen.answer({"app": {"id": made.id, "name": made.name}})
    else:
        call.screen.print(made.id)


@apps.command(
    "delete",
    cls=UserCommand,
    answers={"deleted": FLAG, "id": TEXT},
    epilog=examples("keystead apps delete ci", "keystead apps delete ci --yes"),
)
@click.argument("app", metavar="APP")
@yes_option
def delete_app(call: Call, app: str, yes: bool) -> None:
    """Delete an app together with its API keys, which stop working at once. APP is its name or its id."""
    with call.client() as client:
        known = choose(
            client.account.apps.list(), app, kind="app", identity=lambda one: one.id, names=lambda one: (one.name,)
        )
        confirm(call.screen, f"Delete the app '{known.name}' and all of its API keys", yes=yes)
        client.account.apps.delete(known.id)
    if call.screen.as_json:
        call.screen.answer({"deleted": True, "id": known.id})
    else:
        call.screen.tell(f"The app '{known.name}' and its API keys are deleted.")
