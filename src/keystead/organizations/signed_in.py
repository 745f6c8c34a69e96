"""Where people are signed in to an organization, for themselves, its owners and admins, and operators; and ending that.

A sign-in is a browser session, or a device with a grant. Everybody has their own devices in a list of their own, across
organizations (``oauth/connected.py``), so here they are listed only of somebody else.
"""

from dataclasses import dataclass
from typing import Final

from keystead.db import Transaction
from keystead.db.engine import Reader
from keystead.kernel.ids import is_id
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import Forbidden, NotFound
from keystead.kernel.scopes import Role
from keystead.oauth.connected import ConnectedDevice
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.sessions.models import BrowserSession

_NO_PERSON: Final = "There is no such person in this organization, or the credential is for another one."
_NO_SIGN_IN: Final = "The person has no session and no device with this id here."


@dataclass(frozen=True, slots=True)
class SignIn:
    """A browser session or a device of somebody. Times are in Unix seconds; it ends at ``expires_at`` if not used.

    ``current`` says that it is the session that asks. ``address`` is empty for somebody else's, ``user_agent`` for a
    device. ``client_id`` and ``device_name`` are those of a device, and empty for a browser.
    """

    id: str
    created_at: int
    last_used_at: int
    expires_at: int
    current: bool = False
    address: str = ""
    user_agent: str = ""
    client_id: str = ""
    device_name: str = ""


@dataclass(frozen=True, slots=True)
class _Whose:
    """Whose sign-ins in which organization are asked for, and whether they are the asking person's own."""

    user_id: str
    organization_id: str
    own: bool


class SignIns(Desk):
    """What people see and end of their own sign-ins, and what leaders and operators see and end of other people's."""

    async def sign_ins(self, principal: Principal, organization: str, username: str) -> list[SignIn]:
        """Return where somebody is signed in to an organization, the oldest first; both are given by name.

        Raises NotFound for whoever does not belong to it and for an organization that is out of reach, and Forbidden
        for a member who asks for somebody else.
        """
        whose = await self._whose(self._db, principal, organization, username)
        sessions = await self._sessions.list_in(whose.user_id, whose.organization_id)
        current = principal.credential_id if principal.method is Method.SESSION else None
        found = [_of_browser(one, current=one.id == current, own=whose.own) for one in sessions]
        if not whose.own:
            found += map(_of_device, await self._connected.list_in(whose.user_id, whose.organization_id))
        return sorted(found, key=lambda one: (one.created_at, one.id))

    async def end_sign_ins(
        self, principal: Principal, organization: str, username: str, address: str | None = None
    ) -> None:
        """End somebody's sessions in an organization but the one that asks, on every node (promise V1).

        Somebody else's devices are signed out as well, with every short-term token that was made under them; an access
        token that is a JWT lives on until it expires. It takes as many statements for one as for thousands. Raises what
        ``sign_ins`` raises, and Forbidden for an admin who would sign an owner out.
        """
        identity = principal.identity

        async def work(tx: Transaction) -> None:
            whose = await self._whose(tx, principal, organization, username, to_end=True)
            place = (whose.user_id, whose.organization_id)
            sessions = await self._sessions.end_others_in(tx, *place, principal.credential_id)
            detail = {"ended": sessions}
            if not whose.own:
                signed_out = await self._connected.end_in(tx, *place)
                detail = {"sessions": sessions, "devices": signed_out.devices, "tokens": signed_out.tokens}
                if signed_out.approved:
                    detail["approved"] = signed_out.approved
            if not any(detail.values()):
                return
            await tx.announce(f"user:{whose.user_id}")
            await self._audit.record(
                tx,
                "session:delete-others" if whose.own else "membership:sign-out",
                actor_id=identity.user_id,
                organization_id=whose.organization_id,
                target=principal.credential_id if whose.own else whose.user_id,
                address=address,
                **detail,
            )

        await self._db.write(work)

    async def end_sign_in(
        self, principal: Principal, organization: str, username: str, sign_in_id: str, address: str | None = None
    ) -> None:
        """End one session or device of somebody in an organization, as ``end_sign_ins`` does all of them.

        The session that asks is ended as well as any other. Raises the same, and NotFound for any other id.
        """
        by = principal.identity.user_id

        async def work(tx: Transaction) -> None:
            whose = await self._whose(tx, principal, organization, username, to_end=True)
            named = (sign_in_id, whose.user_id, whose.organization_id)
            if not is_id(sign_in_id):
                raise NotFound(_NO_SIGN_IN)
            if await self._sessions.end_one_in(tx, *named, by=by, address=address):
                return
            if not await self._connected.end_one_in(tx, *named, by=by, address=address):
                raise NotFound(_NO_SIGN_IN)

        await self._db.write(work)

    async def _whose(
        self, reader: Reader, principal: Principal, organization: str, username: str, *, to_end: bool = False
    ) -> _Whose:
        """Return whom two names mean, for somebody who may see their sign-ins there and, ``to_end``, end them.

        What the principal says may have changed a moment ago, so the acting person is looked at again.
        """
        identity, wanted = principal.identity, self._accounts.normal_name(username)
        if (organization, wanted) == (identity.organization, identity.username):
            return _Whose(identity.user_id, identity.organization_id, own=True)
        acting = await self._accounts.identity(identity.user_id, identity.organization_id, reader)
        if acting is None:
            raise Forbidden("You are no longer a member of this organization.")
        actor = None if acting.platform_admin else Role(acting.role)
        if actor is not None and organization != acting.organization:
            raise NotFound(_NO_PERSON)
        if actor is not None:
            rules.check_leads(actor)
        if not organization.isprintable() or not wanted.isprintable():
            raise NotFound(_NO_PERSON)
        found = await reader.one(store.ACCOUNT_IN, {"named": organization, "username": wanted})
        if found is None:
            raise NotFound(_NO_PERSON)
        own = found.user_id == identity.user_id
        if to_end and not own:
            rules.check_may_sign_out(actor, Role(found.role))
        return _Whose(found.user_id, found.organization_id, own)


def _of_browser(session: BrowserSession, *, current: bool, own: bool) -> SignIn:
    return SignIn(
        id=session.id,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        current=current,
        address=session.address if own else "",
        user_agent=session.user_agent,
    )


def _of_device(device: ConnectedDevice) -> SignIn:
    described = f"{device.client_name} on {device.platform}" if device.platform else device.client_name
    return SignIn(
        id=device.id,
        created_at=device.created_at,
        last_used_at=device.last_used_at,
        expires_at=device.ends_at,
        client_id=device.client_id,
        device_name=device.device_name or described,
    )
