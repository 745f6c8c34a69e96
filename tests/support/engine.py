"""The engine under the houses and the servers of the tests: SQLite, or with TEST_ENGINE=postgres a real PostgreSQL.

Which one an installation uses stands in its data directory, so a copy of the directory made here is a copy of all.
Tests that look into SQLite itself are marked ``sqlite`` and are left out of a run over PostgreSQL.
"""

import asyncio
import os
import secrets
import shutil
import sqlite3
import threading
import tomllib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import asyncpg

from keystead.db import Command, Database, DatabaseError, Query, Transaction
from keystead.db.installation import DATABASE_FILE, Keys, open_installation
from keystead.db.master_secret import MASTER_SECRET_FILE
from keystead.db.postgres import PostgresDatabase
from keystead.db.shared_installation import open_shared_installation
from keystead.db.sqlite import SqliteDatabase
from keystead.db.statements import Parameters
from keystead.kernel.clock import Clock
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import FILE_NAME
from tests.support.postgres import NOT_DURABLE, PostgresServer, database_of, home

T = TypeVar("T")

POSTGRES: Final = os.environ.get("TEST_ENGINE") == "postgres"
"""Whether this run is over PostgreSQL."""
WRITES: Final = ("INSERT", "UPDATE", "DELETE")
YEAR: Final = 365 * 86_400
LOOK_EVERY: Final = 32
"""After so many more databases, those are removed whose data directory is gone. Each takes 10 MB."""

_REMOVER: Final = ThreadPoolExecutor(1, thread_name_prefix="databases")
_made: Final[dict[Path, str]] = {}


class OpenDatabase(Database, Protocol):
    """A database that counts and tells what was done over it, and is closed without a loop."""

    units: int
    """How many units of work were asked for."""

    @property
    def rows_changed(self) -> int:
        """How many rows were inserted, changed or deleted over it so far."""
        ...

    def traced(self) -> AbstractContextManager[list[str]]:
        """Collect the statements of the units of work that run meanwhile."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def open_keys(directory: Path, clock: Clock) -> Keys:
    """Open the installation in a data directory, making one where there is none, and return its keys."""
    prepare(directory)
    url = url_of(directory)
    if url is None:
        return open_installation(directory, None, clock)
    return open_shared_installation(directory, None, clock, Secret(url))


def open_database(directory: Path, *, clock: Clock, audit_kept: int = YEAR) -> OpenDatabase:
    """Open the database of an installation once more, as another process would."""
    url = url_of(directory)
    if url is None:
        return CountedSqlite(directory / DATABASE_FILE, clock=clock, audit_kept=audit_kept)
    return CountedPostgres(url, clock=clock, audit_kept=audit_kept)


def sqlite_of(database: Database) -> SqliteDatabase:
    """Return the SQLite database that this is, for a test marked ``sqlite``. Raises TypeError."""
    if not isinstance(database, SqliteDatabase):
        raise TypeError("this is no SQLite database")
    return database


def duplicate(directory: Path, to: Path) -> Path:
    """Copy an installation that nobody has open."""
    shutil.copytree(directory, to, dirs_exist_ok=True)
    url = url_of(directory)
    if url is not None:
        _write_address(to, server().create_database(template=database_of(url)))
    return to


def branch(directory: Path, to: Path) -> Path:
    """Copy an installation that is open, as it is now."""
    url = url_of(directory)
    if url is None:
        with closing(sqlite3.connect(directory / DATABASE_FILE)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:  # lost connections are made anew by whoever has it open
        name = database_of(url)
        server().execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
    return duplicate(directory, to)


def contents(directory: Path) -> Iterator[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """Yield every table of an installation with the names of its columns and all its rows."""
    url = url_of(directory)
    if url is None:
        with closing(sqlite3.connect(f"file:{directory / DATABASE_FILE}?mode=ro", uri=True)) as database:
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = database.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - the database's own names
                yield name, [column for column, *_ in rows.description], rows.fetchall()
        return
    names = _beside(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (name,) in names:
        found = _beside(url, f'SELECT * FROM "{name}"')  # noqa: S608 - the database's own names
        yield str(name), list(found[0].keys()) if found else [], [tuple(row) for row in found]


def execute(directory: Path, *, sqlite: Sequence[str], postgres: Sequence[str]) -> None:
    """Run statements over an installation's database beside its server, in the words of its engine."""
    url = url_of(directory)
    if url is not None:
        for statement in postgres:
            _beside(url, statement)
        return
    with closing(sqlite3.connect(directory / DATABASE_FILE, isolation_level=None)) as database:
        for statement in sqlite:
            database.execute(statement)


def _beside(url: str, sql: str) -> list[asyncpg.Record]:
    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:  # the test may have a loop of its own
        return elsewhere.submit(asyncio.run, fetch()).result()


def prepare(directory: Path) -> None:
    """Have a database for a data directory, and a master secret where nodes must be given one."""
    if POSTGRES and url_of(directory) is None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / MASTER_SECRET_FILE).write_text(secrets.token_urlsafe(32), encoding="utf-8")
        _write_address(directory, server().create_database())


def url_of(directory: Path) -> str | None:
    """Return the address of an installation's database; None when that is the file in the data directory."""
    try:
        found = tomllib.loads((directory / FILE_NAME).read_text(encoding="utf-8")).get("database_url")
    except FileNotFoundError:
        return None
    return None if found is None else str(found)


