"""Servers on a core of their own, and load on them from the other core.

The server's CPU time for a request is read from the kernel, so it holds where others keep the machine busy as well.
Rates and latencies do not: compare them only within one run.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from people import House

HERE: Final = Path(__file__).parent
SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
READY: Final = "Keystead is ready at "
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0


def need_two_cores() -> None:
    """Stop with a plain sentence where the server and the load cannot have a core each."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        sys.exit("This bench needs Linux and two cores: one for the server, one for the load.")


def need_wrk() -> None:
    """Stop with a plain sentence where wrk is missing."""
    need_two_cores()
    if shutil.which("wrk") is None:
        sys.exit("This bench needs the program wrk. On Debian and Ubuntu: apt-get install wrk.")


def pin(core: int) -> Callable[[], None]:
    """Return what a child process calls to stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, all its threads included (its clock, as clock_getcpuclockid has it)."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


class Instructions:
    """Counts the instructions that a process executes, where Linux's ``perf`` can; neighbours do not change them."""

    def __init__(self, pid: int) -> None:
        """Count those of one process, from the beginning of the context to its end."""
        self._command = ["perf", "stat", "-x", ",", "-e", "instructions:u,instructions:k", "-p", str(pid)]
        self.number = 0.0
        """How many there were; 0 where they cannot be counted."""

    def __enter__(self) -> Self:
        self._counting: subprocess.Popen[str] | None = None
        if shutil.which("perf") is not None:
            self._counting = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)  # noqa: S603
            time.sleep(0.2)  # it says nothing when it begins
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._counting is not None:
            self._counting.send_signal(signal.SIGINT)
            counted = [line.partition(",")[0] for line in self._counting.communicate()[1].splitlines()]
            self.number = float(sum(int(one) for one in counted if one.isdigit()))


class Served:
    """A server process on its core; as a context manager it starts and stops."""

    def __init__(self, command: Sequence[str], log: Path, settings: Mapping[str, str]) -> None:
        """Run ``command``, which prints one line with its address when it is ready. The log goes to ``log``."""
        self._command = command
        self._log = log
        self._settings = settings
        self.url = ""
        self.ready_after = 0.0
        """Seconds from the start of the process to its line."""

    def __enter__(self) -> Self:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
        begin = time.perf_counter()
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**ours, **self._settings},
                preexec_fn=pin(SERVER_CORE),  # noqa: PLW1509 - it takes no lock
            )
        if self._process.stdout is None:
            raise RuntimeError("the server's output is not connected")
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, lines), daemon=True).start()
        line = lines.get(timeout=READY_SECONDS)
        self.ready_after = time.perf_counter() - begin
        if not line.startswith(READY):
            sys.exit(f"A server did not start:\n{self._log.read_text(encoding='utf-8')[-2000:]}")
        self.url = line.removeprefix(READY).strip().rstrip("/")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid


def _read(stream: IO[str], lines: "queue.SimpleQueue[str]") -> None:
    lines.put(stream.readline())
    stream.read()


def keystead(house: House, **settings: str) -> Served:
    """Return ``keystead serve --dev`` over an installation, not started yet."""
    place = ["--data", str(house.data), "--port", str(house.port)]
    command = [sys.executable, "-m", "keystead", "serve", "--dev", *place]
    return Served(command, house.data.with_suffix(".log"), settings)


def bare(recorded: Path) -> Served:
    """Return an application that answers what was recorded, whatever is asked, on the same server."""
    command = [sys.executable, str(HERE / "serving.py"), "bare", "0", str(recorded)]
    return Served(command, recorded.with_suffix(".log"), {})


def looking_up(recorded: Path, url: str, hashes: Path) -> Served:
    """Return the same after one look-up of an API key by asyncpg alone, of the hashes in a file in turn."""
    place = [str(recorded), url, str(hashes)]
    command = [sys.executable, str(HERE / "serving.py"), "looking-up", "0", *place]
    return Served(command, recorded.with_suffix(".looking-up.log"), {})


def through_fastapi(house: House, **settings: str) -> Served:
    """Return Keystead with its token endpoint moved into FastAPI."""
    command = [sys.executable, str(HERE / "serving.py"), "fastapi", str(house.port), str(house.data)]
    return Served(command, house.data.with_suffix(".log"), settings)


def forgetful(house: House, **settings: str) -> Served:
    """Return Keystead as it would be if it remembered five hundred credentials and no more."""
    command = [sys.executable, str(HERE / "serving.py"), "forgetful", str(house.port), str(house.data)]
    return Served(command, house.data.with_suffix(".log"), settings)


@dataclass(frozen=True, slots=True)
class Load:
    """How to ask: for how long, over how many connections of how many threads, with which headers or script."""

    seconds: float = 2.0
    connections: int = 16
    threads: int = 1
    headers: tuple[str, ...] = ()
    script: str = "ask.lua"
    arguments: tuple[str, ...] = ()
    start: int = 0
    """For ``lines.lua``: after how many lines to begin."""
    expected: int = 200
    """The status of every answer, so far as wrk can tell: below 400, or not."""


def wrk(served: Served, path: str, load: Load) -> dict[str, float]:
    """Put load on a path.

    Return requests a second (``rate``), the server's CPU microseconds for one (``cpu``), its ``instructions`` for one,
    ``p50`` and ``p99`` in milliseconds, and the number of ``requests``.
    """
    size = ["-t", str(load.threads), "-c", str(load.connections), "-d", f"{load.seconds:g}s", "--timeout", "10s"]
    headers = [part for line in load.headers for part in ("-H", line)]
    with Instructions(served.pid) as executed:
        before = cpu_seconds(served.pid)
        finished = subprocess.run(  # noqa: S603
            ["wrk", *size, *headers, "-s", load.script, served.url + path, "--", *load.arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE,
            preexec_fn=pin(LOAD_CORE),
            env={**os.environ, "EXPECTED": str(load.expected), "START": str(load.start)},
        )
        used = cpu_seconds(served.pid) - before
    line = next((one for one in finished.stdout.splitlines() if one.startswith("{")), "")
    if not line:
        sys.exit(f"wrk did not finish:\n{finished.stdout}{finished.stderr}")
    told = json.loads(line)
    if told["unexpected"] or told["failed"] or not told["requests"]:
        sys.exit(f"{path} did not answer as expected: {line}")
    return {
        "rate": told["requests"] / told["seconds"],
        "cpu": used / told["requests"] * 1e6,
        "instructions": executed.number / told["requests"],
        "p50": told["p50"] / 1000,
        "p99": told["p99"] / 1000,
        "requests": told["requests"],
    }
