"""When the database is away, busy, full, locked or killed: nothing acknowledged is lost, and the answer is 503 (R8)."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable
from pathlib import Path

import pytest

from keystead.db import Database, DatabaseError, Transaction, UniqueViolation, sqlite
from keystead.db.installation import DATABASE_FILE
from keystead.db.migrate import migrate
from keystead.db.sqlite import SqliteDatabase, connect
from keystead.kernel.problems import InvalidGrant
from tests.db.storage import ADD, COUNTERS, NAMES, SqliteStorage
from tests.support.clock import ManualClock


@pytest.fixture
def storage(sqlite_storage: SqliteStorage) -> SqliteStorage:
    """Give the file alone: what is tested here is the engine's own."""
    return sqlite_storage


async def add(database: Database, who: str) -> int:
    async def work(tx: Transaction) -> int:
        return await tx.run(ADD, {"fingerprint": who, "generation": 0})

    return await database.write(work)


async def outcome_of(work: Awaitable[int]) -> int | BaseException:
    return (await asyncio.gather(work, return_exceptions=True))[0]


async def test_a_locked_database_is_told_as_503_with_retry_after(storage: SqliteStorage) -> None:
    database = await storage.open()
    with storage.locked():
        outcomes = await asyncio.gather(*(add(database, f"{n}") for n in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseError] * 20
    refusal = outcomes[0]
    assert isinstance(refusal, DatabaseError)
    assert refusal.status == 503
    assert int(refusal.headers["Retry-After"]) >= 1
    assert refusal.oauth_error == "temporarily_unavailable"


async def test_writes_go_on_once_the_lock_is_gone(storage: SqliteStorage) -> None:
    database = await storage.open()
    with storage.locked(), pytest.raises(DatabaseError):
        await add(database, "too early")
    assert await add(database, "in time") == 1
    assert await database.all(NAMES, {}) == ["in time"]


async def test_a_short_lock_is_waited_for(storage: SqliteStorage) -> None:
    database = await storage.open()
    with storage.locked():
        waiting = asyncio.create_task(add(database, "a"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    assert await waiting == 1


async def test_reads_go_on_while_somebody_else_writes(storage: SqliteStorage) -> None:
    database = await storage.open()
    await add(database, "a")
    with storage.locked():
        assert await database.all(NAMES, {}) == ["a"]
        await database.changes()


async def test_a_full_queue_is_told_as_503_and_what_was_accepted_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LONGEST_QUEUE", 5)
    path = tmp_path / DATABASE_FILE
    migrate(path)
    database = SqliteDatabase(path, clock=ManualClock())
    loop, started, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    async def slow(_: Transaction) -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(10)

    first = asyncio.create_task(database.write(slow))
    try:
        await started.wait()
        rest = [asyncio.create_task(add(database, f"{n}")) for n in range(12)]
        await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(*rest, return_exceptions=True)
        await first
        assert [type(outcome) for outcome in outcomes] == [int] * 5 + [DatabaseError] * 7
        assert len(await database.all(NAMES, {})) == 5
    finally:
        go_on.set()
        database.close()


async def test_a_full_disk_is_told_as_503_and_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    database = SqliteDatabase(path, clock=ManualClock())
    try:
        await add(database, "before")
        pages = database._writes.execute("PRAGMA page_count").fetchone()[0]
        database._writes.execute(f"PRAGMA max_page_count = {pages + 2}")
        outcomes = await asyncio.gather(
            *(add(database, f"{n}" + "x" * 3_000) for n in range(30)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} <= {int, DatabaseError}
        assert DatabaseError in {type(outcome) for outcome in outcomes}
        kept = await database.all(NAMES, {})
        assert len(kept) == 1 + sum(outcome == 1 for outcome in outcomes)
        database._writes.execute("PRAGMA max_page_count = 1000000")
        assert await add(database, "after") == 1
    finally:
        database.close()


async def test_a_damaged_file_is_told_as_503(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    with contextlib.closing(connect(path)) as connection:
        connection.execute("INSERT INTO client_generation VALUES ('a', 1)")
        root, size = connection.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'client_generation'"
        ).fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(os.urandom(size))
    database = SqliteDatabase(path, clock=ManualClock())
    try:
        with pytest.raises(DatabaseError):
            await database.all(COUNTERS, {})
        with pytest.raises(DatabaseError):
            await add(database, "b")
    finally:
        database.close()


async def test_a_unit_of_work_that_breaks_its_batch_gives_its_neighbours_a_503(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    database = SqliteDatabase(path, clock=ManualClock())

    async def breaking(tx: Transaction) -> None:
        database._writes.execute("ROLLBACK")
        raise InvalidGrant("No.")

    try:
        outcomes = await asyncio.gather(
            add(database, "a"), database.write(breaking), add(database, "b"), return_exceptions=True
        )
        assert isinstance(outcomes[1], InvalidGrant)
        kept = await database.all(NAMES, {})
        told = [name for name, outcome in zip("ab", outcomes[::2], strict=True) if outcome == 1]
        assert kept == told
        assert {type(outcome) for outcome in outcomes[::2]} <= {int, DatabaseError}
    finally:
        database.close()


async def test_a_clean_up_that_fails_is_told_as_503_and_nothing_is_kept_in_secret(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    database = SqliteDatabase(path, clock=ManualClock())
    try:
        database._writes.execute("ALTER TABLE session RENAME TO elsewhere")
        outcomes = [await outcome_of(add(database, f"{n}")) for n in range(16)]
        assert {type(outcome) for outcome in outcomes} == {int, DatabaseError}
        assert len(await database.all(NAMES, {})) == outcomes.count(1)
        database._writes.execute("ALTER TABLE elsewhere RENAME TO session")
        assert await add(database, "a") == 1
    finally:
        database.close()


async def test_writing_to_a_database_that_is_closed_is_told_as_503(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    database = SqliteDatabase(path, clock=ManualClock())
    accepted = [asyncio.create_task(add(database, f"{n}")) for n in range(50)]
    await asyncio.sleep(0)
    database.close()
    assert await asyncio.gather(*accepted) == [1] * 50
    with pytest.raises(DatabaseError):
        await add(database, "too late")


def test_an_event_loop_that_goes_away_does_not_stop_the_writer(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    database = SqliteDatabase(path, clock=ManualClock())

    async def leave_without_waiting(number: int) -> None:
        for n in range(20):
            asyncio.get_running_loop().call_soon(lambda: None)
            task = asyncio.ensure_future(add(database, f"{number}-{n}"))
            await asyncio.sleep(0)
            task.cancel()

    try:
        for number in range(20):
            asyncio.run(leave_without_waiting(number))
        assert asyncio.run(add(database, "still here")) == 1
    finally:
        database.close()


def test_the_connections_are_as_durable_and_as_strict_as_we_rely_on(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    connection = connect(path)
    try:
        answers = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        assert answers == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    finally:
        connection.close()


@pytest.mark.parametrize("acknowledged_before_kill", [1, 200, 1_500])
def test_a_kill_loses_no_acknowledged_write(tmp_path: Path, acknowledged_before_kill: int) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    arguments = [sys.executable, "-m", "tests.db.elsewhere", "write", str(path)]
    acknowledged = []
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            acknowledged.append(line)
            if len(acknowledged) == acknowledged_before_kill:
                program.kill()
    whole = {line.strip() for line in acknowledged if line.endswith("\n")}
    connection = sqlite3.connect(path)
    try:
        kept = {row[0] for row in connection.execute("SELECT fingerprint FROM client_generation")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()
    assert program.returncode < 0
    assert len(whole) >= acknowledged_before_kill
    assert whole <= kept


async def test_a_second_try_after_a_503_does_the_work_once(storage: SqliteStorage) -> None:
    database = await storage.open()
    with storage.locked(), pytest.raises(DatabaseError):
        await add(database, "a")
    await add(database, "a")
    with pytest.raises(UniqueViolation):
        await add(database, "a")
    assert await database.all(NAMES, {}) == ["a"]
