"""An installation: its data directory, the master secret beside the database, and the root key sealed in it (J4).

A wrong, short or missing master secret stops the start with one plain sentence; a new one is never made over data.
"""

import os
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import bindparam, select, update

from keystead.db.migrate import NewerDatabase, migrate
from keystead.db.sqlite import connect
from keystead.db.statements import Command, Query, insert_into
from keystead.db.tables import installation
from keystead.kernel.clock import Clock
from keystead.kernel.sealing import (
    MASTER_SECRET_MINIMUM,
    WrongKey,
    derive_key,
    master_key,
    new_root,
    open_sealed,
    seal,
)
from keystead.kernel.secrets import Secret

DATABASE_FILE: Final = "keystead.db"
MASTER_SECRET_FILE: Final = "master-secret"  # noqa: S105 - the name of a file
_NEXT_FILE: Final = "master-secret.next"
_PURPOSE: Final = "root"

_SEALED_ROOT = Query(select(installation.c.sealed_root), bytes)
_INSERT = Command(insert_into(installation))
_RESEAL = Command(update(installation).values(sealed_root=bindparam("sealed")))


class InstallationError(Exception):
    """The installation cannot be opened; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an installation, each derived from its root by name."""

    credentials: bytes
    refresh: bytes
    clients: bytes
    forms: bytes
    devices: bytes
    signing: bytes

    @classmethod
    def from_root(cls, root: bytes) -> "Keys":
        """Derive every key."""
        return cls(*(derive_key(root, name) for name in cls.__slots__))

    def __repr__(self) -> str:
        return "Keys(********)"


def open_installation(directory: Path, given: Secret | None, clock: Clock, url: Secret | None = None) -> Keys:
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
        root = _unseal(sealed, old or _secret_from_file(directory, sealed), directory)
        replacement = new or Secret(secrets.token_urlsafe(32))
        _long_enough(replacement)
        if old is None:
            _write_secret(directory / _NEXT_FILE, replacement)
        fresh = seal(master_key(replacement), root, _PURPOSE)
        connection.execute(_RESEAL.sql, _RESEAL.bind({"sealed": fresh}))
        connection.execute("COMMIT")
        if old is None:
            _put_in_place(directory)
    finally:
        connection.close()


def _open_root(connection: sqlite3.Connection, directory: Path, given: Secret | None, clock: Clock) -> bytes:
    connection.execute("BEGIN IMMEDIATE")
    try:
        sealed = _sealed_root(connection)
        if sealed is not None:
            return _unseal(sealed, given or _secret_from_file(directory, sealed), directory)
        master = given or _first_secret(directory)
        _long_enough(master)
        root = new_root()
        row = {"id": 1, "sealed_root": seal(master_key(master), root, _PURPOSE), "created_at": clock.now()}
        connection.execute(_INSERT.sql, _INSERT.bind(row))
        return root
    finally:
        connection.execute("COMMIT")


def _sealed_root(connection: sqlite3.Connection) -> bytes | None:
    row = connection.execute(_SEALED_ROOT.sql).fetchone()
    return None if row is None else _SEALED_ROOT.read(row)


def _unseal(sealed: bytes, master: Secret, directory: Path) -> bytes:
    _long_enough(master)
    try:
        return open_sealed(master_key(master), sealed, _PURPOSE)
    except WrongKey:
        raise InstallationError(
            f"The master secret is not the one that {directory} was set up with: give that one. Nothing was changed."
        ) from None


def _long_enough(master: Secret) -> None:
    if len(master.reveal()) < MASTER_SECRET_MINIMUM:
        raise InstallationError(
            f"The master secret is too short: it needs at least {MASTER_SECRET_MINIMUM} random characters."
        )


def _secret_from_file(directory: Path, sealed: bytes) -> Secret:
    """Return the secret in the file; one left by an interrupted rotation is put in place when it is the right one."""
    candidate = directory / _NEXT_FILE
    if candidate.exists():
        waiting = _read_secret(candidate)
        try:
            open_sealed(master_key(waiting), sealed, _PURPOSE)
        except WrongKey:
            candidate.unlink()
        else:
            _put_in_place(directory)
    file = directory / MASTER_SECRET_FILE
    if not file.exists():
        raise InstallationError(
            f"The master secret is missing: put {file} back, or set KEYSTEAD_MASTER_SECRET. Nothing was changed."
        )
    return _read_secret(file)


def _put_in_place(directory: Path) -> None:
    try:
        (directory / _NEXT_FILE).replace(directory / MASTER_SECRET_FILE)
    except FileNotFoundError:  # a server that started just now has done it
        return
    _make_durable(directory)


def _make_durable(directory: Path) -> None:
    """Have the names in a directory on the disk: the database must never be ahead of the secret that opens it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_secret(directory: Path) -> Secret:
    file = directory / MASTER_SECRET_FILE
    if file.exists():
        return _read_secret(file)
    fresh = Secret(secrets.token_urlsafe(32))
    _write_secret(file, fresh)
    return fresh


def _read_secret(file: Path) -> Secret:
    try:
        return Secret(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InstallationError(f"The master secret in {file} cannot be read as text: {error}") from None


def _write_secret(file: Path, secret: Secret) -> None:
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secret.reveal().encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(file)
    _make_durable(file.parent)
