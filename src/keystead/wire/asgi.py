"""Speaking ASGI without a framework, for the doors that every request passes and the endpoints that must be quick."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from keystead.kernel.problems import BodyTooLarge, InvalidRequest
from keystead.wire.answers import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Field = tuple[bytes, bytes]

LARGEST_BODY = 65_536


@dataclass(frozen=True, slots=True)
class Ready:
    """A finished response in the form in which ASGI takes it, its length among the fields."""

    status: int
    fields: tuple[Field, ...]
    body: bytes


Endpoint = Callable[[Scope, Receive, str], Awaitable[Ready]]
"""Answers a request that came from an address; whoever asked sends the answer."""


def header(scope: Scope, name: bytes) -> str:
    """Return the first header field of this (lower-case) name, or an empty text."""
    return raw_header(scope, name).decode("latin-1")


def raw_header(scope: Scope, name: bytes) -> bytes:
    """Return the same as it came."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def read_body(receive: Receive) -> bytes:
    """Return the whole body. Raises BodyTooLarge, and InvalidRequest when the client went away in the middle."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The body ended early.")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            raise BodyTooLarge()
        more = message.get("more_body", False)
        if not more and not parts:
            return part
        parts.append(part)
        if not more:
            return b"".join(parts)


@lru_cache(maxsize=256)
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[Field, ...]:
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)


def ready(found: Answer) -> Ready:
    """Return a finished response in the form in which ASGI takes it."""
    fields = _encoded(tuple(found.headers.items()))
    return Ready(found.status, (*fields, (b"content-length", b"%d" % len(found.body))), found.body)


async def send_answer(send: Send, found: Answer) -> None:
    """Send a finished response. For HEAD the gate leaves its body out."""
    told = ready(found)
    await send({"type": "http.response.start", "status": told.status, "headers": [*told.fields]})
    await send({"type": "http.response.body", "body": told.body})


async def until_gone(receive: Receive) -> None:
    """Wait until the client closes the connection. The body was read; to stop waiting loses nothing."""
    while (await receive())["type"] != "http.disconnect":
        pass
