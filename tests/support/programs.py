"""Other people's programs that tests start: where they are, and what a run says when one is missing.

A test that asks for a machine which cannot be had is skipped, and the run says so in one line at its end. Where ``CI``
is ``true``, everything has to be there: the same line is said, and the run fails.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
"""Where programs are that are not on everybody's PATH."""
POSTGRES_FOLDERS = tuple(sorted(map(str, Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin")), reverse=True))
"""Where Debian keeps PostgreSQL's programs, newest version first."""
MISSING: Final = "missing on this machine"
"""Words by which a skipped test is known to have been skipped for a missing program."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one kind of server needs: each of ``programs``, under any one of its names."""

    name: str
    package: str
    programs: tuple[tuple[str, ...], ...]


POSTGRES: Final = Requirement(
    "PostgreSQL", "postgresql", (("initdb",), ("postgres",), ("pg_ctl",), ("psql",), ("pg_basebackup",))
)
VALKEY: Final = Requirement("Valkey or Redis", "redis-server", (("valkey-server", "redis-server"),))
NGINX: Final = Requirement("nginx", "nginx", (("nginx",),))
SYSTEMD: Final = Requirement("systemd", "systemd", (("systemd-analyze",),))
REQUIREMENTS: Final = (POSTGRES, VALKEY, NGINX, SYSTEMD)


def find(*names: str) -> Path | None:
    """Return the program with the first of these names that is here.

    PostgreSQL's programs are taken from one folder, so that they fit each other: on Debian, ``psql`` on the PATH is a
    wrapper around whichever version it prefers.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *POSTGRES_FOLDERS, *FOLDERS])
    initdb = shutil.which("initdb", path=path)
    beside = str(Path(initdb).resolve().parent) if initdb else ""
    for name in names:
        found = (initdb and shutil.which(name, path=beside)) or shutil.which(name, path=path)
        if found:
            return Path(found)
    return None


def program(*names: str) -> str:
    """Return the program with the first of these names that is here. Raises FileNotFoundError for none."""
    found = find(*names)
    if found is None:
        raise FileNotFoundError(f"{' or '.join(names)} is {MISSING}.")
    return str(found)


def is_missing(wanted: Requirement) -> bool:
    """Whether the machine cannot be started here."""
    return any(find(*names) is None for names in wanted.programs)


def need(wanted: Requirement) -> None:
    """Skip the test that asks when the machine cannot be started here."""
    if is_missing(wanted):
        pytest.skip(f"{wanted.name} is {MISSING} (package {wanted.package})")


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Absences:
    """A plugin of pytest that says, in one line at the end of a run, what was missing for how many of its tests."""

    skipped: set[str] = field(default_factory=set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notice a test that was skipped for a missing program."""
        if report.skipped and MISSING in str(report.longrepr):
            self.skipped.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a run fail in which something was missing, where nothing may be."""
        if self.skipped and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say it."""
        if self.skipped:
            terminalreporter.write_line(self.sentence(), yellow=True, bold=True)

    def sentence(self) -> str:
        """Return the line."""
        missing = [one for one in REQUIREMENTS if is_missing(one)]
        names = ", ".join(one.name for one in missing)
        packages = " ".join(one.package for one in missing)
        tests = f"{len(self.skipped)} {'test' if len(self.skipped) == 1 else 'tests'}"
        return f"Not run here: {tests}, for want of {names}. On Debian or Ubuntu: apt-get install {packages}"
