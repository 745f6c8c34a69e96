"""What a person is shown of the keys that they may manage."""

from typing import Final

from keystead.db import Database
from keystead.kernel.principal import Identity, Principal
from keystead.kernel.problems import NotFound
from keystead.kernel.scopes import Role
from keystead.keys import store
from keystead.keys.models import ApiKey

_NO_KEY: Final = "You have no API key with this id in this organization."


class OwnKeys:
    """A person's keys in their organization, over all apps."""

    def __init__(self, db: Database) -> None:
        """Read from ``db``."""
        self._db = db

    async def all(self, identity: Identity) -> list[ApiKey]:
        """Return the keys that act in a person's name, the newest first."""
        mine = {"user_id": identity.user_id, "organization_id": identity.organization_id}
        return await self._db.all(store.KEYS_OF_MEMBER, mine)

    async def one(self, principal: Principal, key_id: str) -> ApiKey:
        """Return a key that the principal may manage: their own, to an owner or admin everybody's (promise K8).

        Raises NotFound for any other id.
        """
        key = await self._db.one(store.KEY_BY_ID, {"key_id": key_id})
        if key is None or key.organization_id != principal.identity.organization_id:
            raise NotFound(_NO_KEY)
        if principal.role is Role.MEMBER and key.user_id != principal.identity.user_id:
            raise NotFound(_NO_KEY)
        return key

    async def longest_life(self, identity: Identity) -> int | None:
        """Return how many seconds a new key of a person's in their organization lives at most, None for no end."""
        person = {"user_id": identity.user_id, "organization_id": identity.organization_id}
        policy = await self._db.one(store.KEY_POLICY, person)
        return None if policy is None else policy.longest_key_life
