"""Every command and every program in the README works as it stands there, in its order (promise O10).

Replaced are only the places where something is kept and the addresses to listen on or to ask; where the README asks for
a password, one is typed on a terminal, and where it asks to sign in, somebody approves in a browser. Those who use a
server do so at a machine of their own.
"""

import os
import pty
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from tests.cli.machine import ADDRESS as SHOWN
from tests.cli.machine import Machine
from tests.docs.pages import README, ROOT, page
from tests.gate.serving import free_port
from tests.support.browser import Browser
from tests.support.server import ADA

SECONDS: Final = 60
PLACES: Final = {"./data": "development", "/var/lib/keystead": "production"}
"""Where the README keeps its data, and what the directories of the test are called."""
PROMPTS: Final = (b"Password: ", b"The same again: ")
DATABASE: Final = "postgresql://keystead@db.example.com/keystead"
CACHE: Final = "valkey://cache.example.com:6379/0"
ADDRESS: Final = re.compile(r"https://auth\.example\.com")
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPERATORS: Final = {"serve", "admin", "doctor", "db", "backup", "restore"}
"""The commands for the machine of the server. All others are for those who use it."""
ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def commands() -> list[str]:
    """Return what the README asks to run: commands, each on one line and without its comment, and whole programs."""
    found: list[str] = []
    for language, block in FENCE.findall(page(README).text):
        if language == "python":
            found.append(block)
        else:
            lines = block.replace("\\\n", " ").splitlines()
            found += [command for line in lines if (command := line.partition(" #")[0].strip())]
    return found


