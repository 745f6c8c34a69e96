"""How often to poll and for how long: decisions over the answers that came (RFC 8628, section 3.5)."""

import time

from keystead.client import ApiError, NetworkError, RateLimited, ServerUnavailable, Waiting
from keystead.client._waiting import Wait


def test_the_interval_grows_by_five_seconds_for_good_and_counts_after_a_short_answer() -> None:
    wait = Wait(interval=1.0, deadline=time.monotonic() + 600, exact=True)
    pending = ApiError("", status=400, code="authorization_pending")
    slow_down = ApiError("", status=400, code="slow_down")
    assert wait.after_refusal(pending, took=0.1) == (Waiting.PENDING, 1.0)
    assert wait.after_refusal(pending, took=25.0) == (Waiting.PENDING, 0.0)
    assert wait.after_refusal(slow_down, took=0.1) == (Waiting.SLOW_DOWN, 6.0)
    assert wait.after_refusal(pending, took=3.8) == (Waiting.PENDING, 6.0)
    assert wait.after_refusal(slow_down, took=0.1) == (Waiting.SLOW_DOWN, 11.0)


def test_polls_are_held_for_less_when_their_answers_do_not_come() -> None:
    wait = Wait(interval=1.0, deadline=time.monotonic() + 600, exact=True)
    held = [wait.next_hold()]
    for _ in range(5):
        wait.after_failure(NetworkError("lost"), took=20.0)
        held.append(wait.next_hold())
    assert held == [25, 12, 6, 3, 1, 0]
    wait.deadline = time.monotonic() + 2.5
    wait.hold = 25
    assert wait.next_hold() == 2


def test_a_server_that_says_when_to_come_back_is_not_asked_before() -> None:
    wait = Wait(interval=1.0, deadline=time.monotonic() + 600, exact=True)
    limited = RateLimited("", status=429, code="rate_limited")
    limited.retry_after = 30.0
    assert wait.after_refusal(limited, took=0.1) == (Waiting.SLOW_DOWN, 30.0)
    away = ServerUnavailable("")
    away.retry_after = 20.0
    happened, seconds = wait.after_failure(away, took=0.1)
    assert happened is Waiting.UNREACHABLE
    assert 20.0 <= seconds <= 30.0


def test_the_servers_word_outweighs_a_clock_that_was_set() -> None:
    wait = Wait(interval=1.0, deadline=time.monotonic() - 86_400, exact=False)
    wait.after_refusal(ApiError("", status=400, code="authorization_pending"), took=0.1)
    assert wait.left() > 50
    exact = Wait(interval=1.0, deadline=time.monotonic() - 1, exact=True)
    exact.after_refusal(ApiError("", status=400, code="authorization_pending"), took=0.1)
    assert exact.left() < 0
