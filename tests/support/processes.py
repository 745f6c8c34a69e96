"""Other people's servers as our children: started, stopped, killed, held still; and they never outlive us."""

import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from tests.support.programs import program

SECONDS: Final = 30.0
"""How long a start, a stop or a command may take."""
LOOK_SECONDS: Final = 0.005
FIRST_PORT: Final = 10_000
LAST_PORT: Final = 32_767
"""Ports below those that Linux gives to outgoing connections, so that a port is still free after a restart."""

_STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="starter")
"""Starts every child. Linux sends a child its parent-death signal when the *thread* that started it ends, and this one
lives as long as the process does."""


class MachineError(Exception):
    """A server or a command of another project did not do what a test stands on. The text carries its log."""


def wait_for(happened: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Return as soon as something has happened. Raises MachineError when it did not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise MachineError(f"After {seconds:g} s there was still not {what}.")
        time.sleep(LOOK_SECONDS)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    The choice is the system's own: pytest-randomly gives the ``random`` of every worker the same seed.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


@dataclass(frozen=True, slots=True)
class Account:
    """The user whom a program runs as; without ids it is ourselves."""

    uid: int | None = None
    gid: int | None = None

    def give(self, *paths: Path) -> None:
        """Make files the account's own."""
        if self.uid is not None and self.gid is not None:
            for path in paths:
                os.chown(path, self.uid, self.gid)

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, where no Ctrl-C of ours reaches it; what it says goes to ``log``."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environment,
                start_new_session=True,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
            )

    def run(self, command: Sequence[str], stdin: str = "") -> str:
        """Run a command to its end and return what it printed. Raises MachineError with its words when it fails."""
        try:
            ended = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                encoding="utf-8",
                cwd="/",
                env=environment(),
                timeout=SECONDS,
                check=False,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"{command[0]} did not end within {SECONDS:g} s. It was to do: {stdin}") from None
        if ended.returncode != 0:
            words = f"{ended.stdout}{ended.stderr}".strip()
            raise MachineError(f"{' '.join(command)} ended with code {ended.returncode}: {words}")
        return ended.stdout


OURSELVES: Final = Account()


def account(name: str) -> Account:
    """Return the account for a program that refuses to run as root; without root's rights it is ourselves."""
    if os.geteuid() != 0:
        return OURSELVES
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def environment() -> dict[str, str]:
    """Return an environment in which nothing of ours is: no PGHOST, no proxies, no language."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def state(pid: int) -> tuple[str, int]:
    """Return a process's state letter and its parent; ``("", 0)`` when it is gone, or only waits to be collected."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return ("", 0) if fields[0] in "ZX" else (fields[0], int(fields[1]))


def alive(pids: Iterable[int]) -> list[int]:
    """Return those of these processes that are there."""
    return [pid for pid in pids if state(pid)[0]]


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, parents first; nothing when it is gone."""
    parents = {
        int(entry.name): state(int(entry.name))[1] for entry in Path("/proc").iterdir() if entry.name.isdecimal()
    }
    found = alive([pid])
    for member in found:  # grows while it is walked through
        found += [child for child, parent in parents.items() if parent == member]
    return found


def send(signal_number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to each of these processes that is still there."""
    for pid in pids:
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            continue


class Machine:
    """A server of another project, as our child on a port of 127.0.0.1 that it keeps when it is started again.

    As a context manager it starts the server and in the end removes it, in whatever state it is. ``log`` is all that
    the server wrote, over all its starts.
    """

    at_our_death: ClassVar[str] = "KILL"
    """The signal that the server gets when we die without having stopped it."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, log: Path, account: Account = OURSELVES) -> None:
        """Choose the port. Nothing runs before ``start``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = log
        self.account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._waker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self) -> list[str]:
        """Return what starts the server in the foreground, and write down what it reads."""
        raise TypeError(f"{type(self).__name__} does not say how it is started.")

    def is_ready(self) -> bool:
        """Whether the server, which was just started, answers."""
        raise TypeError(f"{type(self).__name__} does not say when it is ready.")

    @property
    def pid(self) -> int:
        """The process that was started. Raises MachineError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise MachineError("The server does not run.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[int]:
        """Return the ids of all its processes, the one that was started first."""
        return family(self.pid) if self.running else []

    def start(self) -> None:
        """Start the server and return when it answers. Raises MachineError with the log if it never does."""
        if self.running:
            raise MachineError("The server runs already. Stop or kill it first.")
        bound = [program("setpriv"), "--pdeathsig", self.at_our_death, "--", *self.command()]
        self._process = _STARTER.submit(self.account.start, bound, self.log, environment()).result()
        try:
            wait_for(lambda: not self.running or self.is_ready(), "an answer")
            self.pid  # noqa: B018 - raises when the server gave up
        except BaseException as error:
            self.kill()
            if isinstance(error, MachineError):
                raise MachineError(f"{error}\nLog:\n{self.log_text()}") from None
            raise

    def stop(self) -> None:
        """Ask the server to end and wait for it. Raises MachineError with the log if it stays."""
        process, pids = self._process, self.processes()
        if process is None or not pids:
            raise MachineError("The server does not run. Start it first.")
        self.resume()
        process.send_signal(self.stop_signal)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MachineError(f"It did not end within {SECONDS:g} s. Log:\n{self.log_text()}") from None
        wait_for(lambda: not alive(pids), "an end of all its processes")

    def kill(self) -> None:
        """End all its processes at once with SIGKILL, as a power cut would. Nothing happens when there are none."""
        if self._process is not None:
            pids = self.processes()
            try:
                pids = self._hold()
            finally:
                send(signal.SIGKILL, pids)
            self._process.wait(SECONDS)
            wait_for(lambda: not alive(pids), "an end of all its processes")
        self.resume()

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the same data and the same port."""
        if self.running:
            self.stop()
        self.start()

    def close(self) -> None:
        """End the server in whatever state it is."""
        self.kill()

    def pause(self) -> None:
        """Hold all its processes still, as if it hung: connections stay open and nothing answers.

        Should we die meanwhile, the processes go on, so that they can follow the signal that our death sends them.
        """
        self.pid  # noqa: B018 - raises when it does not run
        pids = [str(pid) for pid in reversed(self._hold())]
        if self._waker is None:
            command = ["sh", "-c", 'read -r _; kill -CONT "$@"', "waker", *pids]
            self._waker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
            )

    def resume(self) -> None:
        """Let all its processes go on. Nothing happens when they were not held."""
        if self._waker is not None:
            self._waker.communicate()  # closes its input, as our death would
            self._waker = None

    def _hold(self) -> list[int]:
        """Stop all its processes and return their ids."""
        if not self.running:
            return []
        _stop([self.pid])  # the parent first, so that it makes no more children
        pids = self.processes()
        _stop(pids)
        return pids

    def log_text(self) -> str:
        """Return all that the server wrote, over all its starts."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


def _stop(pids: Sequence[int]) -> None:
    send(signal.SIGSTOP, pids)
    wait_for(lambda: all(state(pid)[0] in ("T", "") for pid in pids), "a standstill")
