"""The commands there are, and how one is loaded."""

import importlib
from dataclasses import dataclass
from typing import Final

import click

from keystead import __version__
from keystead.cli.options import examples
from keystead.cli.refusal import Refusal


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command lives, as ``module:attribute``, and what the list of commands says of it."""

    target: str
    help: str


COMMANDS: Final = {
    "serve": LazyCommand("keystead.operate.serve:serve", "Run the server."),
    "admin": LazyCommand("keystead.operate.admin:admin", "Manage organizations, users and keys on this machine."),
    "backup": LazyCommand("keystead.operate.backup:backup", "Copy the database while the server runs."),
    "restore": LazyCommand("keystead.operate.restore:restore", "Put a backup in the place of the database."),
    "db": LazyCommand("keystead.operate.database:db", "Check the database, or move it to PostgreSQL."),
    "doctor": LazyCommand("keystead.operate.doctor:doctor", "Check an installation and say what to mend."),
}


class LazyGroup(click.Group):
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
        command = getattr(importlib.import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])

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
    epilog=examples("keystead serve --dev --data .data", "keystead admin --help"),
)
@click.version_option(__version__, prog_name="keystead", message="%(prog)s %(version)s")
def keystead() -> None:
    """Keystead, the sign-in desk of a company that sells an API."""
