"""A database that is killed or away is 503, never a wrong answer, and costs no grant (R8, V5).

``TEST_REFRESHES=20000`` makes as many refreshes as the promise names; CONTRIBUTING.md tells of it.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Final

import pytest

from tests.support.calls import NO_ANSWER, Line, Reply, at_once, tell
from tests.support.cluster import Cluster, furnish
from tests.support.device import DeviceClient
from tests.support.postgres import NOT_DURABLE, PostgresServer
from tests.support.processes import wait_for

REFRESHES: Final = int(os.environ.get("TEST_REFRESHES", "8000"))
KILLS: Final = 5
"""Fewest kills, however quick the refreshes are."""
CHAINS: Final = 24
EVERY_SECOND: Final = 1.0
LIVE: Final = "SELECT count(*) FROM oauth_grant WHERE ended_at IS NULL"


@pytest.fixture(scope="module")
def postgres(needs_postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres"), NOT_DURABLE) as one:
        yield one


@pytest.fixture(scope="module")
def nodes(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    url = postgres.create_database()
    furnish(tmp_path_factory.mktemp("furnishing"), url)
    with Cluster(tmp_path_factory.mktemp("cluster"), url) as three:
        yield three


@dataclass
class Toll:
    """What the clients met, and whether they may stop."""

    refreshed: int = 0
    unavailable: int = 0
    kills: int = 0
    unwanted: Counter[str] = field(default_factory=Counter[str])
    slowest: float = 0.0
    enough: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


def keep_refreshing(urls: list[str], token: str, toll: Toll) -> str:
    """Refresh over one node after another until it is enough; repeat the token after a 503. Return the newest."""
    with ExitStack() as stack:
        lines = cycle([stack.enter_context(Line(url)) for url in urls])
        while not toll.enough.is_set():
            started = time.monotonic()
            try:
                answer = next(lines).refresh(token)
            except NO_ANSWER as error:
                toll.unwanted[repr(error)] += 1
                continue
            with toll.lock:
                toll.slowest = max(toll.slowest, time.monotonic() - started)
                toll.refreshed += answer.status == 200
                toll.unavailable += answer.status == 503
                if toll.refreshed >= REFRESHES and toll.kills >= KILLS:
                    toll.enough.set()
            if answer.status == 200:
                token = answer.json()["refresh_token"]
            elif answer.status != 503 or int(answer.headers.get("retry-after", "0")) < 1:
                toll.unwanted[answer.text] += 1
                return token
            else:
                toll.enough.wait(0.05)
    return token


def kill_every_second(postgres: PostgresServer, toll: Toll) -> list[float]:
    """Kill the database every second until it is enough. Return how long each start took."""
    took = []
    while not toll.enough.wait(EVERY_SECOND):
        postgres.kill()
        toll.kills += 1
        started = time.monotonic()
        postgres.start()
        took.append(time.monotonic() - started)
    return took


@pytest.mark.timeout(120 + REFRESHES // 20)
def test_a_database_killed_every_second_amid_thousands_of_refreshes_costs_no_grant_and_accuses_nobody(
    postgres: PostgresServer, nodes: Cluster
) -> None:
    before = postgres.fetch(LIVE, nodes.database)
    newest = [tokens.refresh_token for tokens in nodes.sign_in(CHAINS)]
    toll = Toll()

    def refresh(chain: int) -> None:
        newest[chain] = keep_refreshing(nodes.urls, newest[chain], toll)

    clients = [threading.Thread(target=refresh, args=(chain,)) for chain in range(CHAINS)]
    started = time.monotonic()
    for client in clients:
        client.start()
    try:
        starts = kill_every_second(postgres, toll)
    finally:
        toll.enough.set()
        for client in clients:
            client.join()
    seconds = time.monotonic() - started
    with Line(nodes.urls[0]) as line:
        in_the_end = [line.refresh(token) for token in newest]
    tell(
        f"{toll.refreshed} refreshes in {seconds:.1f} s, {toll.kills} kills, each start took at most "
        f"{max(starts):.2f} s; {toll.unavailable} answers were 503; the slowest answer took {toll.slowest:.2f} s"
    )
    assert toll.unwanted == {}
    assert toll.refreshed >= REFRESHES
    assert toll.kills >= KILLS
    assert [answer.status for answer in in_the_end] == [200] * CHAINS
    assert int(postgres.fetch(LIVE, nodes.database)[0][0]) == int(before[0][0]) + CHAINS


def test_while_the_database_is_away_every_answer_says_try_again_and_once_it_is_back_everything_works(
    postgres: PostgresServer, nodes: Cluster
) -> None:
    (key,) = nodes.new_keys(["away"])
    tokens = nodes.sign_in(3)
    with ExitStack() as stack:
        client_id = stack.enter_context(DeviceClient(nodes.urls[0])).register()
        lines = [stack.enter_context(Line(url)) for url in nodes.urls for _ in range(3)]
        known = [line.check(key.text).status for line in lines]

        def ask(number: int) -> Reply:
            line = lines[number]
            if number % 3 == 0:
                return line.check(key.text)
            if number % 3 == 1:
                return line.refresh(tokens[number // 3].refresh_token)
            return line.ask("POST", "/getServiceKeys/device/code", form={"client_id": client_id, "scope": "keys:read"})

        calls = [partial(ask, number) for number in range(9)]
        postgres.kill()
        try:
            wait_for(lambda: {answer.status for answer in at_once(calls[::3])} == {503}, "the end of all trust")
            away = at_once(calls)
            ready = at_once([partial(line.get, "/readyz") for line in lines[::3]])
            alive = [line.get("/healthz").status for line in lines[::3]]
        finally:
            postgres.start()
        started = time.monotonic()
        wait_for(lambda: all(line.get("/readyz").status == 200 for line in lines[::3]), "readiness of every node")
        tell(f"ready {time.monotonic() - started:.2f} s after the database was")
        back = at_once(calls)
    assert known == [200] * 9
    assert [answer.status for answer in away] == [503] * 9
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in away)
    assert [answer.status for answer in ready] == [503] * 3
    assert alive == [200] * 3
    assert [answer.status for answer in back] == [200] * 9
