"""The side that is copied from: the SQLite file, under its write lock, so that nothing changes while it is read."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Table, Text, func, literal_column, or_, select

from keystead.db.master_secret import InstallationError
from keystead.db.merging import Fetch, Key, Row
from keystead.db.sqlite import connect
from keystead.db.statements import Query

_KINDS: Final = {str: "text", int: "integer", bytes: "blob"}
"""What SQLite calls the kinds of values that there are."""
_NAMED: Final = 3
"""How many rows a refusal names; more are counted."""


class Source:
    """An installation's SQLite file. Others may read it meanwhile."""

    def __init__(self, path: Path) -> None:
        """Take the write lock. Raises InstallationError."""
        self._path = path
        try:
            self._connection = connect(path)
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise InstallationError(f"The database {path} cannot be held still: {error}. Stop the server.") from error

    def close(self) -> None:
        """Let go of the lock. Nothing was written."""
        self._connection.close()

    def installation(self) -> tuple[bytes, int]:
        """Return the sealed root key, and when it was made. Raises InstallationError where there is none yet."""
        row = self._connection.execute("SELECT sealed_root, created_at FROM installation").fetchone()
        if row is None:
            raise InstallationError(f"{self._path} holds no installation yet.")
        return bytes(row[0]), int(row[1])

    def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        return int(self._connection.execute(Query(select(func.count()).select_from(table), int).sql).fetchone()[0])

    def last_number(self, table: Table) -> int:
        """Return the highest number that SQLite ever gave to a row of a table; 0 when it gave none."""
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
        return 0 if found is None else int(found[0])

    def all_of(self, table: Table, batch: int, *, keys_only: bool = False) -> Fetch:
        """Return what fetches the rows of a table in the order of their keys, so many at a time."""
        columns = list(table.primary_key.columns if keys_only else table.columns)
        statement = Query(select(*columns).order_by(*table.primary_key.columns), tuple).sql
        cursor = self._connection.execute(statement)

        def fetch() -> list[Row]:
            try:
                return cursor.fetchmany(batch)
            except sqlite3.Error as error:
                raise InstallationError(f"The table {table.name} of {self._path} cannot be read: {error}.") from error

        return lambda: asyncio.to_thread(fetch)

    def refuse_what_cannot_be_stored(self, tables: Sequence[Table]) -> None:
        """Raise InstallationError for values that PostgreSQL has no place for, text with NUL characters above all."""
        found = [sentence for table in tables for sentence in self._unstorable(table)]
        if found:
            more = "" if len(found) <= _NAMED else f" There are {len(found) - _NAMED} more."
            raise InstallationError(
                f"{' '.join(found[:_NAMED])}{more} PostgreSQL cannot store that: mend it in {self._path.name}, a NUL "
                "character for instance with the SQL function replace(column, char(0), ''). Nothing was changed."
            )

    def _unstorable(self, table: Table) -> list[str]:
        statement = select(table).where(or_(*map(_is_unstorable, table.columns)))
        rows = self._connection.execute(Query(statement, tuple).sql).fetchall()
        return [
            f"The column {column.name} of the {named(table, row)} holds {wrong}."
            for row in rows
            for column, value in zip(table.columns, row, strict=True)
            if (wrong := _wrong(column, value))
        ]


def _is_unstorable(column: Column[Any]) -> ColumnElement[bool]:
    kind = func.typeof(column).not_in(
        [literal_column(f"'{kind}'") for kind in (_KINDS[column.type.python_type], "null")]
    )
    if not isinstance(column.type, Text):
        return kind
    return or_(kind, func.instr(column, literal_column("char(0)")) > literal_column("0"))


def _wrong(column: Column[Any], value: object) -> str:
    if value is not None and not isinstance(value, column.type.python_type):
        return f"a {type(value).__name__}"
    return "a NUL character" if isinstance(value, str) and "\0" in value else ""


def key_of(table: Table) -> Key:
    """Return what gives the primary key of a row; keys are in the order in which both sides are read."""
    places = [number for number, column in enumerate(table.columns) if column.primary_key]
    return lambda row: tuple(row[place] for place in places)


def named(table: Table, row: Row) -> str:
    """Return how a person finds a row."""
    pairs = zip(table.primary_key.columns, key_of(table)(row), strict=True)
    return f"row of {table.name} with " + ", ".join(f"{column.name} {value!r}" for column, value in pairs)
