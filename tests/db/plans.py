"""How each engine would run each of our statements over tables that are full.

The statements are found where they are written, so a new one is looked at without being named here.
"""

import importlib
import json
import os
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import asyncpg
from sqlalchemy import Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, UniqueConstraint

import keystead
from keystead.db import Command, Query
from keystead.db.cleanup import LARGEST_BITE, Sweeper
from keystead.db.postgres import options
from keystead.db.statements import LookUp, Numbered
from keystead.db.tables import metadata

Statement = Command | Query[Any]

ROWS: Final = int(os.environ.get("PLAN_ROWS", "20000"))
"""Rows of each table. Such as these have the plans of a million; to see for yourself, set PLAN_ROWS=1000000."""
MILLION: Final = 1_000_000
NOW: Final = 1_700_000_000
FEW: Final = {"installation": 1, "platform_policy": 1, "signing_key": 6, "errand": 2}
"""Tables that stay small, of which all may be read."""
MANY: Final = {"device_authorization": 5}
"""How many times as many rows a table gets whose plan is chosen for a hundred rows at a time."""
ELSEWHERE: Final = ("keystead.db.copy_target", "keystead.operate", "keystead.__main__", "keystead.db.migrations")
"""Where statements are that an operator runs."""


def statements() -> dict[str, Statement]:
    """Return every statement by its module and its name, and one for each table that is cleaned up."""
    found: dict[int, tuple[str, Statement]] = {}
    for module in _modules():
        for name, value in vars(module).items():
            if isinstance(value, Command | Query):
                found.setdefault(id(value), (f"{module.__name__.removeprefix('keystead.')}.{name}", value))
    sweeper = Sweeper(audit_kept=0)
    bites: dict[str, Statement] = {}
    for _ in range(sweeper.tables):
        command, _ = sweeper.bite(NOW, LARGEST_BITE)
        bites[f"clean-up of {command.sql.split()[2]}"] = command
        sweeper.taken(all_gone=True)
    return {**dict(found.values()), **bites}


def _modules() -> Iterator[ModuleType]:
    """Yield the modules, those in which statements are written before those that import them."""
    names = [module.name for module in pkgutil.walk_packages(keystead.__path__, "keystead.")]
    for name in sorted(names, key=lambda name: not name.endswith(".store")):
        if not name.startswith(ELSEWHERE):
            yield importlib.import_module(name)


# SQLite plans without looking at rows, since nobody gathers statistics there.


def sqlite_plans(path: Path) -> dict[str, list[str]]:
    """Return the lines of SQLite's plan of each statement."""
    with closing(sqlite3.connect(path)) as database:
        return {name: _sqlite_plan(database, statement) for name, statement in statements().items()}


def sqlite_unique_indexes(path: Path) -> dict[str, int]:
    """Return how many columns each unique index has."""
    asked = (
        "SELECT listed.name, (SELECT count(*) FROM pragma_index_info(listed.name)) FROM sqlite_master AS made "
        "JOIN pragma_index_list(made.name) AS listed WHERE made.type = 'table' AND listed.\"unique\""
    )
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute(asked).fetchall())


def _sqlite_plan(database: sqlite3.Connection, statement: Statement) -> list[str]:
    values = dict.fromkeys(re.findall(r":(\w+)", statement.sql), "{}")
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement.sql}", values)]


# PostgreSQL plans by what it knows of the rows.


def _unique_indexes() -> Iterator[tuple[str, int]]:
    for table in metadata.sorted_tables:
        for one in (*table.constraints, *table.indexes):
            if isinstance(one, UniqueConstraint | PrimaryKeyConstraint) or (isinstance(one, Index) and one.unique):
                yield str(one.name), len(list(one.columns))


UNIQUE_INDEXES: Final = dict(_unique_indexes())
"""How many columns each unique index has."""


@dataclass(frozen=True, slots=True)
class Node:
    """A step of PostgreSQL's plan."""

    kind: str
    table: str
    index: str
    condition: str

    @property
    def unique(self) -> bool:
        """Whether one row at most is looked for, by all columns of a primary key or of a unique index."""
        return self.condition.count(" = ") == UNIQUE_INDEXES.get(self.index)

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.table, self.condition) if part)


