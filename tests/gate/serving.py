"""Servers in every shape: furnished beforehand, started with any options; and what their databases hold."""

import asyncio
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import asyncpg
from sqlalchemy import Column, Select, Table, select

from keystead.db.installation import DATABASE_FILE
from keystead.db.tables import metadata
from keystead.kernel.clock import SystemClock
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import FILE_NAME, load_settings
from keystead.services import Services, open_services
from tests.support import engine
from tests.support.server import ADA, BOB, GENEROUS, KeysteadServer, Person

T = TypeVar("T")

READY_SECONDS: Final = 30.0
EVE: Final = Person("eve", "an owl that nobody invited", "eve@example.org", "owner")
"""She owns another organization, globex, and nothing in acme."""
BUSY: Final = {
    "api_key": {"last_used_at", "last_used_address"},
    "session": {"last_used_at"},
    "device_authorization": {"last_poll_ms"},
}
"""Columns that may change without anything having changed."""
COUNTERS: Final = frozenset({"wrong_guess", "key_use"})
"""Tables of counts: of guesses, and of uses, which a server writes when a minute is over, whatever is done then."""
ON_NODES: Final = frozenset({"errand"})
"""Tables that change by themselves where nodes share a database."""


@dataclass(frozen=True, slots=True)
class Furnished:
    """A data directory with acme (ada its owner, bob a member) and globex (eve its owner), and the ids in it."""

    data: Path
    acme: str
    globex: str
    ada: str
    bob: str
    eve: str


def furnish(data: Path) -> Furnished:
    """Fill an empty data directory, with signing keys made, so that a server over a copy of it starts quickly."""

    async def work(services: Services) -> Furnished:
        acme = await services.accounts.create_organization("acme", "Acme")
        globex = await services.accounts.create_organization("globex", "Globex")
        ids = {}
        for person, organization in ((ADA, "acme"), (BOB, "acme"), (EVE, "globex")):
            ids[person.username] = await services.accounts.create_user(
                username=person.username,
                email=person.email,
                organization=organization,
                role=Role(person.role),
                password=Secret(person.password),
            )
        await services.signing_keys.ensure()
        return Furnished(data, acme, globex, ids["ada"], ids["bob"], ids["eve"])

    engine.prepare(data)
    return in_process(data, "https://auth.example.com", work)


def in_process(data: Path, public_url: str, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Do something to an installation as another process would, whether or not a server runs over it."""
    settings = load_settings({}, data / FILE_NAME, public_url=public_url)

    async def whole() -> T:
        services = open_services(data, settings, SystemClock())
        try:
            return await work(services)
        finally:
            await services.aclose()

    return asyncio.run(whole())


def new_key(data: Path, public_url: str, username: str, title: str = "test") -> tuple[str, str]:
    """Return a fresh API key's id and text."""

    async def work(services: Services) -> tuple[str, str]:
        made = await services.keys.create_key_for_user(username, title)
        return made.record.id, made.secret.reveal()

    return in_process(data, public_url, work)


def new_token(data: Path, public_url: str, username: str) -> str:
    """Return a fresh short-term token."""

    async def work(services: Services) -> str:
        identity = await services.accounts.first_identity(username)
        return (await services.tokens.issue_short_term(identity)).token.reveal()

    return in_process(data, public_url, work)


@contextmanager
def furnished_server(
    furnished: Furnished, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[KeysteadServer]:
    """Give a running development server over a copy of the furnished data."""
    server = KeysteadServer(directory, settings)
    engine.duplicate(furnished.data, server.data)
    with server:
        yield server


class Serving:
    """``keystead serve`` on a port of 127.0.0.1 with any other options, for what ``KeysteadServer`` leaves out.

    ``address`` is where it listens, whatever address it announces.
    """

    def __init__(self, directory: Path, furnished: Furnished, *options: str, settings: Mapping[str, str]) -> None:
        """Copy the furnished data into ``directory``. Nothing runs before the context is entered."""
        self.data = directory / "data"
        engine.duplicate(furnished.data, self.data)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._settings = settings
        self._log = directory / "server.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                serve_command(self.data, "--host", "127.0.0.1", "--port", str(self.port), *self._options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(self._settings),
            )
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("the server's output is not connected")
        threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            line = ""
        if not line.startswith("Keystead is ready at "):
            self.stop()
            raise RuntimeError(f"The server did not become ready. It said {line!r} and logged:\n{self.log_text()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
            if process.stdout is not None:
                process.stdout.close()
            self._process = None

    def log_text(self) -> str:
        """Return all that was logged."""
        return self._log.read_text(encoding="utf-8")


def serve_command(data: Path, *options: str) -> list[str]:
    """Return the command that serves."""
    return [sys.executable, "-m", "keystead", "serve", "--data", str(data), *options]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with these settings and no others."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    return {**ours, **GENEROUS, **settings}


def refused_start(data: Path, *options: str, settings: Mapping[str, str]) -> tuple[int, str]:
    """Return the exit code and the words of a ``keystead serve`` that refuses to start."""
    finished = subprocess.run(
        serve_command(data, *options),
        capture_output=True,
        text=True,
        env=environment(settings),
        timeout=READY_SECONDS,
        check=False,
    )
    if finished.stdout:
        raise RuntimeError(f"standard output is not empty: {finished.stdout}")
    return finished.returncode, finished.stderr


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def dump(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, apart from limits and from when and how often something was used."""
    url = engine.url_of(data)
    if url is not None:
        queries = {name: select(*_lasting(table)) for name, table in metadata.tables.items()}
        shown = queries.keys() - COUNTERS - ON_NODES
        return {name: sorted(_fetch(url, queries[name]), key=repr) for name in sorted(shown)}
    with closing(open_database(data)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: _rows(database, table) for table in sorted(tables) if table not in COUNTERS}


def _lasting(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.name not in BUSY.get(table.name, ())]


def _fetch(url: str, query: str | Select[Any], *parameters: str) -> list[tuple[Any, ...]]:
    """Ask PostgreSQL beside its servers; ``?`` stands for the next parameter."""
    numbers = count(1)
    sql = re.sub(r"\?", lambda _: f"${next(numbers)}", str(query))

    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *parameters)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, fetch()).result()


def _rows(database: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    shown = ", ".join(f'"{column}"' for column in columns if column not in BUSY.get(table, ()))
    return sorted(database.execute(f'SELECT {shown} FROM "{table}"').fetchall(), key=repr)  # noqa: S608 - our own names


def open_database(data: Path) -> sqlite3.Connection:
    """Open an installation's database beside its server."""
    return sqlite3.connect(data / DATABASE_FILE, isolation_level=None, timeout=10)


def ask(data: Path, sql: str, *parameters: str) -> list[Any]:
    """Return the first column of what a query finds."""
    url = engine.url_of(data)
    if url is not None:
        return [row[0] for row in _fetch(url, sql, *parameters)]
    with closing(open_database(data)) as database:
        return [row[0] for row in database.execute(sql, parameters)]


def raw(address: str, data: bytes | Sequence[bytes], *, seconds: float = 10.0) -> bytes:
    """Send bytes as they are and return all that came back until the server closed."""
    host, _, port = address.rpartition("/")[2].partition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        try:
            for part in [data] if isinstance(data, bytes) else data:
                connection.sendall(part)
            while part := connection.recv(65_536):
                received += part
        except ConnectionError:
            pass  # the server had enough, which is an answer too
    return received


def status_of(answer: bytes) -> int:
    """Return the status of a raw answer; 0 for a connection that was closed without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
