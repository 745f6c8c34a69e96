"""``keystead admin``: managing an installation on its host, with the server running or not.

Secrets come by standard input or a hidden prompt, never as an argument. The asked-for thing alone goes to standard
output, so that a script can keep it.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keystead.cli.options import data_option, examples
from keystead.cli.refusal import Refusal
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.operate.admin_people import COMMANDS
from keystead.operate.admin_policies import policy

if TYPE_CHECKING:
    from keystead.services import Services

password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@click.group(
    epilog=examples(
        "keystead admin create-org --data .data --name acme",
        "keystead admin create-user --data .data --username ada --email ada@example.com --org acme --role owner",
    )
)
def admin() -> None:
    """Manage organizations, users and keys of an installation, on its host.

    The server may be running or not. Exit codes: 0 done, 1 refused with a sentence on standard error, 2 wrong options.
    """


for command in (*COMMANDS, policy):
    admin.add_command(command)


@admin.command("create-org", epilog=examples("keystead admin create-org --data .data --name acme"))
@data_option
@click.option("--name", required=True, help="Lower-case letters, digits, dots, hyphens and underscores.")
@click.option("--display-name", help="The name that people see. Default: the name.")
def create_org(data: Path, name: str, display_name: str | None) -> None:
    """Make an organization and print its id."""
    from keystead.operate.installation import run

    click.echo(run(data, lambda services: services.accounts.create_organization(name, display_name)))


@admin.command(
    "create-user",
    epilog=examples(
        "keystead admin create-user --data .data --username ada --email ada@example.com --org acme --role owner",
        "pass show ada | keystead admin create-user ... --password-stdin",
    ),
)
@data_option
@click.option("--username", required=True, help="Lower-case letters, digits, dots, hyphens and underscores.")
@click.option("--email", required=True, help="The person's e-mail address.")
@click.option("--org", "organization", required=True, help="The name of the organization that the person belongs to.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.MEMBER.value,
    show_default=True,
    help="The person's role.",
)
@click.option("--name", help="The person's name, as people see it. Default: the user name.")
@click.option("--platform-admin", is_flag=True, help="Let the person manage the whole installation.")
@password_option
def create_user(data: Path, role: str, password_stdin: bool, **options: Any) -> None:
    """Make a user in an organization and print the user's id."""
    from keystead.operate.installation import run

    password = _read_password(from_stdin=password_stdin)
    click.echo(run(data, lambda services: services.accounts.create_user(role=Role(role), password=password, **options)))


@admin.command("set-password", epilog=examples("keystead admin set-password --data .data --user ada"))
@data_option
@click.option("--user", required=True, help="The user name or the e-mail address.")
@password_option
def set_password(data: Path, user: str, password_stdin: bool) -> None:
    """Give a user a new password. All of the user's sessions end."""
    from keystead.operate.installation import run

    password = _read_password(from_stdin=password_stdin)
    run(data, lambda services: services.sessions.set_password(user, password))


@admin.command("create-key", epilog=examples("keystead admin create-key --data .data --user ada --title nightly"))
@data_option
@click.option("--user", required=True, help="The user name or the e-mail address.")
@click.option("--title", required=True, help="What the key is for.")
def create_key(data: Path, user: str, title: str) -> None:
    """Make an API key for a user and print it. It is not shown again.

    The key is for the organization that the user joined first, in the app Default.
    """
    from keystead.operate.installation import run

    async def work(services: "Services") -> Secret:
        return (await services.keys.create_key_for_user(user, title)).secret

    click.echo(run(data, work, names_address=True).reveal())


