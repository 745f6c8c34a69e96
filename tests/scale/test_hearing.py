"""Every node hears soon what happened on another, with notifications and without, and trusts nothing when cut off."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.scale.approval import approve_held_polls
from tests.scale.revoking import revoke
from tests.support.cable import Cable
from tests.support.calls import Line, Reply, tell
from tests.support.cluster import Cluster, Key, through
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for

HEARD_WITHIN: Final = 1.0
"""Seconds after which a revoked key is refused everywhere, and after which a node that is cut off trusts nothing."""
ROUNDS: Final = 5
APPROVED_WITHIN: Final = {"notified": 0.2, "asking": 0.4}
"""Seconds from the answer to a click on one node to that of a poll which another holds: the middle one of several."""
CUTS: Final = {"frozen": Cable.freeze, "dropped": Cable.drop}


@pytest.fixture(scope="module", params=["notified", "asking"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cable(postgres_server: PostgresServer) -> Iterator[Cable]:
    with Cable(postgres_server.port) as one:
        yield one


@pytest.fixture(scope="module")
def nodes(
    way: str, cable: Cable, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Give three nodes, of which the last one's cable can be cut."""
    url = new_database()
    urls = [url, url, through(url, cable.port)]
    settings = {"KEYSTEAD_DATABASE_NOTIFY": str(way == "notified").lower()}
    with Cluster(tmp_path_factory.mktemp("cluster"), urls, settings=settings) as three:
        yield three


@dataclass
class Watch:
    """Somebody who presents a key to a node again and again, and notes when each request was sent and answered."""

    line: Line
    key: Key
    seen: list[tuple[float, float, Reply]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Ask until it is enough."""
        while not self.enough.is_set():
            sent = time.monotonic()
            answer = self.line.check(self.key.text)
            self.seen.append((sent, time.monotonic(), answer))
            self.enough.wait(0.001 if answer.status != 503 else 0.05)

    def await_status(self, status: int) -> None:
        """Wait until the newest answer is this."""
        wait_for(lambda: bool(self.seen) and self.seen[-1][2].status == status, f"an answer {status}")

    def await_more(self, number: int) -> None:
        """Wait for so many more answers."""
        target = len(self.seen) + number
        wait_for(lambda: len(self.seen) >= target, f"{number} more answers")

    def statuses(self, since: float, until: float = float("inf")) -> set[int]:
        """Return the statuses of the answers to what was sent in this time."""
        return {answer.status for sent, _, answer in self.seen if since <= sent < until}

    def first(self, status: int, since: float) -> float:
        """Return when this status was answered first to something that was sent since then."""
        return min(at for sent, at, answer in self.seen if answer.status == status and sent >= since)


@contextmanager
def watching(*pairs: tuple[str, Key]) -> Iterator[list[Watch]]:
    """Present keys at nodes meanwhile; each node has answered 200 several times when this begins."""
    with ExitStack() as stack:
        watches = [Watch(stack.enter_context(Line(url)), key) for url, key in pairs]
        threads = [threading.Thread(target=watch.go_on) for watch in watches]
        for thread in threads:
            thread.start()
        try:
            for watch in watches:
                watch.await_status(200)
                watch.await_more(5)
            yield watches
        finally:
            for watch in watches:
                watch.enough.set()
            for thread in threads:
                thread.join()


def test_a_key_revoked_on_one_node_is_refused_there_at_once_and_on_every_other_node_within_a_second(
    nodes: Cluster, way: str
) -> None:
    (tokens,) = nodes.sign_in()
    took = []
    for key in nodes.new_keys(str(number) for number in range(ROUNDS)):
        with watching(*((url, key) for url in nodes.urls)) as (here, *elsewhere):
            answered = revoke(nodes.urls[0], tokens.access_token, key)
            for watch in (here, *elsewhere):
                watch.await_status(401)
                watch.await_more(5)
        assert here.statuses(since=answered) == {401}
        for watch in elsewhere:
            assert watch.statuses(since=answered + HEARD_WITHIN) <= {401}
            assert watch.statuses(since=watch.first(401, since=0)) == {401}
            took.append(watch.first(401, since=0) - answered)
    tell(f"{way}: refused elsewhere after {milliseconds(took)}")
    assert max(took) < HEARD_WITHIN


@pytest.mark.parametrize("cut", CUTS)
def test_a_node_cut_off_from_the_database_refuses_within_a_second_and_hears_what_it_missed_when_the_cut_ends(
    nodes: Cluster, cable: Cable, way: str, cut: str
) -> None:
    (tokens,) = nodes.sign_in()
    revoked, kept = nodes.new_keys(["revoked", "kept"])
    alone = nodes.urls[2]
    with watching((alone, revoked), (alone, kept)) as watches:
        try:
            cut_at = time.monotonic()
            CUTS[cut](cable)
            revoke(nodes.urls[0], tokens.access_token, revoked)
            for watch in watches:
                watch.await_status(503)
                watch.await_more(1)
            mended_at = time.monotonic()
        finally:
            cable.mend()
        watches[0].await_status(401)
        watches[1].await_status(200)
        for watch in watches:
            watch.await_more(20)
    for watch in watches:
        away = [answer for sent, at, answer in watch.seen if cut_at + HEARD_WITHIN <= sent and at < mended_at]
        assert {answer.status for answer in away} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in away)
    assert watches[0].statuses(since=mended_at) <= {503, 401}
    assert watches[1].statuses(since=mended_at) <= {503, 200}
    blind = max(at for sent, at, answer in watches[0].seen if answer.status == 200) - cut_at
    back = [watches[0].first(401, since=0) - mended_at, watches[1].first(200, since=mended_at) - mended_at]
    tell(f"{way}, {cut}: last trusted {blind * 1000:.0f} ms after the cut; back after {milliseconds(back)}")
    assert blind < HEARD_WITHIN


def test_an_approval_on_one_node_answers_the_poll_that_another_node_holds(nodes: Cluster, way: str) -> None:
    took = approve_held_polls(nodes, ROUNDS)
    tell(f"{way}: from the answer to the click to the answer to the poll {milliseconds(took)}")
    assert statistics.median(took) < APPROVED_WITHIN[way]
    assert max(took) < HEARD_WITHIN


def milliseconds(seconds: list[float]) -> str:
    """Return times for a person to read."""
    return ", ".join(f"{1000 * one:.1f}" for one in sorted(seconds)) + " ms"
