"""Keyrings that behave as those of people's systems do, chosen by PYTHON_KEYRING_BACKEND.

``InFile`` works; the others fail in the ways in which keyrings fail. FAKE_KEYRING_FILE names the file of ``InFile``.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

PROBE = "probe-"


def hang() -> None:
    """Wait for something that never comes, as a call to a dead service does."""
    threading.Event().wait()


class InFile(KeyringBackend):
    """A keyring that works, shared by all processes."""

    priority = 1.0

    def get_password(self, service: str, username: str) -> str | None:
        """Return what is kept."""
        with self._kept() as kept:
            return kept.get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        with self._kept() as kept:
            kept[f"{service} {username}"] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        with self._kept() as kept:
            if kept.pop(f"{service} {username}", None) is None:
                raise PasswordDeleteError(username)

    @contextmanager
    def _kept(self) -> Iterator[dict[str, str]]:
        with Path(os.environ["FAKE_KEYRING_FILE"]).open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            kept: dict[str, str] = json.loads(file.read() or "{}")
            yield kept
            file.seek(0)
            file.truncate()
            json.dump(kept, file)


class Hanging(InFile):
    """A keyring whose service has died."""

    def get_password(self, service: str, username: str) -> str | None:
        """Never return."""
        hang()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Never return."""
        hang()


class HangingAtRead(InFile):
    """A keyring that worked when somebody signed in, and hangs when the token is wanted."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return what the probe wrote, and nothing else ever."""
        if not username.startswith(PROBE):
            hang()
        return super().get_password(service, username)


class HangingAtWrite(InFile):
    """A keyring that passes the probe, and then hangs."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Take what the probe writes, and nothing else ever."""
        if not username.startswith(PROBE):
            hang()
        super().set_password(service, username, password)


class Locked(InFile):
    """A keyring that nobody has unlocked."""

    def get_password(self, service: str, username: str) -> str | None:
        """Refuse."""
        raise KeyringLocked("locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Refuse."""
        raise KeyringLocked("locked")


class Forgetful(InFile):
    """A keyring that takes everything and keeps nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Forget it at once."""


class Talkative(InFile):
    """A keyring whose errors repeat the secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Fail with the secret in the error."""
        raise RuntimeError(f"cannot keep {password}")
