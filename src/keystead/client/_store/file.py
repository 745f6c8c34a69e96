"""A JSON object in a file that is never torn (promise R11).

It is written to a file of its own in the same directory, made durable, and put in the place of the old one by one
rename: whoever reads sees the old content or the new one. Everything is 0600 in directories that are 0700.
"""

import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from keystead.client._errors import StoreError

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
_OTHERS: Final = 0o077
_LEFT_BEHIND_SECONDS: Final = 60
_SPARE_ROOM: Final = 8_192
"""More bytes than the next tokens of one context take."""
_WINDOWS_TRIES: Final = 50
_TIME_STEP_NS: Final = 50_000_000

Signature = tuple[int, int, int]
"""What tells that a file was replaced: its inode, its time and its size."""


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object in a file, None when there is no file. Raises StoreError for anything else."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise StoreError(
                f"{path} is a link to a file that is not there.", hint="Put the file back, or remove the link."
            ) from None
        return None
    except OSError as error:
        raise _refusal(path, "cannot be read", error) from error
    try:
        content = json.loads(raw)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise damaged(path)
    return content


def damaged(path: Path) -> StoreError:
    """Return the error of a file whose content nobody can make sense of."""
    return StoreError(
        f"{path} is damaged: it does not hold what was written there. It was left as it is.",
        hint=f"Restore the file, or move it away and sign in again: mv {path} {path}.damaged && keystead login",
    )


def signature(path: Path) -> Signature | None:
    """Return what changes whenever the file is replaced; None when there is none, or when nothing can tell yet.

    File systems write times in steps of some milliseconds and use an inode again, so a file that was replaced just now
    could be replaced once more without looking any different.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    if time.time_ns() - status.st_mtime_ns < _TIME_STEP_NS:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Put an object in the place of what the file held, durably and in one step. Raises StoreError.

    A link stays a link: the file to which it leads is replaced.
    """
    text = json.dumps(content, indent=2) + "\n"  # in ASCII: others read with the encoding of their locale
    with _told(path):
        target = Path(os.path.realpath(path))
        fresh = _written(target, text.encode())
        try:
            _replace(fresh, target)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        _make_durable(target.parent)
        _remove_what_was_left(target)


def prove_room(path: Path) -> None:
    """Make sure that the file can be replaced by a larger one. Raises StoreError.

    Asked before a token is spent whose successor would have to be written down.
    """
    with _told(path):
        target = Path(os.path.realpath(path))
        size = target.stat().st_size if target.exists() else 0
        _written(target, b" " * (size + _SPARE_ROOM)).unlink()


def make_directory(directory: Path) -> None:
    """Make the directory, and those above it, for their owner alone. Raises StoreError."""
    with _told(directory):
        missing = [one for one in (directory, *directory.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def mend_modes(path: Path, own: Iterable[str]) -> Iterator[str]:
    """Take from others what they may do with the file and its directory, and yield a sentence for each.

    The directory is left alone when it holds anything but the store's files, whose names begin as ``own`` says:
    somebody has chosen a place that is not the store's alone.
    """
    if sys.platform == "win32":
        return  # a person's profile is theirs alone by inheritance
    starts, directory = tuple(own), path.parent
    for one, mode in ((path, PRIVATE_FILE), (directory, PRIVATE_DIRECTORY)):
        try:
            status = one.stat()
            if not status.st_mode & _OTHERS:
                continue
            shown = oct(stat.S_IMODE(status.st_mode))[2:].zfill(4)
            if one is directory and not all(child.name.startswith(starts) for child in one.iterdir()):
                if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    yield f"Others can put files into {one} (mode {shown}). Give the store a directory of its own."
                continue
            one.chmod(mode)
            yield f"Others could look into {one} (mode {shown}). It is now open to you alone."
        except FileNotFoundError:
            continue
        except OSError as error:
            yield f"Others can look into {one}, and that cannot be changed: {error.strerror}."


def _written(target: Path, content: bytes) -> Path:
    """Write a new file beside ``target``, durably, and return its path."""
    path = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        try:
            if sys.platform != "win32":
                os.fchmod(descriptor, PRIVATE_FILE)  # whatever the umask took
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _replace(fresh: Path, target: Path) -> None:
    if sys.platform == "win32":
        for left in reversed(range(_WINDOWS_TRIES)):  # Windows replaces no file while somebody reads it
            try:
                fresh.replace(target)
                return
            except PermissionError:
                if not left:
                    raise
                time.sleep(0.01)
    else:
        fresh.replace(target)


def _make_durable(directory: Path) -> None:
    """Make the rename outlive a power cut, where the system can do that for directories."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems have no fsync for directories; the file itself is durable
    finally:
        os.close(descriptor)


def _remove_what_was_left(target: Path) -> None:
    """Remove what writers left that were killed. One that is still at work needs no minute."""
    try:
        newest = target.stat().st_mtime
        for path in target.parent.glob(f".{target.name}.*.tmp"):
            if path.stat().st_mtime < newest - _LEFT_BEHIND_SECONDS:
                path.unlink()
    except OSError:
        pass  # another one has just removed it


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refusal(path, "cannot be written", error) from error


def _refusal(path: Path, what: str, error: OSError) -> StoreError:
    return StoreError(
        f"{path} {what}: {error.strerror or error}. Nothing that was stored is lost.",
        hint="Mend the directory, or name another one in KEYSTEAD_CONFIG_DIR.",
    )
