"""Clients: registering, knowing and deleting them."""

from functools import lru_cache
from typing import Any, Final

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.engine import Reader
from keystead.kernel.problems import Conflict, InvalidClient
from keystead.oauth import store
from keystead.oauth.client_ids import BUILT_IN, Description, client_id_of, read_client_id, read_description
from keystead.oauth.models import Client, Standing
from keystead.tokens.service import Tokens

DELETED: Final = "Unknown client_id. It was deleted here: register the client again."
_REMEMBERED: Final = 1_024
"""Client ids that need not be read again, with at most about a kilobyte each."""


class Clients:
    """The clients of device sign-in."""

    def __init__(self, *, db: Database, key: bytes, tokens: Tokens, audit: AuditLog) -> None:
        """``key`` makes and reads client ids; ``tokens`` ends what the clients that are deleted made."""
        self._db = db
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
            await tx.run(store.DELETE_GRANTS_OF_CLIENT, {"client": client_id})
            await self._audit.record(tx, "client:delete", target=client_id)

        await self._db.write(work)

    async def keep(self, tx: Transaction, client: Client, now: int) -> None:
        """Store a client that somebody approved."""
        row = {"id": client.id, "name": client.name, "platform": client.platform, "first_approved_at": now}
        await tx.run(store.KEEP_CLIENT, row)

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


def _client(client_id: str, description: Description) -> Client:
    return Client(client_id, description.name, description.system, description.machine)
