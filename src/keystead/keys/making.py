"""Making a key: the one place where the text of a new API key comes from."""

from dataclasses import dataclass

from keystead.audit.service import AuditLog
from keystead.db import Transaction
from keystead.db.installation import Keys as InstallationKeys
from keystead.kernel.ids import new_id
from keystead.kernel.problems import Forbidden, NotFound
from keystead.kernel.scopes import Scopes, format_scopes
from keystead.kernel.secrets import hint_of, keyed_hash, new_api_key
from keystead.kernel.settings import Settings
from keystead.keys import store
from keystead.keys.models import CreatedKey


@dataclass(frozen=True, slots=True)
class WantedKey:
    """What a new key shall be: in whose name it acts, where it belongs, and what was checked of it before.

    ``id`` is for whoever may ask twice and must get one key: the second time is a UniqueViolation.
    """

    user_id: str
    organization_id: str
    app_id: str
    title: str
    scopes: Scopes
    expires_at: int | None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes it, None for the operator, and from which address."""

    user_id: str | None
    address: str | None = None


class KeyMaker:
    """Makes the keys of an installation, for the host of its public address."""

    def __init__(self, *, keys: InstallationKeys, settings: Settings, audit: AuditLog) -> None:
        """Hash with the key for credentials."""
        self._key = keys.credentials
        self._prefix = settings.api_key_prefix
        self._public_url = settings.public_url
        self._audit = audit

    async def longest_life(self, tx: Transaction, user_id: str, organization_id: str) -> int | None:
        """Return how many seconds a new key of a member lives at most by the stricter policy, None for no end.

        Raises Forbidden for somebody who was removed or disabled a moment ago: a key that they made now would be there
        still if they came back.
        """
        policy = await tx.one(store.KEY_POLICY, {"user_id": user_id, "organization_id": organization_id})
        if policy is None:
            raise Forbidden("You are no longer a member of this organization.")
        return policy.longest_life

    async def make(self, tx: Transaction, wanted: WantedKey, actor: Actor, now: int) -> CreatedKey:
        """Store a new key in ``tx`` and return it with its text, which is nowhere else (promise K13)."""
        secret = new_api_key(self._prefix, self._public_url)
        row = {
            "id": wanted.id or new_id(),
            "secret_hash": keyed_hash(self._key, secret.reveal()),
            "app_id": wanted.app_id,
            "organization_id": wanted.organization_id,
            "user_id": wanted.user_id,
            "title": wanted.title,
            "hint": hint_of(secret),
            "scopes": format_scopes(wanted.scopes),
            "created_at": now,
            "expires_at": wanted.expires_at,
            "last_used_at": None,
            "last_used_address": None,
            "exposed_at": None,
            "successor_id": None,
            "warned_at": None,
        }
        await tx.run(store.INSERT_KEY, row)
        record = await tx.one(store.KEY_BY_ID, {"key_id": row["id"]})
        if record is None:
            raise NotFound("There is no such API key in this app.")
        await self._audit.record(
            tx,
            "key:create",
            actor_id=actor.user_id,
            organization_id=wanted.organization_id,
            target=record.id,
            address=actor.address,
            title=wanted.title,
            app_id=wanted.app_id,
            user_id=wanted.user_id,
            hint=record.hint,
        )
        return CreatedKey(record, secret)
