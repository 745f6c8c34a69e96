"""How often keys were used, day by day: counted by every node, written in batches with the last use (promise K2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, bindparam, select

from keystead.db import Command, Database, Query
from keystead.db.statements import upsert
from keystead.db.tables import api_key, app, key_use


@dataclass(frozen=True, slots=True)
class DayOfUse:
    """How often a key was used on a day, which is the Unix second of its midnight in UTC."""

    api_key_id: str
    day: int
    uses: int


_number = BigInteger()
_new_uses = bindparam("uses", type_=_number)
# From the key's own row, so that a key that was deleted meanwhile leaves nothing behind.
COUNT_USES: Final = Command(
    upsert(key_use)
    .from_select(
        ["api_key_id", "day", "uses"],
        select(api_key.c.id, bindparam("day", type_=_number), _new_uses).where(api_key.c.id == bindparam("key_id")),
    )
    .on_conflict_do_update(index_elements=["api_key_id", "day"], set_={"uses": key_use.c.uses + _new_uses})
)

_USES = select(key_use.c.api_key_id, key_use.c.day, key_use.c.uses).join(
    api_key, (api_key.c.id == key_use.c.api_key_id) & (key_use.c.day >= bindparam("since"))
)
# By the keys, of which there are some, and not by the days, of which each holds everybody's.
USES_OF_MEMBER: Final = Query(
    _USES.where(api_key.c.user_id == bindparam("user_id"), api_key.c.organization_id == bindparam("organization_id")),
    DayOfUse,
)
USES_OF_ORGANIZATION: Final = Query(
    _USES.join(app, app.c.id == api_key.c.app_id).where(app.c.organization_id == bindparam("organization_id")),
    DayOfUse,
)


class KeyUse:
    """The counts of keys that are there; those of a deleted key are not told any more."""

    def __init__(self, db: Database) -> None:
        """Keep the counts in ``db``."""
        self._db = db

    async def count(self, counts: Sequence[tuple[str, int, int]]) -> None:
        """Add to the counts: each is a key's id, a day (the Unix second of its midnight in UTC), and how many uses.

        All of them or none, and what other nodes add meanwhile is added too. Raises DatabaseError.
        """
        rows = [{"key_id": key_id, "day": day, "uses": uses} for key_id, day, uses in sorted(counts)]
        await self._db.run_all(COUNT_USES, rows)

    async def since(self, organization_id: str, user_id: str | None, since_day: int) -> list[DayOfUse]:
        """Return the counts of the days from ``since_day`` on, in any order; a day without any use has none.

        They are those of one member's keys in the organization, or without ``user_id`` of everybody's.
        """
        where = {"organization_id": organization_id, "since": since_day}
        if user_id is None:
            return await self._db.all(USES_OF_ORGANIZATION, where)
        return await self._db.all(USES_OF_MEMBER, {**where, "user_id": user_id})
