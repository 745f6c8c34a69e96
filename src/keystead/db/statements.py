"""Statements: written once in SQLAlchemy Core, compiled once to the SQL text of each dialect, typed by their record.

Compiling at import keeps SQLAlchemy off the path of a request: a look-up costs the driver's time and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, Generic, TypeVar, cast

from sqlalchemy import Delete, Insert, Select, Table, Update, bindparam, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import Insert as Upsert

Parameters = Mapping[str, Any]
T = TypeVar("T")
Readable = Select[Any] | Insert | Update | Delete

_SQLITE: Final = sqlite.dialect(paramstyle="named")


class _Statement:
    """SQL text and the values that are fixed in it."""

    __slots__ = ("_fixed", "_required", "sql")

    def __init__(self, statement: Readable) -> None:
        compiled = statement.compile(dialect=_SQLITE)
        self.sql = str(compiled)
        self._required = frozenset(name for name, bind in compiled.binds.items() if bind.required)
        self._fixed = {name: value for name, value in compiled.params.items() if name not in self._required}

    def bind(self, parameters: Parameters) -> dict[str, Any]:
        """Return every value that the SQL text asks for. Raises TypeError for a missing or unknown name."""
        if parameters.keys() != self._required:
            wrong = ", ".join(sorted(parameters.keys() ^ self._required))
            raise TypeError(f"missing or unknown parameters: {wrong}")
        return {**self._fixed, **parameters} if self._fixed else dict(parameters)


class Query(_Statement, Generic[T]):
    """A statement that answers rows, each of which becomes a ``record``.

    The record is a dataclass whose fields carry the names of the columns in the same order, or a plain type such as
    ``int`` for a single column.
    """

    __slots__ = ("_record",)

    def __init__(self, statement: Readable, record: type[T]) -> None:
        """Compile ``statement``. Raises TypeError when its columns are not the record's fields."""
        super().__init__(statement)
        self._record = record
        if is_dataclass(record):
            columns = [column.name for column in _columns(statement)]
            names = [field.name for field in fields(record)]
            if columns != names:
                raise TypeError(f"{record.__name__} has the fields {names}, the statement the columns {columns}")

    def read(self, row: Sequence[Any]) -> T:
        """Return the record that a row stands for."""
        return self._record(*row)


class Command(_Statement):
    """A statement that answers no rows, only how many it touched."""

    __slots__ = ()


def _columns(statement: Readable) -> list[Any]:
    if isinstance(statement, Select):
        return list(statement.selected_columns)
    return list(cast(Any, statement).exported_columns)


def insert_into(table: Table, *left_out: str) -> Insert:
    """Return an INSERT that takes a value for every column of ``table`` by its name, but for those ``left_out``."""
    return insert(table).values({c.name: bindparam(c.name) for c in table.columns if c.name not in left_out})


def upsert(table: Table) -> Upsert:
    """Return an INSERT that may say what to do ON CONFLICT: the one construct that SQLAlchemy keeps per dialect."""
    return Upsert(table)
