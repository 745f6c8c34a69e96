"""The catalogue of problems: each has a name of its own, a status that exists, and says what to do next."""

import re
from http import HTTPStatus

import pytest

from keystead.kernel.problems import Problem, Unavailable, catalogue, retry_after
from keystead.wire.answers import Surface, answer
from tests.wire.shapes import OAUTH_TEXT

CATALOGUE = [kind for kind in catalogue() if kind.__module__.startswith("keystead.")]
NAMES = [kind.__name__ for kind in CATALOGUE]
RFC_ERRORS = {
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "invalid_grant",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "invalid_token",
    "insufficient_scope",
    "invalid_client_metadata",
}
"""The errors of RFC 6749, 6750, 7591 and 8628 that have a meaning here."""


def test_no_two_problems_have_the_same_code() -> None:
    codes = [kind.code for kind in CATALOGUE]
    assert len(codes) == len(set(codes)) >= 25


def test_the_catalogue_is_in_the_order_of_its_codes() -> None:
    codes = [kind.code for kind in CATALOGUE]
    assert codes == sorted(codes)


@pytest.mark.parametrize("kind", CATALOGUE, ids=NAMES)
def test_a_code_can_stand_in_an_address_as_it_is(kind: type[Problem]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)


@pytest.mark.parametrize("kind", CATALOGUE, ids=NAMES)
def test_a_status_is_a_registered_refusal(kind: type[Problem]) -> None:
    assert HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST
    assert HTTPStatus(kind.status).phrase


@pytest.mark.parametrize("kind", CATALOGUE, ids=NAMES)
def test_a_problem_says_in_plain_sentences_what_it_is_and_what_to_do(kind: type[Problem]) -> None:
    assert (kind.__doc__ or "").rstrip().endswith(".")
    assert kind.remedy.endswith(".")
    assert not kind.title.endswith(".")
    assert "!" not in kind.title + kind.remedy
    assert kind().detail == f"{kind.title}. {kind.remedy}"


@pytest.mark.parametrize("kind", CATALOGUE, ids=NAMES)
def test_an_oauth_error_is_one_that_an_rfc_defines_and_its_text_needs_no_mending(kind: type[Problem]) -> None:
    assert kind.oauth_error in RFC_ERRORS
    assert OAUTH_TEXT.match(f"{kind.title}. {kind.remedy}")


def test_a_fault_of_ours_is_never_told_as_a_refusal_of_the_client() -> None:
    faults = {kind.code: kind.oauth_error for kind in CATALOGUE if kind.status >= 500}
    assert faults == {"internal": "server_error", "unavailable": "temporarily_unavailable"}


@pytest.mark.parametrize(("seconds", "said"), [(-5, "1"), (0, "1"), (1, "1"), (3_600, "3600")])
def test_a_wait_is_a_whole_number_of_seconds_and_at_least_one(seconds: int, said: str) -> None:
    assert retry_after(seconds) == {"Retry-After": said}


def test_what_cannot_be_known_says_when_to_ask_again_in_every_dialect() -> None:
    found = [answer(Unavailable(seconds=3), surface, "r", lambda *_: b"").headers for surface in Surface]
    assert [headers["Retry-After"] for headers in found] == ["3"] * len(Surface)
