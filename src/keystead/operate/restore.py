"""``keystead restore``: puts a backup in the place of the embedded database. The server is stopped for it.

The copy is made and looked through beside the database; then one rename puts it in place. A kill at any moment leaves
the old database or the new one, whole.
"""

import fcntl
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import click

from keystead.cli.options import data_option, examples
from keystead.cli.refusal import Refusal
from keystead.db.installation import DATABASE_FILE
from keystead.db.master_secret import MASTER_SECRET_FILE, PURPOSE
from keystead.kernel.sealing import WrongKey, master_key, open_sealed
from keystead.kernel.secrets import Secret
from keystead.operate.backup import (
    Progress,
    look_through,
    make_durable,
    open_existing,
    refuse_postgres,
)

_STAGE: Final = ".restore-"
_SIDES: Final = ("-wal", "-journal")
"""What SQLite may have written beside a database and not yet into it. A -shm file is made anew from the -wal."""
_LOCKS: Final = (0x40000000, 512)
"""The bytes on which SQLite keeps its locks: the pending byte, the reserved byte and the shared range behind them."""


@click.command(
    epilog=examples(
        "keystead restore --data /var/lib/keystead /backups/keystead-monday.db",
        "keystead restore --data .data before-upgrade.db --replace",
    )
)
@data_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Take the place of the database that is there, which is kept beside it.")
def restore(data: Path, file: Path, replace: bool) -> None:
    """Put the backup FILE in place as the database. Stop the server first.

    FILE is looked through before anything is changed, and is not changed itself. The master secret that was in use when
    the backup was made has to be there.
    """
    from keystead.operate.installation import master_secret_of, plain_errors, read_settings

    with plain_errors():
        settings = read_settings(data)
    refuse_postgres(settings)
    progress = Progress()
    try:
        kept = put_in_place(data, file, Judge(data, master_secret_of(settings)), progress, replace=replace)
    except OSError as error:
        raise Refusal(f"The backup could not be restored: {error}.") from error
    finally:
        progress.done()
    if kept is not None:
        click.echo(f"The database that was there is kept as {kept}.")
    click.echo(f"The database is restored from {file}. Start the server now.")


class Judge:
    """Tells whether a backup opens with the master secret that this installation has."""

    def __init__(self, data: Path, given: Secret | None) -> None:
        self._file = data / MASTER_SECRET_FILE
        self._given = given

    def judge(self, sealed_root: bytes) -> None:
        """Raise Refusal when the root key that a backup holds does not open."""
        found = self._secrets()
        if any(_opens(secret, sealed_root) for secret in found):
            return
        right = "the master secret that was in use when the backup was made"
        if self._given is not None:
            sentence = f"KEYSTEAD_MASTER_SECRET does not open this backup: set {right}."
        elif found:
            sentence = f"What is in {self._file} does not open this backup: put {right} there."
        else:
            sentence = f"Nothing opens this backup yet: put {right} into {self._file}, or set KEYSTEAD_MASTER_SECRET."
        raise Refusal(f"{sentence} Nothing was changed.")

    def _secrets(self) -> list[Secret]:
        """Return the given secret, or those in the files: a rotation that was interrupted leaves two."""
        if self._given is not None:
            return [self._given]
        found = []
        for file in (self._file, self._file.with_name(f"{MASTER_SECRET_FILE}.next")):
            with suppress(OSError, UnicodeDecodeError):
                found.append(Secret(file.read_text(encoding="utf-8").strip()))
        return found


def _opens(secret: Secret, sealed: bytes) -> bool:
    try:
        open_sealed(master_key(secret), sealed, PURPOSE)
    except WrongKey:
        return False
    return True


