"""How many letters strangers may cause to one address: counted by every process, for addresses nobody has as well."""

from keystead.db import Database, Transaction
from keystead.kernel.clock import Clock
from keystead.kernel.secrets import keyed_hash
from keystead.sessions import rules, store

_STEP = 60


class LetterBudget:
    """The letters to each address within an hour. The address itself is not stored."""

    def __init__(self, *, db: Database, clock: Clock, key: bytes) -> None:
        """``key`` hashes the addresses."""
        self._db = db
        self._clock = clock
        self._key = key

    async def spend(self, kind: str, email: str) -> bool:
        """Count one letter of a kind to an address; False when there were too many within the hour."""
        subject = f"letter:{keyed_hash(self._key, f'letter:{kind}:{email}').hex()}"
        now = self._clock.now()
        minute = now - now % _STEP
        row = {"subject": subject, "window_start": minute, "expires_at": minute + rules.HOUR + _STEP}

        async def work(tx: Transaction) -> bool:
            sent = await tx.one(store.LETTERS, {"subject": subject, "since": now - rules.HOUR}) or 0
            if sent >= rules.LETTERS_AN_HOUR:
                return False
            await tx.run(store.COUNT_LETTER, row)
            return True

        return await self._db.write(work)
