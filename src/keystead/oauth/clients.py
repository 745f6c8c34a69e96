"""Clients: registering, knowing and deleting them."""

from typing import Any

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.engine import Reader
from keystead.kernel.problems import Conflict, InvalidClient
from keystead.oauth import store
from keystead.oauth.client_ids import BUILT_IN, Description, client_id_of, read_client_id, read_description
from keystead.oauth.models import Client


class Clients:
    """The clients of device sign-in."""

    def __init__(self, *, db: Database, key: bytes, audit: AuditLog) -> None:
        """``key`` makes and reads client ids."""
        self._db = db
        self._key = key
        self._audit = audit

    async def register(self, metadata: Any) -> Client:
        """Return the client of a description; nothing is stored. Raises InvalidClientMetadata (RFC 7591)."""
        description = read_description(metadata)
        generation = await self._generation(self._db, description.fingerprint(self._key))
        return _client(client_id_of(self._key, description, generation), description)

    def read(self, client_id: str) -> Client:
        """Return the client that an id carries, without asking whether it was deleted. Raises InvalidClient."""
        if client_id in BUILT_IN:
            return BUILT_IN[client_id]
        found = read_client_id(self._key, client_id)
        if found is None:
            raise InvalidClient("Unknown client_id. Register the client again and use the new client_id.")
        return _client(client_id, found[0])

    async def known(self, reader: Reader, client_id: str) -> Client:
        """Return the client that an id carries. Raises InvalidClient when it is not ours or was deleted."""
        client = self.read(client_id)
        found = read_client_id(self._key, client_id)
        if found is not None and found[1] != await self._generation(reader, found[0].fingerprint(self._key)):
            raise InvalidClient("Unknown client_id. It was deleted here: register the client again.")
        return client

    async def delete(self, client_id: str) -> None:
        """Make a client unknown and end all its grants and pending sign-ins. Raises InvalidClient and Conflict."""
        self.read(client_id)
        found = read_client_id(self._key, client_id)
        if found is None:
            raise Conflict(f"The client '{client_id}' is built in and cannot be deleted.")
        fingerprint = found[0].fingerprint(self._key)

        async def work(tx: Transaction) -> None:
            await self.known(tx, client_id)
            await tx.run(store.NEXT_GENERATION, {"fingerprint": fingerprint})
            await tx.run(store.FORGET_DEVICES_OF_CLIENT, {"client": client_id})
            await tx.run(store.DELETE_GRANTS_OF_CLIENT, {"client": client_id})
            await self._audit.record(tx, "client:delete", target=client_id)

        await self._db.write(work)

    async def keep(self, tx: Transaction, client: Client, now: int) -> None:
        """Store a client that somebody approved."""
        row = {"id": client.id, "name": client.name, "platform": client.platform, "first_approved_at": now}
        await tx.run(store.KEEP_CLIENT, row)

    async def _generation(self, reader: Reader, fingerprint: str) -> int:
        return await reader.one(store.GENERATION_OF, {"fingerprint": fingerprint}) or 0


def _client(client_id: str, description: Description) -> Client:
    return Client(client_id, description.name, description.system, description.machine)
