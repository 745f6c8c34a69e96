"""What does a serializable unit of work cost on PostgreSQL, and when do units get in each other's way?

Sixteen chains each rotate rows of their own again and again, as refreshes do: by a read and a conditional command, or
in a unit of work that reads and then writes. In a small table PostgreSQL reads every row to find one, so that units
which have nothing to do with each other conflict and are begun again.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests' PostgreSQL is the benches' too

from harness import Case, in_turn, quick, ratio, surroundings, table
from sqlalchemy import bindparam, select, update

from keystead.db import Command, Query, Transaction, insert_into
from keystead.db.migrate import migrate_postgres
from keystead.db.postgres import PostgresDatabase
from keystead.db.tables import client_generation
from keystead.kernel.clock import SystemClock
from keystead.kernel.secrets import Secret
from tests.support.postgres import PostgresServer

CHAINS: Final = 16
ROUNDS: Final = 2 if quick() else 7
SECONDS: Final = 0.5 if quick() else 2.0

Rotate = Callable[[PostgresDatabase, str], Awaitable[int]]

_row = client_generation.c
ADD = Command(insert_into(client_generation))
READ = Query(select(_row.generation).where(_row.fingerprint == bindparam("who")), int)
STEP = Command(
    update(client_generation)
    .where(_row.fingerprint == bindparam("who"), _row.generation == bindparam("spent"))
    .values(generation=_row.generation + 1)
)


async def one_command(database: PostgresDatabase, who: str) -> int:
    """Read, then rotate with a condition; return how many attempts it took."""
    for attempt in count(1):
        spent = await database.one(READ, {"who": who})
        if await database.run(STEP, {"who": who, "spent": spent}):
            return attempt
    raise AssertionError


async def unit_of_work(database: PostgresDatabase, who: str) -> int:
    """Do the same in one unit of work."""
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await tx.run(STEP, {"who": who, "spent": await tx.one(READ, {"who": who})})

    await database.write(work)
    return attempts


async def measure(url: str, rotate: Rotate, rows: int) -> dict[str, float]:
    """Let every chain rotate its own rows for a while."""
    database = PostgresDatabase(Secret(url), clock=SystemClock(), pool=CHAINS)
    until, done, attempts = time.perf_counter() + SECONDS, 0, 0
    spent = time.process_time()

    async def chain(number: int) -> None:
        nonlocal done, attempts
        for turn in count():
            if time.perf_counter() > until:
                return
            took = await rotate(database, f"{(number + CHAINS * turn) % rows:06}")
            done, attempts = done + 1, attempts + took

    await asyncio.gather(*(chain(number) for number in range(CHAINS)))
    await database.aclose()
    return {
        "rate": done / SECONDS,
        "cpu": (time.process_time() - spent) / done * 1e6,
        "attempts": attempts / done,
    }


async def fill(url: str, rows: int) -> None:
    """Make the table."""
    await migrate_postgres(url)
    database = PostgresDatabase(Secret(url), clock=SystemClock())
    await database.run_all(ADD, [{"fingerprint": f"{n:06}", "generation": 0} for n in range(rows)])
    await database.aclose()


def main() -> None:
    """Print the tables."""
    surroundings("asyncpg", "sqlalchemy")
    with tempfile.TemporaryDirectory() as place, PostgresServer(Path(place)) as server:
        for rows in (64, 20_000):
            url = server.create_database()
            asyncio.run(fill(url, rows))
            server.execute("VACUUM ANALYZE", url.rpartition("/")[2])
            cases: dict[str, Case] = {
                "a read and one command": lambda url=url, rows=rows: asyncio.run(measure(url, one_command, rows)),  # type: ignore[misc]
                "a serializable unit": lambda url=url, rows=rows: asyncio.run(measure(url, unit_of_work, rows)),  # type: ignore[misc]
            }
            found = in_turn(ROUNDS, cases)
            table(
                [f"{rows:,} rows", "a second", "of the first", "CPU, µs", "attempts"],
                [
                    [
                        name,
                        figures["rate"].text(),
                        ratio(found, name, "a read and one command"),
                        figures["cpu"].text(),
                        figures["attempts"].text(2),
                    ]
                    for name, figures in found.items()
                ],
            )


if __name__ == "__main__":
    main()
