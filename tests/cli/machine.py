"""One person's machine, seen from outside: the command as a process in a pipe or on a terminal, and its files."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pexpect import EOF
from pexpect.fdpexpect import fdspawn

from tests.support import issued
from tests.support.browser import Browser

COMMAND: Final = Path(sys.executable).with_name("keystead")
SECONDS: Final = 60.0
NO_KEYRING: Final = "keyring.backends.fail.Keyring"
CLOSED: Final = "http://127.0.0.1:9"
"""An address at which nothing listens (RFC 863 gave its port to a service that nobody runs)."""
ADDRESS: Final = re.compile(r"https?://\S+\?user_code=[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}")
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_OWN_TERMINAL: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the process's own, so that Ctrl-C typed into it reaches the process."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what it answered. Raises when standard output is anything but one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> Mapping[str, str]:
        """What it refused with, in JSON."""
        found: Mapping[str, str] = self.json()["error"]
        return found

    @property
    def lines(self) -> list[list[str]]:
        """The fields of each line."""
        return [line.split("\t") for line in self.out.splitlines()]


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        """Read from and type into the terminal behind ``descriptor``."""
        self.process = process
        self._spawn = fdspawn(descriptor, timeout=SECONDS, encoding="utf-8")
        self.seen = ""

    def expect(self, pattern: str) -> "re.Match[str]":
        """Wait until the terminal shows this, and return the match; the test fails with all that was shown."""
        self._spawn.expect(pattern)
        self.seen += str(self._spawn.before) + str(self._spawn.after)
        match = self._spawn.match
        assert isinstance(match, re.Match)
        return match

    def next_of(self, *patterns: str) -> int | None:
        """Wait for one of these, and return its number; None for the end."""
        found = self._spawn.expect([*patterns, EOF])
        self.seen += str(self._spawn.before) + ("" if found == len(patterns) else str(self._spawn.after))
        return None if found == len(patterns) else found

    def type(self, text: str) -> None:
        """Type a line."""
        self._spawn.send(text + "\n")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._spawn.send("\x03")

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        self._spawn.expect(EOF)
        self.seen += str(self._spawn.before)
        return self.process.wait(SECONDS)

    def end_code(self) -> int:
        """Return the exit code of a command whose end was seen already."""
        return self.process.wait(SECONDS)

    @property
    def text(self) -> str:
        """All that was shown, without colours."""
        return _ESCAPE.sub("", self.seen).replace("\r\n", "\n")


class Machine:
    """A home directory, its environment, and the command in it. ``url`` is the server that it signs in to."""

    def __init__(self, directory: Path, url: str) -> None:
        """Make the home in ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        self.home = directory
        self.url = url
        self.config = directory / "config"
        self.file = self.config / "credentials.json"
        self.environment = {
            "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "TZ": "UTC",
            "NO_PROXY": "127.0.0.1",
            "KEYSTEAD_CONFIG_DIR": str(self.config),
            "PYTHON_KEYRING_BACKEND": NO_KEYRING,
        }

    def run(self, *arguments: str, stdin: str | None = None, **variables: str) -> Ended:
        """Run the command in a pipe, to its end."""
        ended = subprocess.run(
            [str(COMMAND), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            env={**self.environment, **variables},
            cwd=self.home,
            timeout=SECONDS,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start the command in a pipe."""
        return subprocess.Popen(
            [str(COMMAND), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**self.environment, **variables},
            cwd=self.home,
        )

    @contextmanager
    def terminal(
        self, *arguments: str, program: str = str(COMMAND), columns: int = 100, lines: int = 40, **variables: str
    ) -> Iterator[Terminal]:
        """Start the command on a terminal of this size."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", _OWN_TERMINAL, program, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.environment, **variables},
            cwd=self.home,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(SECONDS)
            os.close(ours)

    def sign_in(self, browser: Browser, *options: str) -> None:
        """Sign in as whoever is signed in in this browser."""
        begun = self.run("login", self.url, "--no-wait", "--json", *options)
        assert begun.code == 0, begun
        browser.approve(begun.json()["verification_uri_complete"])
        ended = self.run("login", "--resume", begun.json()["request_id"], "--json")
        assert ended.code == 0, ended
        self.stored()

    def stored(self) -> dict[str, Any]:
        """Return what is in the credential file, and note its secrets."""
        content: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        for context in content["contexts"].values():
            issued.note(context["access_token"], context["refresh_token"])
        return content

    def store(self, content: Mapping[str, Any]) -> None:
        """Put something else into the credential file."""
        self.file.write_text(json.dumps(content), encoding="utf-8")

    def the_context(self) -> dict[str, Any]:
        """Return the one stored sign-in."""
        (context,) = self.stored()["contexts"].values()
        found: dict[str, Any] = context
        return found


def events_of(out: str) -> list[dict[str, Any]]:
    """Return the events that were printed, one a line."""
    return [json.loads(line) for line in out.splitlines()]
