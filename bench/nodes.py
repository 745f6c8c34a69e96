"""Several processes and several nodes: how much more they answer, and how soon one hears what happened on another.

``.venv/bin/python bench/nodes.py [--quick]`` needs wrk, PostgreSQL, Valkey or Redis, and two cores. Three nodes share a
PostgreSQL. A key is revoked on the first while others present it to the second and the third: the delay begins when the
revocation is sent. A poll is held by the second while a person approves on the first: the delay begins with the click.
Both are measured with notifications and without, where each node asks five times a second.

Workers have two cores. Where there are more, the load has one of its own; on two cores it shares the second one.
"""

import os
import random
import sys
import threading
import time
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final

from harness import Case, Row, Spread, in_turn, keep, quick, ratio, rounds, say, shares, surroundings, table, workplace
from hot_answers import SESSION, basic
from machines import inside_shared, need_postgres, need_valkey, postgres, shared_house
from people import House, api_key, inside, new_house
from servers import LOAD_CORE, SERVER_CORE, Load, Served, cpu_seconds, keystead, need_wrk, wrk

from tests.support.browser import Browser
from tests.support.calls import Line
from tests.support.cluster import Cluster, Key, furnish, page_of
from tests.support.device import DeviceClient
from tests.support.postgres import PostgresServer
from tests.support.processes import family
from tests.support.server import ADA
from tests.support.valkey import ValkeyServer

ROUNDS: Final = rounds(2, 5)
SECONDS: Final = 1.0 if quick() else 2.0
CONNECTIONS: Final = 64
DELAYS: Final = 8 if quick() else 60
LONGEST: Final = 10.0
PAUSE: Final = 0.001
HEARD_WITHIN: Final = 1.0
WAYS: Final = {"notified": "true", "asking five times a second": "false"}


# Delays


class Watch:
    """Somebody who presents a key to a node again and again until it is refused."""

    def __init__(self, url: str, key: Key) -> None:
        """Begin, and return when the node knows the key."""
        self.refused_at = 0.0
        self._url, self._key = url, key
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        self._known.wait(LONGEST)

    def _ask(self) -> None:
        with Line(self._url) as line:
            while line.check(self._key.text).status == 200:
                self._known.set()
                time.sleep(PAUSE)
            self.refused_at = time.perf_counter()

    def wait(self) -> float:
        """Wait for the refusal and return when it came."""
        self._thread.join(LONGEST)
        if not self.refused_at:
            raise RuntimeError("a revoked key is still good")
        return self.refused_at


def revocations(nodes: Cluster) -> list[float]:
    """Return how long after a revocation was sent to one node each of the others refused, in milliseconds."""
    token = nodes.sign_in()[0].access_token
    took = []
    for key in nodes.new_keys(f"{number}" for number in range(DELAYS)):
        with Line(nodes.urls[0]) as line:
            line.open()
            watches = [Watch(url, key) for url in nodes.urls[1:]]
            began = time.perf_counter()
            path = f"/account/service/v1/apps/{key.app_id}/keys/{key.id}"
            if line.ask("DELETE", path, headers={"Authorization": f"Bearer {token}"}).status != 200:
                raise RuntimeError("a key was not revoked")
            took += [(watch.wait() - began) * 1000 for watch in watches]
    return took


def approvals(nodes: Cluster) -> list[float]:
    """Return how long after the click on one node a poll that another holds had its tokens, in milliseconds."""
    took = []
    with Browser(nodes.urls[0]) as ada, DeviceClient(nodes.urls[1]) as device:
        device.register()
        ada.sign_in(ADA.username, ADA.password)
        for _ in range(DELAYS):
            asked, done = device.device_code(), list[float]()

            def poll(asked=asked, done=done) -> None:  # type: ignore[no-untyped-def]
                device.poll_until_decided(asked)
                done.append(time.perf_counter())

            polling = threading.Thread(target=poll)
            polling.start()
            page = ada.get(page_of(asked))
            form = page.form("decision", "user_code", "form_token")
            time.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - the poll is held by now
            began = time.perf_counter()
            ada.submit(page, form, {"decision": "approve"})
            polling.join(LONGEST)
            took.append((done[0] - began) * 1000)
    return took


