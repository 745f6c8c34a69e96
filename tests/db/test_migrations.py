"""Bringing a database up to date: whole or not at all, never backwards, and always what tables.py says (O3, O5)."""

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from keystead.db import migrations
from keystead.db.installation import DATABASE_FILE, open_installation
from keystead.db.master_secret import InstallationError
from keystead.db.migrate import NEWEST, NewerDatabase, migrate, revision_of
from keystead.db.tables import metadata
from tests.support.clock import ManualClock


def schema_of(path: Path) -> dict[str, list[str]]:
    """Return the columns, in their order, and the constraints of every table, and the SQL of every index."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        ).fetchall()
    plain = {name: re.sub(r"\s+", " ", sql).replace('"', "").removesuffix(" )") for name, sql in rows}
    return {name: sorted(re.split(r", (?=CONSTRAINT)", sql)) for name, sql in plain.items()}


@contextlib.contextmanager
def connected(path: Path) -> Iterator[Connection]:
    """Connect as SQLAlchemy does."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def interrupted(what: str, directory: Path) -> list[dict[str, Any]]:
    """Run the program that kills what it started, and return what it saw."""
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.db.interrupted", what, str(directory)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_newest_revision_is_the_newest_file() -> None:
    folder = Path(next(iter(migrations.__path__))) / "versions"
    revisions = {}
    for file in folder.glob("[0-9]*.py"):
        found = dict(re.findall(r'^(revision|down_revision) = (?:"(\w+)"|None)', file.read_text(), re.MULTILINE))
        revisions[found["revision"]] = found["down_revision"]
        assert file.name.startswith(found["revision"] + "_")
    assert max(revisions) == NEWEST
    assert sorted(revisions)[:-1] == sorted(before for before in revisions.values() if before)


def test_the_migrated_schema_is_what_the_tables_say(tmp_path: Path) -> None:
    migrate(tmp_path / "migrated.db")
    with connected(tmp_path / "migrated.db") as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    with connected(tmp_path / "made.db") as connection:
        metadata.create_all(connection)
    assert schema_of(tmp_path / "migrated.db") == schema_of(tmp_path / "made.db")


def test_an_up_to_date_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    before = path.read_bytes()
    migrate(path)
    assert path.read_bytes() == before
    assert revision_of(path) == NEWEST


def test_a_start_on_an_up_to_date_database_does_not_load_alembic(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    program = (
        "import pathlib, sys; from keystead.db.migrate import migrate; "
        f"migrate(pathlib.Path({str(path)!r})); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_newer_database_is_refused_with_one_sentence_and_left_alone(tmp_path: Path) -> None:
    open_installation(tmp_path, None, ManualClock())
    path = tmp_path / DATABASE_FILE
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = schema_of(path)
    with pytest.raises(NewerDatabase):
        migrate(path)
    with pytest.raises(InstallationError, match=r"newer version of Keystead: install") as refusal:
        open_installation(tmp_path, None, ManualClock())
    assert "\n" not in str(refusal.value)
    assert revision_of(path) == "9999"
    assert schema_of(path) == before


def test_a_file_that_is_no_database_is_refused_with_one_sentence_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    path.write_bytes(b"This is a letter, not a database.\n" * 100)
    with pytest.raises(InstallationError, match="cannot be opened") as refusal:
        open_installation(tmp_path, None, ManualClock())
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == b"This is a letter, not a database.\n" * 100


def test_a_kill_at_any_point_of_a_migration_leaves_all_or_nothing_and_a_start_that_works(tmp_path: Path) -> None:
    attempts = interrupted("migration", tmp_path / "work")
    whole = len(metadata.tables) + 2  # Alembic's own and SQLite's sequence
    assert len(attempts) > 10
    assert [attempt["done"] for attempt in attempts] == [False] * (len(attempts) - 1) + [True]
    assert {(attempt["before"], attempt["half"]) for attempt in attempts} == {(None, 0), (NEWEST, whole)}
    assert {(attempt["after"], attempt["tables"]) for attempt in attempts} == {(NEWEST, whole)}


def test_five_processes_that_start_at_once_make_one_installation(tmp_path: Path) -> None:
    assert interrupted("together", tmp_path / "work") == [{"statuses": [0] * 5, "started": 5, "different": 1}]
