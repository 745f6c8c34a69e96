"""How a command ends when it cannot be done: one sentence, what to do next, and an exit code that tells the kind.

With ``--json`` the sentence is an object on standard output, where a program reads anyway::

    {"error": {"code": "sign_in_required", "message": "…", "hint": "Sign in: keystead login"}}
"""

import json
import re
import sys
from dataclasses import dataclass
from typing import Final

import click

from keystead.cli.screen import printable
from keystead.client import _errors as errors

FAILED: Final = 1
USAGE: Final = 2
SIGN_IN: Final = 3
REFUSED: Final = 4
NETWORK: Final = 5
INTERRUPTED: Final = 130

EXIT_CODES: Final = {
    0: "done",
    FAILED: "something else failed: the credential store, a file, a question answered with no",
    USAGE: "the command was written wrongly, or something in it cannot be",
    SIGN_IN: "sign-in is needed: nobody is signed in, or the sign-in was refused, ran out or has ended",
    REFUSED: "the server understood and refused",
    NETWORK: "the server could not be reached, or cannot answer now",
    INTERRUPTED: "stopped by Ctrl-C",
}
_KINDS: Final = (
    (errors.SignInRequired, SIGN_IN),
    (errors.ApiError, REFUSED),
    (errors.NetworkError, NETWORK),
    (errors.UsageError, USAGE),
    (errors.SignInCancelled, INTERRUPTED),
)
_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ended: a stable name, a sentence, what to do next, and the exit code."""

    code: str
    message: str
    hint: str
    exit_code: int

    def body(self) -> dict[str, str]:
        """Return what programs are told."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def failure_of(error: Exception) -> Failure:
    """Return how an error ends a command."""
    if isinstance(error, errors.KeysteadError):
        exit_code = next((code for kind, code in _KINDS if isinstance(error, kind)), FAILED)
        return Failure(_name(error), printable(str(error)), error.hint, exit_code)
    if isinstance(error, click.UsageError):
        asked = error.ctx.command_path if error.ctx is not None else "keystead"
        return Failure("usage", error.format_message(), f"See: {asked} --help", USAGE)
    if isinstance(error, click.ClickException):
        return Failure("failed", error.format_message(), "", error.exit_code)
    if isinstance(error, OSError):
        return Failure("failed", f"This did not work: {error.strerror or error}.", "", FAILED)
    raise error


def _name(error: errors.KeysteadError) -> str:
    """Return the server's own code of a problem, else the name of the error, in the manner of those codes."""
    if isinstance(error, errors.ApiError) and error.code:
        return error.code
    return _CAPITAL.sub("_", type(error).__name__).lower()


def interrupted() -> Failure:
    """Return how Ctrl-C ends a command."""
    return Failure("interrupted", "Stopped.", "", INTERRUPTED)


def show(failure: Failure, *, as_json: bool) -> int:
    """Say how a command ended, and return its exit code."""
    if as_json:
        sys.stdout.write(json.dumps({"error": failure.body()}, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(failure.message + "\n")
        if failure.hint:
            sys.stderr.write(failure.hint + "\n")
    return failure.exit_code
