"""A backup is whole, whatever the server does meanwhile, and it is there only when it is sound."""

import os
import pty
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from keystead.db.installation import DATABASE_FILE
from tests.operate.copies import (
    SECONDS,
    add_in_the_wal,
    backup,
    damage,
    environment,
    fill,
    keystead,
    made,
    organizations_in,
    restore,
)
from tests.support.browser import Browser
from tests.support.device import DeviceClient
from tests.support.server import ADA, KeysteadServer, add_acme

ROWS = 150_000
"""Enough that copying and checking take about a second."""


@dataclass
class Writer:
    """Makes API keys without pause and keeps each one that was acknowledged, with when it was."""

    url: str
    token: str
    keys: list[tuple[float, str]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    counted: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> None:
        """Make keys until it is enough."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=f"{self.url}/account/service/v1", headers=bearer, trust_env=False) as http:
            app = http.get("/apps").json()["apps"][0]["app_id"]
            while not self.enough.is_set():
                answer = http.post(f"/apps/{app}/keys", json={"api_key_name": f"key {len(self.keys)}"})
                with self.counted:
                    self.keys.append((time.monotonic(), answer.json()["raw_api_key"]))
                    self.counted.notify_all()

    def await_more(self, number: int) -> None:
        """Wait until so many more keys were acknowledged."""
        with self.counted:
            target = len(self.keys) + number
            assert self.counted.wait_for(lambda: len(self.keys) >= target, timeout=SECONDS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give the data directory of a small installation that nobody serves."""
    return made(tmp_path / "data", "acme")


def left_in(directory: Path) -> list[str]:
    """Return the names of the files in a directory, hidden ones too."""
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def written(server: KeysteadServer) -> Iterator[Writer]:
    """Give a writer at work, on a server with a database of some size."""
    add_acme(server)
    server.admin("create-key", "--user", ADA.username, "--title", "first")
    fill(server.data / DATABASE_FILE, ROWS)
    writer = Writer(server.url, server.admin("create-token", "--user", ADA.username))
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer.enough.set()
        thread.join(SECONDS)


def test_a_backup_of_a_busy_server_holds_every_credential_that_was_acknowledged_before_it_began(
    server: KeysteadServer, written: Writer, tmp_path: Path
) -> None:
    file = tmp_path / "backup.db"
    with Browser(server.url) as ada, DeviceClient(server.url) as device:
        ada.sign_in(ADA.username, ADA.password)
        device.register()
        authorization = device.device_code()
        ada.approve(authorization.verification_uri_complete)
        tokens = device.poll_until_decided(authorization)
        written.await_more(20)

        began = time.monotonic()
        found = backup(server.data, file)
        ended = time.monotonic()
        written.await_more(1)
        written.enough.set()
        assert found.returncode == 0, found.stderr
        before = [key for at, key in written.keys if at < began]
        assert len(before) >= 20
        assert [key for at, key in written.keys if began < at < ended], "the server stood still for the backup"

        server.stop()
        assert restore(server.data, file, "--replace").returncode == 0
        server.start()
        session = f"{server.url}/api/auth/session"
        with httpx.Client(trust_env=False) as http:
            assert {http.get(session, auth=(key, "")).status_code for key in before} == {200}
            for token in (written.token, tokens.access_token):
                assert http.get(session, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert ada.get("/").status == 200
        assert device.refresh(tokens.refresh_token).access_token


def test_what_a_killed_server_left_beside_its_database_is_in_the_backup(data: Path, tmp_path: Path) -> None:
    add_in_the_wal(data, "globex")
    assert (data / f"{DATABASE_FILE}-wal").stat().st_size > 0
    assert backup(data, tmp_path / "backup.db").returncode == 0
    assert organizations_in(tmp_path / "backup.db") == {"acme", "globex"}


def test_a_backup_is_one_file_that_its_owner_alone_can_read(data: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        assert backup(data, place / "backup.db").returncode == 0
    finally:
        os.umask(before)
    assert left_in(place) == ["backup.db"]
    assert stat.S_IMODE((place / "backup.db").stat().st_mode) == 0o600
    with closing(sqlite3.connect(place / "backup.db")) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


def test_a_backup_says_where_the_master_secret_is_that_is_not_in_it(data: Path, tmp_path: Path) -> None:
    in_its_file = backup(data, tmp_path / "first.db").stdout
    secret = (data / "master-secret").read_text(encoding="utf-8").strip()
    given = backup(data, tmp_path / "second.db", KEYSTEAD_MASTER_SECRET=secret).stdout
    assert f"The master secret is not in it: it is in {data / 'master-secret'}." in in_its_file
    assert "The master secret is not in it: it is what you set as KEYSTEAD_MASTER_SECRET." in given
    assert secret.encode() not in (tmp_path / "first.db").read_bytes()
    assert secret not in in_its_file + given


def test_no_file_is_written_over(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    file.write_text("something else", encoding="utf-8")
    found = backup(data, file)
    assert (found.returncode, found.stdout) == (1, "")
    assert "is there already" in found.stderr
    assert file.read_text(encoding="utf-8") == "something else"
    assert sorted(tmp_path.iterdir()) == [file, data]


def test_a_file_that_comes_while_the_copy_is_made_is_not_written_over(data: Path, tmp_path: Path) -> None:
    fill(data / DATABASE_FILE, ROWS)
    place = tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-m", "keystead", "backup", "--data", str(data), str(place / "backup.db")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as running:
        stderr = running.stderr
        assert stderr is not None
        assert stderr.readline().startswith("Copying")
        (place / "backup.db").write_text("something else", encoding="utf-8")
        told = stderr.read()
    assert (running.returncode, "is there already" in told) == (1, True)
    assert (place / "backup.db").read_text(encoding="utf-8") == "something else"
    assert left_in(place) == ["backup.db"]


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    found = backup(tmp_path / "nowhere", tmp_path / "backup.db")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"There is no database at {tmp_path / 'nowhere' / DATABASE_FILE}.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_told_in_a_sentence(data: Path, tmp_path: Path) -> None:
    found = backup(data, tmp_path / "nowhere" / "backup.db")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"Cannot write to {tmp_path / 'nowhere'}: No such file or directory.\n"


def test_a_damaged_database_gives_no_backup(data: Path, tmp_path: Path) -> None:
    damage(data / DATABASE_FILE)
    found = backup(data, tmp_path / "backup.db")
    assert (found.returncode, found.stdout) == (1, "")
    assert "malformed" in found.stderr
    assert "Traceback" not in found.stderr
    assert left_in(tmp_path) == ["data"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("INSERT INTO membership VALUES ('nobody', 'nowhere', 'owner', 0)", "belongs to none"),
        ("UPDATE alembic_version SET version_num = '9999'", "newer version of Keystead"),
        ("DELETE FROM installation", "holds no installation"),
        ("DROP TABLE installation", "not a database of Keystead"),
    ],
)
def test_a_database_that_is_not_as_it_should_be_gives_no_backup(
    data: Path, tmp_path: Path, change: str, says: str
) -> None:
    with closing(sqlite3.connect(data / DATABASE_FILE, isolation_level=None)) as database:
        database.execute(change)
    found = backup(data, tmp_path / "backup.db")
    assert (found.returncode, found.stdout) == (1, "")
    assert says in found.stderr
    assert left_in(tmp_path) == ["data"]


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_with_postgresql_both_commands_name_its_own_programs_and_keep_the_password(
    data: Path, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "backup.db"
    file.touch()
    address = "postgresql://keystead:a-password-of-its-own@127.0.0.1:1/keystead"
    found = keystead(command, "--data", data, file, KEYSTEAD_DATABASE_URL=address)
    assert (found.returncode, found.stdout) == (1, "")
    assert "pg_dump" in found.stderr
    assert "pg_restore" in found.stderr
    assert "a-password" not in found.stderr


def test_on_a_terminal_the_share_that_is_done_is_shown_in_place(data: Path, tmp_path: Path) -> None:
    fill(data / DATABASE_FILE, ROWS)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "keystead", "backup", "--data", str(data), str(tmp_path / "backup.db")]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, text=True, env=environment()) as running:
        os.close(theirs)
        shown = read_all(ours)
    assert running.returncode == 0
    assert "\rCopying: " in shown
    assert shown.replace("\r", "").rstrip().endswith("Checking the copy")
    assert "\n" not in shown


def test_elsewhere_each_step_is_a_plain_line(data: Path, tmp_path: Path) -> None:
    found = backup(data, tmp_path / "backup.db")
    assert [line.partition(" ")[0] for line in found.stderr.splitlines()] == ["Copying", "Checking"]
    assert "\r" not in found.stderr


def test_an_interrupted_backup_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    fill(data / DATABASE_FILE, ROWS)
    place = tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-m", "keystead", "backup", "--data", str(data), str(place / "backup.db")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("Copying")
        running.send_signal(signal.SIGINT)
        told = running.stderr.read()
    assert running.returncode != 0
    assert "Traceback" not in told
    assert left_in(place) == []


def test_what_was_deleted_is_not_in_the_backup(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / DATABASE_FILE, isolation_level=None)) as database:
        words = "a row that was deleted"
        database.execute("INSERT INTO audit_event (id, at, type, detail) VALUES ('x', 0, 'test:x', ?)", (words,))
        database.execute("DELETE FROM audit_event WHERE id = 'x'")
    assert backup(data, tmp_path / "backup.db").returncode == 0
    assert words.encode() not in (tmp_path / "backup.db").read_bytes()


def read_all(descriptor: int) -> str:
    """Return what is shown on a terminal until nobody writes to it any more."""
    shown = b""
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while True:
            try:
                part = stream.read(4096)
            except OSError:  # how Linux says that the other end was closed
                return shown.decode()
            if not part:
                return shown.decode()
            shown += part
