"""Cleaning up: expired rows leave in small bites beside normal writes, so storage is bounded without a timer (O1, R12).

Each batch of writes takes one bite from one table, a few rows for each write in it, and stays with a table until it has
no more. That is more than writes can add, so the tables follow what is alive, and no bite holds the writer for long.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Table, bindparam, delete, func, select

from keystead.db.statements import Command
from keystead.db.tables import (
    audit_event,
    device_authorization,
    oauth_grant,
    revocation,
    session,
    short_term_token,
    signing_key,
    wrong_guess,
)

ROWS_PER_WRITE: Final = 4
LARGEST_BITE: Final = 1_024
FEED_KEPT: Final = 3_600
"""Seconds for which the feed is kept; a process that slept longer forgets everything instead."""
CODES_KEPT: Final = 3_600
"""Seconds for which an expired device code still answers ``expired_token`` instead of being unknown."""


@dataclass(frozen=True, slots=True)
class Bite:
    """One clean-up statement, and how many seconds after its expiry a row is let go."""

    command: Command
    kept: int


def _expired(table: Table, column: ColumnElement[int], *conditions: ColumnElement[bool]) -> Command:
    keys = list(table.primary_key.columns)
    doomed = select(*keys).where(column < bindparam("before"), *conditions).order_by(column).limit(bindparam("most"))
    if len(keys) == 1:
        return Command(delete(table).where(keys[0].in_(doomed)))
    picked = doomed.subquery()
    pairs = [key == picked.c[key.name] for key in keys]
    return Command(delete(table).where(select(1).select_from(picked).where(*pairs).correlate(table).exists()))


class Sweeper:
    """Whose turn it is to be cleaned up."""

    def __init__(self, audit_kept: int) -> None:
        """Start with the first table; audit events stay for ``audit_kept`` seconds."""
        # The newest row of the feed always stays, so that a gap in it shows.
        newest = select(func.max(revocation.c.seq)).scalar_subquery()
        self._bites = (
            Bite(_expired(device_authorization, device_authorization.c.expires_at), CODES_KEPT),
            Bite(_expired(revocation, revocation.c.at, revocation.c.seq < newest), FEED_KEPT),
            Bite(_expired(session, session.c.expires_at), 0),
            Bite(_expired(short_term_token, short_term_token.c.expires_at), 0),
            Bite(_expired(oauth_grant, oauth_grant.c.expires_at), 0),
            Bite(_expired(wrong_guess, wrong_guess.c.expires_at), 0),
            Bite(_expired(signing_key, signing_key.c.remove_at), 0),
            Bite(_expired(audit_event, audit_event.c.at), audit_kept),
        )
        self._turn = 0

    def bite(self, connection: sqlite3.Connection, now: int, writes: int) -> None:
        """Let go of some expired rows, inside the open transaction that also keeps ``writes`` units of work."""
        bite = self._bites[self._turn]
        most = min(ROWS_PER_WRITE * writes, LARGEST_BITE)
        parameters = bite.command.bind({"before": now - bite.kept, "most": most})
        if connection.execute(bite.command.sql, parameters).rowcount < most:
            self._turn = (self._turn + 1) % len(self._bites)
