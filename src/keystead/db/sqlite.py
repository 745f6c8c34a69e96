"""The SQLite engine: reads inline on the event loop, one writer thread that commits a batch at a time.

An answer is sent only after its commit is on the disk (``synchronous=FULL``); batching is what makes that fast. Figures
are in ``docs/decisions/``. A request reads through the one shared read connection or writes through the writer, never
both at once (promise O6).
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from keystead.db.cleanup import LARGEST_BITE, Sweeper
from keystead.db.engine import DatabaseError, Transaction, UniqueViolation
from keystead.db.feed import APPEND, ChangeFeed
from keystead.db.journal import write_ahead
from keystead.db.statements import Command, Parameters, Query
from keystead.kernel.clock import Clock

T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[Any]]

BUSY_TIMEOUT_MS: Final = 4_000
LARGEST_BATCH: Final = 256
LONGEST_QUEUE: Final = 10_000
ROWS_PER_WRITE: Final = 4

_log = logging.getLogger(__name__)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database file in autocommit, with the durability and the checks that Keystead relies on."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
        cached_statements=256,
    )
    write_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _failure_of_neighbour(error: BaseException) -> BaseException:
    """Return what a unit of work is told whose batch failed through no fault of its own."""
    if isinstance(error, sqlite3.Error):
        error = _translated(error)
    if isinstance(error, DatabaseError):
        return error
    _log.error("a batch of writes failed", exc_info=error)
    return DatabaseError()


def _translated(error: sqlite3.Error) -> Exception:
    if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in str(error):
        return UniqueViolation(str(error))
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)):
        return error  # a mistake of ours, which no second try mends
    _log.error("database fault: %s", error)
    return DatabaseError()


class _Connection:
    """A connection that speaks in statements and records."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Kept, because making one takes a sixth of a look-up. All rows are fetched at once, so it is free again.
        self._cursor = connection.cursor()

    async def one(self, query: Query[T], parameters: Parameters) -> T | None:
        try:
            rows = self._cursor.execute(query.sql, query.bind(parameters)).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error
        return query.read(rows[0]) if rows else None

    async def all(self, query: Query[T], parameters: Parameters) -> list[T]:
        try:
            rows = self._connection.execute(query.sql, query.bind(parameters)).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error
        return [query.read(row) for row in rows]


class _SqliteTransaction(_Connection):
    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        super().__init__(connection)
        self._now = now

    async def run(self, command: Command, parameters: Parameters) -> int:
        try:
            return self._connection.execute(command.sql, command.bind(parameters)).rowcount
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def announce(self, subject: str) -> None:
        await self.run(APPEND, {"subject": subject, "at": self._now})


