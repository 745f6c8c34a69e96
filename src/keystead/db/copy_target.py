"""The side that is copied to: PostgreSQL, over one connection that reads and one that writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import Table, Text, bindparam, collate, delete, literal_column, select, update

from keystead.db.installation import INSERT, SEALED_ROOT
from keystead.db.master_secret import InstallationError
from keystead.db.merging import Fetch, Row
from keystead.db.shared_installation import OLDEST_SERVER, reason_of
from keystead.db.statements import Command, Query
from keystead.db.tables import installation
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_CONNECT_SECONDS: Final = 10.0
_LONGEST_STEP: Final = 900.0
_LOCK: Final = 0x4B65_7973_7465_6164
"""The number of the lock that whoever copies into a database holds: "Keystead" in ASCII."""
_SERVERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keystead'"
)
_REPLACE: Final = Command(
    update(installation)
    .where(installation.c.sealed_root == bindparam("found"))
    .values(sealed_root=bindparam("by"), created_at=bindparam("made"))
)


class Target:
    """The side that is copied to: one connection that reads and one that writes."""

    def __init__(self, reader: "Connection", writer: "Connection") -> None:
        self.reader = reader
        self.writer = writer

    @asynccontextmanager
    async def all_of(self, table: Table, batch: int, *, keys_only: bool = False) -> AsyncIterator[Fetch]:
        """Give what fetches the rows of a table, as they are now, in the order of their keys."""
        columns = list(table.primary_key.columns if keys_only else table.columns)
        order = [collate(key, "C") if isinstance(key.type, Text) else key for key in table.primary_key.columns]
        statement = Query(select(*columns).order_by(*order), tuple).numbered.sql
        async with self.reader.transaction(isolation="repeatable_read", readonly=True):
            cursor = await self.reader.cursor(statement)

            async def fetch() -> list[Row]:
                return [tuple(row) for row in await cursor.fetch(batch)]

            yield fetch

    async def append(self, table: Table, rows: list[Row]) -> None:
        """Add rows in bulk, all of them or none."""
        names = [column.name for column in table.columns]
        await self.writer.copy_records_to_table(table.name, records=rows, columns=names)

    async def put(self, table: Table, rows: list[Row]) -> None:
        """Give the rows with the keys of these the other values of these."""
        keys = {key.name: key for key in table.primary_key.columns}
        values: dict[str, Any] = {c.name: bindparam(f"new_{c.name}") for c in table.columns if c.name not in keys}
        command = Command(
            update(table).where(*(key == bindparam(f"new_{n}") for n, key in keys.items())).values(values)
        )
        names = [f"new_{column.name}" for column in table.columns]
        await self._run_all(command, [dict(zip(names, row, strict=True)) for row in rows])

    async def remove(self, table: Table, keys: list[Row]) -> None:
        """Take rows out."""
        columns = list(table.primary_key.columns)
        command = Command(delete(table).where(*(column == bindparam(f"old_{column.name}") for column in columns)))
        names = [f"old_{column.name}" for column in columns]
        await self._run_all(command, [dict(zip(names, key, strict=True)) for key in keys])

    async def _run_all(self, command: Command, rows: list[dict[str, Any]]) -> None:
        await self.writer.executemany(command.numbered.sql, [command.bind_numbered(row) for row in rows])

    async def sealed_root(self) -> bytes | None:
        """Return what stands where the sealed root key goes; None when nothing does, not even a table."""
        try:
            row = await self.writer.fetchrow(SEALED_ROOT.numbered.sql)
        except asyncpg.UndefinedTableError:
            return None
        return None if row is None else SEALED_ROOT.read(row)

    async def begin(self, mark: bytes, created_at: int) -> None:
        """Put the mark where the root key will go, unless something stands there."""
        values = INSERT.bind_numbered({"id": 1, "sealed_root": mark, "created_at": created_at})
        try:
            await self.writer.execute(INSERT.numbered.sql, *values)
        except asyncpg.UniqueViolationError:
            return

    async def replace_root(self, found: bytes, by: bytes, created_at: int) -> bool:
        """Put one thing in the place of another where the root key goes; False when something else stands there."""
        values = _REPLACE.bind_numbered({"found": found, "by": by, "made": created_at})
        return await self.writer.execute(_REPLACE.numbered.sql, *values) == "UPDATE 1"

    async def holds_rows(self, table: Table) -> bool:
        """Tell whether there is anything in a table."""
        statement = Query(select(*table.primary_key.columns).limit(literal_column("1")), tuple)
        return await self.writer.fetchrow(statement.numbered.sql) is not None

    async def go_on_counting(self, table: Table, column: str, last: int) -> None:
        """Let the next row of a table that counts its rows have the number after ``last``."""
        sequence = "pg_get_serial_sequence(quote_ident($1), $2)"
        await self.writer.execute(f"SELECT setval({sequence}, $3, $4)", table.name, column, max(1, last), last > 0)

    async def analyze(self, table: Table) -> None:
        """Let the planner know what there is, which it otherwise finds out a minute later."""
        await self.writer.execute(f'ANALYZE "{table.name}"')

    async def refuse_servers(self) -> None:
        """Raise InstallationError while a server has the database open."""
        if await self.writer.fetchval(_SERVERS):
            raise InstallationError("A server has the database in PostgreSQL open. Stop it, and start the copy again.")


@asynccontextmanager
async def open_target(url: Secret) -> AsyncIterator[Target]:
    """Connect, and be the only one who copies into the database. Raises InstallationError."""
    async with _connected(url) as reader, _connected(url) as writer:
        version = writer.get_server_version().major
        if version < OLDEST_SERVER:
            raise InstallationError(f"The database is PostgreSQL {version}. Keystead needs {OLDEST_SERVER} or newer.")
        encoding = await writer.fetchval("SHOW server_encoding")
        if encoding != "UTF8":
            raise InstallationError(f"The database holds text as {encoding}: make one with ENCODING 'UTF8'.")
        if not await writer.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            raise InstallationError(
                "Another copy into this database is under way. One that was cut off is forgotten within a minute."
            )
        yield Target(reader, writer)


@asynccontextmanager
async def _connected(url: Secret) -> "AsyncIterator[Connection]":
    settings = {
        "application_name": "keystead-copy",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "tcp_keepalives_idle": "20",  # so that PostgreSQL soon forgets a copy that was cut off
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "4",
    }
    try:
        connection: Connection = await asyncpg.connect(
            url.reveal(), timeout=_CONNECT_SECONDS, command_timeout=_LONGEST_STEP, server_settings=settings
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise InstallationError(f"The database cannot be reached: {reason_of(error, 'its address')}") from None
    try:
        yield connection
    finally:
        connection.terminate()
