"""A node's database over PostgreSQL, as a server opens it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from keystead.db.postgres import PostgresDatabase
from keystead.kernel.secrets import Secret
from tests.support.clock import ManualClock

Condition = Callable[[], bool]


async def until(condition: Condition, seconds: float = 10.0) -> float:
    """Wait until a condition is true, at most so long, and return how long it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError
        await asyncio.sleep(0.002)
    return time.monotonic() - started


@asynccontextmanager
async def opened(url: str, *, pool: int = 10, notify: bool = True) -> AsyncIterator[PostgresDatabase]:
    """Open a database as a server does, and let it follow the feed."""
    database = PostgresDatabase(Secret(url), clock=ManualClock(), pool=pool, notify=notify)
    await database.start()
    try:
        yield database
    finally:
        await database.aclose()
