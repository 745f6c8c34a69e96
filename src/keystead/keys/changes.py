"""Changing a key that is there: another title, or another key in its place."""

from typing import Final

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.scopes import grantable, stored_scopes
from keystead.keys import rules, store
from keystead.keys.ending import KeyEndings
from keystead.keys.making import Actor, KeyMaker, WantedKey
from keystead.keys.models import ApiKey, RotatedKey

_NO_KEY: Final = "There is no such API key in this app of your organization."


class KeyChanges:
    """Renaming and rotating keys. A member changes their own, an owner or admin everybody's (promise K8)."""

    def __init__(self, *, db: Database, clock: Clock, maker: KeyMaker, endings: KeyEndings, audit: AuditLog) -> None:
        """``maker`` makes the keys that take the place of others, ``endings`` follows up on these."""
        self._db = db
        self._clock = clock
        self._maker = maker
        self._endings = endings
        self._audit = audit

    async def rename(
        self, principal: Principal, app_id: str, key_id: str, title: str, *, address: str | None = None
    ) -> ApiKey:
        """Give a key another title and return it. Raises InvalidParameters, NotFound and Forbidden."""
        rules.check_name(title, "api_key_name", "key's title")

        async def work(tx: Transaction) -> ApiKey:
            key = await _key(tx, principal, app_id, key_id)
            rules.check_may_manage(principal, key.user_id, "rename")
            await tx.run(store.RENAME_KEY, {"key_id": key.id, "new_title": title})
            await self._record(tx, "key:update", principal, key, address, title=title, before=key.title)
            return await _key(tx, principal, app_id, key_id)

        return await self._db.write(work)

    async def rotate(
        self, principal: Principal, app_id: str, key_id: str, overlap: int, *, address: str | None = None
    ) -> RotatedKey:
        """Put a new key in the place of one, which goes on working for ``overlap`` seconds at most (promise K7).

        The new key has the same app, title, owner and expiry, and the scopes that the owner may still give it; it ends
        earlier where a policy says how long keys live. Short-term tokens that the old key asked for end with it. All of
        it is one unit of work, and a key is rotated once, so of two who rotate it together one is told of a conflict.
        Raises InvalidParameters, NotFound, Forbidden, Conflict, and InsufficientScope for somebody who presents a
        token that can do less than the key (K12).
        """
        rules.check_overlap(overlap)

        async def work(tx: Transaction) -> RotatedKey:
            now = self._clock.now()
            key = await _key(tx, principal, app_id, key_id)
            owner = await tx.one(store.OWNER_OF_KEY, {"key_id": key.id})
            role = rules.check_may_rotate(principal, key, owner, now)
            scopes = rules.check_scopes(grantable(stored_scopes(key.scopes), role), principal)
            longest = await self._maker.longest_life(tx, key.user_id, key.organization_id)
            until = rules.capped(key.expires_at, now, longest)
            wanted = WantedKey(key.user_id, key.organization_id, key.app_id, key.title, scopes, until)
            made = await self._maker.make(tx, wanted, Actor(principal.identity.user_id, address), now)
            ends = rules.end_of_rotated(key.expires_at, now, overlap)
            if not await tx.run(store.REPLACE_KEY, {"key_id": key.id, "successor": made.record.id, "ends": ends}):
                raise Conflict(rules.ROTATED_BEFORE)
            await self._endings.ends(tx, key.id, ends)
            await self._record(tx, "key:rotate", principal, key, address, successor_id=made.record.id, expires_at=ends)
            return RotatedKey(made, ends)

        return await self._db.write(work)

    async def _record(
        self,
        tx: Transaction,
        event_type: str,
        principal: Principal,
        key: ApiKey,
        address: str | None,
        **detail: str | int,
    ) -> None:
        await self._audit.record(
            tx,
            event_type,
            actor_id=principal.identity.user_id,
            organization_id=key.organization_id,
            target=key.id,
            address=address,
            user_id=key.user_id,
            **detail,
        )


async def _key(tx: Transaction, principal: Principal, app_id: str, key_id: str) -> ApiKey:
    """Return a key of the principal's organization; any other id looks like none at all. Raises NotFound."""
    key = await tx.one(store.KEY_BY_ID, {"key_id": key_id})
    if key is None or (key.app_id, key.organization_id) != (app_id, principal.identity.organization_id):
        raise NotFound(_NO_KEY)
    return key
