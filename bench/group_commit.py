"""What it is worth to let units of work share a commit, and on which thread to commit; ``synchronous=FULL`` throughout.

``.venv/bin/python bench/group_commit.py [--quick]`` needs two cores. Each writer does what a refresh writes, one after
the other: it moves the generation of its grant on by one conditional UPDATE. A second table is measured on a
disk that takes 5 ms a commit: the commit waits so long before it begins. "Loop held" is the longest time in a round for
which the event loop ran nothing else, which is what every other request waited.
"""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from harness import Case, Spread, in_turn, quick, ratio, say, surroundings, table, workplace
from people import METADATA, House, inside, many, new_house, sign_in
from servers import SERVER_CORE, need_two_cores

from keystead.db import Transaction
from keystead.db.installation import DATABASE_FILE
from keystead.db.sqlite import SqliteDatabase, _Job
from keystead.kernel.clock import SystemClock
from keystead.oauth import store
from keystead.oauth.models import Grant
from keystead.services import Services

T = TypeVar("T")

ROUNDS: Final = 2 if quick() else 9
SECONDS: Final = 0.3 if quick() else 1.0
WRITERS: Final = (1, 16, 64)
SLOW: Final = 0.005
TICK: Final = 0.002


class OnTheLoop(SqliteDatabase):
    """A sketch of the alternative: what was asked for in one turn of the event loop is committed by the loop itself."""

    _waiting: list[_Job]

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` with whatever else comes in this turn, and commit on this thread."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        if not (waiting := self.__dict__.setdefault("_waiting", [])):
            loop.call_soon(self._commit)
        waiting.append(job)
        found: T = await job.future
        return found

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        self._run_batch(batch)


class SlowDisk:
    """A connection whose commits take a while longer, and as on a slow disk other threads run meanwhile."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Stand in front of ``connection``."""
        self._connection = connection

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Run a statement."""
        if sql == "COMMIT":
            time.sleep(SLOW)
        return self._connection.execute(sql, *parameters)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def rotation(grant: Grant) -> Callable[[Transaction], Awaitable[bool]]:
    """Return the unit of work of a refresh, to be run again and again."""
    now = int(time.time())
    generation = grant.generation

    async def work(tx: Transaction) -> bool:
        nonlocal generation
        until = {"now": now, "refresh_until": now + 600}
        rotated = await tx.run(store.ROTATE, {"grant_id": grant.grant_id, "spent": generation, **until})
        generation += rotated
        return bool(rotated)

    return work


async def _write(database: SqliteDatabase, grants: list[str]) -> dict[str, float]:
    """Let one writer for each grant write for a while."""
    done, held, running = 0, 0.0, True

    async def writer(grant_id: str) -> None:
        nonlocal done
        grant = await database.one(store.GRANT_BY_ID, {"grant_id": grant_id})
        if grant is None:
            raise RuntimeError("a grant is not there")
        work = rotation(grant)
        while running:
            if not await database.write(work):
                raise RuntimeError("a grant was not rotated")
            done += 1

    async def watcher() -> None:
        nonlocal held
        while running:
            begin = time.perf_counter()
            await asyncio.sleep(TICK)
            held = max(held, time.perf_counter() - begin - TICK)

    tasks = [asyncio.ensure_future(writer(grant)) for grant in grants]
    tasks.append(asyncio.ensure_future(watcher()))
    cpu, begin = time.process_time(), time.perf_counter()
    await asyncio.sleep(SECONDS)
    running = False
    await asyncio.gather(*tasks)
    seconds = time.perf_counter() - begin
    cpu = time.process_time() - cpu
    return {"rate": done / seconds, "cpu": cpu / done * 1e6, "held": held * 1000}


def case(make: Callable[[], SqliteDatabase], grants: list[str], *, slow: bool) -> Case:
    """Return a round of writing."""

    def ask() -> dict[str, float]:
        database: Any = make()
        if slow:
            database._writes = SlowDisk(database._writes)
        try:
            return uvloop.run(_write(database, grants))
        finally:
            database.close()

    return ask


async def grants_of(services: Services, house: House) -> list[str]:
    """Make a grant for each writer and return their ids."""
    client = (await services.oauth.clients.register(METADATA)).id
    await many(WRITERS[-1], lambda: sign_in(services, house, client))
    ids: list[str] = [row[0] for row in services.db._reads.execute("SELECT id FROM oauth_grant")]
    return ids


def ways(place: Path, source: Path) -> dict[str, Callable[[], SqliteDatabase]]:
    """Return how to open each of the databases, every one over a file of its own."""

    def of(number: int) -> Path:
        target = place / f"{number}.db"
        if not target.exists():
            shutil.copy(source, target)
        return target

    clock = SystemClock()
    return {
        "a commit each, writer thread": lambda: SqliteDatabase(of(1), clock=clock, batching=False),
        "group commit, writer thread": lambda: SqliteDatabase(of(2), clock=clock),
        "group commit, on the loop": lambda: OnTheLoop(of(3), clock=clock),
    }


def tell(found: dict[str, dict[str, Spread]]) -> None:
    """Print the table, each row against a commit each."""
    rows = []
    for name, figures in found.items():
        base = f"a commit each, writer thread, {name.rpartition(', ')[2]}"
        numbers = [figures["cpu"].text(), figures["held"].text(1)]
        rows.append([name, figures["rate"].text(), ratio(found, name, base), *numbers])
    table(["way, writers", "commits a second", "of a commit each", "CPU, µs", "loop held, ms"], rows)


def main() -> None:
    """Measure group commit."""
    need_two_cores()
    os.sched_setaffinity(0, {SERVER_CORE})
    surroundings("uvloop")
    with workplace() as place:
        house = new_house(place / "data")
        grants = inside(house.data, lambda services: grants_of(services, house))
        with sqlite3.connect(house.data / DATABASE_FILE) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        makers = ways(place, house.data / DATABASE_FILE)
        for slow in (False, True):
            say("A disk that takes 5 ms longer a commit:" if slow else "This disk:")
            say()
            cases = {
                f"{name}, {number}": case(make, grants[:number], slow=slow)
                for number in WRITERS
                for name, make in makers.items()
            }
            tell(in_turn(ROUNDS, cases))


if __name__ == "__main__":
    main()
