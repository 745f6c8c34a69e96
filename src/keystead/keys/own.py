"""What a person is shown of the keys that they may manage, and how they delete one of their own by its name."""

from typing import Final

from keystead.db import Database, Transaction
from keystead.kernel.clock import Clock
from keystead.kernel.permissions import Permission, check_permission
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.scopes import Role
from keystead.keys import rules, store
from keystead.keys.ending import KeyEndings
from keystead.keys.models import ApiKey, EndedKey

_NO_KEY: Final = "You have no API key with this id in this organization."
_NO_SUCH_KEY: Final = "You have no API key with this title or id in this organization."
_SEVERAL: Final = "Several of your API keys have this title. List them, and delete the one that you mean by its id."


class OwnKeys:
    """A person's keys in their organization, over all apps."""

    def __init__(self, *, db: Database, clock: Clock, endings: KeyEndings) -> None:
        """Read from ``db``; ``endings`` follows up on what is deleted."""
        self._db = db
        self._clock = clock
        self._endings = endings

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
        policy = await self._db.one(store.KEY_POLICY, _mine(identity))
        return None if policy is None else policy.longest_life

    async def delete(self, principal: Principal, name: str, *, address: str | None = None) -> None:
        """Delete the one of a person's own keys that has this id or, where none has, this title.

        It is refused from now on, by every process. This needs the permission OWN_KEYS_DELETE, but an API key may
        always end itself: whoever holds it can at least make it useless. Raises CredentialNotAllowed,
        InsufficientScope, NotFound, and Conflict for a title that several keys have.
        """
        identity = principal.identity

        async def work(tx: Transaction) -> None:
            found = await _named(tx, identity, name)
            itself = principal.method is Method.API_KEY and [key.id for key in found] == [principal.credential_id]
            if not itself:
                check_permission(principal, Permission.OWN_KEYS_DELETE)
            if len(found) > 1:
                raise Conflict(_SEVERAL)
            if not found:
                raise NotFound(_NO_SUCH_KEY)
            await tx.one(store.DELETE_KEY, {"key_id": found[0].id})
            now = self._clock.now()
            await self._endings.ended(tx, "key:delete", found[0], actor_id=identity.user_id, address=address, now=now)

        await self._db.write(work)


async def _named(tx: Transaction, identity: Identity, name: str) -> list[EndedKey]:
    """Return the key of a person with this id, or else up to two with this title."""
    if not rules.is_name(name):
        return []  # neither an id nor a title, and perhaps not even text that a database takes
    mine = _mine(identity)
    by_id = await tx.one(store.OWNED_KEY, {"key_id": name})
    if by_id is not None and {"user_id": by_id.user_id, "organization_id": by_id.organization_id} == mine:
        return [by_id]
    return await tx.all(store.OWN_KEYS_TITLED, {**mine, "title": name})


def _mine(identity: Identity) -> dict[str, str]:
    return {"user_id": identity.user_id, "organization_id": identity.organization_id}
