"""Calls over connections that stay open, cheap enough for a test to make thousands of them, and many at one moment."""

import http.client
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode, urlsplit

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 30.0
NO_ANSWER: Final = (OSError, http.client.HTTPException)
"""What a call raises that got no answer, or half of one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its body, its headers by their lower-case names; repeated ones are joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The ``error`` of an OAuth answer (RFC 6749, section 5.2), empty for any other."""
        try:
            found = self.json()
        except ValueError:
            return ""
        return str(found.get("error", "")) if isinstance(found, dict) else ""


class Line:
    """One connection to one server, opened when it is needed and again when it was lost."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS) -> None:
        """Talk to ``url``, such as ``http://127.0.0.1:8000``."""
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def open(self) -> None:
        """Open the connection now, so that the first call need not."""
        self._connection.connect()

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return the answer. Raises one of ``NO_ANSWER``; the next call opens a new connection."""
        sent = dict(headers or {})
        content: bytes | None = None
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode(form).encode()
        elif body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            self._connection.request(method, path, body=content, headers=sent)
            response = self._connection.getresponse()
            received = response.read()
        except NO_ANSWER:
            self._connection.close()
            raise
        names = {name.lower(): None for name, _ in response.getheaders()}
        joined = {name: ", ".join(response.headers.get_all(name, [])) for name in names}
        return Reply(response.status, joined, received)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET."""
        return self.ask("GET", path, headers=headers)

    def refresh(self, token: str) -> Reply:
        """Present a refresh token (RFC 6749, section 6)."""
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.ask("POST", "/getServiceKeys/token", form=form)

    def revoke(self, token: str) -> Reply:
        """Take a refresh token back (RFC 7009)."""
        return self.ask("POST", "/getServiceKeys/token/revoke", form={"token": token})

    def check(self, key: str) -> Reply:
        """Ask whether an API key or bearer token is right, as a proxy does."""
        return self.get("/verify", {"Authorization": f"Bearer {key}"})


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all these calls at one moment, each in a thread of its own, and return what they returned, in their order.

    What one of them raises is raised, after all of them have ended.
    """
    start = threading.Barrier(len(calls))
    outcomes: list[T | None] = [None] * len(calls)
    failures: list[BaseException] = []

    def make(number: int) -> None:
        try:
            start.wait(TIMEOUT_SECONDS)
            outcomes[number] = calls[number]()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return outcomes  # type: ignore[return-value] # every call has returned


def tell(words: str) -> None:
    """Tell what was measured; ``pytest -rP`` shows it."""
    print(words)  # noqa: T201
