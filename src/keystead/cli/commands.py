"""The commands there are, and how one is loaded."""

import importlib
from dataclasses import dataclass
from typing import Final

import click
from click.shell_completion import CompletionItem

from keystead import __version__
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.refusal import Refusal
from keystead.kernel.collector import paused


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command lives, as ``module:attribute``, and what the list of commands says of it."""

    target: str
    help: str


SECTIONS: Final = {
    "Sign in": {
        "login": LazyCommand("keystead.cli.login:login", "Sign in to a server, in a browser here or elsewhere."),
        "logout": LazyCommand("keystead.cli.logout:logout", "Sign out: take the sign-in back and forget it."),
        "auth": LazyCommand("keystead.cli.auth:auth", "Show the sign-in, or print its token for a program."),
        "whoami": LazyCommand("keystead.cli.whoami:whoami", "Ask the server who you are."),
        "context": LazyCommand("keystead.cli.context:context", "List the sign-ins kept here, or switch between them."),
    },
    "Account": {
        "apps": LazyCommand("keystead.cli.apps:apps", "List, create and delete apps, which hold API keys."),
        "keys": LazyCommand("keystead.cli.keys:keys", "List, create, rename, rotate and delete API keys."),
        "balance": LazyCommand("keystead.cli.balance:balance", "Show the balance, or add to it."),
        "tokens": LazyCommand("keystead.cli.tokens:tokens", "Create, list and revoke short-term tokens."),
        "sessions": LazyCommand("keystead.cli.sessions:sessions", "List the browsers that are signed in; end one."),
        "devices": LazyCommand("keystead.cli.devices:devices", "List the command lines that are signed in; end one."),
        "api": LazyCommand("keystead.cli.api:api", "Send any request to the server, signed in."),
    },
    "Server": {
        "serve": LazyCommand("keystead.operate.serve:serve", "Run the server."),
        "admin": LazyCommand("keystead.operate.admin:admin", "Manage organizations, users and keys on this machine."),
        "backup": LazyCommand("keystead.operate.backup:backup", "Copy the database while the server runs."),
        "restore": LazyCommand("keystead.operate.restore:restore", "Put a backup in the place of the database."),
        "db": LazyCommand("keystead.operate.database:db", "Check the database, or move it to PostgreSQL."),
        "doctor": LazyCommand("keystead.operate.doctor:doctor", "Check an installation and say what to mend."),
    },
    "Shell": {
        "completion": LazyCommand("keystead.cli.completion:completion", "Let your shell complete commands."),
    },
}
COMMANDS: Final = {name: lazy for section in SECTIONS.values() for name, lazy in section.items()}


class LazyGroup(Family):
    """A group that knows its commands by name and imports one only when it is run or asked for its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        with paused():
            command = getattr(importlib.import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands without importing any."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=lazy.help) for name, lazy in COMMANDS.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, what belongs together in one section, without importing any."""
        widest = max(len(name) for name in COMMANDS)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), lazy.help) for name, lazy in commands.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a package that is missing is told in a sentence."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in {"", "keystead"}:
                raise
            raise Refusal(
                f"This command needs the server's packages, and '{missing}' is not installed. "
                "Install them: pip install 'keystead[server]'"
            ) from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "keystead login https://auth.example.com",
        "keystead keys create --app ci --title deploy --expires 30d",
        "keystead keys create --help",
        "keystead serve --dev --data .data",
    ),
)
@click.version_option(__version__, prog_name="keystead", message="%(prog)s %(version)s")
def keystead() -> None:
    """Keystead, the sign-in desk of a company that sells an API.

    Sign in once; every other command then knows who you are. Each command has --json for programs, and explains itself
    with --help.
    """
