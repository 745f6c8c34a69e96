"""``keystead admin``: letting people in, by links that only the operator sees, and trying whether e-mail arrives."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keystead.cli.options import data_option, examples
from keystead.cli.refusal import Refusal
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    from keystead.accounts.models import User
    from keystead.db import Transaction
    from keystead.services import Services


@click.command("invite", epilog=examples("keystead admin invite --data .data --org acme --email bob@example.com"))
@data_option
@click.option("--org", "organization", required=True, help="The name of the organization.")
@click.option("--email", required=True, help="The e-mail address of the invited person.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.MEMBER.value,
    show_default=True,
    help="The role that the person will have.",
)
def invite(data: Path, organization: str, email: str, role: str) -> None:
    """Print a link that lets somebody into an organization, once, within seven days.

    Whoever has the link can use it: give it to that person alone. No letter is sent.
    """
    from keystead.operate.installation import run

    async def work(services: "Services") -> Secret:
        return (await services.organizations.invite_from_host(organization, email, Role(role))).url

    click.echo(run(data, work, names_address=True).reveal())


@click.command("reset-link", epilog=examples("keystead admin reset-link --data .data --user ada"))
@data_option
@click.option("--user", required=True, help="The user name or the e-mail address.")
def reset_link(data: Path, user: str) -> None:
    """Print a link to a page on which a user chooses a new password. It is good once, for an hour.

    Whoever has the link can use it: give it to that person alone. No letter is sent.
    """
    from keystead.operate.installation import run

    async def work(services: "Services") -> Secret:
        return await _link(services, await _user(services, user))

    click.echo(run(data, work, names_address=True).reveal())


@click.command("recover", epilog=examples("keystead admin recover --data .data --user ada"))
@data_option
@click.option("--user", required=True, help="The user name or the e-mail address.")
def recover(data: Path, user: str) -> None:
    """Let somebody in again who has lost everything: remove every second factor and print a link to a new password.

    Make sure first that this is the person. The link is good once, for an hour; give it to that person alone. With a
    mail server, the person also gets a letter that says what was removed.
    """
    from keystead.operate.installation import run

    async def work(services: "Services") -> Secret:
        found = await _user(services, user)
        await services.second_factors.remove_for(found)
        return await _link(services, found)

    click.echo(run(data, work, names_address=True).reveal())


@click.command("send-test-mail", epilog=examples("keystead admin send-test-mail --data .data --to ada@example.com"))
@data_option
@click.option("--to", required=True, metavar="ADDRESS", help="The e-mail address that the letter goes to.")
def send_test_mail(data: Path, to: str) -> None:
    """Send a letter by the mail server in the settings, and say what went wrong if it was not taken."""
    from keystead.mail.letters import trial
    from keystead.mail.models import MailError
    from keystead.operate.installation import run

    async def work(services: "Services") -> None:
        try:
            await services.mailer.send(trial(services.settings.product_name, to))
        except MailError as error:
            raise Refusal(str(error)) from error

    run(data, work)
    click.echo(f"The mail server has taken a letter to {to}.", err=True)


async def _user(services: "Services", name: str) -> "User":
    found = await services.accounts.user_by_name(name)
    if found is None:
        raise Refusal(f"There is no user called '{name}'.")
    if found.disabled_at is not None:
        raise Refusal(f"The user '{name}' is disabled. Enable them first, under Users in Account Settings.")
    return found


async def _link(services: "Services", user: "User") -> Secret:
    async def work(tx: "Transaction") -> None:
        await services.audit.record(tx, "user:reset-link", target=user.id)

    await services.db.write(work)
    return Secret(services.settings.public_url + await services.sessions.reset_link(user))


COMMANDS = (invite, reset_link, recover, send_test_mail)
