"""What a person signed in and can sign out again: their own grants, as the Account API and the pages show them."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, select

from keystead.db import Database, Query, Transaction
from keystead.db.tables import client, oauth_grant, organization
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import NotFound
from keystead.oauth.grants import Grants
from keystead.oauth.store import GrantOwner

_grant = oauth_grant.c


@dataclass(frozen=True, slots=True)
class ConnectedDevice:
    """A device or program that somebody signed in. Times are in Unix seconds.

    ``address`` is where the sign-in was asked for from, ``scopes`` what was granted. ``last_used_at`` is when its
    tokens were last renewed; it ends at ``expires_at`` unless they are renewed again, and renewing has an end too.
    """

    id: str
    client_name: str
    platform: str
    address: str
    organization: str
    scopes: str
    created_at: int
    last_used_at: int
    expires_at: int
    refresh_expires_at: int


_MINE: Final = (
    _grant.user_id == bindparam("user_id"),
    _grant.organization_id == bindparam("organization_id"),
    _grant.ended_at.is_(None),
    _grant.expires_at > bindparam("now"),
    _grant.refresh_expires_at > bindparam("now"),
)
DEVICES_OF: Final = Query(
    select(
        _grant.id,
        client.c.name.label("client_name"),
        client.c.platform,
        _grant.address,
        organization.c.display_name.label("organization"),
        _grant.scopes,
        _grant.created_at,
        _grant.rotated_at.label("last_used_at"),
        _grant.expires_at,
        _grant.refresh_expires_at,
    )
    .join(client, client.c.id == _grant.client_id)
    .join(organization, organization.c.id == _grant.organization_id)
    .where(*_MINE)
    .order_by(_grant.created_at, _grant.id),
    ConnectedDevice,
)
END_MINE: Final = Query(
    delete(oauth_grant)
    .where(_grant.id == bindparam("grant_id"), *_MINE)
    .returning(_grant.user_id, _grant.organization_id, _grant.client_id),
    GrantOwner,
)


class ConnectedDevices:
    """The devices and programs of a person in one organization."""

    def __init__(self, *, db: Database, clock: Clock, grants: Grants) -> None:
        """``grants`` ends what hangs on what is signed out."""
        self._db = db
        self._clock = clock
        self._grants = grants

    async def list_own(self, principal: Principal) -> list[ConnectedDevice]:
        """Return what is signed in, the oldest first."""
        return await self._db.all(DEVICES_OF, self._mine(principal))

    async def sign_out(self, principal: Principal, grant_id: str, *, address: str | None = None) -> None:
        """End one of the principal's own grants, as the revoke endpoint does: it cannot be refreshed any more.

        Short-term tokens that were made under it end as well; an access token lives on until it expires. Raises
        NotFound for any other id.
        """

        async def work(tx: Transaction) -> None:
            owner = await tx.one(END_MINE, {**self._mine(principal), "grant_id": grant_id})
            if owner is None:
                raise NotFound("You have no device with this id that is signed in.")
            await self._grants.record_end(tx, "grant:revoke", grant_id, owner, address)

        await self._db.write(work)

    def _mine(self, principal: Principal) -> dict[str, str | int]:
        identity = principal.identity
        return {
            "user_id": identity.user_id,
            "organization_id": identity.organization_id,
            "now": self._clock.now(),
        }
