"""On a machine without the programs the tests that need them are skipped, and the run says so in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.support import programs

CONFTEST = """
from tests.conftest import *
from tests.support import programs

programs.POSTGRES_FOLDERS = programs.FOLDERS = ()
"""
TESTS = """
def test_one(postgres_url): ...
def test_two(new_postgres): ...
def test_three(request):
    request.getfixturevalue("valkey_url")
def test_four(new_nginx): ...
"""
ELSEWHERE = """
def test_five(): ...
"""
SENTENCE = (
    "Not run here: 4 tests, for want of PostgreSQL, Valkey or Redis, nginx, systemd. "
    "On Debian or Ubuntu: apt-get install postgresql redis-server nginx systemd"
)


def run(directory: Path, *options: str, ci: str | None = None) -> tuple[int, list[str]]:
    """Run tests where no program is found, and return the exit code and the lines."""
    (directory / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (directory / "test_some.py").write_text(TESTS, encoding="utf-8")
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "conftest.py").write_text("", encoding="utf-8")
    (elsewhere / "test_other.py").write_text(ELSEWHERE, encoding="utf-8")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))}
    place = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(directory), "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *place, "-q", "--color=no", *options, str(directory)],
        cwd=ROOT,
        env={**ours, "PATH": str(directory), **({"CI": ci} if ci else {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return ended.returncode, (ended.stdout + ended.stderr).splitlines()


def test_a_run_says_in_one_line_what_was_missing(tmp_path: Path) -> None:
    code, lines = run(tmp_path, "-n", "0")
    assert [line for line in lines if "apt-get" in line] == [SENTENCE]
    assert lines[-1].startswith("1 passed, 4 skipped")
    assert code == 0


def test_where_nothing_may_be_missing_the_run_fails_with_the_same_line(tmp_path: Path) -> None:
    code, lines = run(tmp_path, "-n", "2", ci="true")
    assert [line for line in lines if "apt-get" in line] == [SENTENCE]
    assert code == 1


def test_a_run_that_needs_nothing_of_it_says_nothing(tmp_path: Path) -> None:
    code, lines = run(tmp_path, "-n", "0", "-k", "five", ci="true")
    assert not [line for line in lines if "apt-get" in line]
    assert code == 0


@pytest.mark.usefixtures("needs_postgres")
def test_the_programs_of_postgres_are_taken_from_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("initdb", "postgres", "pg_ctl", "psql", "pg_basebackup")
    assert len({Path(programs.program(name)).parent for name in names}) == 1

    wrapper = tmp_path / "psql"
    wrapper.write_text("#!/bin/sh\n", encoding="utf-8")
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert programs.find("psql") != wrapper
    (tmp_path / "initdb").symlink_to(wrapper)
    assert programs.find("psql") == wrapper
