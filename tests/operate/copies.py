"""What the tests of backup and restore share: the two commands, small installations, and what is in a database."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from keystead.db.installation import DATABASE_FILE

SECONDS = 60


def environment(**variables: str) -> dict[str, str]:
    """Return our environment with these settings and no others."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    return {**ours, **variables}


def keystead(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``keystead`` and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "keystead", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=environment(**variables),
    )


def backup(data: Path, file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``keystead backup``."""
    return keystead("backup", "--data", data, file, **variables)


def restore(data: Path, file: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``keystead restore``."""
    return keystead("restore", "--data", data, file, *options, **variables)


def made(directory: Path, organization: str) -> Path:
    """Make an installation with one organization and return its data directory."""
    found = keystead("admin", "create-org", "--data", directory, "--name", organization)
    if found.returncode != 0:
        raise RuntimeError(found.stderr)
    return directory


def organizations(data: Path) -> set[str]:
    """Return what is in the database of a data directory."""
    return organizations_in(data / DATABASE_FILE)


def organizations_in(file: Path) -> set[str]:
    """Return what is in a database, and look through all of it on the way."""
    with closing(sqlite3.connect(file)) as database:
        broken = database.execute("PRAGMA integrity_check").fetchone()[0]
        if broken != "ok":
            raise RuntimeError(f"{file} is damaged: {broken}")
        return {row[0] for row in database.execute("SELECT name FROM organization")}


def add_in_the_wal(data: Path, organization: str) -> None:
    """Leave a data directory as a killed server leaves it: the newest organization is in the -wal file alone."""
    database = data / DATABASE_FILE
    elsewhere = data.with_name(f"{data.name}-running")
    elsewhere.mkdir()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "INSERT INTO organization (id, name, display_name, second_factor_required, password_sign_in_off, "
            "device_sign_in_off, created_at) VALUES (?, ?, ?, 0, 0, 0, ?)",
            (organization, organization, organization, int(time.time())),
        )
        for side in ("", "-wal"):
            shutil.copy(f"{database}{side}", elsewhere)
    for file in elsewhere.iterdir():
        shutil.move(file, data / file.name)
    elsewhere.rmdir()


def fill(file: Path, rows: int) -> None:
    """Make a database large enough that reading all of it takes a while.

    The rows hold nothing readable, so that the search for secrets, when the server stops, passes over them.
    """
    with closing(sqlite3.connect(file, timeout=10)) as database:
        database.executemany(
            "INSERT INTO audit_event (id, at, type, detail) VALUES (?, ?, 'test:fill', ?)",
            ((f"fill-{number}", int(time.time()), "\x01" * 400) for number in range(rows)),
        )
        database.commit()


def damage(file: Path) -> None:
    """Write over some pages in the middle."""
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xff" * 4096 * 17
    file.write_bytes(content)


def overwrite(file: Path) -> None:
    """Put something in the place of a database that is none."""
    file.write_bytes(b"no database at all" * 400)
