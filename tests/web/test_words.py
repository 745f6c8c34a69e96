"""Times, durations and permissions, as people say them."""

import pytest

from keystead.kernel.scopes import DESCRIPTIONS, Scope
from keystead.web import views
from keystead.web.render import ago_words, day_words, exact_words, scope_families, span_words, wait_words, when_words

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


def test_a_day_is_told_where_hours_and_minutes_say_nothing_any_more() -> None:
    assert when_words(NOW - 59 * DAY, NOW) == "59 days ago"
    assert when_words(NOW + 3 * DAY, NOW) == "in 3 days"
    assert when_words(NOW, NOW) == "just now"
    assert when_words(NOW + 60 * DAY, NOW) == day_words(NOW + 60 * DAY) == "13 May 2026"


def test_permissions_are_grouped_by_what_they_are_about_and_none_is_lost() -> None:
    lines = [views.ScopeLine(scope=scope, sentence=DESCRIPTIONS[scope]) for scope in Scope]
    families = scope_families(lines)
    assert [about for about, _ in families] == [
        "API keys",
        "Apps",
        "Balance",
        "Short-term tokens",
        "Browsers",
        "Devices",
    ]
    assert [line for _, members in families for line in members] == lines


def test_a_permission_of_a_kind_not_known_here_stands_under_its_own_name() -> None:
    line = views.ScopeLine(scope="reports:read", sentence="See reports")
    assert scope_families([line]) == [("reports", [line])]
