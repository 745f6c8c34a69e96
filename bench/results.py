"""Runs the benches one after another and writes what they found into ``RESULTS.md``: this is ``make bench``.

``.venv/bin/python bench/results.py [--quick]``. A bench that fails is told in the table, and the next one runs. What
needs a program that is missing is left out, and the page says so. ``--quick`` shows that everything works, and prints
the page instead of writing it.
"""

import datetime
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))  # what tests need of other projects, benches need too

from harness import Row, processor, quick, say

from tests.support.programs import POSTGRES, VALKEY, Requirement, find, is_missing

HERE: Final = Path(__file__).parent
PAGE: Final = HERE / "RESULTS.md"
LONGEST: Final = 15 * 60
"""Seconds after which a bench is ended."""
LIBRARIES: Final = ("uvicorn", "uvloop", "httptools", "asyncpg", "redis")
WRK: Final = Requirement("wrk", "wrk", (("wrk",),))
MET: Final = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True, slots=True)
class Bench:
    """A program that measures: its file, what it measures in words, and what it needs beside two cores."""

    file: str
    tells: str
    needs: tuple[Requirement, ...]


BENCHES: Final = (
    Bench("hot_answers.py", "the hot answers", (WRK,)),
    Bench("postgres.py", "the hot calls over PostgreSQL", (WRK, POSTGRES)),
    Bench("token_endpoint.py", "polls, device codes and refreshes", (WRK,)),
    Bench("click_to_token.py", "the way from the click to the token", ()),
    Bench("held_polls.py", "held polls", (WRK,)),
    Bench("start_and_memory.py", "start and memory", (WRK,)),
    Bench("sign_in_flood.py", "key checks amid a flood of sign-ins", (WRK,)),
    Bench("nodes.py", "workers, several nodes and shared limits", (WRK, POSTGRES, VALKEY)),
    Bench("limiter.py", "what a limit costs", ()),
    Bench("command_line.py", "the starts of the command line", ()),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """A bench that was run: its rows, what it printed, and how it failed, which is empty when it did not."""

    bench: Bench
    rows: list[Row]
    printed: str
    failure: str


def run(bench: Bench, results: Path) -> Ran:
    """Run one bench to its end, however it ends."""
    command = [sys.executable, str(HERE / bench.file), "--results", str(results), *(["--quick"] if quick() else [])]
    process = subprocess.Popen(  # noqa: S603 - our own programs
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    failure = ""
    try:
        printed, errors = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        failure = f"it was ended after {LONGEST // 60} minutes"
        os.killpg(process.pid, signal.SIGTERM)
        printed, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    if process.returncode and not failure:
        last = (errors.strip().splitlines() or ["it said nothing"])[-1]
        failure = f"it ended with code {process.returncode}: {last}"
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return Ran(bench, [Row(**json.loads(line)) for line in lines], printed, failure)


def missing() -> list[Requirement]:
    """Return the programs that are needed and are not here."""
    return [one for one in (WRK, POSTGRES, VALKEY) if is_missing(one)]


def left_out(absent: Sequence[Requirement]) -> str:
    """Return the sentence about what cannot be measured, empty when nothing is missing."""
    if not absent:
        return ""
    names = ", ".join(f"{one.name} (on Debian and Ubuntu: apt-get install {one.package})" for one in absent)
    benches = ", ".join(bench.tells for bench in BENCHES if set(bench.needs) & set(absent))
    return f"Missing here: {names}. Left out for that: {benches}."


def run_all(absent: Sequence[Requirement]) -> list[Ran]:
    """Run every bench that can run, and say how far it is."""
    able = [bench for bench in BENCHES if not set(bench.needs) & set(absent)]
    found = []
    with tempfile.TemporaryDirectory(prefix="keystead-results-") as place:
        for number, bench in enumerate(able, start=1):
            say(f"{number} of {len(able)}: {bench.tells} ({bench.file})")
            begin = time.monotonic()
            ran = run(bench, Path(place) / f"{bench.file}.json")
            found.append(ran)
            say(f"    {ran.failure or 'done'}, after {time.monotonic() - begin:.0f} s")
            for row in ran.rows:
                say(f"    {row.what}: {row.found}" + (f" (met: {MET[row.met]})" if row.aim else ""))
    return found


def surroundings(load: float) -> list[str]:
    """Return when, where and with what this was measured."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    programs = ", ".join(filter(None, (_first_line("wrk", "-v"), _first_line("postgres", "--version"), _storage())))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return [
        f"- {today}, {os.cpu_count()} cores ({processor()}), {memory:.0f} GB, {platform.system()} {platform.release()}",
        f"- Python {platform.python_version()}, {libraries}, SQLite {sqlite3.sqlite_version}",
        f"- {programs or 'no other programs'}",
        f"- Load of the machine before: {load:.1f}",
    ]


def _first_line(name: str, flag: str) -> str:
    program = find(name)
    if program is None:
        return ""
    told = subprocess.run([str(program), flag], capture_output=True, text=True, check=False)  # noqa: S603
    return (told.stdout or told.stderr).splitlines()[0].split(" Copyright")[0]


def _storage() -> str:
    return _first_line("valkey-server", "--version") or _first_line("redis-server", "--version").partition(" sha=")[0]


def page(ran: Iterable[Ran], load: float, without: str) -> str:
    """Return the whole page."""
    lines = [
        "# What was measured",
        "",
        "Written by `make bench`. How each figure comes about is told in [README.md](README.md). A figure is the",
        "median of its rounds, with the lowest and the highest in parentheses; what it is compared with ran in turn.",
        "",
        *surroundings(load),
        "",
        *(["A short run, to see that everything works: its figures are not worth quoting.", ""] if quick() else []),
        *([without, ""] if without else []),
        "| what | aim | found | met |",
        "| --- | --- | --- | --- |",
    ]
    details = []
    for one in ran:
        lines += [_line(row) for row in one.rows]
        if one.failure:
            lines.append(_line(Row(one.bench.tells, "", f"{one.bench.file} failed: {one.failure}", None)))
        details += [f"## {one.bench.file}", "", one.printed.strip(), ""]
    return "\n".join([*lines, "", "What each bench printed:", "", *details]).rstrip() + "\n"


def _line(row: Row) -> str:
    met = f"no. {row.way}".strip() if row.met is False else MET[row.met]
    cells = (row.what, row.aim, row.found, met)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def main() -> None:
    """Run everything and write the page."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        sys.exit("Measuring needs Linux and two cores: one for the server, one for the load.")
    load, absent = os.getloadavg()[0], missing()
    without = left_out(absent)
    if without:
        say(without)
    ran = run_all(absent)
    text = page(ran, load, without)
    if quick():
        say()
        say(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
        say(f"Written: {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    if any(one.failure for one in ran):
        sys.exit("Some benches failed; the page says which.")


if __name__ == "__main__":
    main()
