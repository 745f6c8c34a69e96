"""A real PostgreSQL of a test's own: stopped, killed, held still, followed by a standby.

The cluster is made once by each process that runs tests, and copied for each server. It lives in a short path under
/tmp, because PostgreSQL refuses to be root and another user may not enter pytest's directories, and because the path of
a socket may have 107 characters only. The log is kept where the test says.
"""

import atexit
import csv
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import StringIO
from itertools import count
from pathlib import Path
from typing import ClassVar, Final, Literal

from tests.support.processes import Account, Machine, MachineError, account, wait_for
from tests.support.programs import program

HOST: Final = "127.0.0.1"
ADMINISTRATOR: Final = "postgres"
ROLE: Final = "keystead"
"""Owns every database that is made here, and may do nothing beyond."""
SETTINGS: Final = {
    "listen_addresses": HOST,
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # in the data directory, where it is removed with the rest
    "max_wal_size": "1GB",
    "wal_keep_size": "256MB",  # a standby that was away finds what it missed
    "wal_retrieve_retry_interval": "100ms",  # and is back soon
    "fsync": "on",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "lc_messages": "C",
    "timezone": "UTC",
}
NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off"}
"""Settings that are quicker. A server with these forgets nothing when it is killed, for then the kernel lives on."""
IPC_RMID: Final = 0
TMP: Final = Path("/tmp")
PREFIX: Final = "keystead-postgres-"

Authentication = Literal["trust", "scram-sha-256"]

