"""How many letters strangers may cause to one address, and how many wrong codes an account takes in a day.

Both are counted in the database, by every process, in rows of a minute each.
"""

from typing import Final

from keystead.db import Database, Transaction
from keystead.kernel.clock import Clock
from keystead.kernel.problems import RateLimited, retry_after
from keystead.kernel.secrets import keyed_hash
from keystead.sessions import rules, store
from keystead.sessions.models import TOO_MANY_CODES, Counted

_STEP: Final = 60


class LetterBudget:
    """The letters to each address within an hour, for addresses nobody has as well. The address is not stored."""

    def __init__(self, *, db: Database, clock: Clock, key: bytes) -> None:
        """``key`` hashes the addresses."""
        self._db = db
        self._clock = clock
        self._key = key

    async def spend(self, kind: str, email: str) -> bool:
        """Count one letter of a kind to an address; False when there were too many within the hour."""
        subject = f"letter:{keyed_hash(self._key, f'letter:{kind}:{email}').hex()}"
        now = self._clock.now()

        async def work(tx: Transaction) -> bool:
            if (await _counted(tx, subject, now - rules.HOUR)).times >= rules.LETTERS_AN_HOUR:
                return False
            await _count(tx, subject, now, rules.HOUR)
            return True

        return await self._db.write(work)


class CodeBudget:
    """The wrong codes of each account within a day, in the unit of work that looks at a code.

    Only who has shown the right password is asked for a code, so nobody else can use it up (promise W5).
    """

    def __init__(self, *, clock: Clock) -> None:
        """Count by ``clock``."""
        self._clock = clock

    async def check(self, tx: Transaction, user_id: str) -> None:
        """Raise RateLimited when there were so many within the day that not even a right code is taken."""
        now = self._clock.now()
        kept = rules.DAY + _STEP  # until the last of a minute is a day old
        found = await _counted(tx, _codes_of(user_id), now - kept)
        if found.oldest is not None and found.times >= rules.CODES_A_DAY:
            raise RateLimited(TOO_MANY_CODES, headers=retry_after(found.oldest + kept - now))

    async def count(self, tx: Transaction, user_id: str) -> None:
        """Count a wrong code."""
        await _count(tx, _codes_of(user_id), self._clock.now(), rules.DAY)


def _codes_of(user_id: str) -> str:
    return f"factor:{user_id}"


async def _counted(tx: Transaction, subject: str, since: int) -> Counted:
    return await tx.one(store.COUNTED, {"subject": subject, "since": since}) or Counted(0, None)


async def _count(tx: Transaction, subject: str, now: int, lifetime: int) -> None:
    minute = now - now % _STEP
    row = {"subject": subject, "window_start": minute, "expires_at": minute + lifetime + _STEP}
    await tx.run(store.COUNT, row)
