"""What a person signed in and can sign out again: their own grants, as the Account API and the pages show them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import JSON, Text, bindparam, column, delete, func, literal_column, select

from keystead.audit.service import AuditLog
from keystead.db import Database, Query, Transaction
from keystead.db.tables import audit_event, client, oauth_grant, organization, switched_off_client
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import NotFound
from keystead.oauth.grants import Grants
from keystead.oauth.store import GrantOwner
from keystead.tokens.service import Tokens

_grant = oauth_grant.c
_event = audit_event.c

ALARM_LASTS: Final = 30 * 86_400
"""Seconds for which a person is told that one of their sign-ins was ended because a copy of its token was used."""
MOST_ALARMS: Final = 20
_NO_DEVICE: Final = "You have no device with this id that is signed in."
_NO_APP: Final = "You have signed nothing in with a client of this id."


@dataclass(frozen=True, slots=True)
class ConnectedDevice:
    """A device or program that somebody signed in. Times are in Unix seconds.

    ``device_name`` is what the device calls itself, None where its client did not say; nobody has verified it, nor what
    the client says of itself. ``address`` is where the sign-in was asked for from, ``scopes`` what was granted.
    ``last_used_at`` is when its tokens were last renewed; it ends at ``refresh_expires_at`` unless they are renewed
    again, and renewing ends at ``expires_at``. ``switched_off_at`` is when an operator switched the client off, so that
    nobody signs in with it any more, or None.
    """

    id: str
    client_id: str
    client_name: str
    platform: str
    device_name: str | None
    address: str
    organization: str
    scopes: str
    created_at: int
    last_used_at: int
    expires_at: int
    refresh_expires_at: int
    switched_off_at: int | None

    @property
    def ends_at(self) -> int:
        """When it ends unless its tokens are renewed before."""
        return min(self.expires_at, self.refresh_expires_at)


@dataclass(frozen=True, slots=True)
class SignedOut:
    """How many devices were signed out, and how many short-term tokens ended with them.

    ``approved`` is how many more were approved, and will not be signed in any more.
    """

    devices: int
    tokens: int
    approved: int = 0


@dataclass(frozen=True, slots=True)
class _EndedGrant:
    """A grant that was just removed, and the organization that it was given in."""

    id: str
    organization_id: str


@dataclass(frozen=True, slots=True)
class ReuseAlarm:
    """A sign-in that was ended because a spent refresh token was presented again (RFC 9700, section 4.14.2).

    ``at`` is when, in Unix seconds, ``address`` where the copy was used; the client's name and machine are empty when
    an operator has deleted the client since.
    """

    grant_id: str
    at: int
    address: str
    organization: str
    client_name: str
    platform: str


@dataclass(frozen=True, slots=True)
class _Reuse:
    """The event of the audit log behind an alarm; ``detail`` names the client."""

    grant_id: str
    at: int
    address: str | None
    organization: str
    detail: str


@dataclass(frozen=True, slots=True)
class _ClientName:
    """What a client calls itself."""

    id: str
    name: str
    platform: str


_EVERYWHERE: Final = (
    _grant.user_id == bindparam("user_id"),
    _grant.ended_at.is_(None),
    _grant.expires_at > bindparam("now"),
    _grant.refresh_expires_at > bindparam("now"),
)
_MINE: Final = (*_EVERYWHERE, _grant.organization_id == bindparam("organization_id"))
_DEVICES: Final = (
    select(
        _grant.id,
        _grant.client_id,
        client.c.name.label("client_name"),
        client.c.platform,
        _grant.device_name,
        _grant.address,
        organization.c.display_name.label("organization"),
        _grant.scopes,
        _grant.created_at,
        _grant.rotated_at.label("last_used_at"),
        _grant.expires_at,
        _grant.refresh_expires_at,
        switched_off_client.c.switched_off_at,
    )
    .join(client, client.c.id == _grant.client_id)
    .join(organization, organization.c.id == _grant.organization_id)
    .outerjoin(switched_off_client, switched_off_client.c.client_id == _grant.client_id)
)
_IN_ORDER: Final = (_grant.created_at, _grant.id)
DEVICES_OF: Final = Query(_DEVICES.where(*_MINE).order_by(*_IN_ORDER), ConnectedDevice)
DEVICES_EVERYWHERE: Final = Query(_DEVICES.where(*_EVERYWHERE).order_by(*_IN_ORDER), ConnectedDevice)
DEVICE_BY_ID: Final = Query(_DEVICES.where(_grant.id == bindparam("grant_id"), *_EVERYWHERE), ConnectedDevice)
_ENDED: Final = (_grant.user_id, _grant.organization_id, _grant.client_id)
END_MINE: Final = Query(
    delete(oauth_grant).where(_grant.id == bindparam("grant_id"), *_MINE).returning(*_ENDED), GrantOwner
)
END_ANYWHERE: Final = Query(
    delete(oauth_grant).where(_grant.id == bindparam("grant_id"), *_EVERYWHERE).returning(*_ENDED), GrantOwner
)
_END: Final = delete(oauth_grant).returning(_grant.id, _grant.organization_id)
END_ALL_IN: Final = Query(_END.where(*_MINE), _EndedGrant)
# An expression, which no index serves: a person has a few devices, and a client may have those of a million people.
_OF_CLIENT: Final = _grant.client_id.concat(literal_column("''")) == bindparam("client")
END_CLIENT_MINE: Final = Query(_END.where(*_MINE, _OF_CLIENT), _EndedGrant)
END_CLIENT_ANYWHERE: Final = Query(_END.where(*_EVERYWHERE, _OF_CLIENT), _EndedGrant)
# The audit log outlives the grant, whose row goes when it would have expired.
_REUSES: Final = Query(
    select(
        _event.target.label("grant_id"),
        _event.at,
        _event.address,
        organization.c.display_name.label("organization"),
        _event.detail,
    )
    .join(organization, organization.c.id == _event.organization_id)
    .where(
        _event.actor_id == bindparam("user_id"),
        _event.at > bindparam("since"),
        _event.type == "grant:reuse",
    )
    .order_by(_event.at.desc(), _event.id.desc())
    .limit(MOST_ALARMS),
    _Reuse,
)
_named = func.json_each(bindparam("ids", type_=JSON)).table_valued(column("key", Text), name="named")
_CLIENT_NAMES: Final = Query(
    select(client.c.id, client.c.name, client.c.platform).where(client.c.id.in_(select(_named.c.key))), _ClientName
)


class ConnectedDevices:
    """The devices and programs of a person."""

    def __init__(self, *, db: Database, clock: Clock, grants: Grants, tokens: Tokens, audit: AuditLog) -> None:
        """``grants`` and ``tokens`` end what hangs on what is signed out."""
        self._db = db
        self._clock = clock
        self._grants = grants
        self._tokens = tokens
        self._audit = audit

    async def list_own(self, principal: Principal) -> list[ConnectedDevice]:
        """Return what is signed in to the principal's organization, the oldest first."""
        return await self._db.all(DEVICES_OF, self._mine(principal))

    async def list_in_reach(self, principal: Principal) -> list[ConnectedDevice]:
        """Return what the principal may sign out, as ``sign_out`` has it, the oldest first."""
        if principal.method is Method.SESSION:
            return await self.list_everywhere(principal.identity.user_id)
        return await self.list_own(principal)

    async def list_in(self, user_id: str, organization_id: str) -> list[ConnectedDevice]:
        """Return what somebody has signed in to one organization, for whoever may ask, the oldest first."""
        return await self._db.all(DEVICES_OF, self._in(user_id, organization_id))

    async def list_everywhere(self, user_id: str) -> list[ConnectedDevice]:
        """Return what a person has signed in, to whichever of their organizations, the oldest first."""
        return await self._db.all(DEVICES_EVERYWHERE, self._everywhere(user_id))

    async def find(self, user_id: str, grant_id: str) -> ConnectedDevice:
        """Return one of what a person has signed in. Raises NotFound for any other id."""
        found = await self._db.one(DEVICE_BY_ID, {**self._everywhere(user_id), "grant_id": grant_id})
        if found is None:
            raise NotFound(_NO_DEVICE)
        return found

    async def alarms(self, user_id: str) -> list[ReuseAlarm]:
        """Return which of a person's sign-ins ended within ``ALARM_LASTS`` because of a copy, the newest first (R3)."""
        since = self._clock.now() - ALARM_LASTS
        reuses = [
            (one, _client_in(one.detail)) for one in await self._db.all(_REUSES, {"user_id": user_id, "since": since})
        ]
        if not reuses:
            return []
        ids = json.dumps({client_id: 0 for _, client_id in reuses})
        clients = {one.id: one for one in await self._db.all(_CLIENT_NAMES, {"ids": ids})}
        unknown = _ClientName("", "", "")
        return [
            ReuseAlarm(
                grant_id=one.grant_id,
                at=one.at,
                address=one.address or "",
                organization=one.organization,
                client_name=clients.get(client_id, unknown).name,
                platform=clients.get(client_id, unknown).platform,
            )
            for one, client_id in reuses
        ]

    async def sign_out(
        self, principal: Principal, grant_id: str, *, client_id: str | None = None, address: str | None = None
    ) -> None:
        """End one of the principal's own grants, as the revoke endpoint does: it cannot be refreshed any more.

        Short-term tokens that were made under it end as well; an access token that is a JWT lives on until it expires.
        Raises NotFound for any other id, and for one of another client than ``client_id`` names. A browser session may
        end what is signed in to any of the person's organizations, because that is what the page shows; a token may not
        reach beyond its own.
        """
        anywhere = principal.method is Method.SESSION
        parameters = self._everywhere(principal.identity.user_id) if anywhere else self._mine(principal)

        async def work(tx: Transaction) -> None:
            owner = await tx.one(END_ANYWHERE if anywhere else END_MINE, {**parameters, "grant_id": grant_id})
            if owner is None or client_id not in {None, owner.client_id}:
                raise NotFound(_NO_DEVICE)  # which undoes the end of another client's
            await self._grants.record_end(tx, "grant:revoke", grant_id, owner, address)

        await self._db.write(work)

    async def disconnect(self, principal: Principal, client_id: str, *, address: str | None = None) -> None:
        """End all of the principal's own grants to a client, those in reach (see ``sign_out``), with their tokens.

        What they approved and the client has not redeemed yet becomes no grant any more. It takes as many statements
        for one device as for thousands. Raises NotFound when there is none of either.
        """
        anywhere = principal.method is Method.SESSION
        user_id = principal.identity.user_id
        parameters = self._everywhere(user_id) if anywhere else self._mine(principal)

        async def work(tx: Transaction) -> None:
            query = END_CLIENT_ANYWHERE if anywhere else END_CLIENT_MINE
            ended = await tx.all(query, {**parameters, "client": client_id})
            reach = None if anywhere else principal.identity.organization_id
            denied = await self._grants.deny_approved(tx, user_id, organization_id=reach, client_id=client_id)
            if not ended and not denied:
                raise NotFound(_NO_APP)
            for organization_id in sorted(
                {one.organization_id for one in ended} | {one.organization_id for one in denied}
            ):
                there = [one.id for one in ended if one.organization_id == organization_id]
                waiting = sum(one.organization_id == organization_id for one in denied)
                await self._audit.record(
                    tx,
                    "grant:revoke-all",
                    actor_id=user_id,
                    organization_id=organization_id,
                    target=user_id,
                    address=address,
                    client_id=client_id,
                    devices=len(there),
                    tokens=await self._tokens.end_with_grants(tx, there) if there else 0,
                    **({"approved": waiting} if waiting else {}),
                )
            await tx.announce(f"user:{user_id}")

        await self._db.write(work)

    async def end_one_in(
        self, tx: Transaction, grant_id: str, user_id: str, organization_id: str, *, by: str, address: str | None
    ) -> bool:
        """End what somebody signed in to an organization, in ``tx``, and tell of it; False when there is no such.

        ``by`` is who ends it.
        """
        owner = await tx.one(END_MINE, {**self._in(user_id, organization_id), "grant_id": grant_id})
        if owner is not None:
            await self._grants.record_end(tx, "grant:revoke", grant_id, owner, address, by=by)
        return owner is not None

    async def end_in(self, tx: Transaction, user_id: str, organization_id: str) -> SignedOut:
        """End all that somebody signed in to one organization with its tokens, in ``tx``, which announces the person.

        What they approved there and no client has redeemed yet becomes no grant any more. It takes as many statements
        for one device as for thousands.
        """
        ended: Sequence[_EndedGrant] = await tx.all(END_ALL_IN, self._in(user_id, organization_id))
        tokens = await self._tokens.end_with_grants(tx, [one.id for one in ended]) if ended else 0
        denied = await self._grants.deny_approved(tx, user_id, organization_id=organization_id)
        return SignedOut(len(ended), tokens, len(denied))

    def _mine(self, principal: Principal) -> dict[str, str | int]:
        return self._in(principal.identity.user_id, principal.identity.organization_id)

    def _in(self, user_id: str, organization_id: str) -> dict[str, str | int]:
        return {**self._everywhere(user_id), "organization_id": organization_id}

    def _everywhere(self, user_id: str) -> dict[str, str | int]:
        return {"user_id": user_id, "now": self._clock.now()}


def _client_in(detail: str) -> str:
    """Return the id of the client that an event of the audit log names."""
    return str(json.loads(detail).get("client_id", ""))
