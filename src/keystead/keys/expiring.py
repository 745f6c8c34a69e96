"""Letters about keys that expire soon: each owner gets one for all of their keys, in time to replace them.

One node at a time looks (promise J2), once an hour. An owner's keys are claimed before their letter is sent, by the
time of the claim as a negative number in ``warned_at``. So two nodes never send the same letter; a node that dies
between claim and mark lets another one send it once more.
"""

import asyncio
import logging
from typing import Final

from sqlalchemy import bindparam, or_, select, update

from keystead.db import Command, Database, DatabaseError, Query, Transaction
from keystead.db.sweeping import Errand
from keystead.db.tables import api_key, user
from keystead.kernel.clock import Clock
from keystead.kernel.settings import Settings
from keystead.keys.models import ApiKey
from keystead.keys.store import KEYS_OF_USER
from keystead.mail.letters import keys_expiring
from keystead.mail.models import Letter, MailError
from keystead.mail.service import Mailer

WARNED_BEFORE: Final = 14 * 86_400
"""Seconds before its end at which a key's owner gets a letter. Of a key that lives no longer, none is sent."""
LOOK_EVERY: Final = 3_600
"""Seconds between two looks."""
CLAIM_HELD: Final = 900
"""Seconds after which a claim whose letter was never sent counts no more."""
BITE: Final = 1_000
"""Keys that one question looks through."""
_AFTER_EVERY_ID: Final = "g"  # ids are hexadecimal digits

# Keys are walked through by their ids, some at a time: a look an hour is worth no index that each new key pays for.
END_OF_BITE: Final = Query(
    select(api_key.c.id).where(api_key.c.id > bindparam("after")).order_by(api_key.c.id).offset(BITE - 1).limit(1), str
)
_DUE = (
    api_key.c.expires_at > bindparam("now"),
    api_key.c.expires_at <= bindparam("soon"),
    api_key.c.expires_at - api_key.c.created_at > WARNED_BEFORE,
    api_key.c.successor_id.is_(None),
    or_(api_key.c.warned_at.is_(None), (api_key.c.warned_at < 0) & (api_key.c.warned_at > bindparam("forgotten"))),
)
OWNERS_OF_DUE: Final = Query(
    select(api_key.c.user_id).where(api_key.c.id > bindparam("after"), api_key.c.id <= bindparam("end"), *_DUE), str
)
ADDRESS_OF: Final = Query(
    select(user.c.email).where(user.c.id == bindparam("user_id"), user.c.disabled_at.is_(None)), str
)
CLAIM: Final = Query(
    update(api_key)
    .where(api_key.c.user_id == bindparam("owner"), *_DUE)
    .values(warned_at=bindparam("claim"))
    .returning(api_key.c.id),
    str,
)
MARK: Final = Command(
    update(api_key)
    .where(api_key.c.id == bindparam("key_id"), api_key.c.warned_at == bindparam("claim"))
    .values(warned_at=bindparam("at"))
)

_log = logging.getLogger(__name__)


class ExpiringKeys:
    """Looks for keys that expire soon, and has their owners written to."""

    def __init__(self, *, db: Database, clock: Clock, settings: Settings, mailer: Mailer) -> None:
        """Write in the name of ``settings.product_name``, with the address of its page of keys."""
        self._db = db
        self._clock = clock
        self._mailer = mailer
        self._product_name = settings.product_name
        self._page = f"{settings.public_url}/settings/keys"
        self._errand = Errand(db, clock, "expiring-keys")

    async def go_on(self) -> None:
        """Look until cancelled, once an hour."""
        while True:
            try:
                await self.look()
            except DatabaseError:
                _log.warning("it could not be seen which keys expire soon; the next look may succeed")
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Write to every owner of keys that expire soon, while this is this node's errand. Raises DatabaseError.

        Stops where the mail server cannot be used: the next look goes on.
        """
        after, end = "", await self._end_of_bite("")
        while await self._errand.mine():
            bite = {"after": after, "end": end or _AFTER_EVERY_ID, **self._times()}
            for owner in sorted(set(await self._db.all(OWNERS_OF_DUE, bite))):
                if not (await self._errand.mine() and await self.warn(owner)):
                    return
            if end is None:
                return
            after, end = end, await self._end_of_bite(end)
            await asyncio.sleep(0)  # SQLite answers at once, and others wait, too

    async def warn(self, owner: str) -> bool:
        """Write one letter to somebody about all of their keys that expire soon, if there are any left to tell of.

        Return whether the mail server can be used. A letter that it will never take counts as written.
        """
        claim = -self._clock.now()
        letter, keys = await self._db.write(lambda tx: self._claim(tx, owner, claim))
        if letter is None:
            return True
        try:
            await self._mailer.send(letter)
        except MailError as error:
            _log.error("a letter about keys that expire soon was not sent: %s", error)
            await self._mark(keys, claim, self._clock.now() if error.final else None)
            return error.final
        await self._mark(keys, claim, self._clock.now())
        return True

    async def _claim(self, tx: Transaction, owner: str, claim: int) -> tuple[Letter | None, list[str]]:
        address = await tx.one(ADDRESS_OF, {"user_id": owner})
        if address is None:
            return None, []
        claimed = set(await tx.all(CLAIM, {"owner": owner, "claim": claim, **self._times()}))
        keys = [key for key in await tx.all(KEYS_OF_USER, {"user_id": owner}) if key.id in claimed]
        if not keys:
            return None, []
        return self._letter(address, keys), sorted(claimed)

    def _letter(self, address: str, keys: list[ApiKey]) -> Letter:
        ends = sorted((key.expires_at or 0, key.title, key.app_name, key.hint) for key in keys)
        told = [(title, app, hint, end) for end, title, app, hint in ends]
        return keys_expiring(self._product_name, address, told, self._page)

    async def _mark(self, keys: list[str], claim: int, at: int | None) -> None:
        await self._db.run_all(MARK, [{"key_id": key, "claim": claim, "at": at} for key in keys])

    async def _end_of_bite(self, after: str) -> str | None:
        return await self._db.one(END_OF_BITE, {"after": after})

    def _times(self) -> dict[str, int]:
        now = self._clock.now()
        return {"now": now, "soon": now + WARNED_BEFORE, "forgotten": CLAIM_HELD - now}
