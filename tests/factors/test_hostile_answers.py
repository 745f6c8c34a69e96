"""Whatever a browser could send in place of a passkey's answer: a plain refusal, and nothing is changed."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from keystead.kernel.problems import InvalidParameters
from tests.factors.authenticator import Authenticator, base64
from tests.factors.desk import Desk

Answer = dict[str, Any]
Spoil = Callable[[Answer], Any]


def _without(name: str) -> Spoil:
    return lambda answer: {key: value for key, value in answer.items() if key != name}


def _with(name: str, value: Any) -> Spoil:
    return lambda answer: {**answer, name: value}


def _response(name: str, value: Any) -> Spoil:
    return lambda answer: {**answer, "response": {**answer["response"], name: value}}


SPOILT: Final[list[Spoil]] = [
    *(_without(name) for name in ("id", "rawId", "response", "type")),
    _with("type", "password"),
    _with("id", "\ud800"),
    _with("rawId", 7),
    _with("rawId", "\u00e4"),
    _with("response", []),
    _response("clientDataJSON", None),
    _response("clientDataJSON", ""),
    _response("clientDataJSON", base64(b"[]")),
    _response("clientDataJSON", base64(b"[" * 5_000)),
    _response("clientDataJSON", base64(b'{"type": "webauthn.get"}')),
    _response("clientDataJSON", base64(b"\xff\xfe")),
    lambda _: [],
    lambda _: "text",
    lambda _: None,
    lambda _: 10**30,
]
SPOILT_MAKING: Final = [
    *SPOILT,
    *(
        _response("attestationObject", None if raw is None else base64(raw))
        for raw in (
            None,
            b"",
            b"\xa0",
            b"\xff" * 300,
            b"\x81" * 5_000,
            b"\xbb" + b"\xff" * 8,  # a map of 2**64 members
            b"\x5b\x7f" + b"\xff" * 7,  # a text of 2**63 bytes
            b"\xa3cfmtdnonegattStmt\xa0hauthData\x40",
            b"\xa3cfmtcfoogattStmt\xa0hauthData\x58\x25" + bytes(37),
        )
    ),
]
SPOILT_USING: Final = [
    *SPOILT,
    _response("authenticatorData", 5),
    _response("authenticatorData", base64(bytes(36))),
    _response("authenticatorData", base64(b"\xff" * 300)),
    _response("signature", base64(b"")),
    _response("signature", base64(b"\x30\x06\x02\x01\x00\x02\x01\x00")),
    _response("signature", {}),
    _response("userHandle", base64(b"somebody else")),
    _response("userHandle", base64(b"\xff\xfe")),
    _response("userHandle", None),
    _response("userHandle", 7),
]
NO_JSON: Final = [
    *("", "{", "\0", "NaN", "\ud800", '{"id": "\\ud800"}', '{"id":' * 2_000, "[" * 16_000, "9" * 5_000, "x" * 70_000)
]


async def outcome_of_adding(desk: Desk, answer: str, challenge: bytes) -> str:
    """Return the field at which an answer was refused, or "added"."""
    try:
        await desk.factors.add_passkey(desk.ada, answer, challenge, "Phone")
    except InvalidParameters as problem:
        return problem.fields[0].name
    return "added"


@pytest.mark.parametrize("spoil", SPOILT_MAKING)
async def test_a_spoilt_registration_adds_nothing(desk: Desk, phone: Authenticator, spoil: Spoil) -> None:
    options = desk.factors.registration_options(desk.ada, "ada", ())
    answer = phone.create(options.json)
    spoilt = json.dumps(spoil(json.loads(answer)))
    assert await outcome_of_adding(desk, spoilt, options.challenge) == "answer"
    assert not await desk.factors.has_any(desk.house.db, desk.ada)
    assert await outcome_of_adding(desk, answer, options.challenge) == "added"


@pytest.mark.parametrize("spoil", SPOILT_USING)
async def test_a_spoilt_answer_is_nobodys(desk: Desk, phone: Authenticator, spoil: Spoil) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    answer = phone.get(options.json)
    spoilt = json.dumps(spoil(json.loads(answer)))
    assert await desk.use_passkey(spoilt, options.challenge) is None
    assert await desk.use_passkey(answer, options.challenge) == desk.ada


@pytest.mark.parametrize("text", NO_JSON, ids=range(len(NO_JSON)))
async def test_what_is_no_json_is_refused(desk: Desk, phone: Authenticator, text: str) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    assert await desk.use_passkey(text, options.challenge) is None
    assert await outcome_of_adding(desk, text, options.challenge) == "answer"


async def test_a_flipped_bit_anywhere_in_an_answer_is_refused(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    answer = json.loads(phone.get(options.json))
    for name in ("clientDataJSON", "authenticatorData", "signature"):
        text = answer["response"][name]
        for at in range(0, len(text) - 1, 7):  # the last character may hold bits that say nothing
            flipped = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
            spoilt = json.dumps({**answer, "response": {**answer["response"], name: flipped}})
            assert await desk.use_passkey(spoilt, options.challenge) is None, (name, at)
    assert await desk.use_passkey(json.dumps(answer), options.challenge) == desk.ada
