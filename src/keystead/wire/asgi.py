"""Speaking ASGI without a framework, for the doors that every request passes and the endpoints that must be quick."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from keystead.kernel.problems import BodyTooLarge, InvalidRequest
from keystead.wire.answers import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 65_536


def header(scope: Scope, name: bytes) -> str:
    """Return the first header field of this (lower-case) name, or an empty text."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


async def read_body(receive: Receive) -> bytes:
    """Return the whole body. Raises BodyTooLarge, and InvalidRequest when the client went away in the middle."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The body ended early.")
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            raise BodyTooLarge()
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


@lru_cache(maxsize=256)
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)


async def send_answer(send: Send, found: Answer) -> None:
    """Send a finished response. For HEAD the gate leaves its body out."""
    headers = [*_encoded(tuple(found.headers.items())), (b"content-length", b"%d" % len(found.body))]
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": found.body})


async def until_gone(receive: Receive) -> None:
    """Wait until the client closes the connection. The body was read; to stop waiting loses nothing."""
    while (await receive())["type"] != "http.disconnect":
        pass
