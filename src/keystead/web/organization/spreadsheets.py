"""Writing a table as CSV (RFC 4180) that a spreadsheet opens without running anything that stands in it."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection)."""
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


def lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([[harmless(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8", "replace")


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe before it says that it is text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def file_name(text: str) -> str:
    """Return a text as the name of a file in a header: letters, digits, dots, dashes."""
    return _NOT_IN_A_NAME.sub("_", text)