def _write_address(directory: Path, url: str) -> None:
    (directory / FILE_NAME).write_text(f'database_url = "{url}"\n', encoding="utf-8")
    _made[directory] = url
    if len(_made) % LOOK_EVERY == 0:
        gone = [made for made in _made if not made.exists()]
        _REMOVER.submit(server().drop_database, *[_made.pop(made) for made in gone])


@cache
def server() -> PostgresServer:
    """Return this process's PostgreSQL, which ``close`` ends."""
    started = PostgresServer(home(), NOT_DURABLE)
    started.start()
    return started


def close() -> None:
    """End this process's PostgreSQL if there is one."""
    if server.cache_info().currsize:
        _REMOVER.shutdown(cancel_futures=True)
        server().close()


class CountedSqlite(SqliteDatabase):
    """The SQLite database, which also counts its units of work and tells what the writer executes.

    Its commits do not wait for the disk: a test that pulls no plug has nothing from it.
    """

    units = 0

    def __init__(self, path: Path, *, clock: Clock, audit_kept: int) -> None:
        """Open the file."""
        super().__init__(path, clock=clock, audit_kept=audit_kept)
        self._writes.execute("PRAGMA synchronous=OFF")

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` and count it."""
        self.units += 1
        return await super().write(work)

    @property
    def rows_changed(self) -> int:
        """How many rows the writer has inserted, changed or deleted so far."""
        return self._writes.total_changes

    @contextmanager
    def traced(self) -> Iterator[list[str]]:
        """Collect the statements that the writer executes meanwhile, without their savepoints."""
        statements: list[str] = []

        def note(statement: str) -> None:
            if statement.startswith(("SELECT", *WRITES, "WITH")):
                statements.append(statement)

        self._writes.set_trace_callback(note)
        try:
            yield statements
        finally:
            self._writes.set_trace_callback(None)


class CountedPostgres:
    """The PostgreSQL database on a loop in a thread of its own, so that it outlives a test's loop.

    Like the SQLite one it hears of changes whenever it is asked whether it is fresh, so the same tests hold both.
    """

    hears_by_itself = False

    def __init__(self, url: str, *, clock: Clock, audit_kept: int = YEAR) -> None:
        """Start the thread. Nothing is connected yet."""
        self.units = 0
        self.rows_changed = 0
        self._statements: list[str] | None = None
        self._heard: list[str] = []
        self._listeners: list[Callable[[str], None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgres", daemon=True)
        self._thread.start()
        self._inner = self._now(self._made(url, clock, audit_kept))
        self._now(self._inner.changes())  # its place in the feed is where it is now
        self._inner.listen(self._heard.append)

    @staticmethod
    async def _made(url: str, clock: Clock, audit_kept: int) -> PostgresDatabase:
        return PostgresDatabase(Secret(url), clock=clock, pool=4, notify=False, audit_kept=audit_kept)

    async def one(self, query: Query[T], parameters: Parameters) -> T | None:
        """Return the first row's record, or None."""
        asking = self._inner.one(query, parameters)
        return await self._there(asking)

    async def all(self, query: Query[T], parameters: Parameters) -> list[T]:
        """Return every row's record."""
        return await self._there(self._inner.all(query, parameters))

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` and count it."""
        self.units += 1

        async def counted(tx: Transaction) -> T:
            return await work(_Counting(tx, self))

        return await self._there(self._inner.write(counted))

    async def run(self, command: Command, parameters: Parameters) -> int:
        """Run one command and count it."""
        self.units += 1
        touched = await self._there(self._inner.run(command, parameters))
        self.note(command.sql, touched)
        return touched

    async def run_all(self, command: Command, rows: Sequence[Parameters]) -> None:
        """Run one command for each of these, and count it once."""
        self.units += 1
        await self._there(self._inner.run_all(command, rows))
        self.note(command.sql, len(rows))

    async def changes(self) -> None:
        """Hear of every change so far."""
        await self._there(self._inner.changes())

    def fresh(self) -> bool:
        """Hear of every change so far."""
        self._now(self._inner.changes())
        self._tell()
        return True

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with each changed subject, in the thread that asks."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Nothing goes on by itself here."""

    async def aclose(self) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread."""
        if self._thread.is_alive():
            self._now(self._inner.aclose())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @contextmanager
    def traced(self) -> Iterator[list[str]]:
        """Collect the statements of the units of work that run meanwhile."""
        self._statements = []
        try:
            yield self._statements
        finally:
            self._statements = None

    def note(self, sql: str, touched: int) -> None:
        """Count what a statement did."""
        if self._statements is not None:
            self._statements.append(sql)
        self.rows_changed += touched

    def _now(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise DatabaseError
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        finally:
            self._tell()

    def _tell(self) -> None:
        while self._heard:
            subject = self._heard.pop(0)
            for listener in self._listeners:
                listener(subject)


class _Counting:
    """A unit of work's view, which tells what is done over it."""

    def __init__(self, tx: Transaction, database: CountedPostgres) -> None:
        self._tx = tx
        self._database = database

    async def one(self, query: Query[T], parameters: Parameters) -> T | None:
        found = await self._tx.one(query, parameters)
        self._database.note(query.sql, int(found is not None and query.sql.startswith(WRITES)))
        return found

    async def all(self, query: Query[T], parameters: Parameters) -> list[T]:
        found = await self._tx.all(query, parameters)
        self._database.note(query.sql, len(found) if query.sql.startswith(WRITES) else 0)
        return found

    async def run(self, command: Command, parameters: Parameters) -> int:
        touched = await self._tx.run(command, parameters)
        self._database.note(command.sql, touched)
        return touched

    async def announce(self, subject: str) -> None:
        await self._tx.announce(subject)
        self._database.note("INSERT INTO revocation", 1)
