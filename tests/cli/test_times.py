"""How times are told to people."""

import pytest

from keystead.cli.times import DAY, HOUR, MINUTE, distance

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (7 * DAY, "in 7 days"),
        (7 * DAY - 5, "in 7 days"),
        (7 * DAY - 10 * MINUTE, "in 6 days"),
        (12 * HOUR - 20, "in 12 hours"),
        (10 * MINUTE - 4, "in 10 minutes"),
        (59, "in 59 seconds"),
        (1, "in 1 second"),
        (0, "now"),
        (-5, "5 seconds ago"),
        (-2 * DAY + 1, "1 day ago"),
    ],
)
def test_a_time_is_told_by_how_far_away_it_is_and_a_moment_that_has_passed_makes_no_difference(
    ahead: int, told: str
) -> None:
    assert distance(NOW + ahead, NOW) == told
