"""``keystead keys``: the API keys of your organization."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.choosing import choose, confirm, yes_option
from keystead.cli.families import Family
from keystead.cli.kinds import duration, expiry
from keystead.cli.options import examples
from keystead.cli.screen import Time
from keystead.cli.shapes import FLAG, KEY, SECRET, TEXT, TIME, as_json
from keystead.cli.times import DAY, both

if TYPE_CHECKING:
    from keystead.client import Keystead
    from keystead.client._models import ApiKey, NewApiKey, RotatedApiKey

OVERLAP: Final = duration(most=30 * DAY, too_long="The overlap is 30 days at most.")
key_argument = click.argument("key", metavar="KEY")
app_filter = click.option("--app", metavar="APP", help="Look at the keys of this app only: its name or its id.")


@click.group(
    cls=Family,
    epilog=examples("keystead keys list", "keystead keys create --app ci --title deploy --expires 30d"),
)
def keys() -> None:
    """List, create, rename, rotate and delete API keys.

    An API key belongs to an app. Its text is shown once, when it is made.
    """


@keys.command(
    "list",
    cls=UserCommand,
    answers={"keys": [KEY]},
    epilog=examples("keystead keys list", "keystead keys list --app ci --json"),
)
@app_filter
def list_keys(call: Call, app: str | None) -> None:
    """List the API keys that you may see, without their texts."""
    with call.client() as client:
        found = _keys(client, app)
    if call.screen.as_json:
        call.screen.answer({"keys": as_json([KEY], found)})
        return
    rows = [
        (
            *(key.id, key.title, key.app, key.hint, key.created_by),
            Time(key.created_at),
            Time(key.expires_at, never="never"),
            Time(key.last_used_at, never="never"),
        )
        for key in found
    ]
    headings = ("ID", "TITLE", "APP", "HINT", "CREATED BY", "CREATED", "EXPIRES", "LAST USED")
    call.screen.rows(headings, rows, none="There are no API keys. Make one: keystead keys create --app APP --title T")


@keys.command(
    "create",
    cls=UserCommand,
    answers={"key": KEY, "secret": SECRET},
    epilog=examples(
        "keystead keys create --app ci --title deploy --expires 30d",
        "API_KEY=$(keystead keys create --app ci --title deploy)",
        "keystead keys create --app ci --title report --expires 30d --json",
    ),
)
@click.option("--app", required=True, metavar="APP", help="The app that the key belongs to: its name or its id.")
@click.option("--title", required=True, help="What the key is for. Titles may repeat.")
@click.option(
    "--expires",
    callback=expiry,
    metavar="WHEN",
    help="When it ends: 12h, 30d, or a date as 2027-01-01. Default: never.",
)
def create_key(call: Call, app: str, title: str, expires: int | None) -> None:
    """Make an API key and print it. It is not shown again.

    The key alone goes to standard output, so that a script can keep it.
    """
    expires_in = None if expires is None else timedelta(seconds=expires)
    with call.client() as client:
        made = client.account.keys.create(app=app, title=title, expires_in=expires_in)
    _show_new(call, made)


@keys.command(
    "rename",
    cls=UserCommand,
    answers={"key": KEY},
    epilog=examples("keystead keys rename deploy --title 'deploy, old'", "keystead keys rename ID --title nightly"),
)
@key_argument
@click.option("--title", required=True, help="The new title.")
@app_filter
def rename_key(call: Call, key: str, title: str, app: str | None) -> None:
    """Give an API key another title. KEY is its id, or its title or hint where only one has it."""
    with call.client() as client:
        known = _key(client, key, app)
        renamed = client.account.keys.rename(known.id, title, app=known.app_id)
    if call.screen.as_json:
        call.screen.answer({"key": as_json(KEY, renamed)})
        return
    call.screen.tell(f"The API key is called '{renamed.title}' now.")


@keys.command(
    "rotate",
    cls=UserCommand,
    answers={"key": KEY, "secret": SECRET, "predecessor": {"id": TEXT, "expires_at": TIME}},
    epilog=examples(
        "keystead keys rotate deploy --overlap 24h", "API_KEY=$(keystead keys rotate deploy --app ci --overlap 1h)"
    ),
)
@key_argument
@click.option(
    "--overlap",
    callback=OVERLAP,
    metavar="TIME",
    default="0s",
    show_default=True,
    help="How long the old key still works: 0s, 30m, 24h, at most 30d.",
)
@app_filter
def rotate_key(call: Call, key: str, overlap: int, app: str | None) -> None:
    """Replace an API key by a new one and print that. It is not shown again.

    The new key has the same title, owner and expiry. The old one works until the overlap is over. KEY is its id, or
    its title or hint where only one has it.
    """
    with call.client() as client:
        known = _key(client, key, app)
        rotated = client.account.keys.rotate(known.id, overlap=timedelta(seconds=overlap), app=known.app_id)
    ends = rotated.predecessor_expires_at
    if call.screen.as_json:
        predecessor = {"id": known.id, "expires_at": ends}
        call.screen.answer({**_new(rotated), "predecessor": predecessor})
        return
    call.screen.print(rotated.secret.reveal())
    now = call.screen.now
    until = f"works until {both(ends, now)}" if ends > now else "does not work any more"
    call.screen.tell(f"The old API key {until}. This is the new one; it is not shown again.")


@keys.command(
    "delete",
    cls=UserCommand,
    answers={"deleted": FLAG, "id": TEXT},
    epilog=examples("keystead keys delete deploy", "keystead keys delete deploy --app ci --yes"),
)
@key_argument
@app_filter
@yes_option
def delete_key(call: Call, key: str, app: str | None, yes: bool) -> None:
    """Delete an API key. It stops working at once. KEY is its id, or its title or hint where only one has it."""
    with call.client() as client:
        known = _key(client, key, app)
        confirm(call.screen, f"Delete the API key '{known.title}' ({known.hint}) of the app {known.app}", yes=yes)
        client.account.keys.delete(known.id, app=known.app_id)
    if call.screen.as_json:
        call.screen.answer({"deleted": True, "id": known.id})
        return
    call.screen.tell(f"The API key '{known.title}' is deleted and does not work any more.")


def _keys(client: "Keystead", app: str | None) -> "tuple[ApiKey, ...]":
    return client.account.keys.list(app)


def _key(client: "Keystead", wanted: str, app: str | None) -> "ApiKey":
    """Return the key with this id, or the only one with this title or hint (promise K9)."""
    found = _keys(client, app)
    return choose(
        found,
        wanted.replace("...", "…"),
        kind="API key",
        identity=lambda key: key.id,
        names=lambda key: (key.title, key.hint),
    )


def _new(made: "NewApiKey | RotatedApiKey") -> dict[str, Any]:
    return {"key": as_json(KEY, made.key), "secret": made.secret.reveal()}


def _show_new(call: Call, made: "NewApiKey") -> None:
    if call.screen.as_json:
        call.screen.answer(_new(made))
        return
    call.screen.print(made.secret.reveal())
    ends = made.key.expires_at
    until = "It does not expire." if ends is None else f"It works until {both(ends, call.screen.now)}."
    named = f"the API key '{made.key.title}' of the app {made.key.app}"
    call.screen.tell(f"This is {named}. It is not shown again. {until}")
