"""Which steps a database needs is said before they are taken, and nothing is changed by asking."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from keystead.db.installation import DATABASE_FILE
from keystead.db.migrate import NEWEST
from tests.operate.both_sides import copy, execute, fetch
from tests.operate.copies import keystead, made

UP_TO_DATE = 0
REFUSED = 1
STEPS_ARE_DUE = 3


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give the data directory of an installation."""
    return made(tmp_path / "data", "acme")


def test_a_database_that_is_up_to_date_is_called_so(data: Path, postgres_url: str) -> None:
    assert copy(data, postgres_url).returncode == 0
    for variables in ({}, {"KEYSTEAD_DATABASE_URL": postgres_url}):
        found = keystead("db", "check", "--data", data, **variables)
        assert (found.returncode, found.stderr) == (UP_TO_DATE, "")
        assert found.stdout.splitlines()[1:] == [
            f"This version of Keystead needs the revision {NEWEST}.",
            "It is up to date.",
        ]


def test_the_steps_that_are_due_are_listed_and_not_taken(data: Path, postgres_url: str) -> None:
    empty = data.parent / "empty"
    empty.mkdir()
    with closing(sqlite3.connect(empty / DATABASE_FILE)) as database:
        database.execute("PRAGMA user_version = 1")
    before = (empty / DATABASE_FILE).read_bytes()
    on_sqlite = keystead("db", "check", "--data", empty)
    on_postgres = keystead("db", "check", "--data", empty, KEYSTEAD_DATABASE_URL=postgres_url)
    for found in (on_sqlite, on_postgres):
        assert (found.returncode, found.stderr) == (STEPS_ARE_DUE, "")
        assert f"  {NEWEST}  " in found.stdout
        assert "none: it holds nothing yet" in found.stdout
    assert (empty / DATABASE_FILE).read_bytes() == before
    assert fetch(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_newer_database_is_refused(data: Path, postgres_url: str) -> None:
    assert copy(data, postgres_url).returncode == 0
    execute(data, "UPDATE alembic_version SET version_num = '9999'")
    fetch(postgres_url, "UPDATE alembic_version SET version_num = '9999'")
    for variables in ({}, {"KEYSTEAD_DATABASE_URL": postgres_url}):
        found = keystead("db", "check", "--data", data, **variables)
        assert (found.returncode, "newer version" in found.stderr) == (REFUSED, True)


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    found = keystead("db", "check", "--data", tmp_path / "nowhere")
    assert (found.returncode, found.stdout) == (REFUSED, "")
    assert list(tmp_path.iterdir()) == []


def test_half_a_copy_is_named(data: Path, postgres_url: str) -> None:
    assert copy(data, postgres_url).returncode == 0
    fetch(postgres_url, "UPDATE installation SET sealed_root = $1", b"copying:" + bytes(32))
    found = keystead("db", "check", "--data", data, KEYSTEAD_DATABASE_URL=postgres_url)
    assert (found.returncode, "run keystead db copy again" in found.stderr) == (REFUSED, True)


def test_an_address_that_leads_nowhere_is_told_without_its_password(data: Path) -> None:
    address = "postgresql://keystead:a-password-of-its-own@127.0.0.1:1/keystead"
    found = keystead("db", "check", "--data", data, KEYSTEAD_DATABASE_URL=address)
    assert (found.returncode, "cannot be reached" in found.stderr) == (REFUSED, True)
    assert "a-password" not in found.stdout + found.stderr
