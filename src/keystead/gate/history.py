"""The last hour of one process, minute by minute: what an operator sees without any other tool.

A minute is the difference of two snapshots of what ``Measures`` counts anyway, so nothing is added to the path of a
request. Of several workers or nodes each knows its own.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from keystead.gate.measures import EDGES, Measures, Totals, several_workers
from keystead.kernel.clock import Clock

MINUTE: Final = 60
"""Seconds between two snapshots."""
KEPT: Final = 60
"""Minutes that are remembered."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What had been counted by a Unix second."""

    at: int
    totals: Totals


@dataclass(frozen=True, slots=True)
class Minute:
    """What happened between two snapshots, from one Unix second to another: a minute, if nothing was late.

    ``answers`` are those of each class of status, from 1xx to 5xx. The quantiles are in seconds, None where nothing was
    timed. They are of pages and APIs: device polls are held on purpose, and the hottest answers are not timed.
    """

    begins: int
    ends: int
    answers: tuple[int, ...]
    p50: float | None
    p95: float | None
    p99: float | None

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return sum(self.answers)

    @property
    def rate(self) -> float:
        """How many requests were answered in a second."""
        return self.requests / max(1, self.ends - self.begins)

    @property
    def refused(self) -> int:
        """How many requests were answered with 4xx: what the caller has to mend."""
        return self.answers[3]

    @property
    def failed(self) -> int:
        """How many requests were answered with 5xx: what the operator has to mend."""
        return self.answers[4]


class History:
    """The minutes of this process. ``take`` adds one; it is called once a minute."""

    def __init__(self, measures: Measures, clock: Clock) -> None:
        """Begin now."""
        self._measures = measures
        self._clock = clock
        self.began = clock.now()
        self._snapshots: deque[Snapshot] = deque([self._now()], maxlen=KEPT + 1)

    @property
    def several_workers(self) -> bool:
        """Whether this process is one of several that serve together."""
        return several_workers()

    def take(self) -> None:
        """End a minute."""
        self._snapshots.append(self._now())

    def minutes(self) -> list[Minute]:
        """Return the last minutes, the oldest first; the last of them is the one that has begun."""
        taken = [*self._snapshots, self._now()]
        return [between(before, after) for before, after in pairwise(taken)]

    def whole(self) -> Minute:
        """Return what is remembered as one stretch, up to this moment."""
        return between(self._snapshots[0], self._now())

    async def keep_for_ever(self) -> None:
        """End a minute every minute, until cancelled."""
        while True:
            await asyncio.sleep(MINUTE)
            self.take()

    def _now(self) -> Snapshot:
        return Snapshot(self._clock.now(), self._measures.totals())


def between(before: Snapshot, after: Snapshot) -> Minute:
    """Return what happened between two snapshots of one process; counters only grow."""
    timed = _difference(before.totals.timed, after.totals.timed)
    return Minute(
        before.at,
        after.at,
        _difference(before.totals.answers, after.totals.answers),
        *(quantile(timed, share) for share in (0.5, 0.95, 0.99)),
    )


def quantile(numbers: Sequence[int], share: float) -> float | None:
    """Return the seconds within which this share of the answers was given, from how many fell into each bucket.

    Within a bucket the answers are taken to be spread evenly, as Prometheus's ``histogram_quantile`` does; what took
    longer than the last edge counts as that edge. None when there were no answers.
    """
    rank = share * sum(numbers)
    if not rank:
        return None
    reached, lower = 0, 0.0
    for edge, number in zip(EDGES, numbers, strict=False):  # the last bucket has no edge
        if number and reached + number >= rank:
            return lower + (edge - lower) * (rank - reached) / number
        reached, lower = reached + number, edge
    return EDGES[-1]


def _difference(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    return tuple(now - then for then, now in zip(before, after, strict=True))
