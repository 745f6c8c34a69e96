"""The revocation feed: how every process hears that something it remembers is no longer true (promises V1, V4).

Each security change appends a row in its own transaction. What a process has heard of is decided by the rows alone:
``db/sqlite.py`` and ``db/follower.py`` say when to look. A process that missed rows forgets everything.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select

from keystead.db.statements import Command, Query, insert_into
from keystead.db.tables import revocation

EVERYTHING: Final = "*"
"""The subject that listeners are given when it is not known what changed."""
FEED_KEPT: Final = 3_600
"""Seconds for which the feed is kept; a process that slept longer forgets everything instead."""

Listener = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the feed."""

    seq: int
    subject: str


@dataclass(frozen=True, slots=True)
class End:
    """The last row of the feed; None while it is empty."""

    last: int | None


APPEND = Command(insert_into(revocation, "seq"))
SINCE = Query(
    select(revocation.c.seq, revocation.c.subject)
    .where(revocation.c.seq > bindparam("seq"))
    .order_by(revocation.c.seq),
    Change,
)
END = Query(select(func.max(revocation.c.seq).label("last")), End)


class ChangeFeed:
    """This process's place in the feed of a SQLite file, and who wants to hear of it.

    It reads through its own view of the caller's connection, which must be in autocommit, so that what is read after
    ``catch_up`` is at least as new as what was heard. ``PRAGMA data_version`` tells within microseconds that somebody
    else has committed; only then are the new rows read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Start at the end of the feed: a fresh process remembers nothing that could be stale."""
        self._connection = connection
        self._version = -1
        self._listeners: list[Listener] = []
        self._seq = self._end().last or 0

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with each changed subject, or with ``EVERYTHING``. It must return quickly."""
        self._listeners.append(listener)

    def catch_up(self) -> None:
        """Tell the listeners of all that was committed before this call."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        rows = self._connection.execute(SINCE.sql, SINCE.bind({"seq": self._seq})).fetchall()
        changes = [SINCE.read(row) for row in rows]
        # Clean-up goes by time and clocks differ, so a gap may be anywhere.
        if changes and changes[-1].seq - self._seq != len(changes):
            changes = [Change(changes[-1].seq, EVERYTHING)]
        for change in changes:
            for listener in self._listeners:
                listener(change.subject)
        if changes:
            self._seq = changes[-1].seq
        self._version = version

    def _end(self) -> End:
        return END.read(self._connection.execute(END.sql).fetchone())
