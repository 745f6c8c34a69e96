"""What a copy to PostgreSQL refuses and what it mends, and what it shows."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.db.tables import metadata
from tests.operate.both_sides import ADD_EVENT, copy, events, execute, fetch, furnished, rows_in, rows_of
from tests.operate.copies import SECONDS, environment, keystead, made
from tests.operate.test_backup import read_all
from tests.support.postgres import PostgresServer, database_of
from tests.support.server import KeysteadServer


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an installation with an organization, people and events."""
    return furnished(tmp_path_factory.mktemp("template") / "data")


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """Give the data directory of that installation."""
    return shutil.copytree(template, tmp_path / "data")


# What is there already


def test_a_finished_copy_is_not_written_over_unless_it_is_asked_for(data: Path, postgres_url: str) -> None:
    assert copy(data, postgres_url).returncode == 0
    fetch(postgres_url, "UPDATE organization SET display_name = 'Changed there'")
    refused = copy(data, postgres_url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "use --replace" in refused.stderr
    assert fetch(postgres_url, "SELECT display_name FROM organization") == [("Changed there",)]
    assert copy(data, postgres_url, "--replace").returncode == 0
    assert rows_in(postgres_url) == rows_of(data)


def test_what_differs_is_mended_whatever_the_order_of_the_databases_language(data: Path, postgres_url: str) -> None:
    names = ["a", "B", "ä", "Z", "_", "10", "9", "é", "e", "E", "\U0001f600", "\uffff", "aa", "a b"]
    execute(data, "INSERT INTO client_generation VALUES (?, 1)", *((name,) for name in names))
    assert copy(data, postgres_url).returncode == 0
    fetch(postgres_url, 'ALTER TABLE client_generation ALTER COLUMN fingerprint TYPE text COLLATE "und-x-icu"')
    fetch(postgres_url, "UPDATE client_generation SET generation = 2 WHERE fingerprint IN ('B', 'ä', '9')")
    fetch(postgres_url, "DELETE FROM client_generation WHERE fingerprint IN ('a', 'é', '_')")
    fetch(postgres_url, "INSERT INTO client_generation VALUES ('c', 1), ('', 1), ('\U0001f601', 1)")
    fetch(postgres_url, "UPDATE \"user\" SET email = id, password_hash = '', disabled_at = 1 WHERE id > 'user-050'")
    fetch(postgres_url, "DELETE FROM \"user\" WHERE id < 'user-010'")
    fetch(postgres_url, "INSERT INTO \"user\" VALUES ('new', 'name-3', 'new@example.com', '', NULL, NULL, 0, NULL, 1)")
    fetch(postgres_url, "INSERT INTO membership SELECT 'new', id, 'owner', 1 FROM organization")
    assert copy(data, postgres_url, "--replace").returncode == 0
    assert rows_in(postgres_url) == rows_of(data)


def test_another_installation_is_left_as_it_is(data: Path, postgres_url: str, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "globex")
    assert copy(other, postgres_url).returncode == 0
    for options in ((), ("--replace",)):
        refused = copy(data, postgres_url, *options)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "another installation" in refused.stderr
    assert rows_in(postgres_url) == rows_of(other)


def test_the_half_of_another_installation_is_left_as_it_is(data: Path, postgres_url: str, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "globex")
    assert copy(other, postgres_url).returncode == 0
    fetch(postgres_url, "UPDATE installation SET sealed_root = $1", b"copying:" + bytes(32))
    refused = copy(data, postgres_url, "--replace")
    assert (refused.returncode, "Another installation is being copied" in refused.stderr) == (1, True)
    assert fetch(postgres_url, "SELECT name FROM organization") == [("globex",)]


def test_a_database_of_something_else_is_left_as_it_is(data: Path, postgres_url: str) -> None:
    fetch(postgres_url, 'CREATE TABLE "user" (id integer, nickname text)')
    refused = copy(data, postgres_url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "give one of its own" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    tables = fetch(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert tables in ([("user",)], [("migration_lock",), ("user",)])


def test_nothing_is_copied_over_a_database_that_a_server_has_open(
    data: Path, postgres_url: str, tmp_path: Path
) -> None:
    assert copy(data, postgres_url).returncode == 0
    shared = {"KEYSTEAD_DATABASE_URL": postgres_url}
    with KeysteadServer(tmp_path / "node", {**shared, "KEYSTEAD_MASTER_SECRET": secret_of(data)}):
        refused = copy(data, postgres_url, "--replace")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "A server has the database in PostgreSQL open." in refused.stderr


def secret_of(data: Path) -> str:
    """Return the master secret in a data directory."""
    return (data / "master-secret").read_text(encoding="utf-8").strip()


# What cannot be


def test_an_address_that_leads_nowhere_is_told_without_its_password(
    data: Path, new_postgres: Callable[..., PostgresServer]
) -> None:
    own = new_postgres(authentication="scram-sha-256")
    right = own.create_database()
    for url, words in (
        ("postgresql://keystead:a-password-of-its-own@127.0.0.1:1/keystead", "cannot be reached"),
        (own.url("nowhere"), "no database of the name"),
        (right.replace(":", ":wrong-", 2).replace("wrong-//", "//"), "refuses the user or the password"),
    ):
        found = copy(data, url)
        assert (found.returncode, found.stdout) == (1, "")
        assert words in found.stderr
        assert "Traceback" not in found.stderr
        assert url.split(":")[2].partition("@")[0] not in found.stderr


def test_a_user_without_rights_is_told_what_it_needs(data: Path, postgres_server: PostgresServer) -> None:
    postgres_server.execute("CREATE DATABASE not_ours; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    url = postgres_server.url("not_ours")
    copied = copy(data, url)
    started = keystead(
        *("admin", "create-org", "--data", data, "--name", "globex"),
        KEYSTEAD_DATABASE_URL=url,
        KEYSTEAD_MASTER_SECRET=secret_of(data),
    )
    postgres_server.drop_database("not_ours")
    for found in (copied, started):
        assert (found.returncode, found.stdout) == (1, "")
        assert "Give the address of a user who owns the database" in found.stderr
        assert "Traceback" not in found.stderr


@pytest.mark.parametrize("secret", [None, "another master secret that is long enough"])
def test_without_the_right_master_secret_nothing_is_copied(data: Path, postgres_url: str, secret: str | None) -> None:
    (data / "master-secret").unlink()
    found = copy(data, postgres_url, **({"KEYSTEAD_MASTER_SECRET": secret} if secret else {}))
    assert (found.returncode, found.stdout) == (1, "")
    assert "master secret" in found.stderr
    assert fetch(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_without_a_sqlite_file_none_is_made(tmp_path: Path, postgres_url: str) -> None:
    found = copy(tmp_path / "nowhere", postgres_url)
    assert (found.returncode, found.stdout) == (1, "")
    assert "There is no database at" in found.stderr
    assert list(tmp_path.iterdir()) == []


# The address, and what is shown


def test_an_argument_with_a_password_is_refused(data: Path, postgres_url: str) -> None:
    for address in (postgres_url, "postgresql://127.0.0.1/k?user=me&password=a-password-of-its-own"):
        found = keystead("db", "copy", "--data", data, "--to", address)
        assert (found.returncode, found.stdout) == (2, "")
        assert "--to-stdin" in found.stderr
    assert fetch(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_the_address_is_taken_from_standard_input_and_without_a_password_as_an_argument(
    data: Path, postgres_url: str
) -> None:
    given = subprocess.run(
        [sys.executable, "-m", "keystead", "db", "copy", "--data", str(data), "--to-stdin"],
        input=f"{postgres_url}\n",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=environment(),
    )
    assert given.returncode == 0, given.stderr
    user, _, place = postgres_url.partition("@")
    address = f"{user.rpartition(':')[0]}@{place}"
    assert keystead("db", "copy", "--data", data, "--to", address, "--replace").returncode == 0
    assert keystead("db", "copy", "--data", data).returncode == 2


def test_on_a_terminal_the_share_that_is_done_is_shown_in_place(data: Path, postgres_url: str) -> None:
    execute(data, ADD_EVENT, *events(*("x" * 100 for _ in range(60_000)))[100:])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "keystead", "db", "copy", "--data", str(data)]
    variables = environment(KEYSTEAD_DATABASE_URL=postgres_url)
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=variables) as running:
        os.close(theirs)
        shown = read_all(ours)
    assert running.returncode == 0
    assert "\rCopying: " in shown
    assert "\rComparing every row: " in shown
    assert shown.endswith("\r")


def test_every_table_is_copied(data: Path, postgres_url: str) -> None:
    assert copy(data, postgres_url).returncode == 0
    tables = {name for (name,) in fetch(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == {*metadata.tables, "alembic_version", "migration_lock"}
    assert database_of(postgres_url)
