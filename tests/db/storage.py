"""What the storage contract is held against: one class for each engine, and the statements that its tests use.

A new engine joins the suite by a class here and a parameter of the fixture ``storage``.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncpg
from sqlalchemy import bindparam, select, update

from keystead.db import Command, Database, Query, insert_into
from keystead.db.installation import DATABASE_FILE
from keystead.db.migrate import migrate, migrate_postgres
from keystead.db.postgres import PostgresDatabase
from keystead.db.sqlite import SqliteDatabase
from keystead.db.tables import NO_POLICIES, client_generation, organization
from keystead.kernel.secrets import Secret
from tests.support.clock import ManualClock


@dataclass(frozen=True)
class Counter:
    """A row of the table that the tests count in."""

    fingerprint: str
    generation: int


@dataclass(frozen=True)
class Organization:
    """A row of a table with a unique name."""

    id: str
    name: str
    display_name: str
    longest_key_life: int | None
    second_factor_required: int
    password_sign_in_off: int
    device_sign_in_off: int
    created_at: int


_counter = client_generation.c
ADD = Command(insert_into(client_generation))
COUNTER = Query(select(client_generation).where(_counter.fingerprint == bindparam("who")), Counter)
COUNTERS = Query(select(client_generation).order_by(_counter.fingerprint), Counter)
NAMES = Query(select(_counter.fingerprint).order_by(_counter.fingerprint), str)
INCREMENT = Command(
    update(client_generation)
    .where(_counter.fingerprint == bindparam("who"))
    .values(generation=_counter.generation + bindparam("by"))
)
SET = Command(
    update(client_generation).where(_counter.fingerprint == bindparam("who")).values(generation=bindparam("to"))
)
STEP = Command(
    update(client_generation)
    .where(_counter.fingerprint == bindparam("who"), _counter.generation == bindparam("expected"))
    .values(generation=bindparam("to"))
)
ADD_ORGANIZATION = Command(insert_into(organization))
ORGANIZATIONS = Query(select(organization).order_by(organization.c.name), Organization)


def company(name: str, organization_id: str | None = None) -> dict[str, object]:
    """Return the row of an organization."""
    names = {"id": organization_id or f"id-{name}", "name": name, "display_name": name.title()}
    return {**names, **NO_POLICIES, "created_at": 7}


class Storage(Protocol):
    """Somewhere that keeps rows, which any number of processes may open."""

    clock: ManualClock
    location: str

    async def open(self) -> Database:
        """Open it once more, as another process would; the storage closes it."""
        ...

    def fetch(self, sql: str) -> list[tuple[object, ...]]:
        """Ask with the bare driver, over a connection of its own."""
        ...

    async def close(self) -> None:
        """Close everything that was opened."""
        ...


class SqliteStorage:
    """A SQLite file."""

    def __init__(self, directory: Path) -> None:
        """Create the file."""
        self.clock = ManualClock()
        self.path = directory / DATABASE_FILE
        self.location = str(self.path)
        self._opened: list[SqliteDatabase] = []
        migrate(self.path)

    async def open(self) -> SqliteDatabase:
        """Open it once more, as another process would; the storage closes it."""
        database = SqliteDatabase(self.path, clock=self.clock)
        self._opened.append(database)
        return database

    def fetch(self, sql: str) -> list[tuple[object, ...]]:
        """Ask with the bare driver, over a connection of its own."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the write lock from outside."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    async def close(self) -> None:
        """Close everything that was opened."""
        for database in self._opened:
            database.close()


class PostgresStorage:
    """A database of a real PostgreSQL."""

    def __init__(self, url: str, *, notify: bool = True) -> None:
        """Create the tables in the empty database at ``url``."""
        self.clock = ManualClock()
        self.location = url
        self._notify = notify
        self._opened: list[PostgresDatabase] = []

    async def open(self) -> PostgresDatabase:
        """Open it once more, as another process would, and let it find its place in the feed."""
        if not self._opened:
            await migrate_postgres(self.location)
        database = PostgresDatabase(Secret(self.location), clock=self.clock, notify=self._notify)
        self._opened.append(database)
        await database.changes()
        return database

    def fetch(self, sql: str) -> list[tuple[object, ...]]:
        """Ask with the bare driver, over a connection of its own."""

        async def fetch() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.location)
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(asyncio.run, fetch()).result()

    async def close(self) -> None:
        """Close everything that was opened."""
        for database in self._opened:
            await database.aclose()
