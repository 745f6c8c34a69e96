"""The refresh call over http.client alone, so that a crowd of processes starts quickly; and stores for tests."""

import fcntl
import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from keystead.client._errors import NetworkError, RateLimited, ServerUnavailable, SignInEnded
from keystead.client._models import TokenSet
from keystead.kernel.secrets import Secret

TOKEN_PATH = "/getServiceKeys/token"
DAY = 86_400


class OffsetClock:
    """The machine's clock, wrong by so many seconds."""

    def __init__(self, offset: int = 0) -> None:
        """Be ahead by ``offset`` seconds."""
        self.offset = offset

    def now(self) -> int:
        """Return the time as whole Unix seconds."""
        return int(time.time()) + self.offset

    def now_ms(self) -> int:
        """Return the time as whole Unix milliseconds."""
        return int(time.time() * 1000) + self.offset * 1000


def refresh(server: str, refresh_token: Secret, client_id: str, *, now: Callable[[], float] = time.time) -> TokenSet:
    """Ask once for the next tokens (RFC 6749, section 6)."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal(), "client_id": client_id}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=20)
    try:
        connection.request("POST", TOKEN_PATH, urlencode(form), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NetworkError(f"No answer: {type(error).__name__}") from error
    finally:
        connection.close()
    if response.status == 200:
        return token_set(body, int(now()))
    if response.status == 429:
        raise RateLimited("Too often.", status=429, code="rate_limited")
    if response.status >= 500:
        raise ServerUnavailable(f"{response.status}")
    raise SignInEnded(str(body.get("error")))


def token_set(body: Mapping[str, Any], now: int) -> TokenSet:
    """Return the tokens of an answer with absolute times."""
    return TokenSet(
        access_token=Secret(body["access_token"]),
        expires_at=now + body["expires_in"],
        refresh_token=Secret(body["refresh_token"]),
        refresh_expires_at=now + body["refresh_token_expires_in"],
        authorization_expires_at=now + body["authorization_expires_in"],
        scopes=tuple(body["scope"].split()),
        organization_id=body["org_id"],
        organization=body.get("org_name"),
    )


def rewrite(directory: Path, name: str, **members: Any) -> None:
    """Change members of a context under the store's lock, as a program that knows only the format would."""
    path = directory / "credentials.json"
    with (directory / "credentials.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = json.loads(path.read_text(encoding="utf-8"))
        content["contexts"][name].update(members)
        fresh = path.with_name(".rewritten")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(path)


def force_expiry(directory: Path, name: str, *, by: OffsetClock | None = None) -> None:
    """Let the access token of a context be over, by a clock."""
    rewrite(directory, name, access_token_expires_at=(by or OffsetClock()).now() - 1)


def kept(directory: Path, name: str) -> dict[str, Any]:
    """Return a context as the file holds it."""
    content = json.loads((directory / "credentials.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["contexts"][name]
    return found


def no_locks(descriptor: int) -> None:
    """Fail as ``flock`` does on a file system without locks."""
    raise OSError(37, os.strerror(37))  # ENOLCK