def put_in_place(data: Path, file: Path, judge: Judge, progress: Progress, *, replace: bool) -> Path | None:
    """Make a checked copy of ``file`` the database of ``data``; return where the old one is kept, if there was one.

    Raises Refusal, and has then changed nothing.
    """
    database = data / DATABASE_FILE
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(data):
        if database.exists() and database.samefile(file):
            raise Refusal(f"{file} is the database itself: give the file that keystead backup made.")
        if database.exists() and not replace:
            raise Refusal(f"{database} is there already: with --replace it is kept under another name.")
        with _nobody_has_open(database), _stage(data) as stage:
            staged = _copied(file, stage, progress)
            progress.step("Checking the copy")
            judge.judge(look_through(staged, str(file)).sealed_root)
            _give_to_the_owner(staged, data)
            make_durable(staged)
            kept = _keep(database)
            staged.replace(database)
            make_durable(data)
    return kept


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Be the only restore in a data directory. Raises Refusal when another one is under way."""
    descriptor = os.open(data, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refusal(f"Another restore is under way in {data}.") from None
    finally:
        os.close(descriptor)


@contextmanager
def _nobody_has_open(database: Path) -> Iterator[None]:
    """Keep everybody else out of the database for a while. Raises Refusal when a server has it open.

    What a server left in a -wal file when it was killed is folded into the database first, so that the old database is
    whole in one file, and no -wal file of the old one stands beside the new one, which would be damaged by it.
    """
    if not database.exists():
        yield
        return
    with closing(open_existing(database, "rw")) as connection:
        sound = _exclusive(connection, database)
        if sound:
            yield
    if not sound:  # which is why it is to be replaced
        with _locked_by_hand(database):
            yield


def _exclusive(connection: sqlite3.Connection, database: Path) -> bool:
    """Fold and lock a database; tell whether it could be read at all. Raises Refusal when somebody has it open."""
    try:
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("PRAGMA journal_mode=DELETE")  # succeeds only for somebody who is alone with the file
        connection.execute("BEGIN EXCLUSIVE")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
            return True
    except sqlite3.DatabaseError as error:
        reason = error.sqlite_errorcode & 0xFF
        if reason in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return False
        if reason not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise Refusal(f"{database} cannot be opened: {error}. Nothing was changed.") from error
    raise _in_use(database)


@contextmanager
def _locked_by_hand(database: Path) -> Iterator[None]:
    """Take SQLite's locks on a file that SQLite itself cannot open (https://www.sqlite.org/lockingv3.html)."""
    start, length = _LOCKS
    with database.open("r+b") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError:
            raise _in_use(database) from None
        yield


def _in_use(database: Path) -> Refusal:
    return Refusal(f"A server, or another program, has {database} open: stop it first. Nothing was changed.")


@contextmanager
def _stage(data: Path) -> Iterator[Path]:
    """Give a directory for the copy, on the file system of the database; one that a kill left is cleared away."""
    for left in data.glob(f"{_STAGE}*"):
        shutil.rmtree(left, ignore_errors=True)
    stage = data / f"{_STAGE}{secrets.token_hex(4)}"
    stage.mkdir(mode=0o700)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _copied(file: Path, stage: Path, progress: Progress) -> Path:
    """Copy a backup, with what SQLite may have left beside it, into ``stage``, and fold it into one file."""
    progress.step("Copying the backup")
    staged = stage / DATABASE_FILE
    try:
        for side in ("", *_SIDES):
            source = Path(f"{file}{side}")
            if source.exists():
                shutil.copyfile(source, f"{staged}{side}")
                Path(f"{staged}{side}").chmod(0o600)
        with closing(open_existing(staged, "rw")) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except OSError as error:
        raise Refusal(f"{file} cannot be copied to {stage.parent}: {error.strerror}.") from error
    except sqlite3.DatabaseError as error:
        raise Refusal(f"{file} cannot be read as a database: {error}. Use another backup.") from error
    return staged


def _give_to_the_owner(staged: Path, data: Path) -> None:
    """Let the server's user own the file, when somebody who may give files away, root for instance, restores it."""
    owner = data.stat()
    with suppress(PermissionError):
        os.chown(staged, owner.st_uid, owner.st_gid)


def _keep(database: Path) -> Path | None:
    """Give the old database a second name, so that its own stays in use until the new one has it.

    Files beside it are there only when the old one is damaged, or gone; they are moved, because they are not the new
    one's.
    """
    sides = [side for side in (*_SIDES, "-shm") if Path(f"{database}{side}").exists()]
    if not database.exists() and not sides:
        return None
    kept = _free_name(database)
    if database.exists():
        try:
            os.link(database, kept)
        except OSError as error:
            raise Refusal(
                f"{database} cannot be kept as {kept.name}: {error.strerror}. Move it away yourself, and restore again."
            ) from error
        make_durable(database.parent)
    for side in sides:
        Path(f"{database}{side}").rename(f"{kept}{side}")
    return kept


def _free_name(database: Path) -> Path:
    stem = f"{database}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    names = (Path(stem + more) for more in ("", *(f"-{number}" for number in range(2, 100))))
    return next(name for name in names if not os.path.lexists(name))
