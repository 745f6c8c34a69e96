"""Options and help texts that several commands share."""

from pathlib import Path
from typing import Final

import click

data_option: Final = click.option(
    "--data",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory: database, master secret and keystead.toml.",
)


def examples(*lines: str) -> str:
    """Return the end of a help text: commands as they are typed."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
