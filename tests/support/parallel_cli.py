"""The real ``parallel-cli``, unchanged, as a process with a home directory of its own."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from tests.support import issued

PROGRAM: Final = Path(sys.executable).with_name("parallel-cli")
TIMEOUT_SECONDS: Final = 60.0


class ParallelCli:
    """One person's parallel-cli: its home directory, and the server that it is to use."""

    def __init__(self, home: Path, url: str) -> None:
        """Use ``url`` as the platform and ``url``/account as the service API."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.auth_file = home / ".config" / "parallel-web-tools" / "auth.json"
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "CI": "1",
            "NO_PROXY": "127.0.0.1",
            "PARALLEL_PLATFORM_URL": url,
            "PARALLEL_SERVICE_API_URL": f"{url}/account",
        }

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end and return what it printed and its exit code."""
        return subprocess.run(
            [str(PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environment,
            cwd=self.home,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start one command and return its process, so that several can run at once."""
        return subprocess.Popen(
            [str(PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=self.environment,
            cwd=self.home,
        )

    def login(self) -> "Login":
        """Start ``login --json``. Use it as a context manager, so that no process stays behind."""
        return Login(self.start("login", "--json"))

    def stored(self) -> dict[str, Any]:
        """Return what the client keeps in auth.json."""
        content: dict[str, Any] = json.loads(self.auth_file.read_text(encoding="utf-8"))
        for organization in content.get("orgs", {}).values():
            tokens = organization.get("control_api") or {}
            kept = (tokens.get("access_token"), tokens.get("refresh_token"), organization.get("api_key"))
            issued.note(*(text for text in kept if text))
        return content

    def stored_tokens(self) -> dict[str, Any]:
        """Return the stored tokens of the selected organization."""
        content = self.stored()
        tokens: dict[str, Any] = content["orgs"][content["selected_org_id"]]["control_api"]
        return tokens

    def age_access_token(self) -> None:
        """Make the stored access token look expired, as a person with an editor could."""
        content = self.stored()
        tokens = content["orgs"][content["selected_org_id"]]["control_api"]
        tokens["access_token_expires_at"] = int(time.time()) - 1
        self.auth_file.write_text(json.dumps(content), encoding="utf-8")


class Login:
    """A running ``login --json``: its events as they come, and how it ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Read the events of ``process`` in the background."""
        self.events: list[dict[str, Any]] = []
        self.stderr = ""
        self._process = process
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        if process.stdout is None or process.stderr is None:
            raise ValueError("parallel-cli was started without its output connected")
        self._readers = [
            threading.Thread(target=self._read_events, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.finish()

    def _read_events(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        with stream:
            self.stderr = stream.read()

    def event(self, name: str) -> dict[str, Any]:
        """Wait for the event called ``name`` and return it. Raises LookupError when it never comes."""
        while True:
            line = self._lines.get(timeout=TIMEOUT_SECONDS)
            if line is None:
                self._process.wait(TIMEOUT_SECONDS)
                raise LookupError(f"parallel-cli ended without {name}: {self.events}, {self.stderr}")
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == name:
                return self.events[-1]

    def finish(self) -> int:
        """Wait for the end, keep the events that are left, and return the exit code."""
        code = self._process.wait(TIMEOUT_SECONDS)
        for reader in self._readers:
            reader.join(TIMEOUT_SECONDS)
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None:
                self.events.append(json.loads(line))
        return code

    def names(self) -> list[str]:
        """Return the names of the events so far, in order."""
        return [str(event["event"]) for event in self.events]
