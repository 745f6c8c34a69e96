"""The use cases of apps, which are named groups of keys in an organization."""

from typing import Final

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.keys import rules, store
from keystead.keys.ending import KeyEndings
from keystead.keys.models import App

_NO_APP: Final = "There is no such app in your organization."


class Apps:
    """What the members of an organization do with its apps."""

    def __init__(self, *, db: Database, clock: Clock, audit: AuditLog, endings: KeyEndings) -> None:
        """``endings`` ends the keys of an app that is deleted."""
        self._db = db
        self._clock = clock
        self._audit = audit
        self._endings = endings

    async def list_apps(self, principal: Principal) -> list[App]:
        """Return the apps of the principal's organization, the oldest first."""
        organization_id = principal.identity.organization_id
        return await self._db.all(store.APPS_OF_ORGANIZATION, {"organization_id": organization_id})

    async def create_app(self, principal: Principal, name: str, *, address: str | None = None) -> App:
        """Make an app. Raises InvalidParameters, and Conflict for a name that the organization uses already."""
        rules.check_name(name, "app_name", "app's name")
        identity = principal.identity
        row = self._app_row(identity.organization_id, name, identity.user_id)

        async def work(tx: Transaction) -> App:
            await tx.run(store.INSERT_APP, row)
            await self._record_app(tx, "app:create", row, address)
            return await self._app(tx, identity.organization_id, str(row["id"]))

        try:
            return await self._db.write(work)
        except UniqueViolation:
            raise Conflict("Your organization already has an app with this name. Choose another name.") from None

    async def delete_app(self, principal: Principal, app_id: str, *, address: str | None = None) -> None:
        """Delete an app with all its keys, in one transaction of as many statements for one key as for thousands.

        Every one of the keys is refused from now on, by every process. Raises NotFound.
        """
        identity = principal.identity

        async def work(tx: Transaction) -> None:
            app = await self._app(tx, identity.organization_id, app_id)
            keys = await self._endings.delete_of_app(tx, app.id, self._clock.now())
            await tx.run(store.DELETE_APP, {"app_id": app.id, "organization_id": app.organization_id})
            await self._audit.record(
                tx,
                "app:delete",
                actor_id=identity.user_id,
                organization_id=app.organization_id,
                target=app.id,
                address=address,
                name=app.name,
                keys=keys,
            )

        await self._db.write(work)

    async def ensure_app(self, tx: Transaction, organization_id: str, name: str, user_id: str) -> str:
        """Return the id of the organization's app of this name, which is made when it is missing, in ``tx``."""
        row = self._app_row(organization_id, name, user_id)
        if await tx.run(store.ENSURE_APP, row):
            await self._record_app(tx, "app:create", row, None)
            return str(str(row["id"]))
        found = await tx.one(store.APP_BY_NAME, {"organization_id": organization_id, "name": name})
        if found is None:
            raise NotFound(_NO_APP)
        return found.id

    async def _app(self, reader: Database | Transaction, organization_id: str, app_id: str) -> App:
        """Return an app of the organization; one of another organization looks like none at all. Raises NotFound."""
        found = await reader.one(store.APP_BY_ID, {"app_id": app_id, "organization_id": organization_id})
        if found is None:
            raise NotFound(_NO_APP)
        return found

    def _app_row(self, organization_id: str, name: str, user_id: str) -> dict[str, str | int]:
        return {
            "id": new_id(),
            "organization_id": organization_id,
            "name": name,
            "created_by": user_id,
            "created_at": self._clock.now(),
        }

    async def _record_app(
        self, tx: Transaction, event_type: str, row: dict[str, str | int], address: str | None
    ) -> None:
        await self._audit.record(
            tx,
            event_type,
            actor_id=str(row["created_by"]),
            organization_id=str(row["organization_id"]),
            target=str(row["id"]),
            address=address,
            name=row["name"],
        )
