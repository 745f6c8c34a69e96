"""A program that kills a copy to PostgreSQL, by SIGKILL, further and further on, and looks at what is left.

It is given a data directory, the address of a database to make others from, and their names. It has one thread, so it
may fork. It prints a line of JSON for each kill.
"""

import asyncio
import sys
from functools import partial
from itertools import count
from pathlib import Path

import asyncpg

from keystead.db.copy_mark import is_mark
from keystead.db.copying import Copying, open_source
from keystead.db.master_secret import InstallationError
from keystead.db.shared_installation import open_shared_installation
from keystead.kernel.clock import SystemClock
from keystead.kernel.secrets import Secret
from tests.db.interrupted import report, runs_to_its_end

FILES = ("db/copying.py", "db/copy_target.py")
BATCH = 7


class Nobody:
    """Is told nothing."""

    def step(self, name: str) -> None:
        """Hear of a step."""

    def rows(self, done: int, of: int) -> None:
        """Hear of rows."""


def copy(data: Path, url: str) -> None:
    """Copy in small batches."""
    source, original = open_source(data, None)
    try:
        asyncio.run(Copying(source, original, Nobody(), batch=BATCH).run(Secret(url), replace=False))
    finally:
        source.close()


async def left_in(url: str) -> tuple[int, bool]:
    """Return how many rows there are in two tables that the test has filled, and whether the mark stands there."""
    connection = await asyncpg.connect(url)
    try:
        held = await connection.fetchval('SELECT (SELECT count(*) FROM "user") + (SELECT count(*) FROM audit_event)')
        root = await connection.fetchval("SELECT sealed_root FROM installation")
    finally:
        await connection.close()
    return held, root is not None and is_mark(root)


def server_says(data: Path, url: str) -> str:
    """Start as a server does, and return why it cannot; nothing when it can."""
    try:
        open_shared_installation(data, None, SystemClock(), Secret(url))
    except InstallationError as error:
        return str(error)
    return ""


def kill_all(data: Path, step: int, urls: list[str]) -> None:
    """Kill one copy further on into each of these databases, and then go on with it to its end."""
    for number, url in enumerate(urls, 1):
        done = runs_to_its_end(partial(copy, data, url), FILES, number * step)
        held, marked = asyncio.run(left_in(url))
        refusal = server_says(data, url) if marked else ""
        if not done and (marked or not held):  # else it was killed after its last step
            copy(data, url)
        report(done=done, held=held, marked=marked, refusal=refusal, after=server_says(data, url))


def kill_again_and_again(data: Path, step: int, urls: list[str]) -> None:
    """Kill copies into one database, each of them later, until one runs to its end."""
    for lines in count(step, step):
        done = runs_to_its_end(partial(copy, data, urls[0]), FILES, lines)
        held, marked = asyncio.run(left_in(urls[0]))
        report(done=done, held=held, marked=marked)
        if done or (held and not marked):  # it was killed after its last step
            return


if __name__ == "__main__":
    kill = {"all": kill_all, "again": kill_again_and_again}[sys.argv[1]]
    kill(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
