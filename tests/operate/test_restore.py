"""A restore leaves the old database or the new one, whole, whatever happens; and it says what it needs."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from keystead.db.installation import DATABASE_FILE
from tests.operate.copies import (
    SECONDS,
    add_in_the_wal,
    backup,
    damage,
    keystead,
    made,
    organizations,
    organizations_in,
    overwrite,
    restore,
)
from tests.support.server import ADA, KeysteadServer, add_acme

KEPT = re.compile(r"The database that was there is kept as (\S+/keystead\.db\.replaced-\d{8}T\d{6}Z)\.")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an installation with the organization old, a backup of it, and the same one with the organization later."""
    directory = tmp_path_factory.mktemp("template")
    made(directory / "old", "old")
    found = backup(directory / "old", directory / "backup.db")
    if found.returncode != 0:
        raise RuntimeError(found.stderr)
    made(shutil.copytree(directory / "old", directory / "later"), "later")
    return directory


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """Give the data directory of an installation in which there is the organization old."""
    return shutil.copytree(template / "old", tmp_path / "data")


@pytest.fixture
def file(template: Path, data: Path, tmp_path: Path) -> Path:
    """Give a backup of it; in the database there is the organization later, too."""
    shutil.copy(template / "later" / DATABASE_FILE, data)
    return Path(shutil.copy(template / "backup.db", tmp_path))


def test_a_backup_takes_the_place_of_the_database_which_is_kept_beside_it(data: Path, file: Path) -> None:
    refused = restore(data, file)
    assert (refused.returncode, "--replace" in refused.stderr) == (1, True)
    assert organizations(data) == {"old", "later"}
    done = restore(data, file, "--replace")
    assert done.returncode == 0, done.stderr
    assert organizations(data) == {"old"}
    told = KEPT.search(done.stdout)
    assert told is not None
    assert organizations_in(Path(told[1])) == {"old", "later"}
    assert {path.stat().st_mode & 0o077 for path in data.iterdir()} == {0}


def test_two_restores_in_one_second_keep_two_databases(data: Path, file: Path) -> None:
    found = [restore(data, file, "--replace") for _ in range(3)]
    assert [one.returncode for one in found] == [0, 0, 0]
    assert len(list(data.glob(f"{DATABASE_FILE}.replaced-*"))) == 3


def test_in_an_empty_place_the_master_secret_is_asked_for_first(data: Path, file: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    refused = restore(place, file)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"put the master secret that was in use when the backup was made into {place / 'master-secret'}" in (
        refused.stderr
    )
    assert list(place.iterdir()) == []
    shutil.copy(data / "master-secret", place)
    assert restore(place, file).returncode == 0
    assert sorted(path.name for path in place.iterdir()) == [DATABASE_FILE, "master-secret"]
    assert keystead("admin", "create-org", "--data", place, "--name", "next").returncode == 0
    assert organizations(place) == {"old", "next"}


def test_a_master_secret_that_does_not_open_the_backup_is_told_and_nothing_is_changed(data: Path, file: Path) -> None:
    right = (data / "master-secret").read_text(encoding="utf-8").strip()
    (data / "master-secret").write_text("w" * 40, encoding="utf-8")
    wrong = restore(data, file, "--replace")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert f"What is in {data / 'master-secret'} does not open this backup" in wrong.stderr
    given = restore(data, file, "--replace", KEYSTEAD_MASTER_SECRET="v" * 40)
    assert (given.returncode, "KEYSTEAD_MASTER_SECRET does not open" in given.stderr) == (1, True)
    assert organizations(data) == {"old", "later"}
    assert sorted(path.name for path in data.iterdir()) == [DATABASE_FILE, "master-secret"]
    assert restore(data, file, "--replace", KEYSTEAD_MASTER_SECRET=right).returncode == 0


def test_the_secret_of_an_interrupted_rotation_opens_the_backup(data: Path, file: Path) -> None:
    (data / "master-secret").rename(data / "master-secret.next")
    (data / "master-secret").write_text("w" * 40, encoding="utf-8")
    assert restore(data, file, "--replace").returncode == 0
    assert keystead("admin", "create-org", "--data", data, "--name", "next").returncode == 0
    assert organizations(data) == {"old", "next"}


def test_while_a_server_runs_nothing_is_put_in_its_place(server: KeysteadServer, tmp_path: Path) -> None:
    add_acme(server)
    assert backup(server.data, tmp_path / "backup.db").returncode == 0
    key = server.admin("create-key", "--user", ADA.username, "--title", "later")
    refused = restore(server.data, tmp_path / "backup.db", "--replace")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "A server, or another program, has" in refused.stderr
    assert httpx.get(f"{server.url}/api/auth/session", auth=(key, "")).status_code == 200
    server.stop()
    assert restore(server.data, tmp_path / "backup.db", "--replace").returncode == 0
    server.start()
    assert httpx.get(f"{server.url}/api/auth/session", auth=(key, "")).status_code == 401


def test_a_server_is_noticed_even_when_its_file_is_damaged(server: KeysteadServer, tmp_path: Path) -> None:
    assert backup(server.data, tmp_path / "backup.db").returncode == 0
    with (server.data / DATABASE_FILE).open("r+b") as stream:
        stream.write(b"no database any more")
    refused = restore(server.data, tmp_path / "backup.db", "--replace")
    assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)
    server.kill()
    assert restore(server.data, tmp_path / "backup.db", "--replace").returncode == 0
    server.start()
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_what_a_killed_server_left_is_folded_into_the_database_that_is_kept(data: Path, file: Path) -> None:
    add_in_the_wal(data, "newest")
    assert (data / f"{DATABASE_FILE}-wal").stat().st_size > 0
    done = restore(data, file, "--replace")
    assert organizations(data) == {"old"}
    (kept,) = data.glob(f"{DATABASE_FILE}.replaced-*")
    assert organizations_in(kept) == {"old", "later", "newest"}
    assert str(kept) in done.stdout


