"""Statements: written once in SQLAlchemy Core, compiled once to the SQL text of each dialect, typed by their record.

SQLite's text is compiled at import and PostgreSQL's at first use, so SQLAlchemy is not on the path of a request: a
look-up costs the driver's time and no more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Generic, TypeVar, cast

from sqlalchemy import ARRAY, Column, Delete, Insert, LargeBinary, Select, Table, Update, any_, bindparam, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import Insert as Upsert
from sqlalchemy.dialects.postgresql import asyncpg

from keystead.db.tables import revocation

Parameters = Mapping[str, Any]
T = TypeVar("T")
Readable = Select[*tuple[Any, ...]] | Insert | Update | Delete

_SQLITE: Final = sqlite.dialect(paramstyle="named")
_POSTGRES: Final = asyncpg.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A statement for PostgreSQL: SQL text with ``$1``, ``$2``, and the name of the value behind each number.

    ``fixed`` are the values that are written in the statement; their names are this dialect's own.
    """

    sql: str
    names: tuple[str, ...]
    fixed: Parameters


class _Statement:
    """SQL text and the values that are fixed in it."""

    __slots__ = ("_fixed", "_numbered", "_required", "_statement", "announces", "sql")

    def __init__(self, statement: Readable) -> None:
        compiled = statement.compile(dialect=_SQLITE)
        self.sql = str(compiled)
        self.announces = isinstance(statement, Insert) and statement.table is revocation
        self._statement = statement
        self._numbered: Numbered | None = None
        self._required = frozenset(name for name, bind in compiled.binds.items() if bind.required)
        self._fixed = {name: value for name, value in compiled.params.items() if name not in self._required}

    def bind(self, parameters: Parameters) -> Parameters:
        """Return every value that the SQL text asks for. Raises TypeError for a missing or unknown name."""
        if parameters.keys() != self._required:
            wrong = ", ".join(sorted(parameters.keys() ^ self._required))
            raise TypeError(f"missing or unknown parameters: {wrong}")
        return {**self._fixed, **parameters} if self._fixed else parameters

    @property
    def numbered(self) -> Numbered:
        """The statement as PostgreSQL's wire protocol takes it."""
        if self._numbered is None:
            # PostgreSQL's own numbering: the value of each number is found by its name.
            compiled = self._statement.compile(dialect=_POSTGRES)
            fixed = {name: value for name, value in compiled.params.items() if name not in self._required}
            self._numbered = Numbered(str(compiled), tuple(compiled.positiontup or ()), fixed)
        return self._numbered

    def bind_numbered(self, parameters: Parameters) -> list[Any]:
        """Return the values of ``numbered`` in their order. Raises TypeError for a missing or unknown name."""
        if parameters.keys() != self._required:
            self.bind(parameters)
        numbered = self.numbered
        values = {**numbered.fixed, **parameters} if numbered.fixed else parameters
        return [values[name] for name in numbered.names]


class Query(_Statement, Generic[T]):
    """A statement that answers rows, each of which becomes a ``record``.

    The record is a dataclass or a NamedTuple whose fields carry the names of the columns in the same order, or a plain
    type such as ``int`` for a single column.
    """

    __slots__ = ("_record",)

    def __init__(self, statement: Readable, record: type[T]) -> None:
        """Compile ``statement``. Raises TypeError when its columns are not the record's fields."""
        super().__init__(statement)
        self._record = record
        names = _fields(record)
        if names is not None:
            columns = [column.name for column in _columns(statement)]
            if columns != names:
                raise TypeError(f"{record.__name__} has the fields {names}, the statement the columns {columns}")

    def read(self, row: Iterable[Any]) -> T:
        """Return the record that a row stands for."""
        return self._record(*row)


class LookUp(Query[T]):
    """A query for the one row that has a value in a unique column, which an engine may ask for several values at once.

    The column holds keyed hashes. Any bytes are a value of it, so what one asks for cannot spoil what others ask for.
    """

    __slots__ = ("_several", "_together", "name")

    def __init__(self, statement: Select[*tuple[Any, ...]], record: type[T], *, by: Column[Any]) -> None:
        """Look in ``by``. Raises TypeError unless that is unique and holds bytes, and what ``Query`` raises."""
        if not isinstance(by.type, LargeBinary) or not by.unique:
            raise TypeError(f"{by} is not a unique column of bytes")
        super().__init__(statement.where(by == bindparam(by.name)), record)
        self.name = by.name
        self._several = statement.add_columns(by).where(by == any_(bindparam(by.name, type_=ARRAY(LargeBinary))))
        self._together: Numbered | None = None

    @property
    def together(self) -> Numbered:
        """The statement for several values: its one parameter is an array, its last column the value of each row."""
        if self._together is None:
            compiled = self._several.compile(dialect=_POSTGRES)
            names = tuple(compiled.positiontup or ())
            if len(names) != 1:
                raise TypeError("a look-up of several values has no other parameter")
            self._together = Numbered(str(compiled), names, {})
        return self._together

    def value(self, parameters: Parameters) -> bytes:
        """Return the value to look for. Raises TypeError for a missing or unknown name."""
        if len(parameters) != 1 or self.name not in parameters:
            self.bind(parameters)
        value: bytes = parameters[self.name]
        return value

    def read_together(self, rows: Iterable[Any]) -> dict[bytes, T]:
        """Return the record of each row of ``together`` by its value."""
        return {row[-1]: self._record(*row[:-1]) for row in rows}


class Command(_Statement):
    """A statement that answers no rows, only how many it touched."""

    __slots__ = ()


def _fields(record: type[Any]) -> list[str] | None:
    """Return the names of a record's fields; None for a plain type."""
    if is_dataclass(record):
        return [field.name for field in fields(record)]
    return list(record._fields) if hasattr(record, "_fields") else None


def _columns(statement: Readable) -> list[Any]:
    if isinstance(statement, Select):
        return list(statement.selected_columns)
    return list(cast(Any, statement).exported_columns)


def insert_into(table: Table, *left_out: str) -> Insert:
    """Return an INSERT that takes a value for every column of ``table`` by its name, but for those ``left_out``."""
    return insert(table).values({c.name: bindparam(c.name) for c in table.columns if c.name not in left_out})


def upsert(table: Table) -> Upsert:
    """Return an INSERT that may say what to do ON CONFLICT; SQLite's compiler reads PostgreSQL's construct too."""
    return Upsert(table)
