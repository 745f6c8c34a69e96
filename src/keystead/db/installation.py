"""An installation: its data directory, the master secret beside the database, and the root key sealed in it (J4).

Here for SQLite; ``shared_installation.py`` does the same for PostgreSQL.
"""

import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import bindparam, select, update

from keystead.db.master_secret import (
    PURPOSE,
    InstallationError,
    check_length,
    first_secret,
    put_in_place,
    secret_from_file,
    unseal,
    write_next_secret,
)
from keystead.db.migrate import NewerDatabase, migrate
from keystead.db.sqlite import connect
from keystead.db.statements import Command, Query, insert_into
from keystead.db.tables import installation
from keystead.kernel.clock import Clock
from keystead.kernel.sealing import derive_key, master_key, new_root, seal
from keystead.kernel.secrets import Secret

DATABASE_FILE: Final = "keystead.db"

SEALED_ROOT = Query(select(installation.c.sealed_root), bytes)
INSERT = Command(insert_into(installation))
RESEAL = Command(update(installation).values(sealed_root=bindparam("sealed")))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an installation, each derived from its root by name."""

    credentials: bytes
    refresh: bytes
    clients: bytes
    forms: bytes
    devices: bytes
    signing: bytes
    factors: bytes

    @classmethod
    def from_root(cls, root: bytes) -> "Keys":
        """Derive every key."""
        return cls(*(derive_key(root, name) for name in cls.__slots__))

    def __repr__(self) -> str:
        return "Keys(********)"


def open_installation(directory: Path, given: Secret | None, clock: Clock) -> Keys:
    """Create or open the installation in ``directory``, bring its database up to date, and return its keys.

    ``given`` is the master secret from the settings; without one it is kept in a file of mode 0600 beside the database.
    Raises InstallationError.
    """
    path = directory / DATABASE_FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        migrate(path)
        connection = connect(path)
    except NewerDatabase:
        raise InstallationError(
            f"{path} was last used by a newer version of Keystead: install that version or a newer one."
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise InstallationError(f"The database {path} cannot be opened: {error}") from error
    try:
        return Keys.from_root(_open_root(connection, directory, given, clock))
    finally:
        connection.close()


def rotate_master_secret(directory: Path, old: Secret | None, new: Secret | None) -> None:
    """Seal the root key under another master secret; no credential changes.

    One statement makes it so. With the secret in its file, the new one is written beside it first, so that a kill at
    any point leaves a pair that opens. A secret that was given is not kept here, so its successor must be given too.
    Raises InstallationError.
    """
    if old is not None and new is None:
        raise InstallationError("Give the new master secret too: one that is given is kept by you alone.")
    path = directory / DATABASE_FILE
    if not path.exists():
        raise InstallationError(f"There is no database at {path}.")
    connection = connect(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        sealed = _sealed_root(connection)
        if sealed is None:
            raise InstallationError(f"{path} holds no installation yet.")
        root = unseal(sealed, old or secret_from_file(directory, sealed), str(directory))
        replacement = new or Secret(secrets.token_urlsafe(32))
        check_length(replacement)
        if old is None:
            write_next_secret(directory, replacement)
        fresh = seal(master_key(replacement), root, PURPOSE)
        connection.execute(RESEAL.sql, RESEAL.bind({"sealed": fresh}))
        connection.execute("COMMIT")
        if old is None:
            put_in_place(directory)
    finally:
        connection.close()


def _open_root(connection: sqlite3.Connection, directory: Path, given: Secret | None, clock: Clock) -> bytes:
    connection.execute("BEGIN IMMEDIATE")
    try:
        sealed = _sealed_root(connection)
        if sealed is not None:
            return unseal(sealed, given or secret_from_file(directory, sealed), str(directory))
        master = given or first_secret(directory)
        check_length(master)
        root = new_root()
        row = {"id": 1, "sealed_root": seal(master_key(master), root, PURPOSE), "created_at": clock.now()}
        connection.execute(INSERT.sql, INSERT.bind(row))
        return root
    finally:
        connection.execute("COMMIT")


def _sealed_root(connection: sqlite3.Connection) -> bytes | None:
    row = connection.execute(SEALED_ROOT.sql).fetchone()
    return None if row is None else SEALED_ROOT.read(row)
