"""Switching a file to a write-ahead log while others use it: five servers may start at one moment."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from keystead.db.journal import write_ahead


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Give two connections to one file; the second one is writing to it."""
    path = tmp_path / "one.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as one,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
    ):
        other.execute("CREATE TABLE some (thing)")
        other.execute("BEGIN EXCLUSIVE")
        yield one, other


def mode_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_a_file_that_somebody_else_has_locked_is_switched_once_they_let_go(
    busy: tuple[sqlite3.Connection, sqlite3.Connection],
) -> None:
    one, other = busy
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("COMMIT")

    write_ahead(one, pause=pause)
    assert (mode_of(one), len(pauses)) == ("wal", 3)


def test_a_file_that_stays_locked_is_given_up(busy: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write_ahead(busy[0], patience=0)


def test_what_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.db").write_bytes(b"no database at all" * 100)
    with (
        closing(sqlite3.connect(tmp_path / "one.db")) as connection,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        write_ahead(connection)