_REMOVER: Final = ThreadPoolExecutor(1, thread_name_prefix="remover")
"""Removes the data of servers that are closed: some disks take a second for what was written to them with fsync."""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What ``initdb`` made: a directory to copy, and the passwords in it."""

    data: Path
    administrator_password: str
    password: str


@cache
def home() -> Path:
    """Return the directory of all that this process's servers keep; it goes when the process ends.

    A process that is killed removes nothing. The next one removes what it left: nobody holds its lock any more.
    """
    _remove_abandoned()
    unnamed = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=TMP))
    fcntl.flock(os.open(unnamed, os.O_RDONLY), fcntl.LOCK_EX)  # held for as long as the process lives
    made = unnamed.rename(TMP / unnamed.name.removeprefix("."))  # and only now is there something to find
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and not a fork of ours
            shutil.rmtree(made, ignore_errors=True)

    atexit.register(remove)
    _account().give(made)
    return made


def _remove_abandoned() -> None:
    for found in TMP.glob(f"{PREFIX}*"):
        try:
            lock = os.open(found, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or somebody else's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(found, ignore_errors=True)
        except BlockingIOError:
            continue  # in use
        finally:
            os.close(lock)


@cache
def _account() -> Account:
    return account("postgres")


@cache
def _cluster() -> Cluster:
    made = Cluster(home() / "cluster", secrets.token_hex(16), secrets.token_hex(16))
    password_file = home() / "password"
    password_file.write_text(made.administrator_password, encoding="utf-8")
    _account().give(password_file)
    _account().run(
        [
            *(program("initdb"), "-D", str(made.data), "-U", ADMINISTRATOR, "--pwfile", str(password_file)),
            *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ]
    )
    _account().run(
        [program("postgres"), "--single", "-F", "-j", "-D", str(made.data), "postgres"],
        stdin=f"CREATE ROLE {ROLE} LOGIN PASSWORD '{made.password}';\n\n",
    )
    return made


class PostgresServer(Machine):
    """PostgreSQL on a port of 127.0.0.1, with a role that is no superuser and owns the databases made here.

    ``settings`` replace those above, and may be changed between two starts. ``directory`` gets the log.
    """

    at_our_death: ClassVar[str] = "QUIT"  # PostgreSQL's immediate shutdown, which ends its children too
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # its fast shutdown, which does not wait for clients

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, *, authentication: Authentication = "trust"
    ) -> None:
        """Choose the port. The cluster is made at the first start."""
        super().__init__(directory / "postgres.log", _account())
        self.settings = {**SETTINGS, **(settings or {})}
        self.authentication: Authentication = authentication
        self.primary: PostgresServer | None = None
        self._place = home() / str(next(_numbers))
        self.data = self._place / "data"

    # Its life

    def command(self) -> list[str]:
        """Return what starts it, after its directory and its two files of settings are there."""
        if not self.data.exists():
            self._make_place()
            self.account.run(["cp", "-R", str(_cluster().data), str(self.data)])
        own = {"port": str(self.port), "unix_socket_directories": str(self._place)}
        lines = [f"{name} = '{value}'" for name, value in {**self.settings, **own}.items()]
        (self.data / "postgresql.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
        rules = [
            "local all,replication all trust",  # the socket's directory is closed to others
            f"host all,replication all {HOST}/32 {self.authentication}",
        ]
        (self.data / "pg_hba.conf").write_text("\n".join([*rules, ""]), encoding="utf-8")
        return [program("postgres"), "-D", str(self.data)]

    def _make_place(self) -> None:
        self._place.mkdir(mode=0o700)
        self.account.give(self._place)

    def is_ready(self) -> bool:
        """Whether it says so in ``postmaster.pid``, as pg_ctl asks too."""
        lines = self._pid_file()
        return len(lines) > 7 and int(lines[0]) == self.pid and lines[7].strip() in {"ready", "standby"}

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def kill(self) -> None:
        """End all its processes at once with SIGKILL, and free the shared memory that nobody is left to free."""
        super().kill()
        lines = self._pid_file()
        if len(lines) > 6 and lines[6].strip():
            ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), IPC_RMID, None)

    def close(self) -> None:
        """End it in whatever state it is, and remove its data."""
        super().close()
        _REMOVER.submit(shutil.rmtree, self._place, ignore_errors=True)

    # Its databases

    def url(self, database: str) -> str:
        """Return the address of a database for the role that owns it."""
        return f"postgresql://{ROLE}:{_cluster().password}@{HOST}:{self.port}/{database}"

    def administrator_url(self, database: str = "postgres") -> str:
        """Return the address of a database for the superuser."""
        return f"postgresql://{ADMINISTRATOR}:{_cluster().administrator_password}@{HOST}:{self.port}/{database}"

    def create_database(self, name: str = "", *, template: str = "template0") -> str:
        """Make a database, empty or a copy of one that nobody is connected to, and return its address."""
        name = name or f"test_{secrets.token_hex(6)}"
        quickly = "STRATEGY FILE_COPY" if self.settings["fsync"] == "off" else ""  # half the time, and no log
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER {ROLE} {quickly}')
        return self.url(name)

    def drop_database(self, *names_or_urls: str) -> None:
        """Remove databases and end their connections."""
        names = map(database_of, names_or_urls)
        self.execute("".join(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE);\n' for name in names))

    def execute(self, sql: str, database: str = "") -> None:
        """Run statements: as the owner in one of the databases, by name or address; without one as the superuser.

        Raises MachineError with PostgreSQL's words when one of them fails.
        """
        self._psql(sql, database)

    def fetch(self, sql: str, database: str = "") -> list[tuple[str, ...]]:
        """Return the rows of a query, asked like ``execute``; each value is its text, and NULL is the empty text."""
        return [tuple(row) or ("",) for row in csv.reader(StringIO(self._psql(sql, database), newline=""))]

    def _psql(self, sql: str, database: str) -> str:
        place = self._connection(ROLE if database else ADMINISTRATOR)
        words = [program("psql"), "-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1", *place]
        return self.account.run([*words, "-d", database_of(database) or "postgres"], stdin=sql)

    def _connection(self, role: str = ADMINISTRATOR) -> list[str]:
        return ["-h", str(self._place), "-p", str(self.port), "-U", role]

    # Its standby

    def standby(self, directory: Path | None = None) -> "PostgresServer":
        """Return a copy that follows this server by streaming, with the same settings. Start it, as a context."""
        replica = PostgresServer(
            directory or self.log.parent / f"standby-{next(_numbers)}",
            self.settings,
            authentication=self.authentication,
        )
        replica.primary = self
        replica._make_place()
        command = [program("pg_basebackup"), *self._connection(), "-D", str(replica.data)]
        self.account.run([*command, "-R", "-X", "stream", "-c", "fast", "--no-sync"])
        return replica

    def catch_up(self) -> None:
        """Wait until this standby has replayed all that its primary has committed so far."""
        if self.primary is None:
            raise MachineError("This server follows nobody.")
        ((position,),) = self.primary.fetch("SELECT pg_current_wal_lsn()")
        asked = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_for(lambda: self.fetch(asked) == [("t",)], f"a replay of the primary's log up to {position}")

    def promote(self) -> None:
        """Make this standby a primary that takes writes."""
        if self.fetch("SELECT pg_promote()") != [("t",)]:
            raise MachineError(f"The standby did not become a primary. Log:\n{self.log_text()}")
        self.primary = None


def database_of(url: str) -> str:
    """Return the database's name in an address; a name is itself."""
    return url.rpartition("/")[2]
