"""What was heard of a feed whose rows do not become visible in the order of their numbers.

On a networked database a row's number is taken before its transaction commits, so a lower number may appear after a
higher one, and a transaction that fails leaves a number for which no row ever comes. This is the bookkeeping for that:
pure, so that it can be tested in every order.
"""

from collections.abc import Iterable
from typing import Final

from keystead.db.feed import Change

SETTLED: Final = 30.0
"""Seconds after which a missing number is taken for a failed transaction: several times as long as one may last."""


class Heard:
    """Which rows were heard of, as one number below which nothing can come any more, and the few above it."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.floor = 0
        self._above: dict[int, float] = {}

    def begin(self, numbers: Iterable[int], floor: int, now: float) -> None:
        """Take these rows as heard of, and everything up to ``floor``."""
        self.floor = floor
        self._above = dict.fromkeys(numbers, now)
        self._rise(now)

    def take(self, changes: Iterable[Change], now: float) -> list[str]:
        """Return the subjects of those rows that are news. ``now`` is in seconds and never goes back."""
        subjects = []
        for change in changes:
            if change.seq > self.floor and change.seq not in self._above:
                self._above[change.seq] = now
                subjects.append(change.subject)
        self._rise(now)
        return subjects

    def _rise(self, now: float) -> None:
        """Let the floor rise over what was heard, and over numbers that have been missing for too long."""
        above = self._above
        while above:
            following = self.floor + 1
            if following not in above:
                following = min(above)
                if now - above[following] < SETTLED:
                    return
            del above[following]
            self.floor = following
