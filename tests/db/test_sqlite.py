"""What only the file's engine promises: a feed without gaps, clean-up beside writes, units of work that never wait."""

import asyncio

import pytest

from keystead.db import Database, Transaction
from keystead.db.feed import EVERYTHING
from tests.db.storage import NAMES, SqliteStorage
from tests.db.test_contract import adding, announcing


@pytest.fixture
def storage(sqlite_storage: SqliteStorage) -> SqliteStorage:
    """Give the file alone: what is tested here is the engine's own."""
    return sqlite_storage


async def test_a_process_that_missed_some_of_the_feed_forgets_everything(storage: SqliteStorage) -> None:
    sleeper, busy = await storage.open(), await storage.open()
    heard: list[str] = []
    sleeper.listen(heard.append)
    await busy.write(announcing("user:a"))
    await sleeper.changes()
    await busy.write(announcing(*(f"user:{n}" for n in range(20))))
    storage.clock.advance(2 * 3_600)
    for n in range(60):  # every write takes a bite, so the rows of two hours ago are gone
        await busy.write(announcing(f"session:{n}"))
    remaining = storage.fetch("SELECT count(*) FROM revocation WHERE subject LIKE 'user:%'")
    assert remaining == [(0,)]
    await sleeper.changes()
    assert heard == ["user:a", EVERYTHING]
    await busy.write(announcing("user:b"))
    await sleeper.changes()
    assert heard == ["user:a", EVERYTHING, "user:b"]


async def test_a_gap_in_the_middle_of_the_feed_is_noticed_too(storage: SqliteStorage) -> None:
    sleeper, busy = await storage.open(), await storage.open()
    heard: list[str] = []
    sleeper.listen(heard.append)
    await busy.write(announcing("user:a"))
    storage.clock.advance(-7_200)  # a machine whose clock is wrong
    await busy.write(announcing("user:b"))
    storage.clock.advance(7_200)
    for n in range(40):
        await busy.write(announcing(f"session:{n}"))
    assert storage.fetch("SELECT subject FROM revocation ORDER BY seq LIMIT 2") == [("user:a",), ("session:0",)]
    await sleeper.changes()
    assert heard == [EVERYTHING]


async def test_the_end_of_the_feed_is_kept_however_old_it_is(storage: SqliteStorage) -> None:
    database = await storage.open()
    await database.write(announcing("user:a", "user:b"))
    storage.clock.advance(365 * 86_400)
    for n in range(40):
        await database.write(adding(f"{n}"))
    assert storage.fetch("SELECT subject FROM revocation") == [("user:b",)]


async def test_a_unit_of_work_that_waits_for_anything_else_is_refused(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await adding("a")(tx)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="nothing but its transaction"):
        await database.write(work)
    assert await database.all(NAMES, {}) == []
