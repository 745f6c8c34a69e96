"""The PostgreSQL engine: a pool of connections, units of work that are serializable, and what is tried again.

Nothing here is beyond plain PostgreSQL 13, CockroachDB and YugabyteDB, but for LISTEN and NOTIFY, which one setting
turns off. A request holds one connection at a time (promise O6). A fault of the database is a DatabaseError, never a
wrong answer (promise R8): what is safe to repeat is repeated for a while first.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg

from keystead.db.engine import DatabaseError, Transaction, UniqueViolation
from keystead.db.feed import APPEND
from keystead.db.follower import CHANNEL, Follower
from keystead.db.lending import Lending
from keystead.db.statements import Command, LookUp, Parameters, Query
from keystead.db.sweeping import Sweeping
from keystead.db.together import Together
from keystead.kernel.clock import Clock
from keystead.kernel.problems import InvalidRequest
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")

STATEMENT_SECONDS: Final = 2.0
"""Longest wait for one answer of the database, or for a free connection."""
_LONGEST_TRANSACTION_MS: Final = 10_000
_KEEP_TRYING: Final = 2.0
"""Seconds for which a unit of work is begun again after a conflict or a lost connection."""
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.2

_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TargetServerAttributeNotMatched,  # no server of the address takes writes just now
    asyncpg.InternalClientError,  # the server has said that it goes, and the end of the connection was not read yet
    OSError,
    TimeoutError,
)
_CONFLICT: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_UNSTORABLE: Final = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError, UnicodeError)

_in_work: ContextVar[bool] = ContextVar("in_work", default=False)
_log = logging.getLogger(__name__)


class _NotBegun(Exception):  # noqa: N818 - says how far it came
    """Nothing was done that the database could have kept, so it may be done again."""


def options() -> dict[str, Any]:
    """Return how every connection is opened: with bounds on how long the server works and waits for us."""
    return {
        "timeout": STATEMENT_SECONDS,
        "command_timeout": STATEMENT_SECONDS,
        "statement_cache_size": 400,
        "server_settings": {
            "application_name": "keystead",
            "statement_timeout": str(int(2_000 * STATEMENT_SECONDS)),
            "idle_in_transaction_session_timeout": str(_LONGEST_TRANSACTION_MS),
            # A plan that was made while a table was tiny is kept while the table grows; each of ours has an index.
            "enable_seqscan": "off",
        },
    }


def translated(error: Exception) -> Exception:
    """Return what a service is told of an error of the driver."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation(str(error.constraint_name))
    if isinstance(error, _UNSTORABLE) or isinstance(error.__cause__, _UNSTORABLE):
        return InvalidRequest("A value holds a character that cannot be stored. Send text without control characters.")
    if isinstance(error, (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.SyntaxOrAccessError)):
        return error  # a mistake of ours, which no second try mends
    if isinstance(error, (asyncpg.PostgresError, *_AWAY)):
        # The first line alone: those after it may hold values of a row.
        _log.error("database fault: %s: %s", type(error).__name__, str(error).partition("\n")[0])
        return DatabaseError()
    return error


class _PostgresTransaction:
    """A unit of work's view of its connection."""

    def __init__(self, connection: "Connection", now: int) -> None:
        self._connection = connection
        self._now = now
        self.announced = False

    async def one(self, query: Query[T], parameters: Parameters) -> T | None:
        row = await self._connection.fetchrow(query.numbered.sql, *query.bind_numbered(parameters))
        return None if row is None else query.read(row)

    async def all(self, query: Query[T], parameters: Parameters) -> list[T]:
        rows = await self._connection.fetch(query.numbered.sql, *query.bind_numbered(parameters))
        return [query.read(row) for row in rows]

    async def run(self, command: Command, parameters: Parameters) -> int:
        self.announced = self.announced or command.announces
        return await execute(self._connection, command, parameters)

    async def announce(self, subject: str) -> None:
        await self.run(APPEND, {"subject": subject, "at": self._now})