@admin.command("list-keys", epilog=examples("keystead admin list-keys --data .data --user ada"))
@data_option
@click.option("--user", required=True, help="The user name or the e-mail address.")
def list_keys(data: Path, user: str) -> None:
    """List a user's API keys: id, hint, when it was made (UTC) and title, one key a line.

    The hint is the first and the last four characters of the key's secret part.
    """
    from keystead.operate.installation import run

    for key in run(data, lambda services: services.keys.keys_of_user(user)):
        made = datetime.fromtimestamp(key.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(f"{key.id}  {key.hint}  {made}  {key.title}")


@admin.command("revoke-key", epilog=examples("keystead admin revoke-key --data .data --id KEY_ID"))
@data_option
@click.option("--id", "key_id", required=True, help="The key's id.")
def revoke_key(data: Path, key_id: str) -> None:
    """Delete an API key. It is refused from now on."""
    from keystead.operate.installation import run

    run(data, lambda services: services.keys.revoke_key(key_id))


@admin.command("create-token", epilog=examples("keystead admin create-token --data .data --user ada"))
@data_option
@click.option("--user", required=True, help="The user name or the e-mail address.")
def create_token(data: Path, user: str) -> None:
    """Make a short-term token for a user and print it. It is not shown again.

    The token is for the organization that the user joined first.
    """
    from keystead.operate.installation import run

    async def work(services: "Services") -> Secret:
        identity = await services.accounts.first_identity(user)
        return (await services.tokens.issue_short_term(identity)).token

    click.echo(run(data, work, names_address=True).reveal())


@admin.command("delete-client", epilog=examples("keystead admin delete-client --data .data --id CLIENT_ID"))
@data_option
@click.option("--id", "client_id", required=True, help="The client_id.")
def delete_client(data: Path, client_id: str) -> None:
    """Forget a client: its client_id is unknown from now on, and its grants end."""
    from keystead.operate.installation import run

    run(data, lambda services: services.oauth.clients.delete(client_id))


@admin.command("rotate-signing-keys", epilog=examples("keystead admin rotate-signing-keys --data .data"))
@data_option
@click.option("--now", "at_once", is_flag=True, help="Sign with the new keys at once, for keys that have leaked.")
def rotate_signing_keys(data: Path, at_once: bool) -> None:
    """Publish new signing keys and print their ids.

    They sign once every verifier has had time to hear of them. The old keys stay published for as long as a token that
    they signed is valid.
    """
    from keystead.operate.installation import run

    for kid in run(data, lambda services: services.signing_keys.rotate_now(at_once=at_once)):
        click.echo(kid)


@admin.command("rotate-master-secret", epilog=examples("keystead admin rotate-master-secret --data .data"))
@data_option
@click.option(
    "--new-secret-stdin",
    is_flag=True,
    help="Read the new master secret from standard input. Needed when KEYSTEAD_MASTER_SECRET is set.",
)
def rotate_master_secret(data: Path, new_secret_stdin: bool) -> None:
    """Seal the server's keys under a new master secret. No credential changes.

    When the master secret is in its file, a new one is made and put in its place. When it is configured, or nodes share
    a database, give the new one, and configure it on every node before its server is started again.
    """
    from keystead.db import installation
    from keystead.db.opening import database_url_of
    from keystead.operate.installation import master_secret_of, plain_errors, read_settings

    new = _secret_from_stdin("master secret") if new_secret_stdin else None
    with plain_errors():
        settings = read_settings(data)
        old, url = master_secret_of(settings), database_url_of(settings)
        if url is not None:
            if new is None:
                raise Refusal("Nodes share this database, so the new master secret must be given: --new-secret-stdin.")
            from keystead.db.shared_installation import rotate_shared_master_secret

            rotate_shared_master_secret(data, old, new, url)
            return
        if old is not None and new is None:
            raise Refusal("The master secret is configured, so the new one must be given: use --new-secret-stdin.")
        installation.rotate_master_secret(data, old, new)


def _read_password(*, from_stdin: bool) -> Secret:
    if from_stdin:
        return _secret_from_stdin("password")
    if not sys.stdin.isatty():
        raise click.UsageError("Use --password-stdin to give the password when there is no terminal to ask on.")
    return Secret(click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))


def _secret_from_stdin(what: str) -> Secret:
    """Return what standard input holds, without the line end that ``echo`` adds."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"The {what} on standard input is not valid UTF-8.") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise click.UsageError(f"Standard input holds no {what}.")
    return Secret(text)
