"""Cleaning up a database that many nodes share: one of them at a time, and another when that one has gone (promise J2).

Who does an errand is written in the database. A node that was killed is followed by another once its time is over; two
at once, by clocks that differ, would do no harm.
"""

import asyncio
import logging
from typing import Final

from sqlalchemy import bindparam, or_

from keystead.db.cleanup import LARGEST_BITE, Sweeper
from keystead.db.engine import Database, DatabaseError
from keystead.db.statements import Command, upsert
from keystead.db.tables import errand
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id

SWEEP_EVERY: Final = 5
"""Seconds between two rounds through the tables."""
_HELD: Final = 60

_TAKE = (
    upsert(errand)
    .values(name=bindparam("name"), holder=bindparam("holder"), until=bindparam("until"))
    .on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": bindparam("holder"), "until": bindparam("until")},
        where=or_(errand.c.holder == bindparam("holder"), errand.c.until < bindparam("now")),
    )
)
TAKE_ERRAND: Final = Command(_TAKE)

_log = logging.getLogger(__name__)


class Errand:
    """Something that one node does for all."""

    def __init__(self, db: Database, clock: Clock, name: str) -> None:
        """Compete for the errand ``name`` as somebody new."""
        self._db = db
        self._clock = clock
        self._name = name
        self._holder = new_id()

    async def mine(self) -> bool:
        """Take the errand, or keep it for another minute; False while another node has it. Raises DatabaseError."""
        now = self._clock.now()
        row = {"name": self._name, "holder": self._holder, "until": now + _HELD, "now": now}
        return await self._db.run(TAKE_ERRAND, row) == 1


class Sweeping:
    """The clean-up of a shared database."""

    def __init__(self, db: Database, clock: Clock, audit_kept: int) -> None:
        """Keep audit events for ``audit_kept`` seconds."""
        self._db = db
        self._clock = clock
        self._sweeper = Sweeper(audit_kept)
        self._errand = Errand(db, clock, "clean-up")

    async def go_on(self) -> None:
        """Clean up until cancelled, whenever it is this node's errand."""
        while True:
            try:
                if await self._errand.mine():
                    await self.sweep()
            except DatabaseError:
                _log.warning("the clean-up could not go on; the next round may succeed")
            await asyncio.sleep(SWEEP_EVERY)

    async def sweep(self) -> None:
        """Go once through the tables, in bites. Raises DatabaseError."""
        left = self._sweeper.tables
        while left:
            command, parameters = self._sweeper.bite(self._clock.now(), LARGEST_BITE)
            all_gone = await self._db.run(command, parameters) < LARGEST_BITE
            self._sweeper.taken(all_gone=all_gone)
            left -= all_gone
