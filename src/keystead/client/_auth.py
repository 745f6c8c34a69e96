"""Authentication for other people's clients: httpx2, httpx and requests, all from one generator.

A credential goes to its own server, to the other servers that the program named for it, and nowhere else: a request to
another origin is refused before it is sent, and a 401 that another server gave, after a redirect, changes nothing.
After a 401 of one of its own the credential is asked for another value, and the request is sent once more, if its body
can be.
"""

import functools
import importlib
import importlib.util
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keystead.client._address import check_own, is_own
from keystead.client._calls import Presenting
from keystead.client._errors import UsageError
from keystead.client._steps import in_thread
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from requests.auth import AuthBase

_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class _Send:
    """Send the request with this header; gives the status and the address of what answered."""

    value: Secret


@dataclass(frozen=True, slots=True)
class _Block:
    """Do what may wait; gives what it returns."""

    work: Callable[[], Secret | None]


@dataclass(frozen=True, slots=True)
class _Answered:
    status: int
    url: str


_Flow: TypeAlias = Generator[_Send | _Block, Any, None]


def _flow(credential: Presenting, apis: tuple[str, ...], url: str, *, replayable: bool) -> _Flow:
    """Authenticate one request: the generator behind every client, in threads and in tasks.

    Raises InsecureAddress, and what the credential raises.
    """
    check_own(url, credential.server, *apis)
    value = credential.ready()
    if value is None:
        value = yield _Block(credential.authorization)
    answered: _Answered = yield _Send(value)
    if answered.status != _UNAUTHORIZED or not replayable:
        return
    if not is_own(answered.url, credential.server, *apis):
        return
    refused = value
    other = yield _Block(lambda: credential.after_refusal(refused))
    if other is not None:
        yield _Send(other)


class _Httpx:
    """What httpx2 and httpx call, in both their ways."""

    requires_request_body = False
    requires_response_body = False

    def __init__(self, credential: Presenting, apis: tuple[str, ...]) -> None:
        self._credential = credential
        self._apis = apis

    def __repr__(self) -> str:
        return f"<authentication for {self._credential.server}>"

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Authenticate a request in a thread."""
        flow = self._begin(request)
        given: object = None
        while True:
            try:
                step = flow.send(given)
            except StopIteration:
                return
            if isinstance(step, _Block):
                given = step.work()
            else:
                request.headers["Authorization"] = step.value.reveal()
                given = _answered(request, (yield request))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Authenticate a request in a task. What may wait is done in a thread."""
        flow = self._begin(request)
        given: object = None
        while True:
            try:
                step = flow.send(given)
            except StopIteration:
                return
            if isinstance(step, _Block):
                given = await in_thread(step.work)
            else:
                request.headers["Authorization"] = step.value.reveal()
                given = _answered(request, (yield request))

    def _begin(self, request: Any) -> _Flow:
        return _flow(self._credential, self._apis, str(request.url), replayable=_is_read(request))


def _is_read(request: Any) -> bool:
    """Tell whether a request's body is there as a whole; one that is made while it is sent cannot be sent twice."""
    try:
        return request.content is not None
    except RuntimeError:  # what both libraries' RequestNotRead is
        return False


def _answered(request: Any, response: Any) -> _Answered:
    """Return what a client of httpx2 or httpx was answered; after redirects the last answer counts."""
    return _Answered(response.status_code, str(response.url))


def httpx_auth(credential: Presenting, apis: tuple[str, ...] = ()) -> Any:
    """Return authentication for clients of httpx2, and of httpx where that is installed, in threads and in tasks.

    ``apis`` are other servers that take the credential. What is returned is an ``Auth`` of both libraries, for which
    the type system has no name.
    """
    return _httpx_class()(credential, apis)


@functools.cache
def _httpx_class() -> Any:
    """Make the class. Each library asks for its own base class, so it has both."""
    import httpx2

    bases: list[type] = [_Httpx, httpx2.Auth]
    if importlib.util.find_spec("httpx") is not None:
        older = getattr(importlib.import_module("httpx"), "Auth", None)  # its version 1.0 has none so far
        if isinstance(older, type) and older not in bases:  # alias_httpx() makes them one
            bases.append(older)
    return type("KeysteadAuth", tuple(bases), {"__doc__": "Authentication for httpx2 and httpx."})


def requests_auth(credential: Presenting, apis: tuple[str, ...] = ()) -> "AuthBase":
    """Return authentication for requests. Raises UsageError when requests is not installed."""
    try:
        made: AuthBase = _requests_class()(credential, apis)
    except ModuleNotFoundError:
        raise UsageError("The package 'requests' is not installed.", hint="pip install requests") from None
    return made


@functools.cache
def _requests_class() -> Any:
    from requests.auth import AuthBase

    class KeysteadAuth(AuthBase):
        """Authentication for requests."""

        def __init__(self, credential: Presenting, apis: tuple[str, ...]) -> None:
            self._credential = credential
            self._apis = apis

        def __repr__(self) -> str:
            return f"<authentication for {self._credential.server}>"

        def __call__(self, r: "PreparedRequest") -> "PreparedRequest":
            replayable = r.body is None or isinstance(r.body, (bytes, str))
            flow = _flow(self._credential, self._apis, r.url or "", replayable=replayable)
            value = _next_value(flow, None)
            if value is not None:
                r.headers["Authorization"] = value.reveal()
                r.register_hook("response", functools.partial(_again, flow))  # type: ignore[no-untyped-call]
            return r

    return KeysteadAuth


def _next_value(flow: _Flow, given: object) -> Secret | None:
    """Carry a flow on to the next header that is to be sent; None when there is none."""
    try:
        step = flow.send(given)
        while isinstance(step, _Block):
            step = flow.send(step.work())
    except StopIteration:
        return None
    return step.value


def _again(flow: _Flow, response: "Response", **options: Any) -> "Response":
    """Send a request once more where the flow says so: a response hook of requests."""
    value = _next_value(flow, _Answered(response.status_code, response.url))
    if value is None:
        return response
    response.content  # noqa: B018 - read, so that the connection is free for the next request
    response.close()
    request = response.request.copy()
    request.headers["Authorization"] = value.reveal()
    found: Response = response.connection.send(request, **options)
    found.history.append(response)
    found.request = request
    return found
