"""Times and durations, as people say them."""

import pytest

from keystead.web.render import ago_words, exact_words, span_words, wait_words

NOW = 1_773_480_413  # 14 March 2026, 09:26:53 UTC
DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "a moment"),
        (0, "a moment"),
        (1, "1 second"),
        (75, "75 seconds"),
        (60, "1 minute"),
        (130, "3 minutes"),
        (3_599, "1 hour"),
        (5_401, "2 hours"),
        (90 * DAY, "90 days"),
    ],
)
def test_a_wait_is_rounded_up_into_words(seconds: int, words: str) -> None:
    assert wait_words(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (59, "59 seconds"), (119, "1 minute"), (7_199, "1 hour"), (90 * DAY, "90 days")],
)
def test_a_span_is_rounded_down_into_words(seconds: int, words: str) -> None:
    assert span_words(seconds) == words


@pytest.mark.parametrize(
    ("ago", "words"), [(-60, "just now"), (4, "just now"), (30, "30 seconds ago"), (DAY, "1 day ago")]
)
def test_how_long_ago_is_told_in_words(ago: int, words: str) -> None:
    assert ago_words(NOW - ago, NOW) == words


def test_an_exact_time_names_its_time_zone() -> None:
    assert exact_words(NOW) == "14 March 2026, 09:26:53 UTC"
