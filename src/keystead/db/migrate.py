"""Bringing a database up to date: all steps in one transaction under the write lock, so a kill leaves all or nothing.

DDL is transactional on SQLite and on PostgreSQL. The version is looked at with plain SQL first, so that a start on an
up-to-date database does not even import Alembic (promises O3, O5).
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keystead.db.journal import write_ahead

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

_CONNECT_SECONDS: Final = 5.0
NEWEST: Final = "0001"
"""The revision that this version of Keystead works with; a test holds it against the files in ``migrations/``."""


class NewerDatabase(Exception):  # noqa: N818 - reads as what happened
    """The database was last used by a newer version of Keystead."""


def revision_of(path: Path) -> str | None:
    """Return the revision of a SQLite database, or None when it holds nothing yet."""
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    finally:
        connection.close()
    return None if row is None else str(row[0])


def migrate(path: Path) -> None:
    """Bring the database at ``path`` to the newest revision, creating it when there is none.

    Raises NewerDatabase rather than touching what this version does not understand.
    """
    if revision_of(path) == NEWEST:
        return
    from sqlalchemy import create_engine, event

    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _take_the_write_lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            _upgrader()(connection)
    finally:
        engine.dispose()


async def migrate_postgres(url: str) -> None:
    """Bring a PostgreSQL database to the newest revision; of many nodes that start at once, one does it.

    Raises NewerDatabase, and what the driver raises when the database cannot be reached.
    """
    import asyncpg

    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        if await postgres_revision(connection) == NEWEST:
            return
        await _make_lock(connection)
    finally:
        await connection.close()

    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> Any:
        return await asyncpg.connect(url, timeout=_CONNECT_SECONDS)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as migrating:
            # A row's lock, because that is what every database that speaks this protocol has.
            await migrating.execute(text("SELECT id FROM migration_lock WHERE id = 1 FOR UPDATE"))
            await migrating.run_sync(_upgrader())
    finally:
        await engine.dispose()


def migrations() -> "Config":
    """Return where Alembic finds the steps."""
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", "keystead.db:migrations")
    configuration.set_main_option("path_separator", "os")
    return configuration


def _upgrader() -> "Callable[[Connection], None]":
    """Return what runs the missing steps over a connection that has begun. It raises NewerDatabase."""
    from alembic import command
    from alembic.util.exc import CommandError

    configuration = migrations()

    def upgrade(connection: "Connection") -> None:
        configuration.attributes["connection"] = connection
        try:
            command.upgrade(configuration, "head")
        except CommandError as error:
            if "Can't locate revision" in str(error):
                raise NewerDatabase from error
            raise

    return upgrade


async def postgres_revision(connection: Any) -> str | None:
    """Return the revision of a PostgreSQL database, or None when it holds nothing yet."""
    import asyncpg

    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return None if found is None else str(found)


async def _make_lock(connection: Any) -> None:
    """Make the row that whoever migrates locks; others may be making it at this moment."""
    import asyncpg

    while True:
        try:
            await connection.execute("CREATE TABLE IF NOT EXISTS migration_lock (id INTEGER PRIMARY KEY)")
            await connection.execute("INSERT INTO migration_lock (id) VALUES (1) ON CONFLICT DO NOTHING")
            return
        except (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.SerializationError):
            continue