@dataclass(slots=True)
class _Job:
    work: Work
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class SqliteDatabase:
    """An embedded database in one file; any number of processes on the machine may have it open."""

    def __init__(self, path: Path, *, clock: Clock, audit_kept: int = 365 * 86_400, batching: bool = True) -> None:
        """Open the file, which migrations have brought up to date, and start the writer.

        ``batching=False`` commits each unit of work by itself, for measuring what group commit is worth.
        """
        self._clock = clock
        self._largest_batch = LARGEST_BATCH if batching else 1
        self._reads = connect(path)
        self._reader = _Connection(self._reads)
        self.feed = ChangeFeed(self._reads)
        self._writes = connect(path)
        self._sweeper = Sweeper(audit_kept)
        self._jobs: queue.Queue[_Job | None] = queue.Queue(LONGEST_QUEUE)
        self._closing = self._closed = False
        self._writer = threading.Thread(target=self._write_batches, name="database-writer", daemon=True)
        self._writer.start()

    def one(self, query: Query[T], parameters: Parameters) -> Coroutine[Any, Any, T | None]:
        """Return the first row's record, or None. Raises DatabaseError."""
        return self._reads_allowed().one(query, parameters)

    def all(self, query: Query[T], parameters: Parameters) -> Coroutine[Any, Any, list[T]]:
        """Return every row's record. Raises DatabaseError."""
        return self._reads_allowed().all(query, parameters)

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction and return its value after the commit is durable."""
        loop = asyncio.get_running_loop()
        if self._closing:
            raise DatabaseError("The service is stopping. Try again.")
        job = _Job(work, loop, loop.create_future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise DatabaseError("The service is too busy to take this just now. Try again.") from None
        return cast(T, await job.future)

    async def run(self, command: Command, parameters: Parameters) -> int:
        """Run one command by itself and return how many rows it touched, after that is durable."""

        async def work(tx: Transaction) -> int:
            return await tx.run(command, parameters)

        return await self.write(work)

    async def run_all(self, command: Command, rows: Sequence[Parameters]) -> None:
        """Run one command for each of these; all of them are durable afterwards."""

        async def work(tx: Transaction) -> None:
            for row in rows:
                await tx.run(command, row)

        await self.write(work)

    async def changes(self) -> None:
        """Hear of every change that any process has committed so far."""
        self.fresh()

    def fresh(self) -> bool:
        """Hear of every change committed so far; what is remembered then is true."""
        try:
            self.feed.catch_up()
        except sqlite3.Error as error:
            raise _translated(error) from error
        return True

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with each changed subject, or with ``EVERYTHING``."""
        self.feed.listen(listener)

    @property
    def hears_by_itself(self) -> bool:
        """No: the file is looked at when somebody asks."""
        return False

    async def start(self) -> None:
        """Nothing more is needed: each batch of writes cleans up."""

    async def aclose(self) -> None:
        """Finish what was accepted, then close the file."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Finish what was accepted, then close the file."""
        self._closing = True
        self._jobs.put(None)
        self._writer.join()
        self._closed = True
        self._writes.close()
        self._reads.close()

    def _reads_allowed(self) -> _Connection:
        if threading.get_ident() == self._writer.ident:
            raise RuntimeError("a unit of work reads through its transaction, not through a second connection")
        if self._closed:
            raise DatabaseError("The service is stopping. Try again.")
        return self._reader

    def _write_batches(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch, stop = [first], False
            while len(batch) < self._largest_batch:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stop = True
                    break
                batch.append(job)
            self._run_batch(batch)
            if stop:
                return

    def _run_batch(self, batch: list[_Job]) -> None:
        connection = self._writes
        try:
            connection.execute("BEGIN IMMEDIATE")
            transaction = _SqliteTransaction(connection, self._clock.now())
            for job in batch:
                self._run_job(job, transaction)
            self._sweep(connection, min(ROWS_PER_WRITE * len(batch), LARGEST_BITE))
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in batch:
                job.error = job.error or _failure_of_neighbour(error)
        for loop in {job.loop for job in batch}:
            settled = [job for job in batch if job.loop is loop]
            try:
                loop.call_soon_threadsafe(_settle, settled)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits for these any more
                continue

    def _sweep(self, connection: sqlite3.Connection, most: int) -> None:
        command, parameters = self._sweeper.bite(self._clock.now(), most)
        left = connection.execute(command.sql, command.bind(parameters)).rowcount
        self._sweeper.taken(all_gone=left < most)

    def _run_job(self, job: _Job, transaction: _SqliteTransaction) -> None:
        """Run one unit of work between savepoints, so that its failure undoes its own writes and no others."""
        connection = self._writes
        connection.execute("SAVEPOINT job")
        try:
            job.value = _run_to_end(job.work(transaction))
        except Exception as error:
            job.error = error
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        job.settle()


def _run_to_end(awaitable: Awaitable[Any]) -> Any:
    """Drive a unit of work that only awaits its transaction, which on SQLite never suspends."""
    work = cast(Coroutine[Any, Any, Any], awaitable)
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    raise RuntimeError("a unit of work may await nothing but its transaction")
