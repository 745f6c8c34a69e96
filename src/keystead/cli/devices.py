"""``keystead devices``: the command lines and other devices that are signed in as you."""

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.choosing import choose, confirm, yes_option
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.screen import Time
from keystead.cli.shapes import DEVICE, FLAG, TEXT, as_json


@click.group(cls=Family, epilog=examples("keystead devices list", "keystead devices revoke ID"))
def devices() -> None:
    """List the command lines and devices that are signed in as you, and sign one out."""


@devices.command(
    "list",
    cls=UserCommand,
    answers={"devices": [DEVICE]},
    epilog=examples("keystead devices list", "keystead devices list --json"),
)
def list_devices(call: Call) -> None:
    """List the command lines and devices that are signed in as you."""
    with call.client() as client:
        found = client.account.devices.list()
    if call.screen.as_json:
        call.screen.answer({"devices": as_json([DEVICE], found)})
        return
    rows = [
        (
            *(device.id, device.client, device.platform, device.address, device.organization),
            *(Time(device.created_at), Time(device.last_used_at), Time(device.expires_at)),
            "this one" if device.current else "",
        )
        for device in found
    ]
    headings = ("ID", "CLIENT", "MACHINE", "ADDRESS", "ORGANIZATION", "SIGNED IN", "LAST USED", "ENDS", "")
    call.screen.rows(headings, rows, none="No device is signed in.")


@devices.command(
    "revoke",
    cls=UserCommand,
    answers={"revoked": FLAG, "id": TEXT},
    epilog=examples("keystead devices revoke ID", "keystead devices revoke ID --yes"),
)
@click.argument("device_id", metavar="ID")
@yes_option
def revoke_device(call: Call, device_id: str, yes: bool) -> None:
    """Sign a device out. ID is what keystead devices list shows.

    It cannot renew its sign-in from then on; a token that it holds already works for some minutes more.
    """
    with call.client() as client:
        found = client.account.devices.list()
        known = choose(found, device_id, kind="device", identity=lambda one: one.id, names=lambda one: ())
        which = f"'{known.client}' at {known.address}" + (", which is this one" if known.current else "")
        confirm(call.screen, f"Sign out the device {which}", yes=yes)
        client.account.devices.revoke(known.id)
    if call.screen.as_json:
        call.screen.answer({"revoked": True, "id": known.id})
    else:
        call.screen.tell(f"The device '{known.client}' is signed out.")
