"""The signing keys of an installation: which one signs now and which one next, made and handed over in time."""

import asyncio
from collections.abc import Callable, Iterable

from keystead.audit.service import AuditLog
from keystead.db.engine import Database, Transaction
from keystead.db.installation import Keys
from keystead.kernel.clock import Clock
from keystead.kernel.problems import Unavailable
from keystead.kernel.settings import Settings
from keystead.tokens import rules, store
from keystead.tokens.models import Algorithm, SigningKeyRow
from keystead.tokens.signing import NewKey, SigningKey, make_key, open_key

SIGNING_KEYS_SUBJECT = "signing-keys"
"""What the change feed calls a change of the signing keys."""

Begin = Callable[[SigningKeyRow | None, int], int | None]
By = tuple[str | None, str | None]
"""Whose request it is, and from which address."""


class SigningKeys:
    """The signing keys, held in memory. Which one signs is told by the clock, without a query (promise J2)."""

    def __init__(self, *, db: Database, clock: Clock, keys: Keys, settings: Settings, audit: AuditLog) -> None:
        """Hold nothing yet: the first use loads the keys."""
        self._db = db
        self._clock = clock
        self._sealing_key = keys.signing
        self._settings = settings
        self._audit = audit
        self._loaded: dict[str, SigningKey] | None = None
        self._forgotten = 0

    def forget(self) -> None:
        """Load the keys again at the next use: the feed said ``signing-keys``, or that it is not known what changed."""
        self._loaded = None
        self._forgotten += 1

    async def ensure(self) -> None:
        """Make what is missing or due; call it at start and then at least once a minute.

        Raises UnreadableSigningKey for a key that this installation cannot open, and DatabaseError.
        """
        await self._load()
        lead = self._settings.signing_key_lead
        for algorithm in Algorithm:
            await self._add(algorithm, lambda newest, now: rules.next_begin(newest, now, lead))

    async def rotate_now(
        self, *, at_once: bool = False, actor_id: str | None = None, address: str | None = None
    ) -> list[str]:
        """Publish a new key for each algorithm and return the ``kid`` of each algorithm's newest.

        It signs after the lead; ``at_once`` lets it sign now, before every verifier may have heard of it. The old keys
        stay published. A key that already waits for its turn is left to it, unless ``at_once``.
        """
        lead = self._settings.signing_key_lead
        for algorithm in Algorithm:
            await self._add(
                algorithm,
                lambda newest, now: rules.begin_on_request(newest, now, lead, at_once=at_once),
                once=True,
                by=(actor_id, address),
            )
        rows = await self._db.all(store.SIGNING_KEYS, {})
        return [row.kid for algorithm in Algorithm if (row := _newest(rows, algorithm)) is not None]

    async def signer(self, algorithm: Algorithm) -> SigningKey:
        """Return the key whose turn it is. Raises DatabaseError, or Unavailable when there is none."""
        for key in (await self._load()).values():
            if key.algorithm is algorithm and key.signs(self._clock.now()):
                return key
        await self.ensure()  # the process slept past the end of its last key
        for key in (await self._load()).values():
            if key.algorithm is algorithm and key.signs(self._clock.now()):
                return key
        raise Unavailable("No signing key is in force just now. Try again in a minute.", seconds=60)

    async def find(self, kid: str) -> SigningKey | None:
        """Return the published key with this id, or None. Raises DatabaseError.

        Where changes are heard of a little later, a key that is not known here may have been made a moment ago.
        """
        key = (await self._load()).get(kid)
        if key is None and self._db.hears_by_itself:
            await self._db.changes()
            key = (await self._load()).get(kid)
        return key if key is not None and key.published(self._clock.now()) else None

    async def published(self) -> list[SigningKey]:
        """Return every key with which a token may still have to be verified, the next one to sign included."""
        await self._db.changes()  # another process may have rotated
        now = self._clock.now()
        return [key for key in (await self._load()).values() if key.published(now)]

    async def _load(self) -> dict[str, SigningKey]:
        if self._loaded is not None:
            return self._loaded
        turn = self._forgotten
        rows = await self._db.all(store.SIGNING_KEYS, {})
        loaded = {row.kid: open_key(row, self._sealing_key) for row in rows}
        if turn == self._forgotten:  # what was read before a change must not outlive it (promise V4)
            self._loaded = loaded
        return loaded

    async def _add(
        self,
        algorithm: Algorithm,
        begin: Begin,
        *,
        once: bool = False,
        by: tuple[str | None, str | None] = (None, None),
    ) -> None:
        """Add a key when ``begin`` asks for one. Whoever loses the race looks again, or with ``once`` is content.

        ``by`` is who asks, and from which address, if that is somebody.
        """
        while True:
            rows = await self._db.all(store.SIGNING_KEYS, {})
            newest = _newest(rows, algorithm)
            if begin(newest, self._clock.now()) is None:
                return
            # Made before the unit of work: an RSA key takes longer than the writer may be held.
            fresh = await asyncio.to_thread(make_key, algorithm, self._sealing_key)
            added = await self._insert(fresh, newest, begin, by)
            self.forget()
            if added or once:
                return

    async def _insert(self, fresh: NewKey, newest: SigningKeyRow | None, begin: Begin, by: By) -> bool:
        actor_id, address = by

        async def work(tx: Transaction) -> bool:
            now = self._clock.now()
            begins = begin(newest, now)
            if begins is None:
                return False
            after = newest.kid if newest else ""
            ends = begins + self._settings.signing_key_ttl
            row = {
                "new_kid": fresh.kid,
                "new_alg": fresh.algorithm.value,
                "new_public_jwk": fresh.public_jwk,
                "new_sealed_private": fresh.sealed_private,
                "new_created_at": now,
                "new_signs_from": begins,
                "new_signs_until": ends,
                "new_remove_at": rules.remove_at(ends),
            }
            condition = {"algorithm": fresh.algorithm.value, "after": after}
            if not await tx.run(store.ADD_SIGNING_KEY, {**row, **condition}):
                return False
            handed = {"successor": fresh.kid, "begins": begins, "leaves": rules.remove_at(begins)}
            await tx.run(store.HAND_OVER, {**condition, **handed})
            await self._audit.record(
                tx,
                "signing-key:create",
                actor_id=actor_id,
                target=fresh.kid,
                address=address,
                alg=fresh.algorithm.value,
                signs_from=begins,
            )
            await tx.announce(SIGNING_KEYS_SUBJECT)
            return True

        return await self._db.write(work)


def _newest(rows: Iterable[SigningKeyRow], algorithm: Algorithm) -> SigningKeyRow | None:
    newest = None
    for row in rows:
        if row.alg == algorithm:
            newest = row
    return newest
