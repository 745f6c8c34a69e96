"""What every bench shares: rounds in turn, medians and spread, and tables in Markdown.

A figure of one run says little on a machine that does other things as well. So whatever is compared is compared in one
run, in turn (A B A B), and told as the median of the rounds with the lowest and the highest in parentheses.
"""

import datetime
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

Case = Callable[[], Mapping[str, float]]
"""Runs one round and returns its figures by name."""


def say(text: str = "") -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def option(name: str, default: int) -> int:
    """Return the number behind ``--name`` on the command line."""
    arguments = sys.argv[1:]
    return int(arguments[arguments.index(f"--{name}") + 1]) if f"--{name}" in arguments else default


def quick() -> bool:
    """Tell whether ``--quick`` was asked for: too short to quote, long enough to see that everything works."""
    return "--quick" in sys.argv


def rounds(short: int, usual: int) -> int:
    """Return how often everything is measured: as ``BENCH_ROUNDS`` says, else so often, or not in a ``quick`` run."""
    return int(os.environ.get("BENCH_ROUNDS") or (short if quick() else usual))


@dataclass(frozen=True, slots=True)
class Spread:
    """Several rounds of one figure."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def text(self, digits: int = 0) -> str:
        """Return the median, with the lowest and the highest in parentheses."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def in_turn(rounds: int, cases: Mapping[str, Case]) -> dict[str, dict[str, Spread]]:
    """Run every case once a round, ``rounds`` times, and return the spread of each figure of each case.

    One more round, which counts for nothing, comes first.
    """
    found: dict[str, dict[str, list[float]]] = {name: {} for name in cases}
    for turn in range(rounds + 1):
        for name, case in cases.items():
            figures = case()
            if turn:
                for figure, value in figures.items():
                    found[name].setdefault(figure, []).append(value)
    return {name: {figure: Spread(values) for figure, values in rows.items()} for name, rows in found.items()}


def shares(
    found: Mapping[str, Mapping[str, Spread]], name: str, base: str, figure: str = "rate", base_figure: str = ""
) -> Spread:
    """Return how many times a case's figure is the other's, round by round."""
    pairs = zip(found[name][figure].values, found[base][base_figure or figure].values, strict=True)
    return Spread([one / other for one, other in pairs])


def ratio(found: Mapping[str, Mapping[str, Spread]], name: str, base: str, figure: str = "rate") -> str:
    """Return how many times a case's figure is the other's, round by round, as a median with its spread."""
    return shares(found, name, base, figure).text(2)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of RESULTS.md: what was measured, what was aimed at, what was found with its spread.

    ``met`` is None where nothing was aimed at, or where it could not be measured. ``way`` says what stands in the way
    of an aim that was not met, and is shown only then.
    """

    what: str
    aim: str
    found: str
    met: bool | None
    way: str = ""


def keep(*rows: Row) -> None:
    """Append rows to the file that ``--results`` names, as one line of JSON each; without it nothing is kept."""
    arguments = sys.argv[1:]
    if "--results" in arguments:
        with Path(arguments[arguments.index("--results") + 1]).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    say("| " + " | ".join(head) + " |")
    say("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        say("| " + " | ".join(row) + " |")
    say()


def surroundings(*packages: str) -> None:
    """Print when and where this was measured."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    libraries = ", ".join(f"{name} {version(name)}" for name in packages)
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    say(f"{today}, {os.cpu_count()} cores ({processor()}), {python}, {libraries}")
    say(f"Load of the machine before: {os.getloadavg()[0]:.1f}")
    say()


def processor() -> str:
    """Return the processor's name as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a directory for this run. Set TMPDIR where the usual place is not on a real disk."""
    with tempfile.TemporaryDirectory(prefix="keystead-bench-") as directory:
        yield Path(directory)
