"""``keystead db copy``: moves an installation from its SQLite file to PostgreSQL."""

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import click

from keystead.cli.options import data_option, examples
from keystead.db.installation import DATABASE_FILE
from keystead.db.master_secret import MASTER_SECRET_FILE
from keystead.db.opening import database_url_of
from keystead.kernel.secrets import Secret
from keystead.operate.backup import Progress
from keystead.operate.installation import master_secret_of, plain_errors, read_settings

if TYPE_CHECKING:
    from keystead.db.copying import Copied
    from keystead.kernel.settings import Settings

INTERRUPTED: Final = 130
"""What shells say of a program that ended by Ctrl-C."""
_LINE_EVERY: Final = 5.0
"""Seconds between two lines about the progress where there is no terminal."""


class Steps(Progress):
    """Tells how far the copy is: in place on a terminal, elsewhere with a line every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self._told_at = time.monotonic()

    def step(self, name: str) -> None:
        """Say what is being done now."""
        self._name = name
        self._told_at = time.monotonic()
        super().step(name)

    def rows(self, done: int, of: int) -> None:
        """Say how many rows it was done for."""
        share = done / max(1, of)
        self.share(self._name, share)
        if not self._terminal and time.monotonic() - self._told_at >= _LINE_EVERY:
            self._told_at = time.monotonic()
            click.echo(f"{self._name}: {done:,} of {of:,} rows ({int(share * 100)} %)", err=True)


@click.command(
    epilog=examples(
        "pass show keystead/database | keystead db copy --data /var/lib/keystead --to-stdin",
        "KEYSTEAD_DATABASE_URL=postgresql://... keystead db copy --data /var/lib/keystead",
        "keystead db copy --data .data --to postgresql://keystead@127.0.0.1/keystead",
    )
)
@data_option
@click.option(
    "--to", "address", metavar="URL", help="The database, as postgresql://user@host/name, without a password."
)
@click.option("--to-stdin", is_flag=True, help="Read the address from standard input, for one with a password.")
@click.option("--replace", is_flag=True, help="Copy again over a copy that was finished. What happened there is lost.")
def copy(data: Path, address: str | None, to_stdin: bool, replace: bool) -> None:
    """Copy an installation from its SQLite file to PostgreSQL.

    Without --to and --to-stdin the address is KEYSTEAD_DATABASE_URL. The database there is empty, or holds what an
    interrupted copy has left, which is then gone on with. Nothing is written to the SQLite file but, where it is of an
    older version, the steps that bring it up to date. No server starts over the copy before it is whole.

    Stop the server first: while the copy is made it can read and not write, and what it writes afterwards is not in the
    copy. Exit codes: 0 done, 1 refused or cut off with a sentence on standard error, 2 wrong options, 130 interrupted.
    """
    given = _given_address(address, to_stdin=to_stdin)
    with plain_errors():
        settings = read_settings(data, database_url=given)
    url = database_url_of(settings)
    if url is None:
        raise click.UsageError("Say where to: set KEYSTEAD_DATABASE_URL, or use --to-stdin or --to.")
    steps = Steps()
    began = time.monotonic()
    try:
        with plain_errors():
            copied = _copied(data, settings, url, steps, replace=replace)
    except KeyboardInterrupt:
        steps.done()
        click.echo("Interrupted. Start the copy again: it goes on where it was.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        steps.done()
    seconds = time.monotonic() - began
    click.echo(
        f"The copy in {place_of(url)} is whole: {copied.rows:,} rows of {copied.tables} tables, each compared. It took "
        f"{seconds:.0f} seconds, {copied.rows / max(seconds, 0.001):,.0f} rows a second."
    )
    _tell_what_is_next(data, settings)


def _copied(data: Path, settings: "Settings", url: Secret, steps: Steps, *, replace: bool) -> "Copied":
    from keystead.db.copying import Copying, open_source

    click.echo(
        "While this copies, a server over the SQLite file answers but changes nothing: sign-ins and new keys are "
        "refused. Better stop it now.",
        err=True,
    )
    steps.step("Looking through the SQLite file")
    source, original = open_source(data, master_secret_of(settings))
    try:
        return asyncio.run(Copying(source, original, steps).run(url, replace=replace))
    finally:
        source.close()


def _tell_what_is_next(data: Path, settings: "Settings") -> None:
    secret = (
        f"what is in {data / MASTER_SECRET_FILE}"
        if settings.master_secret is None
        else "the same KEYSTEAD_MASTER_SECRET as here"
    )
    click.echo(
        "What is next:\n"
        "  1. Stop the old server, if it still runs: what it writes now is not in the copy.\n"
        "  2. Set KEYSTEAD_DATABASE_URL to this address on every node.\n"
        f"  3. Set KEYSTEAD_MASTER_SECRET on every node to {secret}: without it nothing opens.\n"
        "  4. Start the servers. All credentials go on working.\n"
        f"Keep {data / DATABASE_FILE} until you are content, and start no server over it again: credentials that were "
        "revoked meanwhile would work there."
    )


def _given_address(address: str | None, *, to_stdin: bool) -> str | None:
    """Return the address that was given, or None for the one in the settings. Raises UsageError."""
    if to_stdin:
        if address is not None:
            raise click.UsageError("Use --to or --to-stdin, not both.")
        text = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
        if not text:
            raise click.UsageError("Standard input holds no address.")
        return text
    if address is not None and _holds_a_password(address):
        raise click.UsageError(
            "Everybody on this machine can read the arguments of a command, and this one holds a password: give the "
            "address with --to-stdin, or set KEYSTEAD_DATABASE_URL."
        )
    return address


def _holds_a_password(address: str) -> bool:
    parts = urlsplit(address)
    user = parts.netloc.rpartition("@")[0]
    return ":" in user or any("password" in name for name in parse_qs(parts.query, keep_blank_values=True))


def place_of(url: Secret) -> str:
    """Return an address of PostgreSQL as it may be shown: host, port and name."""
    parts = urlsplit(url.reveal())
    return f"{parts.netloc.rpartition('@')[2] or 'PostgreSQL'}{parts.path}"
