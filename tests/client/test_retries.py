"""When to ask again: the laws of the policy, and the readings of Retry-After."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keystead.client import RetryPolicy, UsageError
from keystead.client._retry import may_repeat, retry_after

chances = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 10_000, allow_nan=False)
policies = st.builds(RetryPolicy, attempts=st.integers(1, 20), total=seconds, first=seconds, longest=seconds)


@given(policies, st.integers(1, 100), chances)
def test_a_pause_is_random_below_a_bound_that_doubles_up_to_the_longest(
    policy: RetryPolicy, failures: int, chance: float
) -> None:
    bound = min(policy.longest, policy.first * 2.0 ** (failures - 1))
    assert 0 <= policy.backoff(failures, chance) <= bound
    assert policy.backoff(failures, 0.0) == 0
    assert policy.backoff(failures + 1, chance) >= policy.backoff(failures, chance)


@given(policies, st.integers(1, 100), seconds, chances, st.none() | seconds)
def test_no_request_begins_after_the_total_time_nor_beyond_the_number_of_attempts(
    policy: RetryPolicy, sent: int, elapsed: float, chance: float, asked: float | None
) -> None:
    wait = policy.pause(sent, elapsed, chance, asked)
    if wait is None:
        return
    assert sent < policy.attempts
    assert elapsed + wait <= policy.total
    assert wait >= (asked or 0.0)


@given(chances)
def test_a_retry_after_that_does_not_fit_is_not_shortened(chance: float) -> None:
    assert RetryPolicy(total=30.0).pause(1, 0.0, chance, 31.0) is None


@given(st.integers(100, 599))
def test_what_is_not_repeatable_is_repeated_after_429_alone(status: int) -> None:
    assert may_repeat(status, repeatable=False) == (status == 429)
    assert may_repeat(status, repeatable=True) == (status in {429, 502, 503, 504})


@given(st.integers(0, 86_400))
def test_retry_after_is_read_as_seconds(wait: int) -> None:
    assert retry_after({"retry-after": f" {wait} "}, now=0) == wait


@given(st.integers(0, 86_000), st.integers(-1_000_000, 1_000_000))
def test_retry_after_is_read_as_a_date_whatever_the_clock_here_says(wait: int, wrong_by: int) -> None:
    sent = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
    at = datetime.fromtimestamp(sent.timestamp() + wait, UTC)
    headers = {"retry-after": format_datetime(at, usegmt=True), "date": format_datetime(sent, usegmt=True)}
    assert retry_after(headers, now=sent.timestamp() + wrong_by) == wait
    assert retry_after({"retry-after": headers["retry-after"]}, now=sent.timestamp()) == wait


@given(st.text(max_size=40))
def test_any_other_retry_after_is_passed_over(text: str) -> None:
    assume(not text.strip().isdigit())
    found = retry_after({"retry-after": text}, now=2e9)
    assert found is None or 0 <= found <= 86_400


def test_a_date_that_has_passed_means_at_once() -> None:
    assert retry_after({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, now=2e9) == 0


def test_a_policy_without_sense_is_refused() -> None:
    with pytest.raises(UsageError):
        RetryPolicy(attempts=0)
    assert RetryPolicy(attempts=1).pause(1, 0.0, 0.0) is None
