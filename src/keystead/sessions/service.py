"""The use cases of sessions: signing in and out, knowing a session again, and forms."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from keystead.accounts.models import Membership, User
from keystead.db import Transaction
from keystead.db.engine import Reader
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import (
    NotFound,
    SecondFactorRequired,
    WrongSignIn,
)
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.kernel.secrets import SESSION_PREFIX, Secret, is_opaque, keyed_hash
from keystead.sessions import ending, impersonating, proof, rules, store
from keystead.sessions.models import (
    BrowserSession,
    Device,
    EndedSession,
    SignedIn,
    StepNeeded,
    Visit,
)
from keystead.sessions.renewing import Renewing
from keystead.wire.limiter import limit_key_of_address

_log = logging.getLogger(__name__)


class Sessions(Renewing):
    """Browser sessions. Only a hash of the cookie's value is stored (promise K13)."""

    @property
    def lifetime(self) -> int:
        """The seconds after which a session ends in any case: the life of its cookie."""
        return self._lifetime

    async def sign_in(
        self,
        username: str,
        password: Secret,
        *,
        address: str,
        user_agent: str = "",
        device_cookie: str | None = None,
        previous: Secret | None = None,
    ) -> SignedIn:
        """Begin a session for whoever has this user name or e-mail address and this password.

        ``previous`` is the session cookie that the browser already had: it is dead once another one begins (W2). The
        organization is the one that the person joined first, of those that a password leads into. Raises RateLimited,
        WrongSignIn, Forbidden for a person without such an organization, and SecondFactorRequired where a password is
        not enough.
        """
        visit = Visit(address=address, user_agent=user_agent, device_cookie=device_cookie, previous=previous)
        begun = await self._go_on(await self._user_with(username, password, visit), visit, in_steps=False)
        if isinstance(begun, StepNeeded):
            raise SecondFactorRequired()
        return begun

    async def sign_in_by_steps(self, username: str, password: Secret, visit: Visit) -> SignedIn | StepNeeded:
        """Do the same where a page can ask for more: where a password is not enough, there is a step and no session.

        Raises RateLimited, WrongSignIn, and Forbidden for a person without an organization that a password leads into.
        """
        return await self._go_on(await self._user_with(username, password, visit), visit)

    async def _user_with(self, username: str, password: Secret, visit: Visit) -> User:
        user = await self._accounts.user_by_name(username)
        device = self._beginnings.known_device(visit.device_cookie, None if user is None else user.id)
        await self._charge(username, visit.address, device)
        right = await self._accounts.password_is_right(user, password, known_device=device is not None)
        if user is None or not right:
            _log.info("sign-in refused: user %s, address %s", user.id if user else "unknown", visit.address)
            raise WrongSignIn()
        return user

    async def begin_for(self, user_id: str, visit: Visit) -> SignedIn | StepNeeded:
        """Go on for somebody who has just made their account, with their password and proven e-mail address.

        Raises WrongSignIn for a user who may not sign in, and Forbidden for one without an organization that a password
        leads into.
        """
        user = await self._accounts.user_by_id(user_id)
        if user is None:
            raise WrongSignIn()
        return await self._go_on(user, visit)

    async def _go_on(self, user: User, visit: Visit, *, in_steps: bool = True) -> SignedIn | StepNeeded:
        fresh, step = self._beginnings.fresh(), self.steps.fresh()

        async def work(tx: Transaction) -> SignedIn | StepNeeded:
            if not await self._accounts.password_still_stands(tx, user):
                raise WrongSignIn()
            joined = proof.first_open(await self._accounts.memberships_of(user.id, tx))
            has_factor = await self._factors.has_any(tx, user.id)
            if has_factor or joined.second_factor_required:
                if not in_steps:
                    raise SecondFactorRequired()
                await self.steps.keep(tx, step, user.id)
                return StepNeeded(step, enrol=not has_factor)
            return await self._beginnings.begin(tx, fresh, user.id, joined.organization_id, visit)

        return await self._db.write(work)

    async def find(self, text: str) -> Principal | None:
        """Return whose session a cookie's value is, or None for any text that is not a live session's.

        Raises DatabaseError when it cannot be known.
        """
        if not is_opaque(text, SESSION_PREFIX):
            return None
        holder = await self._db.one(store.HOLDER_BY_HASH, {"secret_hash": self._beginnings.hash(text)})
        if holder is None:
            return None
        ends = rules.ends_at(last_used_at=holder.last_used_at, expires_at=holder.expires_at, idle=self._idle)
        if ends <= self._clock.now():
            return None
        impersonator = None
        if holder.impersonator_id is not None:
            impersonator = await self._db.one(store.IMPERSONATOR_OF, {"session_id": holder.session_id})
            if impersonator is None:
                return None
        return Principal(
            holder.alone(),
            Method.SESSION,
            ROLE_SCOPES[Role(holder.role)],
            holder.session_id,
            expires_at=ends,
            impersonator=impersonator,
        )

    async def record_use(self, uses: Sequence[tuple[str, int, str]]) -> None:
        """Record when sessions were last used: each use is a session's id, a Unix second and an address (promise K2).

        The address is not kept: a session shows the one that it was begun from.
        """
        await self._db.run_all(
            store.RECORD_USE, [{"session_id": session_id, "at": at} for session_id, at, _ in sorted(uses)]
        )

    async def list_own(self, identity: Identity) -> list[BrowserSession]:
        """Return a person's sessions in their organization, the oldest first; each with when it ends if not used."""
        return self._live(await self._db.all(store.SESSIONS_OF, _mine(identity)))

    async def list_in(self, user_id: str, organization_id: str) -> list[BrowserSession]:
        """Return a person's sessions in an organization, as ``list_own`` does one's own."""
        return self._live(
            await self._db.all(store.SESSIONS_OF, {"user_id": user_id, "organization_id": organization_id})
        )

    async def list_everywhere(self, user_id: str) -> list[BrowserSession]:
        """Return a person's sessions in all their organizations, as ``list_own`` does those of one."""
        return self._live(await self._db.all(store.SESSIONS_EVERYWHERE, {"user_id": user_id}))

    def _live(self, found: Sequence[BrowserSession]) -> list[BrowserSession]:
        ends = {
            one.id: rules.ends_at(last_used_at=one.last_used_at, expires_at=one.expires_at, idle=self._idle)
            for one in found
        }
        now = self._clock.now()
        return [replace(one, expires_at=ends[one.id]) for one in found if ends[one.id] > now]

    async def end_own(self, session_id: str, identity: Identity, *, address: str | None = None) -> None:
        """End a person's own session in their organization; it is refused from now on. Raises NotFound otherwise."""

        async def work(tx: Transaction) -> None:
            ended = await tx.one(store.END_MINE, {"session_id": session_id, **_mine(identity)})
            if ended is None:
                raise NotFound("You have no session with this id.")
            await self._tell_of_end(tx, ended, address, identity.user_id)

        await self._db.write(work)

    async def sign_out(self, session_id: str, *, address: str | None = None, by: str | None = None) -> None:
        """End a session, and what hangs on it where an operator acts as somebody. One that has ended is no mistake.

        ``by`` is the user who does it; None for whoever has the session in their hands.
        """

        async def work(tx: Transaction) -> None:
            ended = await tx.one(store.END_BY_ID, {"session_id": session_id})
            if ended is not None:
                await self._tell_of_end(tx, ended, address, by or ended.impersonator_id or ended.user_id)

        await self._db.write(work)

    async def _tell_of_end(self, tx: Transaction, ended: EndedSession, address: str | None, by: str) -> None:
        if ended.impersonator_id is not None:
            await impersonating.tell_of_end(tx, self._audit, ended, by=by, address=address)
        else:
            await tx.announce(f"credential:{ended.id}")
            await self._audit.record(
                tx,
                "session:delete",
                actor_id=by,
                organization_id=ended.organization_id,
                target=ended.id,
                address=address,
                **({} if by == ended.user_id else {"user_id": ended.user_id}),
            )
        await impersonating.end_what_hangs_on(tx, self._audit, ended, by=by, address=address)

    async def end_in(self, tx: Transaction, user_id: str, organization_id: str) -> int:
        """End a person's sessions in one organization, in ``tx``, which announces the person; return how many."""
        return await ending.end_in(tx, user_id, organization_id)

    async def end_others_in(self, tx: Transaction, user_id: str, organization_id: str, session_id: str) -> int:
        """Do the same for all of them but one, if that is among them."""
        return await ending.end_others_in(tx, user_id, organization_id, session_id)

    async def end_one_in(
        self, tx: Transaction, session_id: str, user_id: str, organization_id: str, *, by: str, address: str | None
    ) -> bool:
        """End a person's session in one organization, in ``tx``, and tell of it; False when there is no such one.

        ``by`` is who ends it.
        """
        named = {"session_id": session_id, "user_id": user_id, "organization_id": organization_id}
        ended = await tx.one(store.END_MINE, named)
        if ended is not None:
            await self._tell_of_end(tx, ended, address, by)
        return ended is not None

    async def end_with_password_alone(self, tx: Transaction, organization_id: str) -> int:
        """End an organization's sessions without a second factor, in ``tx``, which announces it; return how many."""
        return await ending.end_with_password_alone(tx, organization_id)

    async def end_all_with_password_alone(self, tx: Transaction) -> int:
        """End all sessions without a second factor, in ``tx``, which announces everything; return how many."""
        return await ending.end_all_with_password_alone(tx)

    async def begun_with_second_factor(self, reader: Reader, principal: Principal) -> bool:
        """Tell whether a principal is a session that was begun with more than a password; one that ended was not."""
        return await proof.begun_with_second_factor(reader, principal.credential_id)

    async def begun_without_password(self, reader: Reader, principal: Principal) -> bool:
        """Tell whether a principal is a session that was begun with a passkey alone; one that has ended was not."""
        return await proof.begun_without_password(reader, principal.credential_id)

    async def check_enough_for(self, reader: Reader, session_id: str, organization_id: str) -> None:
        """Raise Forbidden when an organization asks for more than a session was begun with: see ``Policies``.

        Whatever a session does in an organization that it was not begun in asks this in its unit of work.
        """
        await proof.check_enough_for(reader, session_id, organization_id)

    async def lacks_second_factor(self, principal: Principal, memberships: Sequence[Membership]) -> bool:
        """Tell whether one of a person's organizations asks for more than their session was begun with."""
        if not any(one.second_factor_required for one in memberships):
            return False
        return not await self.begun_with_second_factor(self._db, principal)

    def form_token(self, session_id: str, purpose: str) -> str:
        """Return the token for a form that is shown in this session; it is good for an hour."""
        return rules.form_token(self._keys.forms, session_id, purpose, self._clock.now())

    def check_form_token(self, session_id: str, purpose: str, token: str | None) -> None:
        """Raise FormExpired unless the token was made for this session and purpose within the last hour."""
        rules.check_form_token(self._keys.forms, session_id, purpose, token, self._clock.now())

    async def _charge(self, username: str, address: str, device: Device | None) -> None:
        """Charge a known device to its own budget, and everybody else to the account's and the address's (W5).

        The account is counted by the name that was typed, whether or not it exists, and hashed: people type passwords
        into the wrong field.
        """
        if device is not None:
            await self._limiter.charge("sign_in", f"device:{device.user_id}:{device.device_id}")
            return
        typed = keyed_hash(self._keys.devices, f"name:{self._accounts.normal_name(username)}").hex()
        await self._limiter.charge("sign_in", f"address:{limit_key_of_address(address)}", times=3)
        await self._limiter.charge("sign_in", f"account:{typed}")


def _mine(identity: Identity) -> dict[str, str]:
    return {"user_id": identity.user_id, "organization_id": identity.organization_id}
