"""The one way to a server: requests and answers as values, over httpx2 (docs/decisions/http-client.md).

Nothing is sent in the clear beyond this machine, and no redirect is followed by the library (promise W3). Proxies and
certificate authorities are those of the system, as httpx2 finds them.
"""

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from keystead import __version__
from keystead.client._address import check_secure
from keystead.client._errors import NetworkError, ServerUnavailable, UsageError
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    import httpx2

TIMEOUT: Final = 10.0
"""Seconds to wait for a connection, and for each part of an answer."""
LARGEST_ANSWER: Final = 32 * 1024 * 1024
LONGEST_ANSWER: Final = 120.0
"""Seconds that the body of an answer may take to arrive, however steadily it drips."""
_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
USER_AGENT: Final = f"keystead/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``path`` begins with a slash; ``timeout`` is for the answer, in seconds, None for the usual one.

    ``secrets`` are what of it no message may repeat.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float | None = None
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in lower case; repeated ones are joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport:
    """Carries requests to one server, from any thread. Connections are kept open; close it when you are done."""

    def __init__(self, server: str, *, timeout: float = TIMEOUT) -> None:
        """``server`` is an address without a slash at the end. Raises InsecureAddress."""
        check_secure(server)
        self.server = server
        self._timeout = timeout
        self._client: httpx2.Client | None = None
        self._process = 0
        self._lock = Lock()

    def send(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever its status. Raises NetworkError."""
        with self._lock:
            if self._client is None or self._process != os.getpid():  # a fork must not share its parent's connections
                self._client, self._process = _open("Client", self.server, self._timeout), os.getpid()
            client = self._client
        with (
            _told(self.server),
            client.stream(**_arguments(self.server, request, self._timeout)) as response,
        ):
            body = _Body(self.server)
            for piece in response.iter_bytes():
                body.add(piece)
            return _answer(response, body)

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


class AsyncTransport:
    """Carries requests to one server, from any task of one event loop."""

    def __init__(self, server: str, *, timeout: float = TIMEOUT) -> None:
        """``server`` is an address without a slash at the end. Raises InsecureAddress."""
        check_secure(server)
        self.server = server
        self._timeout = timeout
        self._client: httpx2.AsyncClient | None = None

    async def send(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever its status. Raises NetworkError."""
        if self._client is None:
            self._client = _open("AsyncClient", self.server, self._timeout)
        with _told(self.server):
            async with self._client.stream(**_arguments(self.server, request, self._timeout)) as response:
                body = _Body(self.server)
                async for piece in response.aiter_bytes():
                    body.add(piece)
                return _answer(response, body)

    async def aclose(self) -> None:
        """Close the connections. The next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class _Body:
    """The body of an answer while it arrives, within bounds."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._pieces: list[bytes] = []
        self._size = 0
        self._until = time.monotonic() + LONGEST_ANSWER

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > LARGEST_ANSWER:
            raise ServerUnavailable(f"{self._server} sent more than an answer of Keystead can hold.")
        if time.monotonic() > self._until:
            raise NetworkError(f"{self._server} began to answer and did not come to an end.")

    def whole(self) -> bytes:
        return b"".join(self._pieces)


def _open(kind: str, server: str, timeout: float) -> Any:
    """Return a client of httpx2 of this kind, for one server.

    Plain HTTP goes to this machine alone: no proxy ever sees it, and certificates need not be read for it, which would
    take longer than the request.
    """
    import ssl
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx2

    make, encrypted = getattr(httpx2, kind), server.startswith("https://")
    try:
        return make(
            timeout=timeout,
            follow_redirects=False,
            trust_env=encrypted,
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # which trusts nobody
            headers={"User-Agent": USER_AGENT},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # a cookie would be a second credential
        )
    except (ValueError, OSError, ImportError, httpx2.InvalidURL) as error:  # of a proxy or a certificate file
        why = str(error) if isinstance(error, (OSError, ImportError)) else "the address of a proxy is not understood"
        raise UsageError(
            f"The settings of the network in the environment cannot be used: {why}",
            hint="Check HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error


def _arguments(server: str, request: Request, timeout: float) -> dict[str, Any]:
    import httpx2

    if not request.path.startswith("/"):
        raise UsageError("A path begins with a slash.")
    for value in request.headers.values():
        if not value.isascii() or not value.isprintable():
            raise UsageError("A header of the request holds a character that cannot be sent.")
    reading = timeout if request.timeout is None else request.timeout
    return {
        "method": request.method,
        "url": server + request.path,
        "headers": {"accept": "application/json"} | {name.lower(): value for name, value in request.headers.items()},
        "content": request.body,
        "timeout": httpx2.Timeout(timeout, read=reading),
    }


def _answer(response: "httpx2.Response", body: _Body) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body.whole())


@contextmanager
def _told(server: str) -> Iterator[None]:
    """Tell of what went wrong on the way in a sentence, and whether the request may have been followed."""
    import httpx2

    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
        raise _unreached(server, error) from error
    except httpx2.TimeoutException as error:
        raise NetworkError(f"{server} did not answer in time.") from error
    except httpx2.LocalProtocolError:
        # Its text repeats what was to be sent, credentials included.
        raise UsageError("The request holds something that cannot be sent.") from None
    except httpx2.TransportError as error:
        raise NetworkError(f"The connection to {server} was lost before the answer was complete.") from error
    except httpx2.DecodingError as error:
        raise ServerUnavailable(f"{server} sent an answer that cannot be decoded.") from error
    except (httpx2.InvalidURL, UnicodeError):
        raise UsageError("The request's address cannot be used.") from None


def _unreached(server: str, error: Exception) -> NetworkError:
    """Return the error of a request that was certainly not sent."""
    if type(error).__name__ in {"ConnectTimeout", "PoolTimeout"}:
        why = "no connection in time"
    else:
        why = _ERRNO.sub("", " ".join(str(error).split()))[:200] or "no connection"
    found = NetworkError(f"{server} cannot be reached: {why.rstrip('.')}.")
    found.may_be_done = False
    return found
