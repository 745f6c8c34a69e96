"""JSON bodies that mean one thing only (RFC 8259, section 4): a member that comes twice is refused.

Parsers differ in which of the two they take, so something in front of the server may have checked the other one.
"""

import json
from typing import Any

from keystead.kernel.problems import InvalidRequest
from keystead.wire.asgi import Message, Receive, Scope, header, read_body
from keystead.wire.forms import media_type


async def without_duplicates(scope: Scope, receive: Receive) -> Receive:
    """Return the way to the body, read and checked when it says that it is JSON.

    Whatever else may be wrong with it is for the endpoint to say. Raises InvalidRequest and BodyTooLarge.
    """
    kind = media_type(header(scope, b"content-type"))
    if kind != "application/json" and not kind.endswith("+json"):
        return receive
    body = await read_body(receive)
    try:
        json.loads(body, object_pairs_hook=_check_members)
    except (ValueError, RecursionError):
        pass  # not JSON at all: the endpoint says so in its own words
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read_again() -> Message:
        return unread.pop() if unread else await receive()

    return read_again


def _check_members(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidRequest("A member of the JSON object was sent more than once.")
