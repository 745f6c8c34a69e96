"""A JSON member that comes twice is refused before any endpoint sees the body."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.kernel.problems import BodyTooLarge, InvalidRequest
from keystead.wire.asgi import LARGEST_BODY, Message, read_body
from keystead.wire.json_bodies import without_duplicates

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def run(body: bytes, media_type: str = "application/json", parts: int = 1) -> bytes:
    """Return the body as an endpoint reads it behind the check."""
    size = max(1, -(-len(body) // parts))
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> Message:
        return messages.pop(0)

    async def read() -> bytes:
        scope = {"headers": [(b"content-type", media_type.encode())]}
        return await read_body(await without_duplicates(scope, receive))

    awaited = read()
    try:
        awaited.send(None)  # nothing here waits for anything
    except StopIteration as stop:
        return bytes(stop.value)
    raise RuntimeError("reading did not end")


@given(VALUES, st.integers(1, 5))
def test_a_body_without_a_repeated_member_arrives_as_it_was_sent(value: Any, parts: int) -> None:
    body = json.dumps(value).encode()
    assert run(body, parts=parts) == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b'{"a": {"a": 1}, "b": [], "a": 3}',
        b'{"": 1, "": 2}',
        '{"a": 1, "a": 2}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8", "application/a+json"])
def test_a_repeated_member_is_refused_at_any_depth_and_in_any_spelling(body: bytes, media_type: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        run(body, media_type)
    assert "more than once" in refusal.value.detail


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 60_000, b"9" * 60_000, b'{"a": NaN}'])
def test_what_is_no_json_at_all_is_left_for_the_endpoint_to_refuse(body: bytes) -> None:
    assert run(body) == body


def test_another_media_type_is_not_read_here() -> None:
    body = b'{"a": 1, "a": 2}'
    assert run(body, "text/plain") == body


def test_a_body_beyond_measure_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BodyTooLarge) as refusal:
        run(b" " * (LARGEST_BODY + 1), parts=3)
    assert refusal.value.status == 413
