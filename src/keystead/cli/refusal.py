"""A refusal: one plain sentence on standard error, and an exit code."""

from typing import IO, Any

import click


class Refusal(click.ClickException):
    """The command was understood but cannot be done. Mistakes in its options are ``click.UsageError``, exit code 2."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence."""
        click.echo(self.format_message(), file=file, err=file is None)


class Mistake(Refusal):
    """The command is written well, but what it names cannot be meant as it stands."""

    exit_code = 2