def centiles(values: list[float]) -> tuple[float, float, float]:
    """Return the middle value, the one that 99 in 100 do not exceed, and the greatest."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))], ordered[-1]


def delays(place: Path, server: PostgresServer) -> None:
    """Measure both delays, print them, and keep their rows."""
    rows = []
    for number, (way, notify) in enumerate(WAYS.items()):
        url = server.create_database()
        furnish(place / f"furnishing-{number}", url)
        cluster = Cluster(place / f"nodes-{number}", url, settings={"KEYSTEAD_DATABASE_NOTIFY": notify})
        with redirect_stdout(StringIO()), cluster as nodes:  # in the end it prints its logs, for pytest
            found = {
                "from a revocation on one node to a refusal on another": revocations(nodes),
                "from a click on one node to the tokens from a poll that another holds": approvals(nodes),
            }
        for what, values in found.items():
            p50, p99, longest = centiles(values)
            rows.append([f"{what}, {way}", str(len(values)), *(f"{one:,.0f}" for one in (p50, p99, longest))])
            revoked = "revocation" in what
            aim = f"at most {HEARD_WITHIN * 1000:,.0f} ms, always" if revoked else ""
            text = f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, longest {longest:,.0f} ms of {len(values)}"
            met = longest <= HEARD_WITHIN * 1000 if revoked else None
            keep(Row(f"{what}, three nodes over PostgreSQL, {way}", aim, text, met))
    table(["delay", "runs", "p50, ms", "p99, ms", "longest, ms"], rows)


# Workers, and limits that nodes share


def spread(served: Served) -> list[int]:
    """Let a server's processes use two cores, and return them."""
    cores = {SERVER_CORE, 2 if (os.cpu_count() or 1) > 2 else LOAD_CORE}
    pids = family(served.pid)
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
    return pids


def working_together(house: House, workers: int) -> Served:
    """Return ``keystead serve --workers``, not started yet."""
    place = ["--data", str(house.data), "--port", str(house.port), "--workers", str(workers)]
    return Served([sys.executable, "-m", "keystead", "serve", "--dev", *place], house.data.with_suffix(".log"), {})


def checks(served: Served, key: str, pids: list[int]) -> dict[str, float]:
    """Put load on key checks, and count what all these processes use for one."""
    before = sum(map(cpu_seconds, pids))
    found = wrk(served, SESSION, Load(SECONDS, CONNECTIONS, headers=(f"Authorization: {basic(key)}",)))
    return {**found, "cpu": (sum(map(cpu_seconds, pids)) - before) / found["requests"] * 1e6}


def one_house(place: Path, server: PostgresServer, engine: str) -> tuple[House, str]:
    """Make an installation on one of the databases, and return it with a key."""
    if engine == "SQLite":
        house = new_house(place)
        return house, inside(house.data, api_key)
    house = shared_house(place, server.create_database())
    return house, inside_shared(house, api_key)


def workers(place: Path, server: PostgresServer) -> None:
    """Measure one worker beside two, on each database; both may use the same two cores."""
    beside = "" if (os.cpu_count() or 1) > 2 else "; the load shares the second core"
    rows = []
    for engine in ("SQLite", "PostgreSQL"):
        cases: dict[str, Case] = {}
        with ExitStack() as running:
            for number in (1, 2):
                house, key = one_house(place / f"{engine}-{number}", server, engine)
                served = running.enter_context(working_together(house, number))
                pids = spread(served)
                cases[f"{engine}, {number}"] = lambda served=served, key=key, pids=pids: checks(served, key, pids)  # type: ignore[misc]
            found = in_turn(ROUNDS, cases)
        base, both = f"{engine}, 1", f"{engine}, 2"
        for name, figures in found.items():
            cpu, p99 = figures["cpu"].text(1), figures["p99"].text(2)
            rows.append([name, figures["rate"].text(), ratio(found, name, base), cpu, p99])
        text = f"{found[both]['rate'].text()} a second, {shares(found, both, base).text(2)} times those of one"
        keep(Row(f"key checks with two workers on two cores, {engine}", "", text + beside, None))
    table(["database, workers", "checks a second", "of one worker's", "CPU, µs", "p99, ms"], rows)


def sharing(place: Path) -> None:
    """Measure key checks whose limit is counted here, and shared over Valkey."""
    with ValkeyServer(place / "valkey") as storage, ExitStack() as running:
        cases: dict[str, Case] = {}
        for name, settings in (("counted here", {}), ("shared over Valkey", {"KEYSTEAD_VALKEY_URL": storage.url})):
            house = new_house(place / name.replace(" ", "-"))
            key = inside(house.data, api_key)
            served = running.enter_context(keystead(house, **settings))
            cases[name] = lambda served=served, key=key: checks(served, key, [served.pid])  # type: ignore[misc]
        found = in_turn(ROUNDS, cases)
    rows = []
    for name, figures in found.items():
        figure: list[Spread] = [figures["cpu"], figures["p99"]]
        rows.append(
            [name, figures["rate"].text(), ratio(found, name, "counted here"), *(one.text(1) for one in figure)]
        )
    table(["limit", "checks a second", "of those counted here", "CPU, µs", "p99, ms"], rows)
    share = shares(found, "shared over Valkey", "counted here")
    keep(Row("key checks with limits shared over Valkey", "", f"{share.text(2)} of those counted in the process", None))


def main() -> None:
    """Measure nodes and workers."""
    need_wrk()
    need_postgres()
    need_valkey()
    surroundings("uvicorn", "asyncpg", "redis")
    with workplace() as place:
        with postgres(place) as server:
            delays(place, server)
            workers(place, server)
        sharing(place)
    say("Delays are those of nodes without load.")


if __name__ == "__main__":
    main()
