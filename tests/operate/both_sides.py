"""What the tests of the copy share: the command, what is in a SQLite file, and what is in PostgreSQL."""

import asyncio
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from keystead.db.installation import DATABASE_FILE
from keystead.db.tables import metadata
from tests.operate.copies import keystead, made

Everything = dict[str, Counter[tuple[Any, ...]]]


def copy(data: Path, url: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``keystead db copy`` to an address in the environment."""
    return keystead("db", "copy", "--data", data, *options, **{"KEYSTEAD_DATABASE_URL": url, **variables})


def rows_of(data: Path) -> Everything:
    """Return every row of an installation's SQLite file."""
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        return _everything(lambda statement: list(database.execute(statement)))


def rows_in(url: str) -> Everything:
    """Return every row of a PostgreSQL database."""
    return _everything(lambda statement: fetch(url, statement))


def _everything(ask: Callable[[str], list[tuple[Any, ...]]]) -> Everything:
    columns = {
        table.name: ", ".join(f'"{column.name}"' for column in table.columns) for table in metadata.sorted_tables
    }
    return {name: Counter(ask(f'SELECT {listed} FROM "{name}"')) for name, listed in columns.items()}  # noqa: S608


def execute(data: Path, statement: str, *rows: tuple[Any, ...]) -> None:
    """Change a SQLite file behind everybody's back."""
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        database.executemany(statement, rows or [()])
        database.commit()


def fetch(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask PostgreSQL, or change something in it, behind everybody's back."""

    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, ask()).result()


def events(*texts: str) -> list[tuple[Any, ...]]:
    """Return rows of the audit log, one for each text."""
    return [
        (f"event-{number:06}", number, "test:fill", None, None, text, "", text) for number, text in enumerate(texts)
    ]


ADD_EVENT = "INSERT INTO audit_event VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
ADD_USER = 'INSERT INTO "user" VALUES (?, ?, ?, ?, NULL, NULL, 0, NULL, 1)'


def furnished(data: Path) -> Path:
    """Make an installation with an organization, people and events, and return its data directory."""
    made(data, "acme")
    execute(data, ADD_USER, *((f"user-{n:03}", f"name-{n}", f"{n}@example.com", f"Person {n}") for n in range(100)))
    execute(data, ADD_EVENT, *events(*(f"event {n}" for n in range(100))))
    return data