async def fill(url: str, rows: int = ROWS) -> None:
    """Fill every table of a database, as a superuser, and let PostgreSQL know what there is."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")  # spares the checks of foreign keys
        for table in metadata.sorted_tables:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            values = ", ".join(_value(column, rows) for column in table.columns)
            numbers = f"generate_series(1, {_size(table, rows)}) AS n"
            await connection.execute(f'INSERT INTO "{table.name}" ({columns}) SELECT {values} FROM {numbers}')  # noqa: S608
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _size(table: Table, rows: int) -> int:
    return FEW.get(table.name, rows * (MANY.get(table.name, 1) if rows < MILLION else 1))


_KNOWN: Final = {
    "state": "(CASE n % 4 WHEN 0 THEN 'pending' WHEN 1 THEN 'approved' WHEN 2 THEN 'denied' ELSE 'consumed' END)",
    "role": "'member'",
    "generation": "n % 5",
    "count": "1",
    "alg": "'ES256'",
}


def _value(column: Column[Any], rows: int) -> str:
    """Return SQL for what a column holds in row ``n``."""
    if column.name in _KNOWN:
        return _KNOWN[column.name]
    value = _value_of_a_kind(column, rows)
    return f"(CASE WHEN n % 10 = 0 THEN {value} END)" if column.nullable else value


def _value_of_a_kind(column: Column[Any], rows: int) -> str:
    if column.foreign_keys:
        (other,) = column.foreign_keys
        return _id(f"n % {_size(other.column.table, rows)} + 1")
    if isinstance(column.type, LargeBinary):
        return f"sha256(convert_to('{column.name}' || n, 'UTF8'))"
    if isinstance(column.type, Integer) and column.primary_key and len(column.table.primary_key.columns) == 1:
        return "n"
    if isinstance(column.type, Integer):
        # A hundredth of the rows is due to be cleaned up.
        return "1" if column.name.endswith("cents") else f"{NOW} + n - {_size(column.table, rows)} / 100"
    if column.unique or _is_in_unique(column):
        return f"'{column.name}' || n"
    return _id("n")


def _is_in_unique(column: Column[Any]) -> bool:
    return any(isinstance(rule, UniqueConstraint) and column in list(rule.columns) for rule in column.table.constraints)


def _id(number: str) -> str:
    return f"('00000000-0000-7000-8000-' || lpad(({number})::text, 12, '0'))"


async def postgres_plans(url: str, mode: str) -> dict[str, list[Node]]:
    """Return PostgreSQL's plan of each prepared statement; ``mode`` is a value of its setting plan_cache_mode."""
    connection = await asyncpg.connect(url, **{**options(), "command_timeout": None})
    try:
        await connection.execute(f"SET plan_cache_mode = {mode}")
        return {
            name: await _postgres_plan(connection, number, numbered)
            for number, (name, numbered) in enumerate(_numbered())
        }
    finally:
        await connection.close()


def _numbered() -> Iterator[tuple[str, Numbered]]:
    """Yield every statement as PostgreSQL gets it; a look-up twice, since it is also asked for several values."""
    for name, statement in statements().items():
        yield name, statement.numbered
        if isinstance(statement, LookUp):
            yield f"{name}, together", statement.together


async def _postgres_plan(connection: Any, number: int, numbered: Numbered) -> list[Node]:
    await connection.execute(f"PREPARE s{number} AS {numbered.sql}")
    asked = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = $1"
    kinds = await connection.fetchval(asked, f"s{number}")
    values = [_literal(name, kind) for name, kind in zip(numbered.names, kinds, strict=True)]
    executed = f"EXECUTE s{number}" + (f"({', '.join(values)})" if values else "")
    # After five times PostgreSQL chooses between a plan for these values and one for any.
    answers = [await connection.fetchval(f"EXPLAIN (FORMAT JSON) {executed}") for _ in range(6)]
    return list(_nodes(json.loads(answers[-1])[0]["Plan"]))


def _literal(name: str, kind: str) -> str:
    """Return SQL for a value that a parameter might have."""
    named = {
        "most": str(max(1, LARGEST_BITE * ROWS // MILLION)),  # the share of a million rows that a bite is
        "seq": str(ROWS - 10),
        "state_1": "'pending'",
        "role": "'member'",
    }
    of_a_kind = {
        "bigint": str(NOW),
        "integer": "1",
        "bytea": "sha256('secret_hash7')",
        "bytea[]": "ARRAY[sha256('secret_hash7'), sha256('secret_hash8')]",
        "json": """'{"00000000-0000-7000-8000-000000000007": 1}'""",
    }
    return named.get(name) or of_a_kind.get(kind, "'00000000-0000-7000-8000-000000000007'")


def _nodes(plan: dict[str, Any]) -> Iterator[Node]:
    yield Node(plan["Node Type"], plan.get("Relation Name", ""), plan.get("Index Name", ""), plan.get("Index Cond", ""))
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)
