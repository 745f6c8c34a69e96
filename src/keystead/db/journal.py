"""Switching a SQLite file to a write-ahead log, which processes may do that start at the same moment."""

import sqlite3
import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60.0
"""Seconds for which others may be busy with the file before it is given up."""
_PAUSE: Final = 0.01


def write_ahead(
    connection: sqlite3.Connection, *, patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep
) -> None:
    """Let the file have a write-ahead log from now on; nothing happens when it has one.

    SQLite refuses the switch at once, whatever the connection's timeout, while somebody else is switching: so it is
    asked again. Raises sqlite3.OperationalError when the file stays locked for ``patience`` seconds.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= give_up:
                raise
        else:
            return
        pause(_PAUSE)
