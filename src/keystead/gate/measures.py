"""What the server counts of its requests, for ``/metrics`` (Prometheus). No label holds what a caller chose."""

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

MULTIPROCESS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SETTLE_EVERY: Final = 1
"""Seconds after which the other workers' files know of what one worker counted."""
EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The seconds at which one bucket of the histogram ends and the next begins; the last bucket has no end."""
PEOPLE: Final = frozenset({"account", "union", "page"})
"""Surfaces whose answers nobody holds back on purpose, as device polls are."""
_CLASSES: Final = 5
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class Tally:
    """How many answers of one kind there were that Prometheus's counter was not told of yet."""

    counter: Counter
    number: int = 0
    told: int = 0
    """How many it was told of."""


@dataclass(slots=True)
class Durations:
    """How long answers of one surface took, so far as Prometheus's histogram was not told of them yet."""

    histogram: "_Histogram"
    seconds: float = 0.0
    numbers: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))
    told: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))
    """How many of each bucket it was told of."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What this process has counted since it began.

    ``answers`` of each class of status, from 1xx to 5xx; ``timed`` answers to people in each bucket of ``EDGES``, and
    beyond the last.
    """

    answers: tuple[int, ...]
    timed: tuple[int, ...]


class _Histogram(Histogram):
    """Prometheus's histogram, which can also be told of many observations at once."""

    def add(self, numbers: Sequence[int], seconds: float) -> None:
        """Add so many observations to each bucket, and to the sum what they are together."""
        self._sum.inc(seconds)
        for bucket, number in zip(self._buckets, numbers, strict=True):
            if number:
                bucket.inc(number)


class Measures:
    """The counters of one process; several workers add theirs up through files.

    A request adds one to a plain number. Prometheus's counters, which lock and write to those files, are told of many
    at once: when somebody reads them, and every second where other workers read them.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "keystead_requests", "Requests by surface, method and status.", ("surface", "method", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = _Histogram(
            "keystead_request_seconds", "Time to answer, by surface; held polls included.", ("surface",),
            buckets=EDGES, registry=self._registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "keystead_polls_held", "Device polls that wait for a decision.", registry=self._registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._remembered = Gauge(
            "keystead_credentials_remembered", "Credentials in the cache.", registry=self._registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._watched: list[tuple[Gauge, Callable[[], int]]] = []
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._durations: dict[str, Durations] = {}

    def watch(self, *, polls_held: Callable[[], int], credentials_remembered: Callable[[], int]) -> None:
        """Tell Prometheus of these numbers, whichever of several workers it is that is asked for them."""
        self._watched = [(self._waiting, polls_held), (self._remembered, credentials_remembered)]

    def tally(self, surface: str, method: str, status: int) -> Tally:
        """Return where answers of one kind are counted, by adding to its number."""
        shown = method if method in _METHODS else "other"
        found = self._tallies.get((surface, shown, status))
        if found is None:
            found = Tally(self._requests.labels(surface, shown, str(status)))
            self._tallies[surface, shown, status] = found
        return found

    def count(self, surface: str, method: str, status: int) -> None:
        """Count one answered request."""
        self.tally(surface, method, status).number += 1

    def observe(self, surface: str, seconds: float) -> None:
        """Record how long an answer took."""
        found = self._durations.get(surface)
        if found is None:
            found = self._durations[surface] = Durations(self._seconds.labels(surface))
        found.seconds += seconds
        found.numbers[bisect_left(EDGES, seconds)] += 1

    def settle(self) -> None:
        """Tell Prometheus's counters of all that was counted since the last time, and its gauges how things stand."""
        for gauge, number_now in self._watched:
            gauge.set(number_now())
        for tally in self._tallies.values():
            number, tally.number = tally.number, 0
            if number:
                tally.counter.inc(number)
                tally.told += number
        for durations in self._durations.values():
            numbers, durations.numbers = durations.numbers, [0] * len(durations.numbers)
            if any(numbers):
                durations.histogram.add(numbers, durations.seconds)
                durations.seconds = 0.0
                durations.told = [told + number for told, number in zip(durations.told, numbers, strict=True)]

    def totals(self) -> Totals:
        """Return what this process has counted since it began, whatever other workers did."""
        self.settle()
        answers = [0] * _CLASSES
        for (_, _, status), tally in self._tallies.items():
            if 1 <= status // 100 <= _CLASSES:  # 0 is an answer that was never begun
                answers[status // 100 - 1] += tally.told
        timed = [durations.told for surface, durations in self._durations.items() if surface in PEOPLE]
        return Totals(tuple(answers), tuple(map(sum, zip([0] * (len(EDGES) + 1), *timed, strict=True))))

    async def settle_for_ever(self) -> None:
        """Settle every second until cancelled, and then a last time."""
        try:
            while True:
                await asyncio.sleep(SETTLE_EVERY)
                self.settle()
        finally:
            self.settle()

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        self.settle()
        if not several_workers():
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def several_workers() -> bool:
    """Tell whether this process is one of several that serve together and count through files."""
    return MULTIPROCESS_DIRECTORY in os.environ
