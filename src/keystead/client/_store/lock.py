"""Locks between processes, which the system takes back when a process ends, however it ends.

``flock`` on POSIX systems, ``msvcrt`` on Windows. Some network file systems have neither; then nothing is locked, what
is written stays whole all the same (``file``), and the server's replay makes a second refresh harmless (promise R2).
See docs/decisions/credential-store.md.
"""

import errno
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keystead.client._errors import StoreError
from keystead.client._store.file import PRIVATE_FILE

LockFunction = Callable[[int], None]
"""Locks an open file for this process alone, at once: BlockingIOError when another one has it."""

_CANNOT_LOCK: Final = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP), errno.ENOSYS, errno.EINVAL}
)
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05


def system_lock(descriptor: int) -> None:
    """Lock an open file as this system does. Raises BlockingIOError, or OSError where it cannot be done."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EDEADLK}:
                raise BlockingIOError(errno.EWOULDBLOCK, "locked") from error
            raise
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """One taking of a lock, for one thread. Two of them on the same path exclude each other, in one process too."""

    def __init__(self, path: Path, lock: LockFunction = system_lock) -> None:
        """Name the file that stands for the lock. Its directory must exist; the file stays, and is always empty."""
        self._path = path
        self._lock = lock
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Take the lock if nobody has it; False when somebody has. True as well where nothing can be locked.

        Raises StoreError when the file cannot be made.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written: {error.strerror}. Nothing that was stored is lost.",
                hint="Mend the directory, or name another one in KEYSTEAD_CONFIG_DIR.",
            ) from error
        try:
            self._lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            if error.errno in _CANNOT_LOCK:
                return True
            raise StoreError(f"{self._path} cannot be locked: {error.strerror}.") from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back. Nothing happens when it was not taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            _unlock(descriptor)  # closing is not enough: a process that was forked meanwhile has the file open too
        except OSError:
            pass  # the file is closed in any case
        finally:
            os.close(descriptor)


def pauses(seconds: float) -> Iterator[None]:
    """Yield again and again for so many seconds, after pauses that grow and are spread, so that none waits in step.

    There is no waiting for a lock that ends after a while, so it is tried again and again.
    """
    until = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret hangs on it
        pause = min(_LONGEST_PAUSE, pause * 1.5)
        yield


@contextmanager
def held(path: Path, lock: LockFunction, seconds: float) -> Iterator[None]:
    """Hold the lock within the block. Raises StoreError when another process keeps it for longer than ``seconds``."""
    mine = FileLock(path, lock)
    taken = mine.take()
    if not taken:
        taken = any(mine.take() for _ in pauses(seconds))
    if not taken:
        raise StoreError(
            f"Another process has kept {path} locked for {seconds:g} seconds. Nothing that was stored is lost.",
            hint="Try again. If it stays so, look for a keystead command that was stopped and never went on.",
        )
    try:
        yield
    finally:
        mine.release()


def _unlock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
