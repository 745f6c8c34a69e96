"""``keystead admin policy``: what an organization or the installation asks, and the way out when it asks too much."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from keystead.cli.options import data_option, examples
from keystead.organizations.models import LIFE, POLICY_NAMES

if TYPE_CHECKING:
    from keystead.services import Services

_FLAGS: Final = {"on": 1, "off": 0}
_UNLIMITED: Final = "unlimited"
_DAYS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@click.command(
    "policy",
    epilog=examples(
        "keystead admin policy --data .data",
        "keystead admin policy --data .data max-api-key-ttl 90",
        "keystead admin policy --data .data --org acme disable-password-login off",
    ),
)
@data_option
@click.option("--org", "organization", help="The name of an organization. Default: the whole installation.")
@click.argument("name", required=False, type=click.Choice(list(POLICY_NAMES)))
@click.argument("value", required=False)
def policy(data: Path, organization: str | None, name: str | None, value: str | None) -> None:
    """Show the policies of the installation or of an organization, show one of them, or set it.

    max-api-key-ttl is the most days for which a new API key lives, or "unlimited". The others are on or off:
    enforce-mfa (nobody signs in with a password alone), disable-password-login (nobody signs in with a password;
    passkeys let people in), disable-device-login (nobody signs in a device any more). Of a policy that an organization
    and the installation both have, the stricter counts.

    Policies that are turned off here let people in again, where everybody has locked themselves out.
    """
    from keystead.operate.installation import run
    from keystead.organizations.policies import value_of

    asked = None if name is None or value is None else _read(name, value)

    async def work(services: "Services") -> list[tuple[str, str]]:
        if name is not None and asked is not None:
            await services.organizations.set_policy_from_host(organization, name, asked)
            return []
        own, platform = await services.organizations.policies_from_host(organization)
        found = platform if organization is None else own
        return [(one, _shown(one, value_of(found, one))) for one in POLICY_NAMES if name in {None, one}]

    for one, shown in run(data, work):
        click.echo(shown if name is not None else f"{one:<24}{shown}")


def _read(name: str, text: str) -> int:
    """Return the value that was typed. Raises UsageError."""
    if POLICY_NAMES[name] == LIFE:
        if text == _UNLIMITED:
            return 0
        if _DAYS.fullmatch(text) and int(text):
            return int(text)
        raise click.UsageError(f"{name} is a whole number of days, or '{_UNLIMITED}'.")
    if text not in _FLAGS:
        raise click.UsageError(f"{name} is 'on' or 'off'.")
    return _FLAGS[text]


def _shown(name: str, value: int | bool) -> str:
    if POLICY_NAMES[name] == LIFE:
        return str(value) if value else _UNLIMITED
    return "on" if value else "off"