def test_a_wal_file_whose_database_is_gone_does_not_get_into_the_new_one(data: Path, file: Path) -> None:
    add_in_the_wal(data, "newest")
    (data / DATABASE_FILE).unlink()
    done = restore(data, file)
    assert (done.returncode, "is kept as" in done.stdout) == (0, True)
    assert organizations(data) == {"old"}
    assert not (data / f"{DATABASE_FILE}-wal").exists()
    assert len(list(data.glob(f"{DATABASE_FILE}.replaced-*-wal"))) == 1


@pytest.mark.parametrize("ruin", [damage, overwrite])
def test_a_damaged_database_is_replaced_and_kept_with_its_wal_file(
    data: Path, file: Path, ruin: Callable[[Path], object]
) -> None:
    add_in_the_wal(data, "newest")
    ruin(data / DATABASE_FILE)
    done = restore(data, file, "--replace")
    assert done.returncode == 0, done.stderr
    assert organizations(data) == {"old"}
    assert keystead("admin", "create-org", "--data", data, "--name", "next").returncode == 0
    assert organizations(data) == {"old", "next"}
    assert [path for path in data.glob(f"{DATABASE_FILE}.replaced-*Z") if path.stat().st_size > 0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("INSERT INTO membership VALUES ('nobody', 'nowhere', 'owner', 0)", "belongs to none"),
        ("UPDATE alembic_version SET version_num = '9999'", "newer version of Keystead"),
        ("UPDATE alembic_version SET version_num = 'abc'", "newer version of Keystead"),
        ("DELETE FROM installation", "holds no installation"),
        ("DROP TABLE installation", "not a database of Keystead"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_changes_nothing(data: Path, file: Path, change: str, says: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(change)
    refused = restore(data, file, "--replace")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert says in refused.stderr
    assert str(file) in refused.stderr
    assert organizations(data) == {"old", "later"}
    assert sorted(path.name for path in data.iterdir()) == [DATABASE_FILE, "master-secret"]


@pytest.mark.parametrize(
    "ruin", [damage, lambda path: path.write_bytes(b"no database"), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_backup_changes_nothing(data: Path, file: Path, ruin: Callable[[Path], object]) -> None:
    ruin(file)
    refused = restore(data, file, "--replace")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert organizations(data) == {"old", "later"}
    assert sorted(path.name for path in data.iterdir()) == [DATABASE_FILE, "master-secret"]


def test_an_older_backup_is_brought_up_to_date_by_the_next_start(data: Path, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    assert restore(data, file, "--replace").returncode == 0
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0000",)


def test_the_database_itself_is_no_backup(data: Path) -> None:
    refused = restore(data, data / DATABASE_FILE, "--replace")
    assert (refused.returncode, "is the database itself" in refused.stderr) == (1, True)
    assert organizations(data) == {"old"}


def test_a_backup_with_a_wal_file_of_its_own_is_restored_with_it(data: Path, file: Path, tmp_path: Path) -> None:
    add_in_the_wal(data, "newest")
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    (data / f"{DATABASE_FILE}-wal").unlink()
    assert restore(data, copy / DATABASE_FILE, "--replace").returncode == 0
    assert organizations(data) == {"old", "later", "newest"}
    assert (copy / f"{DATABASE_FILE}-wal").stat().st_size > 0


def test_the_backup_itself_is_not_changed(data: Path, file: Path) -> None:
    before = file.read_bytes()
    assert restore(data, file, "--replace").returncode == 0
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["backup.db", "data"]


def test_the_restored_database_belongs_to_whom_the_data_directory_belongs(data: Path, file: Path) -> None:
    owner = 12_345 if os.geteuid() == 0 else os.geteuid()
    os.chown(data, owner, -1)
    assert restore(data, file, "--replace").returncode == 0
    assert (data / DATABASE_FILE).stat().st_uid == owner


def killed(what: str, directory: Path) -> list[dict[str, Any]]:
    """Run the program that kills, and return what it found after each kill."""
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-m", "tests.operate.interrupted_copies", what, str(directory)],
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        check=False,
        cwd=root,
    )
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_a_kill_at_any_line_of_a_restore_leaves_the_old_database_or_the_new_one(
    data: Path, file: Path, tmp_path: Path
) -> None:
    data.rename(tmp_path / "template")
    kills = killed("restores", tmp_path)
    assert len(kills) > 60
    assert {tuple(kill["found"]) for kill in kills} == {("later", "newest", "old"), ("old",)}
    assert [kill["found"] for kill in kills if kill["done"]] == [["old"]]
    for kill in kills:
        assert kill["kept"] or kill["found"] != ["old"]
        assert all(kept == ["later", "newest", "old"] for kept in kill["kept"])
        assert (kill["again"], kill["left"]) == (["old"], [])


def test_a_kill_at_any_line_of_a_backup_leaves_no_file_or_a_whole_one(data: Path, tmp_path: Path) -> None:
    data.rename(tmp_path / "template")
    kills = killed("backups", tmp_path)
    assert len(kills) > 40
    assert {kill["there"] for kill in kills} == {True, False}
    for kill in kills:
        assert kill["source"] == ["newest", "old"]
        assert kill["whole"] == (["newest", "old"] if kill["there"] else False)
