"""Every dialect of a refusal, and whatever else may come back, read into one tree of errors."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.client import (
    ApiError,
    FieldError,
    InvalidRequest,
    Keystead,
    KeysteadError,
    NetworkError,
    ServerUnavailable,
    SignInEnded,
    SignInRefused,
    SignInRequired,
)
from keystead.client._answers import LONGEST_SENTENCE, refusal
from keystead.client._http import Answer, Request
from keystead.kernel.secrets import Secret

SERVER = "https://auth.example.com"
SECRET = Secret("pwr_a-refresh-token")
REQUEST = Request("POST", "/x", secrets=(SECRET,))

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
names = st.sampled_from(
    ["detail", "error", "error_description", "message", "title", "code", "errors", "loc", "msg", "type"]
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=5)
)


def read(status: int, body: Any, **headers: str) -> KeysteadError:
    """Return what an answer with this body is told as."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal(Answer(status, headers, content), REQUEST, SERVER, now=0)


@given(st.integers(300, 599), anything | st.binary(max_size=40))
def test_whatever_comes_back_becomes_one_printable_sentence_of_bounded_length(status: int, body: Any) -> None:
    found = read(status, body)
    assert isinstance(found, (ApiError, NetworkError, SignInRequired))
    assert str(found)
    assert str(found).isprintable()
    assert len(str(found)) <= LONGEST_SENTENCE
    assert isinstance(found, ServerUnavailable) == (status >= 500 or status == 408)


@given(st.text(), st.text())
def test_no_secret_of_the_request_is_in_the_sentence(before: str, after: str) -> None:
    found = read(400, {"detail": f"{before}{SECRET.reveal()}{after}"})
    assert SECRET.reveal() not in repr(found)


def test_oauth_errors_are_the_ends_of_a_sign_in() -> None:
    refused = read(400, {"error": "access_denied", "error_description": "The sign-in was refused."})
    ended = read(400, {"error": "invalid_grant", "error_description": "The token is spent."})
    other = read(400, {"error": "invalid_scope", "error_description": "There is no scope 'x'."})
    unknown = read(401, {"error": "invalid_client", "error_description": "Unknown client_id."})
    assert type(refused) is SignInRefused
    assert type(ended) is SignInEnded
    assert isinstance(other, InvalidRequest)
    assert other.code == "invalid_scope"
    assert isinstance(unknown, ApiError)
    assert unknown.code == "invalid_client"
    assert str(ended) == "The token is spent."


def test_a_problem_document_is_read_with_its_code_and_its_fields() -> None:
    body = {
        "type": "/problems/invalid_parameters",
        "title": "Some values do not fit",
        "detail": "Some values do not fit. Mend them.",
        "code": "invalid_parameters",
        "error": True,
        "message": "Some values do not fit. Mend them.",
        "errors": [
            {"code": "missing", "detail": "It is missing.", "pointer": "#/a/b"},
            {"code": "too_long", "detail": "It is too long.", "in": "query", "parameter": "q"},
            "nonsense",
        ],
    }
    found = read(422, body, **{"x-request-id": "0123456789abcdef"})
    assert isinstance(found, InvalidRequest)
    assert (found.code, found.request_id, found.status) == ("invalid_parameters", "0123456789abcdef", 422)
    assert found.fields == (
        FieldError("a.b", "missing", "It is missing."),
        FieldError("q", "too_long", "It is too long."),
    )


def test_a_list_of_mistakes_becomes_one_sentence() -> None:
    found = read(
        422, {"detail": [{"loc": ["body", "a", 0], "msg": "Too short", "type": "short"}, {"loc": [], "msg": "x"}]}
    )
    assert str(found) == "Some values do not fit: a.0: Too short; x"


def test_what_could_steer_a_terminal_is_struck_out() -> None:
    found = read(403, {"detail": "\x1b[2J\x1b]0;title\x07No\r\nway\u202e"})
    assert str(found) == "[2J ]0;title No way"


@pytest.mark.parametrize("path", ["/api/auth/session?x=", "/verify"])
def test_the_servers_own_problem_documents_are_read(client: Keystead, path: str) -> None:
    with pytest.raises(ApiError) as refused:
        client.request("POST", path).raise_for_status()
    assert refused.value.code == "method_not_allowed"
    assert refused.value.request_id
