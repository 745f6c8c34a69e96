"""A look-up by an API key's hash: on the event loop, in a pool of threads, and handed to a thread of its own.

``.venv/bin/python bench/sqlite_inline.py [--keys N] [--quick]`` needs two cores. The hand-off to a thread of its own is
what the usual asynchronous drivers for SQLite do.
"""

import asyncio
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop
from harness import Case, in_turn, option, quick, ratio, say, surroundings, table, workplace
from people import add_keys, new_house
from servers import SERVER_CORE, need_two_cores

from keystead.db.installation import DATABASE_FILE
from keystead.db.sqlite import SqliteDatabase
from keystead.kernel.clock import SystemClock
from keystead.keys import store

ROUNDS: Final = 2 if quick() else 9
SECONDS: Final = 0.3 if quick() else 1.0
KEYS: Final = option("keys", 100_000)
AT_ONCE: Final = (1, 16)
LookUp = Callable[[bytes], Awaitable[object]]


class Thread:
    """A thread that does what it is handed, one after the other, and tells the event loop."""

    def __init__(self) -> None:
        """Start it."""
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def do(self, function: Callable[[], object]) -> object:
        """Have it done and wait for the result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._jobs.put((function, loop, future))
        return await future

    def _work(self) -> None:
        while True:
            function, loop, future = self._jobs.get()
            loop.call_soon_threadsafe(future.set_result, function())


async def _look_up(look_up: LookUp, hashes: list[bytes], at_once: int) -> dict[str, float]:
    done, running = 0, True

    async def reader() -> None:
        nonlocal done
        while running:
            if await look_up(random.choice(hashes)) is None:  # noqa: S311 - which one is no secret
                raise RuntimeError("a key was not found")
            done += 1
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(reader()) for _ in range(at_once)]
    cpu, begin = time.process_time(), time.perf_counter()
    await asyncio.sleep(SECONDS)
    running = False
    await asyncio.gather(*tasks)
    seconds = time.perf_counter() - begin
    return {"rate": done / seconds, "cpu": (time.process_time() - cpu) / done * 1e6}


def ways(database: SqliteDatabase) -> dict[str, LookUp]:
    """Return the ways of looking a key up."""
    thread = Thread()
    query = store.HOLDER_BY_HASH

    def now(hashed: bytes) -> object:
        rows = database._reads.execute(query.sql, query.bind({"secret_hash": hashed})).fetchall()
        return query.read(rows[0]) if rows else None

    async def inline(hashed: bytes) -> object:
        return await database.one(query, {"secret_hash": hashed})

    async def pool(hashed: bytes) -> object:
        return await asyncio.to_thread(now, hashed)

    async def handed(hashed: bytes) -> object:
        return await thread.do(lambda: now(hashed))

    return {"on the event loop": inline, "asyncio.to_thread": pool, "a thread of its own": handed}


def case(look_up: LookUp, hashes: list[bytes], at_once: int) -> Case:
    """Return a round of look-ups."""
    return lambda: uvloop.run(_look_up(look_up, hashes, at_once))


def main() -> None:
    """Measure look-ups."""
    need_two_cores()
    os.sched_setaffinity(0, {SERVER_CORE})
    surroundings("uvloop")
    with workplace() as place:
        house = new_house(place / "data")
        add_keys(house, KEYS)
        with sqlite3.connect(house.data / DATABASE_FILE) as connection:
            hashes = [row[0] for row in connection.execute("SELECT secret_hash FROM api_key")]
        connection.close()
        database = SqliteDatabase(house.data / DATABASE_FILE, clock=SystemClock())
        cases = {
            f"{name}, {at_once}": case(look_up, hashes, at_once)
            for at_once in AT_ONCE
            for name, look_up in ways(database).items()
        }
        found = in_turn(ROUNDS, cases)
        rows = []
        for name, figures in found.items():
            base = f"on the event loop, {name.rpartition(', ')[2]}"
            rows.append([name, figures["rate"].text(), ratio(found, name, base), figures["cpu"].text(1)])
        table(["way, readers at once", "look-ups a second", "of the event loop's", "CPU, µs"], rows)
        database.close()
        say(f"{KEYS:,} API keys in the table.")


if __name__ == "__main__":
    main()
