"""The storages that the contract is held against."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.db import Database, sqlite
from tests.db.storage import SqliteStorage, Storage


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio."""
    return "asyncio"


@pytest.fixture(params=["sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Give an empty storage with every table in it, of each engine in turn."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)
    made = {"sqlite": SqliteStorage}[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def database(storage: Storage) -> Database:
    """Give one process's view of the storage."""
    return storage.open()
