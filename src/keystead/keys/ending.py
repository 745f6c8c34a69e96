"""What is done with every key that ends, in the unit of work that ends it.

Everybody hears of it, and the short-term tokens that it asked for end as well (promises V1, V2).
"""

from keystead.audit.service import AuditLog
from keystead.db import Transaction
from keystead.keys import store
from keystead.keys.models import EndedKey
from keystead.tokens.service import Tokens


class KeyEndings:
    """Follows up on keys that end, and writes of keys in the audit log."""

    def __init__(self, *, tokens: Tokens, audit: AuditLog) -> None:
        """``tokens`` ends the short-term tokens that a key asked for."""
        self._tokens = tokens
        self._audit = audit

    async def ended(
        self,
        tx: Transaction,
        event_type: str,
        key: EndedKey,
        *,
        actor_id: str | None,
        address: str | None,
        now: int,
    ) -> None:
        """Follow up on a key that was deleted in ``tx`` a line before."""
        await self.ends(tx, key.id, now)
        await self.record(tx, event_type, key, actor_id=actor_id, address=address)

    async def ends(self, tx: Transaction, key_id: str, at: int) -> None:
        """Let everybody look a key up again that ends at ``at``, in Unix seconds, and with it what it asked for."""
        await tx.announce(f"credential:{key_id}")
        await self._tokens.end_with_key(tx, key_id, at)

    async def delete_of_app(self, tx: Transaction, app_id: str, now: int) -> int:
        """Delete the keys of an app, and return how many those were: in as many statements as for one."""
        await self._tokens.end_with_app(tx, app_id)
        await tx.run(store.ANNOUNCE_KEYS_OF_APP, {"app_id": app_id, "at": now})
        return await tx.run(store.DELETE_KEYS_OF_APP, {"app_id": app_id})

    async def record(
        self, tx: Transaction, event_type: str, key: EndedKey, *, actor_id: str | None, address: str | None
    ) -> None:
        """Write in the audit log what happened to a key."""
        await self._audit.record(
            tx,
            event_type,
            actor_id=actor_id,
            organization_id=key.organization_id,
            target=key.id,
            address=address,
            user_id=key.user_id,
        )
