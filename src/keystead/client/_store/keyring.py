"""The keyring of the operating system, asked by a child process with a limit of time (promises C1 and C3).

A keyring may be absent, locked, or hang for ever inside a call that nothing can interrupt; a child process can always
be ended. Only the refresh token and ids go there, few enough characters for Windows (docs/decisions/keyring.md).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from keystead.client._errors import KeyringUnavailable
from keystead.kernel.secrets import Secret

PROBE_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 3.0
READ_SECONDS: Final = 10.0
"""Longer, because the system may ask the person to unlock it."""
_CHILD: Final = Path(__file__).with_name("keyring_child.py")
_AFTER_KILL_SECONDS: Final = 1.0


class Keyring:
    """Keeps one secret for each account. Every method raises KeyringUnavailable, with the reason as a sentence."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """``environ`` is the child's environment; PYTHON_KEYRING_BACKEND chooses the backend there."""
        self._environ = dict(environ)

    def probe(self) -> None:
        """Make sure that a secret can be written, read and deleted, within two seconds."""
        self._ask({"do": "probe", "account": ""}, PROBE_SECONDS)

    def read(self, account: str) -> Secret | None:
        """Return an account's secret, None when there is none."""
        found = self._ask({"do": "get", "account": account}, READ_SECONDS).get("secret")
        return Secret(found) if isinstance(found, str) and found else None

    def write(self, account: str, secret: Secret) -> None:
        """Keep a secret in the place of an earlier one."""
        self._ask({"do": "set", "account": account, "secret": secret.reveal()}, WRITE_SECONDS)

    def delete(self, account: str) -> None:
        """Forget an account's secret; nothing happens when there is none."""
        self._ask({"do": "delete", "account": account}, WRITE_SECONDS)

    def _ask(self, question: Mapping[str, str], seconds: float) -> dict[str, Any]:
        try:
            child = subprocess.Popen(  # noqa: S603 - this Python, and a file of our own
                [sys.executable, "-P", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                start_new_session=True,  # so that what it starts can be ended with it
            )
        except OSError as error:
            raise _unavailable(f"it cannot be asked: {error.strerror}") from error
        try:
            told, _ = child.communicate(json.dumps(question).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise _unavailable(f"it did not answer within {seconds:g} seconds") from None
        finally:
            _end(child)
        return _understood(told)


def _understood(told: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(told)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _unavailable("it ended without an answer")
    if "refused" in answer:
        raise _unavailable(str(answer.get("why")))
    return answer


def _unavailable(why: str) -> KeyringUnavailable:
    return KeyringUnavailable(f"The keyring of this system cannot be used: {why}.")


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a child that hangs and all that it started, and wait for no pipe that one of them may still hold."""
    if child.poll() is None:
        try:
            if sys.platform == "win32":
                child.kill()
            else:
                os.killpg(child.pid, signal.SIGKILL)
        except OSError:
            pass  # it has ended by itself meanwhile
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass  # what was not sent is not needed any more
    try:
        child.wait(_AFTER_KILL_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # it hangs inside the system; it ends when that lets go
