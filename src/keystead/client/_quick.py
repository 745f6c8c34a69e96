"""The quick answer of the command line: a stored access token that needs no renewal, without loading anything.

Imports cost more than the answer does, so this module imports json, os and time and nothing else. What the whole store
shares with it (where the files are, when a token is due) lives here for that reason.
"""

import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FILE_NAME = "credentials.json"
VERSION = 1

TOKEN_VARIABLES = ("KEYSTEAD_TOKEN", "KEYSTEAD_API_KEY", "PW_API_KEY")
"""Credentials in the environment, the strongest first. Each comes before a stored sign-in that is not named."""
CONTEXT_VARIABLE = "KEYSTEAD_CONTEXT"
SERVER_VARIABLE = "KEYSTEAD_URL"
DIRECTORY_VARIABLE = "KEYSTEAD_CONFIG_DIR"

EARLIEST_SHARE = 0.20
LATEST_SHARE = 0.05
"""A token is renewed at a random moment in this last part of its life, so that renewals are spread (promise R10)."""
HANDED_ON = 75
"""Seconds that a token has left at least when it is given to another program, or half of its life where that is less.

The ACTIVATE SDK asks for another token a minute before the end of the one it has. Given the same one again, it would
use it to its last moment, and be refused on the way.
"""
_CLOCK_STEP = 60
"""Seconds by which a token may seem to come from the future; more means that the clock was set back."""
_OTHERS = 0o077


def valid_token(context: "str | None", environ: "Mapping[str, str]") -> "tuple[str, int] | None":
    """Return the stored access token of a context and the Unix second at which it expires.

    None whenever there is anything else to do or to say: a variable comes before the store, the token is due, the file
    is missing, open to others or unreadable, the context is unknown. The whole store then finds out what it is.
    """
    try:
        stronger = (SERVER_VARIABLE,) if context else (*TOKEN_VARIABLES, SERVER_VARIABLE)
        if any(environ.get(name, "").strip() for name in stronger):
            return None
        with open(os.path.join(directory(environ), FILE_NAME), "rb") as file:  # noqa: PTH118, PTH123 - pathlib is slow
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                return None
            content = json.load(file)
        name = context or environ.get(CONTEXT_VARIABLE, "").strip() or content["current"]
        return _usable(content, content["contexts"][name])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _usable(content: "Any", kept: "Any") -> "tuple[str, int] | None":
    token, issued_at, expires_at = kept["access_token"], kept["access_token_issued_at"], kept["access_token_expires_at"]
    whole = content["version"] == VERSION and isinstance(token, str) and token
    if not whole or not isinstance(expires_at, int):
        return None
    return None if is_due(issued_at, expires_at, time.time(), random_share(), HANDED_ON) else (token, expires_at)


def is_due(issued_at: int, expires_at: int, now: float, share: float, at_least: float = 0) -> bool:
    """Tell whether a token is to be renewed: the last ``share`` of its life has begun, or it is over.

    It is due as well when it has less than ``at_least`` seconds left and half of its life is over. Times are Unix
    seconds by this machine's clock. A token that seems to come from the future was stored before the clock was set
    back, so that nobody knows how old it is (promise J5).
    """
    life = expires_at - issued_at
    return now >= expires_at - max(life * share, min(at_least, life / 2)) or now < issued_at - _CLOCK_STEP


def seconds_left(expires_at: int, now: float) -> int:
    """Return for how many whole seconds a token works, never one too many (``expires_in``, RFC 6749, section 5.1)."""
    return max(0, expires_at - int(now) - 1)


def random_share() -> float:
    """Return a random share of a token's life, within the bounds above."""
    return LATEST_SHARE + (EARLIEST_SHARE - LATEST_SHARE) * int.from_bytes(os.urandom(2), "big") / 65_536


def directory(environ: "Mapping[str, str]") -> str:
    r"""Return the directory of the credential store.

    KEYSTEAD_CONFIG_DIR, else ``keystead`` in XDG_CONFIG_HOME (an absolute path only, as its specification asks) or in
    ``~/.config``; on Windows ``%APPDATA%\keystead``.
    """
    join = os.path.join
    named = environ.get(DIRECTORY_VARIABLE, "")
    if named:
        return named
    if os.name == "nt":
        return join(environ.get("APPDATA") or join(home(environ), "AppData", "Roaming"), "keystead")
    return join(config_home(environ), "keystead")


def config_home(environ: "Mapping[str, str]") -> str:
    """Return the directory in which programs keep their settings, by the XDG Base Directory Specification."""
    named = environ.get("XDG_CONFIG_HOME", "")
    return named if os.path.isabs(named) else os.path.join(home(environ), ".config")  # noqa: PTH117, PTH118


def home(environ: "Mapping[str, str]") -> str:
    """Return the person's home directory."""
    return environ.get("USERPROFILE" if os.name == "nt" else "HOME", "") or os.path.expanduser("~")  # noqa: PTH111
