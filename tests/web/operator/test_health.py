"""The health page tells of its own process what an operator needs, in pictures, in words and in numbers."""

import os
from dataclasses import dataclass

import pytest

from keystead import __version__
from keystead.gate import measures as counting
from keystead.gate.history import MINUTE, History, Minute
from keystead.gate.measures import Measures
from keystead.kernel.problems import Unavailable
from keystead.web.operator.health import HealthPages, charts, milliseconds
from tests.account.nodes import Node
from tests.support.clock import ManualClock
from tests.web.organization.conftest import operator
from tests.web.reading import PAGE_BUDGET, Reading, naming_faults, policy_faults, weight

PATH = "/settings/operator/health"


def page_of(node: Node) -> HealthPages:
    """Return the page of the application behind a node."""
    for route in node.http._transport.app._inner.routes:  # type: ignore[attr-defined]
        if getattr(route, "path", "") == PATH:
            found: HealthPages = route.endpoint.__self__
            return found
    raise LookupError(PATH)


async def test_a_fresh_process_says_what_it_is(here: Node) -> None:
    page = await (await operator(here)).get(PATH)
    assert f"Version {__version__} Runs since just now" in page.words
    assert "Changes heard" in page.words
    assert f"The last hour of process {os.getpid()}" in page.words
    assert "The first minute is not over yet" in page.words


async def test_a_busy_hour_stands_in_pictures_words_and_numbers_within_the_budget(here: Node) -> None:
    root, history = await operator(here), page_of(here)._history
    for number in range(60):
        await here.http.get("/nowhere", headers={"Accept": "text/html"})
        for _ in range(number % 7):
            await here.http.get("/sign-in", headers={"Accept": "text/html"})
        here.house.clock.advance(MINUTE)
        history.take()
    page = await root.get(PATH)
    reading = Reading(page.source)
    assert "60 refused, for the caller to mend, and 0 failed in 1 hour." in page.words
    assert "in the busiest minute." in page.words
    assert "half of the answers came within" in page.words
    assert len(reading.all("svg")) == 4  # three pictures, and the mark of the house
    assert [len(reading.all("table")), len(reading.all("polyline")) >= 3] == [3, True]
    assert naming_faults(reading) + policy_faults(reading) == []
    assert weight(reading) < PAGE_BUDGET


async def test_requests_that_failed_are_named_before_anything_else(here: Node) -> None:
    root = await operator(here)
    assert "Nothing needs you here." in (await root.get(PATH)).words
    page_of(here)._history._measures.count("page", "GET", 503)
    assert "Some requests failed: look for their reasons in the server's log." in (await root.get(PATH)).words


async def test_several_workers_are_told_that_each_counts_for_itself(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await operator(here)
    alone = await root.get(PATH)
    monkeypatch.setenv(counting.MULTIPROCESS_DIRECTORY, "/somewhere")
    beside = await root.get(PATH)
    sentence = "Several processes serve here, and each counts for itself"
    assert [sentence in alone.words, sentence in beside.words] == [False, True]


@dataclass
class CutOff:
    """What the page asks of a database whose feed cannot be followed, or that is away."""

    there: bool

    async def changes(self) -> None:
        """Raise Unavailable when the database is away."""
        if not self.there:
            raise Unavailable()

    def fresh(self) -> bool:
        """Say that changes may have been missed."""
        return False


async def test_a_feed_that_is_behind_or_away_is_said(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    root, pages = await operator(here), page_of(here)
    monkeypatch.setattr(pages, "_db", CutOff(there=True))
    late = await root.get(PATH)
    monkeypatch.setattr(pages, "_db", CutOff(there=False))
    gone = await root.get(PATH)
    assert "Changes behind" in late.words
    assert "Changes cannot be read" in gone.words
    assert "Changes need you first." in gone.words


def test_minutes_without_answers_leave_a_gap_and_words_that_say_so() -> None:
    quiet = Minute(0, 60, (0, 0, 0, 0, 0), None, None, None)
    _, refusals, latency = charts([quiet, quiet], quiet)
    assert refusals.sentence == "Nothing was refused and nothing failed in 1 minute."
    assert latency.sentence == "No page and no call of an API was timed in 1 minute."
    assert (latency.lines, latency.rows[0]) == ((), ("00:01", "none", "none", "none"))


def test_durations_are_written_as_people_read_them() -> None:
    assert [milliseconds(s) for s in (0.0005, 0.002, 0.0125, 0.25, 5.0)] == [
        "0.5 ms", "2 ms", "12.5 ms", "250 ms", "5,000 ms",
    ]  # fmt: skip


def test_the_first_minutes_of_a_process_are_told_as_what_they_are() -> None:
    clock = ManualClock()
    history = History(Measures(), clock)
    clock.advance(125)
    history.take()
    (minute, _) = history.minutes()
    assert charts([minute], history.whole())[0].sentence == "0 requests in 2 minutes; 0 in the busiest minute."
