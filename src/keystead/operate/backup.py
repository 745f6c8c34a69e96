"""``keystead backup``: a whole copy of the embedded database, taken while the server goes on serving and writing.

The copy is made by ``VACUUM INTO``, which reads one snapshot however busy the server is. SQLite's backup in steps would
begin anew at each commit of another process, and never end beside a busy server. Figures are in ``docs/backup.md``.
"""

import os
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from keystead.cli.options import data_option, examples
from keystead.cli.refusal import Refusal
from keystead.db.installation import DATABASE_FILE
from keystead.db.master_secret import MASTER_SECRET_FILE
from keystead.db.migrate import NEWEST

if TYPE_CHECKING:
    from keystead.kernel.settings import Settings

_EVERY: Final = 50_000
"""SQLite instructions between two looks at how far the copy is: some hundred looks a second."""
_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that was looked through: its revision, and the root key as it is sealed in it."""

    revision: str
    sealed_root: bytes


class Progress:
    """Tells on standard error how far the work is: in place on a terminal, in plain lines elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ""

    def step(self, name: str) -> None:
        """Say what is being done now."""
        if self._terminal:
            self._show(name)
        else:
            click.echo(f"{name}.", err=True)

    def share(self, name: str, share: float) -> None:
        """Say how much of it is done, on a terminal only."""
        if self._terminal:
            self._show(f"{name}: {min(99, int(share * 100))} %")

    def done(self) -> None:
        """Leave the terminal as it was."""
        self._show("")

    def _show(self, text: str) -> None:
        if text != self._shown:
            click.echo("\r" + text.ljust(len(self._shown)) + ("" if text else "\r"), err=True, nl=False)
            self._shown = text


@click.command(
    epilog=examples(
        "keystead backup --data /var/lib/keystead /backups/keystead-monday.db",
        "keystead backup --data .data before-upgrade.db",
    )
)
@data_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(data: Path, file: Path) -> None:
    """Copy the database to FILE while the server runs, and check the copy.

    All that was answered before the command began is in the copy. FILE must not exist yet. It appears when all of it is
    there, checked and on the disk, and its owner alone can read it. The master secret is not in it.
    """
    from keystead.operate.installation import plain_errors, read_settings

    with plain_errors():
        settings = read_settings(data)
    refuse_postgres(settings)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    progress = Progress()
    try:
        size = make_backup(data / DATABASE_FILE, file, progress)
    except OSError as error:
        raise Refusal(f"The backup could not be finished: {error}.") from error
    finally:
        progress.done()
    click.echo(f"The backup is in {file}: {size / _MEGABYTE:.1f} MB, as of {moment} UTC.")
    place = where_the_secret_is(data, settings)
    click.echo(f"The master secret is not in it: it is {place}. Keep a copy of that too, apart from the backup.")


def make_backup(database: Path, file: Path, progress: Progress) -> int:
    """Copy ``database`` to ``file``, check the copy, and return its size in bytes. Raises Refusal.

    At every moment there is no file of that name or a whole one.
    """
    if not database.exists():
        raise Refusal(f"There is no database at {database}.")
    if os.path.lexists(file):
        raise _in_the_way(file)
    with _unfinished(file) as temporary:
        _copy(database, temporary, progress)
        progress.step("Checking the copy")
        look_through(temporary, str(database))
        make_durable(temporary)
        _name(temporary, file)
    make_durable(file.parent)
    return file.stat().st_size


def look_through(path: Path, name: str) -> Copied:
    """Read all of a database that nobody else has open. Raises Refusal, which calls it ``name``, when it is not sound.

    Of an older version's database the revision is older, which the next start of the server mends.
    """
    try:
        with closing(open_existing(path, "ro")) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"alembic_version", "installation"} <= tables:
                raise Refusal(f"{name} is not a database of Keystead.")
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            root = connection.execute("SELECT sealed_root FROM installation").fetchone()
            if revision is None or root is None:
                raise Refusal(f"{name} holds no installation of Keystead yet.")
            if not revision[0].isdigit() or revision[0] > NEWEST:  # the steps are in the order of their numbers
                raise Refusal(
                    f"{name} was last used by a newer version of Keystead: install that version or a newer one."
                )
            broken = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if broken != "ok":
                raise Refusal(f"{name} is damaged: {broken}. Use another backup.")
            orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
            if orphan is not None:
                raise Refusal(f"{name} is damaged: a row of {orphan[0]} belongs to none of {orphan[2]}.")
            return Copied(str(revision[0]), bytes(root[0]))
    except sqlite3.DatabaseError as error:
        raise Refusal(f"{name} cannot be read as a database: {error}. Use another backup.") from error


def open_existing(path: Path, mode: str) -> sqlite3.Connection:
    """Open a database that is there; SQLite would otherwise make one. ``mode`` is rw or ro."""
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None)


def refuse_postgres(settings: "Settings") -> None:
    """Raise Refusal for an installation whose database is not the file in its data directory."""
    if settings.database_url is not None:
        raise Refusal(
            "The database is in PostgreSQL (KEYSTEAD_DATABASE_URL): back it up with pg_dump --format=custom, and put "
            "it back with pg_restore."
        )


def where_the_secret_is(data: Path, settings: "Settings") -> str:
    """Return where this installation's master secret is kept, as the end of a sentence."""
    if settings.master_secret is None:
        return f"in {data / MASTER_SECRET_FILE}"
    return "what you set as KEYSTEAD_MASTER_SECRET"


def make_durable(path: Path) -> None:
    """Have a file's content, or a directory's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(database: Path, temporary: Path, progress: Progress) -> None:
    try:
        with closing(open_existing(database, "rw")) as connection:
            pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            progress.step(f"Copying {pages * size / _MEGABYTE:.1f} MB")

            def look() -> int:
                progress.share("Copying", temporary.stat().st_size / max(1, pages * size))
                return 0

            connection.set_progress_handler(look, _EVERY)
            connection.execute("VACUUM INTO ?", (str(temporary.absolute()),))
    except sqlite3.Error as error:
        raise Refusal(f"The database {database} could not be copied: {error}.") from error


@contextmanager
def _unfinished(file: Path) -> Iterator[Path]:
    """Give an empty file beside ``file``, under a name of its own and for its owner alone, and remove it at the end."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Refusal(f"Cannot write to {file.parent}: {error.strerror}.") from error
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _name(temporary: Path, file: Path) -> None:
    """Give the finished copy its name; a link, unlike a rename, never puts it over a file that came meanwhile."""
    try:
        os.link(temporary, file)
    except FileExistsError:
        raise _in_the_way(file) from None
    except OSError:  # a file system without links, on a stick for instance
        if os.path.lexists(file):
            raise _in_the_way(file) from None
        temporary.rename(file)


def _in_the_way(file: Path) -> Refusal:
    return Refusal(f"{file} is there already, and a backup is never written over another file: give a new name.")
