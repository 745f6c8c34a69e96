"""A start does the same work whatever there is in the tables (promise O5).

What is counted is what SQLite does for it, in hundreds of its own instructions: no machine is too busy for that.
"""

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from keystead.app import build_application
from keystead.db.installation import DATABASE_FILE
from keystead.kernel.clock import SystemClock
from keystead.kernel.settings import Settings
from keystead.services import open_services
from tests.gate.serving import Furnished, furnish

ROWS: Final = 20_000
INSTRUCTIONS: Final = 100
SLACK: Final = 10
"""Hundreds of instructions by which two starts may differ: reading all rows of one table takes many times as many."""
SETTINGS: Final = Settings(public_url="https://auth.example.com")

FILLING: Final = """
INSERT INTO app VALUES ('full', :acme, 'Full', :ada, :now);
INSERT INTO client VALUES ('kc_full', 'full', '', :now);
INSERT INTO api_key (id, secret_hash, app_id, organization_id, user_id, title, hint, scopes, created_at)
    SELECT 'key-' || n, CAST('hash-' || n AS BLOB), 'full', :acme, :ada, 't', 'h', '', :now FROM number;
INSERT INTO oauth_grant
    SELECT 'grant-' || n, 'kc_full', :ada, :acme, '', '', NULL, :now, :later, 1, :now, :later, NULL, NULL FROM number;
INSERT INTO session
    SELECT 'session-' || n, CAST('hash-' || n AS BLOB), :ada, :acme, :now, :now, :later, '', '', 0, 1, NULL, NULL, NULL
    FROM number;
INSERT INTO revocation (subject, at) SELECT 'credential:key-' || n, :now FROM number;
INSERT INTO audit_event SELECT 'event-' || n, :now, 'key:create', NULL, :acme, NULL, NULL, '{}' FROM number;
"""
"""What fills the tables that grow with an installation, and the feed of changes, which holds an hour of them."""


def fill(furnished: Furnished, data: Path) -> None:
    now = int(time.time())
    values = {"acme": furnished.acme, "ada": furnished.ada, "now": now, "later": now + 86_400}
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        database.execute("CREATE TEMP TABLE number (n INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO number VALUES (?)", ((n,) for n in range(ROWS)))
        for statement in FILLING.split(";"):
            database.execute(statement, values if ":" in statement else {})
        database.commit()


class Counted:
    """Counts what SQLite does over every connection that is opened."""

    def __init__(self) -> None:
        self.steps = 0
        self._connect = sqlite3.connect

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        """Open a connection that is counted."""
        connection: sqlite3.Connection = self._connect(*arguments, **options)
        connection.set_progress_handler(self.step, INSTRUCTIONS)
        return connection

    def step(self) -> int:
        """Count, and let SQLite go on."""
        self.steps += 1
        return 0


def start_and_stop(data: Path) -> None:
    """Open an installation and run its application from start to stop, as ``keystead serve`` does."""

    async def run() -> None:
        application = build_application(services, dev=False)
        inner: Any = application.asgi._inner
        async with inner.router.lifespan_context(inner):
            assert await services.signing_keys.published()

    services = open_services(data, SETTINGS, SystemClock())
    asyncio.run(run())


def test_a_start_does_the_same_work_whatever_there_is_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnished = furnish(tmp_path / "empty")
    shutil.copytree(furnished.data, tmp_path / "full")
    fill(furnished, tmp_path / "full")
    work: dict[str, int] = {}
    for name in ("empty", "full"):
        counted = Counted()
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", counted.connect)
            start_and_stop(tmp_path / name)
        work[name] = counted.steps
    assert work["empty"] > 0
    assert work["full"] - work["empty"] <= SLACK
