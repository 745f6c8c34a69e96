"""Cleaning up: expired rows leave in small bites beside normal writes, so storage is bounded (promises O1, R12).

On SQLite each batch of writes takes one bite from one table, a few rows for each write in it, and stays with a table
until it has no more. That is more than writes can add, so the tables follow what is alive, and no bite holds the writer
for long. On PostgreSQL one node at a time takes the bites (``db/sweeping.py``).
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Table, bindparam, delete, func, select, tuple_

from keystead.db.feed import FEED_KEPT
from keystead.db.statements import Command, Parameters
from keystead.db.tables import (
    audit_event,
    device_authorization,
    invitation,
    key_use,
    oauth_grant,
    revocation,
    revoked_token,
    session,
    short_term_token,
    sign_in_step,
    signing_key,
    wrong_guess,
)

LARGEST_BITE: Final = 1_024
TOKENS_KEPT: Final = 120
"""Seconds for which a revoked token is told of beyond its expiry: for verifiers whose clocks are behind."""
INVITATIONS_KEPT: Final = 2_592_000
"""Seconds for which an expired invitation is still listed, so that it can be sent again."""
USES_KEPT: Final = 3_456_000
"""Seconds for which it is kept how often a key was used on a day: a little longer than the picture shows."""
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
    return Command(delete(table).where((keys[0] if len(keys) == 1 else tuple_(*keys)).in_(doomed)))


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
            Bite(_expired(sign_in_step, sign_in_step.c.expires_at), 0),
            Bite(_expired(invitation, invitation.c.expires_at), INVITATIONS_KEPT),
            Bite(_expired(key_use, key_use.c.day), USES_KEPT),
            Bite(_expired(short_term_token, short_term_token.c.expires_at), 0),
            Bite(_expired(oauth_grant, oauth_grant.c.expires_at), 0),
            Bite(_expired(revoked_token, revoked_token.c.expires_at), TOKENS_KEPT),
            Bite(_expired(wrong_guess, wrong_guess.c.expires_at), 0),
            Bite(_expired(signing_key, signing_key.c.remove_at), 0),
            Bite(_expired(audit_event, audit_event.c.at), audit_kept),
        )
        self._turn = 0

    @property
    def tables(self) -> int:
        """How many tables take turns."""
        return len(self._bites)

    def bite(self, now: int, most: int) -> tuple[Command, Parameters]:
        """Return the command that lets go of at most so many expired rows of the table whose turn it is."""
        bite = self._bites[self._turn]
        return bite.command, {"before": now - bite.kept, "most": most}

    def taken(self, *, all_gone: bool) -> None:
        """Go on to the next table when this one has nothing more to let go."""
        if all_gone:
            self._turn = (self._turn + 1) % len(self._bites)
