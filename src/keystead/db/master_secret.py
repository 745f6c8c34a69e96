"""The master secret: given by the operator, or kept in a file of mode 0600 beside the database (promise J4).

A wrong, short or missing master secret stops the start with one plain sentence; a new one is never made over data.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from keystead.kernel.sealing import MASTER_SECRET_MINIMUM, WrongKey, master_key, open_sealed
from keystead.kernel.secrets import Secret

MASTER_SECRET_FILE: Final = "master-secret"  # noqa: S105 - the name of a file
PURPOSE: Final = "root"
"""What the root key is sealed for."""
_NEXT_FILE: Final = "master-secret.next"


class InstallationError(Exception):
    """The installation cannot be opened; the message is one sentence that says what to do."""


def unseal(sealed: bytes, master: Secret, where: str) -> bytes:
    """Return the root key that a master secret opens. Raises InstallationError, naming ``where`` it was sealed."""
    check_length(master)
    try:
        return open_sealed(master_key(master), sealed, PURPOSE)
    except WrongKey:
        raise InstallationError(
            f"The master secret is not the one that {where} was set up with: give that one. Nothing was changed."
        ) from None


def check_length(master: Secret) -> None:
    """Raise InstallationError for a secret that could be guessed."""
    if len(master.reveal()) < MASTER_SECRET_MINIMUM:
        raise InstallationError(
            f"The master secret is too short: it needs at least {MASTER_SECRET_MINIMUM} random characters."
        )


def secret_from_file(directory: Path, sealed: bytes) -> Secret:
    """Return the secret in the file; one left by an interrupted rotation is put in place when it is the right one."""
    candidate = directory / _NEXT_FILE
    if candidate.exists():
        waiting = _read_secret(candidate)
        try:
            open_sealed(master_key(waiting), sealed, PURPOSE)
        except WrongKey:
            candidate.unlink()
        else:
            put_in_place(directory)
    file = directory / MASTER_SECRET_FILE
    if not file.exists():
        raise InstallationError(
            f"The master secret is missing: put {file} back, or set KEYSTEAD_MASTER_SECRET. Nothing was changed."
        )
    return _read_secret(file)


def put_in_place(directory: Path) -> None:
    """Let the secret of a finished rotation take its file."""
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


def first_secret(directory: Path) -> Secret:
    """Return the secret in the file, which is made when there is none."""
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


def write_next_secret(directory: Path, secret: Secret) -> None:
    """Keep the secret of a rotation that is under way, beside the one that is still right."""
    _write_secret(directory / _NEXT_FILE, secret)
