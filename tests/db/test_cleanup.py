"""Expired rows leave beside normal writes, in bites so small that nobody notices (promises O1, R12)."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Table

from keystead.db import Command, Database, Transaction, insert_into
from keystead.db.cleanup import CODES_KEPT, LARGEST_BITE
from keystead.db.sqlite import LARGEST_BATCH, ROWS_PER_WRITE, SqliteDatabase
from keystead.db.tables import (
    audit_event,
    device_authorization,
    invitation,
    key_use,
    metadata,
    oauth_grant,
    revocation,
    revoked_token,
    session,
    short_term_token,
    sign_in_step,
    signing_key,
    wrong_guess,
)
from keystead.kernel.ids import new_id
from tests.db.storage import ADD, SqliteStorage, Storage

EXPIRING: dict[Table, str] = {
    device_authorization: "expires_at",
    session: "expires_at",
    sign_in_step: "expires_at",
    invitation: "expires_at",
    key_use: "day",
    short_term_token: "expires_at",
    oauth_grant: "expires_at",
    revoked_token: "expires_at",
    wrong_guess: "expires_at",
    signing_key: "remove_at",
    audit_event: "at",
}
LIFE = 600


@pytest.fixture
def storage(sqlite_storage: SqliteStorage) -> SqliteStorage:
    """Give the file alone: what is tested here is the engine's own."""
    return sqlite_storage


ADD_DEVICE = Command(insert_into(device_authorization))


def row_of(table: Table, expiry: str, at: int, n: int) -> dict[str, Any]:
    """Return some row of a table that expires at ``at``."""
    row: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type.python_type
        row[column.name] = {str: f"{column.name}-{n}", int: n, bytes: f"{column.name}-{n}".encode()}[kind]
    for foreign in table.foreign_keys:
        row[foreign.parent.name] = None if foreign.parent.nullable else "someone"
    chosen = {device_authorization: {"state": "pending"}, invitation: {"role": "member"}}
    return {**row, expiry: at, **chosen.get(table, {})}


def count(storage: Storage, table: Table) -> int:
    found = storage.fetch(f'SELECT count(*) FROM "{table.name}"')[0][0]  # noqa: S608 - our own table's name
    return int(str(found))


async def busy_writes(database: Database, units: int) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(ADD, {"fingerprint": new_id(), "generation": 0})

    await asyncio.gather(*(database.write(work) for _ in range(units)))


async def fill(database: SqliteDatabase, table: Table, expiry: str, at: int, rows: int) -> None:
    """Add rows whose owners need not exist, as the driver lets us while it is told not to look."""
    command = Command(insert_into(table))
    database._writes.execute("PRAGMA foreign_keys=OFF")

    async def work(tx: Transaction) -> None:
        for n in range(rows):
            await tx.run(command, row_of(table, expiry, at, n))

    await database.write(work)
    database._writes.execute("PRAGMA foreign_keys=ON")


def test_every_table_whose_rows_end_is_cleaned_up() -> None:
    ending = {table.name for table in metadata.sorted_tables if {"expires_at", "remove_at"} & set(table.c.keys())}
    kept_until_used = {"api_key"}  # an expired API key is shown as expired until its owner deletes it
    assert ending - kept_until_used == {table.name for table in EXPIRING if table not in {audit_event, key_use}}


async def test_expired_rows_of_every_table_leave_beside_normal_writes(storage: Storage) -> None:
    database = await storage.open()
    assert isinstance(database, SqliteDatabase)
    now = storage.clock.now()
    for table, expiry in EXPIRING.items():
        await fill(database, table, expiry, now - 400 * 86_400, 50)
    assert {count(storage, table) for table in EXPIRING} <= set(range(51))
    for _ in range(40):
        await busy_writes(database, 10)
    assert {table.name: count(storage, table) for table in EXPIRING} == {table.name: 0 for table in EXPIRING}


async def test_rows_that_are_still_good_stay(storage: Storage) -> None:
    database = await storage.open()
    assert isinstance(database, SqliteDatabase)
    now = storage.clock.now()
    for table, expiry in EXPIRING.items():
        await fill(database, table, expiry, now, 20)
    for _ in range(40):
        await busy_writes(database, 10)
    assert {table.name: count(storage, table) for table in EXPIRING} == {table.name: 20 for table in EXPIRING}


async def test_an_expired_code_still_answers_that_it_is_expired_for_an_hour(storage: Storage) -> None:
    database = await storage.open()
    assert isinstance(database, SqliteDatabase)
    await fill(database, device_authorization, "expires_at", storage.clock.now(), 5)
    storage.clock.advance(CODES_KEPT)
    for _ in range(20):
        await busy_writes(database, 2)
    assert count(storage, device_authorization) == 5
    storage.clock.advance(1)
    for _ in range(20):  # each batch takes its bite from one table, the next batch perhaps from the next
        await busy_writes(database, 2)
    assert count(storage, device_authorization) == 0


async def test_a_mountain_of_expired_rows_leaves_in_small_bites(storage: Storage) -> None:
    database = await storage.open()
    assert isinstance(database, SqliteDatabase)
    await fill(database, device_authorization, "expires_at", 0, 10_000)
    left, largest = count(storage, device_authorization), 0
    assert left > LARGEST_BITE
    database._sweeper._turn = 0
    connection = database._writes
    while left:
        connection.execute("BEGIN IMMEDIATE")
        database._sweep(connection, min(ROWS_PER_WRITE * LARGEST_BATCH, LARGEST_BITE))
        before, left = left, connection.execute("SELECT count(*) FROM device_authorization").fetchone()[0]
        connection.execute("COMMIT")
        largest = max(largest, before - left)
    assert largest == LARGEST_BITE == 1_024


async def test_a_hundred_thousand_device_sign_ins_leave_the_database_bounded(storage: Storage) -> None:
    """Bursts of 500 sign-ins, 420 s apart: ten bursts are alive or answer that they are expired, the rest is gone."""
    database = await storage.open()
    burst, apart = 500, (LIFE + CODES_KEPT) // 10
    some = row_of(device_authorization, "expires_at", 0, 0)
    rows, pages = [], []

    async def sign_in(n: int) -> None:
        own = {"id": f"{n}", "device_code_hash": b"d%d" % n, "user_code_hash": b"u%d" % n}
        row = {**some, **own, "expires_at": storage.clock.now() + LIFE}

        async def work(tx: Transaction) -> None:
            await tx.run(ADD_DEVICE, row)
            await tx.announce(f"device:{n}")

        await database.write(work)

    for number in range(0, 100_000, burst):
        await asyncio.gather(*(sign_in(number + n) for n in range(burst)))
        storage.clock.advance(apart)
        rows.append(count(storage, device_authorization) + count(storage, revocation))
        pages.append(storage.fetch("PRAGMA page_count")[0][0])
    assert max(rows) <= 2 * burst * (10 + 6)  # twelve tables take turns, two batches a burst
    assert int(str(pages[-1])) <= 1.5 * int(str(pages[19]))
