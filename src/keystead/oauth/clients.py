"""Clients: registering, knowing, deleting them, and switching them off."""

from functools import lru_cache
from typing import Any, Final

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.engine import Reader
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, Forbidden, InvalidClient, NotFound, UnauthorizedClient
from keystead.oauth import store, switching
from keystead.oauth.client_ids import BUILT_IN, Description, client_id_of, read_client_id, read_description
from keystead.oauth.models import Client, Standing
from keystead.oauth.switching import ListedClient
from keystead.tokens.service import Tokens

DELETED: Final = "Unknown client_id. It was deleted here: register the client again."
MOST_LISTED: Final = 1_000
"""Clients that an operator is shown: nobody reads more, and nobody has so many programs."""
_REMEMBERED: Final = 1_024
"""Client ids that need not be read again, with at most about a kilobyte each."""


class Clients:
    """The clients of device sign-in."""

    def __init__(self, *, db: Database, clock: Clock, key: bytes, tokens: Tokens, audit: AuditLog) -> None:
        """``key`` makes and reads client ids; ``tokens`` ends what the clients that are deleted made."""
        self._db = db
        self._clock = clock
        self._tokens = tokens
        self._key = key
        self._audit = audit
        # A client sends its id with every request; to read it costs more than to look it up.
        self._standing = lru_cache(maxsize=_REMEMBERED)(self._read)

    async def register(self, metadata: Any) -> Client:
        """Return the client of a description; nothing is stored. Raises InvalidClientMetadata (RFC 7591)."""
        description = read_description(metadata)
        generation = await self._generation(self._db, description.fingerprint(self._key))
        return _client(client_id_of(self._key, description, generation), description)

    def read(self, client_id: str) -> Client:
        """Return the client that an id carries, without asking whether it was deleted. Raises InvalidClient."""
        return self.standing(client_id).client

    def standing(self, client_id: str) -> Standing:
        """Return the client that an id carries, and what tells whether it was deleted. Raises InvalidClient."""
        return self._standing(client_id)

    async def is_known(self, reader: Reader, client_id: str) -> bool:
        """Tell whether a client was not deleted. Raises InvalidClient for an id that is not ours."""
        standing = self.standing(client_id)
        return standing.generation == await self._generation(reader, standing.fingerprint)

    async def delete(self, client_id: str) -> None:
        """Make a client unknown and end all its grants and pending sign-ins. Raises InvalidClient and Conflict."""
        fingerprint = self.standing(client_id).fingerprint
        if not fingerprint:
            raise Conflict(f"The client '{client_id}' is built in and cannot be deleted.")

        async def work(tx: Transaction) -> None:
            if not await self.is_known(tx, client_id):
                raise InvalidClient(DELETED)
            await tx.run(store.NEXT_GENERATION, {"fingerprint": fingerprint})
            await tx.run(store.FORGET_DEVICES_OF_CLIENT, {"client": client_id})
            await self._tokens.end_with_client(tx, client_id)
            await tx.run(store.ANNOUNCE_GRANTS_OF_CLIENT, {"client": client_id, "now": self._clock.now()})
            await tx.run(store.DELETE_GRANTS_OF_CLIENT, {"client": client_id})
            await self._audit.record(tx, "client:delete", target=client_id)

        await self._db.write(work)

    async def keep(self, tx: Transaction, client: Client, now: int) -> None:
        """Store a client that somebody approved."""
        row = {"id": client.id, "name": client.name, "platform": client.platform, "first_approved_at": now}
        await tx.run(store.KEEP_CLIENT, row)

    # What operators manage

    async def all_clients(self, principal: Principal) -> list[ListedClient]:
        """Return what is built in, then what somebody approved or an operator switched off, the newest first.

        Raises Forbidden unless an operator asks.
        """
        _check_operates(principal)
        now = self._clock.now()
        approved = await self._db.all(switching.APPROVED_CLIENTS, {"now": now, "most": MOST_LISTED})
        found = {one.id: one for one in approved}
        for off in await self._db.all(switching.SWITCHED_OFF, {"most": MOST_LISTED}):
            if off.client_id not in found:
                found[off.client_id] = self._listed(off.client_id, off.at, off.by)
        for client_id in BUILT_IN:
            found.setdefault(client_id, self._listed(client_id))
        return sorted(found.values(), key=lambda one: not one.built_in)

    async def switch_off(self, client_id: str, principal: Principal, address: str) -> None:
        """Let nobody sign in with a client any more; what is signed in goes on.

        A sign-in that is pending cannot be approved any more. Switching off twice is no mistake. Raises Forbidden
        unless an operator asks, and NotFound for an id that is not ours.
        """
        self._check_operator(client_id, principal)
        row = {
            "client_id": client_id,
            "switched_off_by": principal.identity.user_id,
            "switched_off_at": self._clock.now(),
        }

        async def work(tx: Transaction) -> None:
            if await tx.run(store.SWITCH_OFF, row):
                await self._audit.record(
                    tx, "client:switch-off", actor_id=principal.identity.user_id, target=client_id, address=address
                )

        await self._db.write(work)

    async def switch_on(self, client_id: str, principal: Principal, address: str) -> None:
        """Let people sign in with a client again. Raises Forbidden and NotFound."""
        self._check_operator(client_id, principal)

        async def work(tx: Transaction) -> None:
            if await tx.run(store.SWITCH_ON, {"client": client_id}):
                await self._audit.record(
                    tx, "client:switch-on", actor_id=principal.identity.user_id, target=client_id, address=address
                )

        await self._db.write(work)

    async def check_switched_on(self, reader: Reader, client_id: str) -> None:
        """Raise UnauthorizedClient for a client with which nobody may sign in any more (RFC 6749, section 5.2)."""
        if await reader.one(store.IS_SWITCHED_OFF, {"client": client_id}) is not None:
            raise UnauthorizedClient()

    def _check_operator(self, client_id: str, principal: Principal) -> None:
        _check_operates(principal)
        try:
            self.read(client_id)
        except InvalidClient:
            raise NotFound("There is no client with this id.") from None

    def _listed(self, client_id: str, at: int | None = None, by: str | None = None) -> ListedClient:
        """Return a client that nobody has approved, by what its id carries."""
        try:
            client = self.read(client_id)
        except InvalidClient:  # its id was made with another key
            client = Client(client_id, client_id, "", "")
        return ListedClient(client_id, client.name, client.platform, None, 0, at, by)

    def _read(self, client_id: str) -> Standing:
        if client_id in BUILT_IN:
            return Standing(BUILT_IN[client_id])
        found = read_client_id(self._key, client_id)
        if found is None:
            raise InvalidClient("Unknown client_id. Register the client again and use the new client_id.")
        description, generation = found
        return Standing(_client(client_id, description), description.fingerprint(self._key), generation)

    async def _generation(self, reader: Reader, fingerprint: str) -> int:
        return await reader.one(store.GENERATION_OF, {"fingerprint": fingerprint}) or 0


def _check_operates(principal: Principal) -> None:
    if not principal.identity.platform_admin:
        raise Forbidden("Only operators of this installation may do this.")


def _client(client_id: str, description: Description) -> Client:
    return Client(client_id, description.name, description.system, description.machine)
