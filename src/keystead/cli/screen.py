"""Where a command's answer goes, and in which dress: for people at a terminal, for a pipe, or as JSON.

The asked-for thing goes to standard output; whatever is said beside it goes to standard error. In a pipe a list is
lines of tab-separated fields without a heading, and times are exact; on a terminal it is a table, or, where that would
not fit, one block a thing. ``rich`` is imported only for a table on a terminal. What a server or another person
wrote is shown without control characters, so that nobody's title moves the cursor of somebody else.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from keystead.cli import times

NARROWEST: Final = 40
_WIDEST_COLUMN: Final = 48


@dataclass(frozen=True, slots=True)
class Time:
    """A moment in Unix seconds, to be shown as where the answer goes needs it. None stands for never."""

    at: int | None
    never: str = ""


Cell = str | int | bool | Time | None


def printable(text: str) -> str:
    """Return a text in which nothing moves the cursor: each character that cannot be printed becomes U+FFFD."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def is_terminal(stream: Any) -> bool:
    """Tell whether somebody looks at a stream, or types into it."""
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:  # it was closed
        return False


def colour_wanted(stream: Any) -> bool:
    """Tell whether colours may be used: on a terminal that knows them, unless NO_COLOR is set (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "") in {"", "dumb"}
    return is_terminal(stream) and not plain


def columns() -> int:
    """Return how wide the terminal is, 40 columns at least."""
    return max(NARROWEST, _terminal_size().columns)


def _terminal_size() -> os.terminal_size:
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        if is_terminal(stream):
            try:
                size = os.get_terminal_size(stream.fileno())
            except OSError:
                continue
            if size.columns:
                wanted = os.environ.get("COLUMNS", "")
                return os.terminal_size((int(wanted), size.lines)) if wanted.isdecimal() and int(wanted) else size
    return os.terminal_size((80, 24))


def lines() -> int:
    """Return how many lines the terminal has."""
    return _terminal_size().lines


class Screen:
    """Where one run of a command answers. ``as_json`` is what ``--json`` says; ``now`` is the time, in Unix seconds."""

    def __init__(self, *, as_json: bool = False, now: Callable[[], float] = time.time) -> None:
        """Answer on the standard streams."""
        self.as_json = as_json
        self._now = now

    @property
    def now(self) -> int:
        """The time, in whole Unix seconds."""
        return int(self._now())

    @property
    def for_people(self) -> bool:
        """Whether the answer goes to a terminal."""
        return is_terminal(sys.stdout)

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question. Nothing is asked of a program (promise D11)."""
        return is_terminal(sys.stdin) and is_terminal(sys.stderr)

    def tell(self, text: str = "") -> None:
        """Say something beside the answer, on standard error; a program that asked for JSON is told nothing."""
        if not self.as_json:
            _write(sys.stderr, text + "\n")

    def warn(self, text: str) -> None:
        """Say on standard error what nobody may miss, to programs as well."""
        _write(sys.stderr, text + "\n")

    def print(self, text: str) -> None:
        """Print the asked-for thing."""
        _write(sys.stdout, text + "\n")

    def answer(self, value: Any) -> None:
        """Print a JSON document: on a terminal indented, else on one line."""
        _write(sys.stdout, json.dumps(value, ensure_ascii=False, indent=2 if self.for_people else None) + "\n")

    def fields(self, fields: Mapping[str, Cell]) -> None:
        """Print the fields of one thing, a line each; on a terminal aligned, in a pipe ``name<TAB>value``."""
        if not fields:
            return
        if self.for_people:
            self.print(self._block(fields))
        else:
            self.print("\n".join(f"{name.strip()}\t{self._exact(cell)}" for name, cell in fields.items()))

    def rows(self, headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, none: str) -> None:
        """Print a list; ``none`` is the sentence that is said where there is nothing in it."""
        if not rows:
            self.tell(none)
        elif not self.for_people:
            self.print("\n".join("\t".join(self._exact(cell) for cell in row) for row in rows))
        else:
            shown = [[self._shown(cell) for cell in row] for row in rows]
            if _natural_width(headings, shown) <= columns():
                _print_table(headings, shown)
            else:
                self.print("\n\n".join(self._block(dict(zip(headings, row, strict=True))) for row in rows))

    def _block(self, fields: Mapping[str, Cell]) -> str:
        dim, end = ("\x1b[2m", "\x1b[0m") if colour_wanted(sys.stdout) else ("", "")
        width = max(len(name) for name in fields) + 2
        room = columns() - width
        parts = []
        for name, cell in fields.items():
            first, *rest = _folded(self._shown(cell), room)
            parts.append(f"{dim}{name:<{width}}{end}{first}".rstrip())
            parts += [" " * width + line for line in rest]
        return "\n".join(parts)

    def _shown(self, cell: Cell) -> str:
        if isinstance(cell, Time):
            return cell.never if cell.at is None else times.both(cell.at, self.now)
        return _plain(cell)

    def _exact(self, cell: Cell) -> str:
        if isinstance(cell, Time):
            return cell.never if cell.at is None else times.exact(cell.at)
        return _plain(cell)


def _plain(cell: str | int | bool | None) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "" if cell is None else printable(str(cell))


def _folded(text: str, room: int) -> list[str]:
    """Return a text in lines of so many characters at most; a word longer than a line is cut."""
    import textwrap

    return textwrap.wrap(text, max(room, 10), break_on_hyphens=False) or [""]


def _natural_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    wanted = [max(len(row[place]) for row in (headings, *rows)) for place in range(len(headings))]
    return sum(min(width, _WIDEST_COLUMN) + 2 for width in wanted)


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", max_width=_WIDEST_COLUMN)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=columns(), highlight=False).print(table)


def _write(stream: TextIO, text: str) -> None:
    """Write a text, whatever the stream's encoding can say of it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
