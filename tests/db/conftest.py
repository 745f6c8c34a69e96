"""The storages that the contract is held against."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from keystead.db import Database, sqlite
from keystead.db.migrate import migrate_postgres
from tests.db.storage import PostgresStorage, SqliteStorage, Storage
from tests.support.postgres import PostgresServer


@pytest.fixture
async def sqlite_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStorage]:
    """Give an empty file with every table in it."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)
    made = SqliteStorage(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def postgres_storage(postgres_url: str) -> AsyncIterator[PostgresStorage]:
    """Give an empty PostgreSQL database with every table in it."""
    made = PostgresStorage(postgres_url)
    yield made
    await made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> Storage:
    """Give an empty storage with every table in it, of each engine in turn."""
    made: Storage = request.getfixturevalue(f"{request.param}_storage")
    return made


@pytest.fixture
async def database(storage: Storage) -> Database:
    """Give one process's view of the storage."""
    return await storage.open()


@pytest.fixture
def own(new_postgres: Callable[..., PostgresServer]) -> PostgresServer:
    """Give a PostgreSQL that the test may kill."""
    return new_postgres()


@pytest.fixture
async def own_url(own: PostgresServer) -> str:
    url = own.create_database()
    await migrate_postgres(url)
    return url
