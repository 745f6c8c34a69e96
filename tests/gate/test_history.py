"""The last hour of a process is told rightly, whatever its minutes were like, and takes little memory."""

import asyncio
import sys
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.gate import history
from keystead.gate.history import KEPT, MINUTE, History, Snapshot, between, quantile
from keystead.gate.measures import EDGES, Measures, Totals
from tests.support.clock import ManualClock

BUCKETS = len(EDGES) + 1
COUNTS = st.lists(st.integers(0, 10_000), min_size=BUCKETS, max_size=BUCKETS).map(tuple)
ANSWERS = st.lists(st.integers(0, 10_000), min_size=5, max_size=5).map(tuple)
TOTALS = st.builds(Totals, ANSWERS, COUNTS)
SHARES = st.floats(0.01, 1)


def later(totals: Totals, more: Totals) -> Totals:
    """Return what is counted after so many more."""
    return Totals(
        tuple(map(sum, zip(totals.answers, more.answers, strict=True))),
        tuple(map(sum, zip(totals.timed, more.timed, strict=True))),
    )


@given(TOTALS, st.lists(TOTALS, min_size=1, max_size=6))
def test_minutes_add_up_to_what_was_counted(start: Totals, steps: list[Totals]) -> None:
    snapshots = [Snapshot(0, start)]
    for step in steps:
        snapshots.append(Snapshot(snapshots[-1].at + MINUTE, later(snapshots[-1].totals, step)))
    minutes = [between(before, after) for before, after in pairwise(snapshots)]
    assert [minute.answers for minute in minutes] == [step.answers for step in steps]
    assert between(snapshots[0], snapshots[-1]).requests == sum(minute.requests for minute in minutes)
    assert [minute.rate * MINUTE for minute in minutes] == pytest.approx([minute.requests for minute in minutes])


@given(COUNTS, SHARES, SHARES)
def test_a_larger_share_takes_no_less_time(numbers: tuple[int, ...], one: float, other: float) -> None:
    lower, upper = sorted((one, other))
    found = quantile(numbers, lower), quantile(numbers, upper)
    assert found == (None, None) if not any(numbers) else (found[0] or 0) <= (found[1] or 0) <= EDGES[-1]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), SHARES)
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds: list[float], share: float) -> None:
    numbers = [0] * BUCKETS
    for one in seconds:
        numbers[bisect_left(EDGES, one)] += 1
    rank = share * len(seconds)
    true = sorted(seconds)[max(0, -int(-rank // 1) - 1)]
    bucket = bisect_left(EDGES, true)
    found = quantile(numbers, share)
    assert found is not None
    assert (0, *EDGES)[min(bucket, len(EDGES) - 1)] <= found <= EDGES[min(bucket, len(EDGES) - 1)] or bucket == len(
        EDGES
    )
    assert bucket < len(EDGES) or found == EDGES[-1]


@given(st.integers(-5, 5))
def test_a_clock_that_stood_still_or_went_back_divides_by_nothing(seconds: int) -> None:
    none = Totals((0,) * 5, (0,) * BUCKETS)
    minute = between(Snapshot(100, none), Snapshot(100 + seconds, Totals((0, 6, 0, 0, 0), (0,) * BUCKETS)))
    assert minute.rate >= 0


def busy(measures: Measures, ok: int, refused: int = 0, failed: int = 0) -> None:
    for status, number in ((200, ok), (404, refused), (503, failed)):
        for _ in range(number):
            measures.count("page", "GET", status)
            measures.observe("page", 0.003)


def test_each_minute_tells_of_itself_and_the_hour_forgets_what_is_older() -> None:
    clock, measures = ManualClock(), Measures()
    kept = History(measures, clock)
    for number in range(KEPT + 5):
        busy(measures, ok=number, refused=2, failed=1)
        clock.advance(MINUTE)
        kept.take()
    busy(measures, ok=1)
    clock.advance(10)
    *minutes, begun = kept.minutes()
    assert [minute.answers[1] for minute in minutes] == list(range(5, KEPT + 5))
    assert {(minute.refused, minute.failed, minute.ends - minute.begins) for minute in minutes} == {(2, 1, MINUTE)}
    assert (begun.requests, begun.ends - begun.begins) == (1, 10)
    assert kept.whole().requests == sum(minute.requests for minute in kept.minutes())
    assert all(0.0025 < (minute.p99 or 0) <= 0.005 for minute in minutes)


def test_polls_that_are_held_and_probes_are_counted_and_not_timed() -> None:
    clock, measures = ManualClock(), Measures()
    kept = History(measures, clock)
    for surface in ("oauth", "operations"):
        measures.count(surface, "POST", 200)
        measures.observe(surface, 4.0)
    (minute,) = kept.minutes()
    assert (minute.requests, minute.p50) == (2, None)


def test_looking_takes_nothing_from_what_prometheus_is_told() -> None:
    clock, measures = ManualClock(), Measures()
    kept = History(measures, clock)
    busy(measures, ok=3)
    for _ in range(3):
        assert kept.minutes()[-1].requests == 3
    assert b'keystead_requests_total{method="GET",status="200",surface="page"} 3.0' in measures.text()
    assert kept.minutes()[-1].requests == 3


def test_an_hour_takes_little_memory() -> None:
    clock, measures = ManualClock(), Measures()
    kept = History(measures, clock)
    for _ in range(2 * KEPT):
        busy(measures, ok=300)
        kept.take()
    size = sum(_sizes(list(kept._snapshots)))
    assert len(kept.minutes()) == KEPT + 1
    assert size < 64 * 1024


def _sizes(snapshots: list[Snapshot]) -> Iterator[int]:
    for one in snapshots:
        for part in (one, one.totals, one.totals.answers, one.totals.timed):
            yield sys.getsizeof(part)
        yield from map(sys.getsizeof, (*one.totals.answers, *one.totals.timed))


async def test_a_minute_ends_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MINUTE", 0)
    clock, measures = ManualClock(), Measures()
    kept = History(measures, clock)
    task = asyncio.create_task(kept.keep_for_ever())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    assert len(kept.minutes()) > 4
