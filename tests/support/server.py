"""A real Keystead server as a process of its own, with its data in a directory that the test owns."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tests.support import issued

READY: Final = "Keystead is ready at "
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
ADMIN_SECONDS: Final = 60.0
PRINTS_A_SECRET: Final = frozenset({"create-key", "create-token"})

GENEROUS: Final = {
    "KEYSTEAD_LIMIT_SIGN_IN": "100000/minute",
    "KEYSTEAD_LIMIT_REGISTRATION": "100000/minute",
    "KEYSTEAD_LIMIT_DEVICE_CODE": "100000/minute",
    "KEYSTEAD_LIMIT_TOKEN": "100000/minute",
    "KEYSTEAD_LIMIT_API": "100000/minute",
}
"""Limits that no test reaches by accident. A test of a limit sets its own."""

BEFORE_A_START: Final[list[Callable[[Path], None]]] = []
"""What is done with the data directory of a server before it starts, unless its settings name a database."""


class ServerError(Exception):
    """The server or one of its commands did not do what a test stands on. The text carries the logs."""


class LeakError(ServerError):
    """A server's log or database holds a secret that tests were given or sent (promises K13 and W9)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in: user name, password, e-mail and role in the organization acme."""

    username: str
    password: str
    email: str
    role: str


ADA: Final = Person("ada", "correct horse battery staple", "ada@example.com", "owner")
BOB: Final = Person("bob", "a quiet lake before the morning", "bob@example.com", "member")


@dataclass(frozen=True, slots=True)
class Acme:
    """The ids of what ``add_acme`` made."""

    organization: str
    ada: str
    bob: str


class KeysteadServer:
    """``keystead serve --dev`` on 127.0.0.1, on a free port that it keeps when it is started again.

    ``settings`` are KEYSTEAD_* variables that replace the generous ones above. As a context manager it starts
    and stops the process. ``url`` is the address at which it listens, without a slash at the end.
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, *, port: int = 0, workers: int = 1
    ) -> None:
        """Make the data directory in ``directory``. Nothing runs before ``start``.

        A server that announces another address than its own, that of a proxy, must be given its ``port``.
        """
        self.data = directory / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.url = ""
        self.stdout: list[str] = []
        self.settings = {**GENEROUS, **(settings or {})}
        self._directory = directory
        self._log = directory / "server.log"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._port = port
        self._workers = workers

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id. Raises ServerError when it does not run."""
        return self._running_process().pid

    def start(self) -> None:
        """Start the process and wait for its one line. Raises ServerError with the logs if it never comes."""
        if self._process is not None:
            raise ServerError("The server runs already. Stop or kill it first.")
        if "KEYSTEAD_DATABASE_URL" not in self.settings:
            for prepare in BEFORE_A_START:
                prepare(self.data)
        place = [
            "--data",
            str(self.data),
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--workers",
            str(self._workers),
        ]
        with self._log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "keystead", "serve", "--dev", *place],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=self.environment(),
                cwd=self._directory,
            )
        self._process = process
        if process.stdout is None:
            raise ServerError("The server's output is not connected.")
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(process.stdout, lines), daemon=True)
        self._reader.start()
        self._await_ready(process, lines)

    def _read(self, stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
        """Keep every line of standard output, so that a test can say that there was one only."""
        with stream:
            for line in stream:
                self.stdout.append(line.rstrip("\n"))
                lines.put(line.rstrip("\n"))
        lines.put(None)

    def _await_ready(self, process: subprocess.Popen[str], lines: "queue.SimpleQueue[str | None]") -> None:
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            self.kill()
            raise ServerError(self._story(f"The server was not ready within {READY_SECONDS:g} s.")) from None
        if line is None:
            code = process.wait(STOP_SECONDS)
            self._process = None
            raise ServerError(self._story(f"The server ended with exit code {code} before it was ready."))
        if not line.startswith(
            tuple(READY + place for place in ("http://127.0.0.1:", "http://localhost:", "https://localhost:"))
        ):
            self.kill()
            raise ServerError(self._story(f"The server's first line was not the ready line: {line!r}"))
        if not self._port:
            self._port = int(line.rstrip("/").rpartition(":")[2])
        self.url = f"http://127.0.0.1:{self._port}"

    def _story(self, sentence: str) -> str:
        return f"{sentence}\nStandard output: {self.stdout}\nLog:\n{self.log_text() or '(empty)'}"

    def stop(self) -> int:
        """Send SIGTERM and return the exit code. Raises ServerError with the logs if the process stays."""
        process = self._running_process()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(self._story(f"SIGTERM did not end the server in {STOP_SECONDS:g} s.")) from None
        self._forget()
        self._search_for_secrets()
        return code

    def kill(self) -> None:
        """End the process at once with SIGKILL, as a power cut would."""
        process = self._running_process()
        process.kill()
        process.wait(STOP_SECONDS)
        self._forget()
        self._search_for_secrets()

    def _search_for_secrets(self) -> None:
        """Raise LeakError when the log or a file of the database holds any secret that was noted so far."""
        for file in (self._log, *sorted(self.data.glob("keystead.db*"))):
            found = issued.leaked(file.read_bytes())
            if found:
                raise LeakError(f"{file.name} holds what nobody may keep:\n" + "\n".join(found))

    def restart(self) -> None:
        """Stop the process if it is there, and start another on the same data and the same port."""
        if self._process is not None:
            self.stop()
        self.start()

    def _running_process(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ServerError("The server does not run. Start it first.")
        return self._process

    def _forget(self) -> None:
        self._process = None
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
            self._reader = None

    def admin(self, command: str, *arguments: str, stdin: str | None = None) -> str:
        """Run ``keystead admin COMMAND --data DIR ARGUMENTS`` and return what it printed, stripped.

        Raises ServerError with the command's own words when its exit code is not 0.
        """
        finished = subprocess.run(
            [sys.executable, "-m", "keystead", "admin", command, "--data", str(self.data), *arguments],
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environment(),
            cwd=self._directory,
            timeout=ADMIN_SECONDS,
            check=False,
        )
        if finished.returncode != 0:
            raise ServerError(
                f"keystead admin {command} {' '.join(arguments)} ended with code {finished.returncode}.\n"
                f"Standard output: {finished.stdout}\nStandard error: {finished.stderr}"
            )
        if command in PRINTS_A_SECRET:
            issued.note(finished.stdout.strip())
        if "--password-stdin" in arguments and stdin is not None:
            issued.note(stdin.strip())
        return finished.stdout.strip()

    def log_text(self) -> str:
        """Return all that the server wrote to standard error, over all its starts."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def environment(self) -> dict[str, str]:
        """Return the process's environment: ours without any KEYSTEAD_* of its own, and the settings."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
        return {**ours, **self.settings}


def add_acme(server: KeysteadServer) -> Acme:
    """Make the organization acme with ada, who owns it, and bob, who is a member, and return their ids."""
    organization = server.admin("create-org", "--name", "acme")
    return Acme(organization, ada=_add(server, ADA), bob=_add(server, BOB))


def _add(server: KeysteadServer, person: Person) -> str:
    return server.admin(
        "create-user",
        *("--username", person.username, "--email", person.email),
        *("--org", "acme", "--role", person.role, "--password-stdin"),
        stdin=f"{person.password}\n",
    )