async def execute(connection: "Connection", command: Command, parameters: Parameters) -> int:
    """Run a command and return how many rows it touched."""
    status = await connection.execute(command.numbered.sql, *command.bind_numbered(parameters))
    return int(status.rpartition(" ")[2])


class PostgresDatabase:
    """A PostgreSQL database that any number of nodes share."""

    def __init__(
        self, url: Secret, *, clock: Clock, pool: int = 10, notify: bool = True, audit_kept: int = 365 * 86_400
    ) -> None:
        """Connect at the first use. ``pool`` is the most connections for queries; one more hears of changes."""
        self._url = url
        self._clock = clock
        self._notify = notify
        self._lending = Lending(self._connect, most=pool, patience=STATEMENT_SECONDS)
        self._together = Together(self._look_up, patience=STATEMENT_SECONDS)
        self._follower = Follower(self._connect, notify=notify)
        self._sweeping = Sweeping(self, clock, audit_kept)
        self._tasks: list[asyncio.Task[None]] = []

    async def one(self, query: Query[T], parameters: Parameters) -> T | None:
        """Return the first row's record, or None. Raises DatabaseError."""
        if isinstance(query, LookUp):
            _check_not_in_work()
            return await self._together.find(query, query.value(parameters))
        sql, values = query.numbered.sql, query.bind_numbered(parameters)
        row = await self._read(lambda connection: connection.fetchrow(sql, *values))
        return None if row is None else query.read(row)

    async def all(self, query: Query[T], parameters: Parameters) -> list[T]:
        """Return every row's record. Raises DatabaseError."""
        sql, values = query.numbered.sql, query.bind_numbered(parameters)
        return [query.read(row) for row in await self._read(lambda connection: connection.fetch(sql, *values))]

    async def run(self, command: Command, parameters: Parameters) -> int:
        """Run one command by itself, in one round trip, and return how many rows it touched."""
        return await self._at_once(lambda connection: execute(connection, command, parameters), command)

    async def run_all(self, command: Command, rows: Sequence[Parameters]) -> None:
        """Run one command for each of these, in as few round trips as can be."""
        sql, values = command.numbered.sql, [command.bind_numbered(row) for row in rows]
        await self._at_once(lambda connection: connection.executemany(sql, values), command)

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in one serializable transaction and return its value after the commit is durable."""
        doubted = False

        async def attempt() -> tuple[T, bool]:
            nonlocal doubted
            try:
                return await self._lent(lambda connection: self._attempt(connection, work))
            except asyncpg.UniqueViolationError as error:
                # It may come of a unit that ran at the same time and whose row was not to be seen yet, as PostgreSQL's
                # manual says (section 13.2.3). Begun once more, a unit sees it; whoever is refused again is refused.
                if doubted:
                    raise
                doubted = True
                raise _NotBegun from error

        value, announced = await self._again(attempt)
        if announced:
            await self.changes()  # before anybody is told that it is done
        return value

    async def changes(self) -> None:
        """Hear of every change that any process has committed so far."""
        await self._read(self._follower.read)

    def fresh(self) -> bool:
        """Say whether every change of more than a second ago was heard of."""
        return self._follower.fresh()

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with each changed subject, or with ``EVERYTHING``."""
        self._follower.listen(listener)

    @property
    def hears_by_itself(self) -> bool:
        """Yes: the follower is told, or asks."""
        return True

    async def start(self) -> None:
        """Begin to follow the feed and to clean up in turn with the other nodes."""
        self._tasks = [asyncio.create_task(self._follower.follow()), asyncio.create_task(self._sweeping.go_on())]
        await self._follower.heard_once()

    async def aclose(self) -> None:
        """Finish what was accepted, then close every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                await self._together.finish()
                await self._lending.close()
        except (*_AWAY, asyncpg.PostgresError):
            self._together.stop()
            self._lending.terminate()

    async def _connect(self) -> "Connection":
        return await asyncpg.connect(self._url.reveal(), **options())

    async def _look_up(self, query: LookUp[T], values: list[bytes]) -> dict[bytes, T]:
        """Return the records of several look-ups by their values."""
        sql = query.together.sql
        rows = await self._read(lambda connection: connection.fetch(sql, values))
        return query.read_together(rows)

    async def _lent(self, act: "Callable[[Connection], Awaitable[T]]") -> T:
        """Do something over a connection; one on which anything went wrong is not lent again. Raises _NotBegun."""
        _check_not_in_work()
        try:
            connection = await self._lending.borrow()
        except (*_AWAY, asyncpg.PostgresError) as error:
            raise _NotBegun from error
        try:
            return await act(connection)
        except BaseException as error:
            _drop_if_spoiled(connection, error)
            raise
        finally:
            self._lending.give_back(connection)

    async def _attempt(self, connection: "Connection", work: Callable[[Transaction], Awaitable[T]]) -> tuple[T, bool]:
        """Run ``work`` once. Raises _NotBegun while the commit was not asked for, or was refused."""
        transaction = _PostgresTransaction(connection, self._clock.now())
        token = _in_work.set(True)
        try:
            await connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            value = await work(transaction)
        except (*_AWAY, *_CONFLICT) as error:
            await _roll_back(connection, error)
            raise _NotBegun from error
        except BaseException as error:
            await _roll_back(connection, error)
            raise
        finally:
            _in_work.reset(token)
        try:
            announcing = transaction.announced and self._notify
            status = await connection.execute(f"NOTIFY {CHANNEL}; COMMIT" if announcing else "COMMIT")
        except _CONFLICT as error:
            await _roll_back(connection, error)
            raise _NotBegun from error
        if status != "COMMIT":
            raise RuntimeError("a unit of work went on after an error, so nothing of it was kept")
        return value, transaction.announced

    async def _at_once(self, act: "Callable[[Connection], Awaitable[T]]", command: Command) -> T:
        """Do what is a transaction of its own."""
        if command.announces:
            raise RuntimeError("an announcement belongs to a unit of work")

        async def attempt() -> T:
            try:
                return await self._lent(act)
            except _CONFLICT as error:  # it was not done
                raise _NotBegun from error

        return await self._again(attempt)

    async def _read(self, question: "Callable[[Connection], Awaitable[T]]") -> T:
        """Ask, and ask again over another connection when one is lost: a question changes nothing."""

        async def attempt() -> T:
            try:
                return await self._lent(question)
            except _AWAY as error:
                raise _NotBegun from error

        return await self._again(attempt)

    async def _again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat what was not begun, for a while, with longer and longer pauses. Raises what ``translated`` makes."""
        until, pause = time.monotonic() + _KEEP_TRYING, _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except _NotBegun as error:
                cause = error.__cause__
                if time.monotonic() + pause > until or not isinstance(cause, Exception):
                    raise translated(cause if isinstance(cause, Exception) else error) from cause
            except Exception as error:
                found = translated(error)
                if found is error:
                    raise
                raise found from error
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads the load, keeps no secret
            pause = min(2 * pause, _LONGEST_PAUSE)


def _check_not_in_work() -> None:
    if _in_work.get():
        raise RuntimeError("a unit of work reads through its transaction, not through a second connection")


def _spoils(error: BaseException | None) -> bool:
    """Tell whether after this error it is not known what a connection is in the middle of."""
    return isinstance(error, (*_AWAY, asyncio.CancelledError))


def _drop_if_spoiled(connection: "Connection", error: BaseException) -> None:
    if _spoils(error) or _spoils(error.__cause__) or connection.is_in_transaction():
        connection.terminate()


async def _roll_back(connection: "Connection", error: BaseException) -> None:
    """Undo what was begun, unless the connection is dropped anyway."""
    if _spoils(error):
        return
    try:
        await connection.execute("ROLLBACK")
    except (*_AWAY, asyncpg.PostgresError):
        return  # it is still in its transaction, or lost, and is not lent again