@dataclass
class Reader:
    """Somebody who works through the README with two terminals: servers run in one, the rest in the other."""

    directory: Path
    stack: ExitStack
    machines: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    def follow(self, command: str) -> None:
        """Do what a command says, and fail with its words when it fails."""
        kind = command.split(maxsplit=1)[0]
        if kind == "make":
            self.told[command] = self.make(command)
        elif kind == "pip":
            self.told[command] = check_requirement(command)
        elif kind == "export":
            name, _, value = command.removeprefix("export ").partition("=")
            self.variables[name] = self.replaced(value)
        elif command.startswith("keystead serve"):
            self.serve(command)
        elif "create-user" in command:
            self.told[command] = self.on_a_terminal(command)
        elif kind == "from":
            self.told[command] = self.program(command)
        elif kind == "keystead" and command.split()[1] not in OPERATORS:
            self.told[command] = self.at_the_own_machine(command)
        elif kind in {"keystead", "curl"}:
            self.told[command] = self.run(command)
            if "create-key" in command:
                self.variables["API_KEY"] = self.told[command]
        else:
            pytest.fail(f"Nothing here knows how to follow {command!r}.")

    def at_the_own_machine(self, command: str) -> str:
        """Run a command as somebody who uses the server, approve what it asks to approve, and return what it showed."""
        user = self.user()
        with (
            Browser(user.url) as ada,
            user.terminal("-euc", ADDRESS.sub(user.url, command), program="/bin/bash", CI="1") as terminal,
        ):
            while terminal.next_of(SHOWN.pattern) is not None:
                ada.sign_in(ADA.username, ADA.password)
                ada.approve(SHOWN.findall(terminal.text)[-1])
            assert terminal.end_code() == 0, (command, terminal.text)
        return terminal.text

    def program(self, text: str) -> str:
        """Run a program as somebody who uses the server, and return what it printed."""
        user = self.user()
        asked = [sys.executable, "-c", text]
        ended = subprocess.run(
            asked, env=user.environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert ended.returncode == 0, (text, ended.stdout, ended.stderr)
        return ended.stdout.strip()

    def user(self) -> Machine:
        """Return the machine of somebody who uses the first server of the README."""
        return Machine(self.directory / "user", self.addresses[0])

    def said(self, words: str) -> str:
        """Return what the one command with these words in it printed."""
        (told,) = (told for command, told in self.told.items() if words in command)
        return told

    def environment(self) -> dict[str, str]:
        """Return our environment with what the reader exported; ``keystead`` is the one that is tested."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSTEAD_", "MAKE"))}
        path = f"{self.directory / 'bin'}{os.pathsep}{ours.get('PATH', '')}"
        return {**ours, "PATH": path, "DEMO_ONCE": "1", **self.variables}

    def replaced(self, command: str) -> str:
        """Return a command with the test's own places, and ports that are free."""
        for place, name in PLACES.items():
            command = command.replace(place, str(self.directory / name))
        for address, ours in self.machines.items():
            command = command.replace(address, ours)
        command = command.replace("--host 0.0.0.0", "--host 127.0.0.1")
        command = re.sub(r"--port \d+", f"--port {free_port()}", command)
        if command.startswith("curl"):
            command = ADDRESS.sub(self.addresses[0], command)
        return command

    def run(self, command: str) -> str:
        """Run a command in a shell and return what it printed."""
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.replaced(command)],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        return ended.stdout.strip()

    def make(self, command: str) -> str:
        """Run what a target runs once all is installed: the module that it names. The tests themselves run already."""
        steps = subprocess.run(
            [*command.split(), "--dry-run"],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        module = steps.splitlines()[-1].partition("python -m ")[2].split()[0]
        return module if module == "pytest" else self.run(f'"{sys.executable}" -m {module}')

    def serve(self, command: str) -> None:
        """Start a server that runs for as long as the reader reads."""
        if "--port" not in command:
            command += " --port 8080"  # the default, which may be taken here
        line = self.stack.enter_context(serving(self.replaced(command), self.directory, self.environment()))
        self.served.append(line)
        self.addresses.append(line.removeprefix("Keystead is ready at ").strip())

    def on_a_terminal(self, command: str) -> str:
        """Run a command that asks for a password, type one, and return what it printed."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", self.replaced(command)],
            cwd=self.directory,
            env=self.environment(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            shown = b""
            for prompt in PROMPTS:
                while not shown.endswith(prompt):
                    shown += os.read(ours, 1024)
                os.write(ours, ADA.password.encode() + b"\n")
            printed, _ = process.communicate(timeout=SECONDS)
        os.close(ours)
        assert process.returncode == 0, (command, shown, printed)
        assert ADA.password.encode() not in shown
        return printed.strip()


def check_requirement(command: str) -> str:
    """Return the name in ``pip install``, which asks a package index for what is not released yet."""
    (wanted,) = re.findall(r"^pip install '?([^' ]+)'?$", command)
    return Requirement(wanted).name


@contextmanager
def serving(command: str, directory: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server, give the line with which it says that it is ready, and stop it in the end."""
    with (
        (directory / "serving.log").open("a", encoding="utf-8") as log,
        subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        stream = process.stdout
        assert stream is not None
        reader = threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True)
        reader.start()
        try:
            line = lines.get(timeout=SECONDS)
            assert line.startswith("Keystead is ready at "), (directory / "serving.log").read_text(encoding="utf-8")
            yield line
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)
            reader.join(SECONDS)
    assert process.returncode == 0


@pytest.fixture
def reader(tmp_path: Path, postgres_url: str, valkey_url: str) -> Iterator[Reader]:
    """Give somebody in an empty directory, for whom ``keystead`` is the package under test, and two more machines."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "keystead"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m keystead "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    with ExitStack() as stack:
        yield Reader(tmp_path, stack, {DATABASE: postgres_url, CACHE: valkey_url})


@pytest.mark.timeout(300)
def test_every_command_of_the_readme_works_in_its_order(reader: Reader) -> None:
    followed = commands()
    assert len(followed) >= 10
    for command in followed:
        reader.follow(command)

    assert reader.said("pip install 'keystead[server]'") == reader.said("pip install keystead") == "keystead"
    assert ID.fullmatch(reader.said("create-org"))
    assert ID.fullmatch(reader.said("create-user"))
    assert reader.said("create-key").startswith("pwt_")
    assert '"ada"' in reader.said("curl")
    assert "problem" not in reader.said("keystead doctor")
    assert reader.served[0].startswith("Keystead is ready at http://127.0.0.1:")
    assert reader.served[1:] == ["Keystead is ready at https://auth.example.com\n"] * 2
    assert "same" in reader.said("keystead db copy")
    assert "Signed in as ada" in reader.said("keystead login")
    assert "pwt_" in reader.said("keystead keys create")
    assert "ada" in reader.said("keystead auth status")
    assert reader.said("from keystead import").startswith("pwt_")
