"""A program that kills what it started, for real, after each line of code in turn, and looks at what is left.

It has one thread, so it may fork; each kill is a SIGKILL of a child by itself. It prints a line of JSON for each kill.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from keystead.db.installation import DATABASE_FILE, Keys, open_installation, rotate_master_secret
from keystead.db.migrate import migrate, revision_of
from keystead.kernel.clock import SystemClock

CLOCK = SystemClock()
OPENING = ("db/installation.py", "db/master_secret.py")


def runs_to_its_end(act: Callable[[], object], file: str | tuple[str, ...], lines: int) -> bool:
    """Run ``act`` in a child that is killed after so many lines of ``file``; tell whether it ended before that."""
    child = os.fork()
    if child == 0:
        left = lines

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(file):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status != 0:
        raise RuntimeError(f"the child ended with status {status}")
    return True


def attempts(directory: Path, template: Path, step: int) -> Iterator[tuple[int, Path]]:
    """Yield fresh copies of ``template``, and after how many lines to kill in each."""
    for lines in count(0, step):
        copy = directory / "attempt"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(template, copy)
        yield lines, copy


def report(**found: Any) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(found) + "\n")


def rotation(directory: Path) -> None:
    """Kill a rotation of the master secret that is kept in its file."""
    template = directory / "template"
    keys = open_installation(template, None, CLOCK)
    for lines, copy in attempts(directory, template, 1):
        done = runs_to_its_end(partial(rotate_master_secret, copy, None, None), OPENING, lines)
        again = open_installation(copy, None, CLOCK)
        report(lines=lines, done=done, same=again.signing == keys.signing, left=names(copy))
        if done:
            return


def first_start(directory: Path) -> None:
    """Kill the first start of an installation, once its tables are there."""
    template = directory / "template"
    template.mkdir()
    migrate(template / DATABASE_FILE)
    for lines, copy in attempts(directory, template, 1):
        done = runs_to_its_end(partial(open_installation, copy, None, CLOCK), OPENING, lines)
        first, second = (open_installation(copy, None, CLOCK) for _ in range(2))
        report(lines=lines, done=done, same=first.signing == second.signing, left=names(copy))
        if done:
            return


def migration(directory: Path) -> None:
    """Kill the making of the tables, at every twelfth line of the steps."""
    template = directory / "template"
    template.mkdir()
    migrate(directory / "warm.db")  # loads Alembic once, for all the children
    for lines, copy in attempts(directory, template, 12):
        path = copy / DATABASE_FILE
        done = runs_to_its_end(partial(migrate, path), "0001_foundation.py", lines)
        before = revision_of(path) if path.exists() else None
        half = tables_in(path)
        migrate(path)
        report(lines=lines, done=done, before=before, half=half, after=revision_of(path), tables=tables_in(path))
        if done:
            return


def together(directory: Path) -> None:
    """Let five processes start at the same moment in a directory where there is nothing yet."""
    go, ready = os.pipe()
    children = []
    for number in range(5):
        child = os.fork()
        if child == 0:
            os.close(ready)
            os.read(go, 1)
            keys: Keys = open_installation(directory / "new", None, CLOCK)
            (directory / f"{number}.txt").write_text(keys.signing.hex(), encoding="ascii")
            os._exit(0)
        children.append(child)
    os.close(ready)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    found = [file.read_text(encoding="ascii") for file in sorted(directory.glob("*.txt"))]
    report(statuses=statuses, started=len(found), different=len(set(found)))


def names(directory: Path) -> list[str]:
    """Return the files whose name says that they hold a master secret."""
    return sorted(file.name for file in directory.glob("master-secret*"))


def tables_in(path: Path) -> int:
    """Return how many tables there are."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])
    finally:
        connection.close()


if __name__ == "__main__":
    {"rotation": rotation, "first-start": first_start, "migration": migration, "together": together}[sys.argv[1]](
        Path(sys.argv[2])
    )
