"""The use cases of sessions: signing in and out, knowing a session again, forms, and a password that ends them all."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.installation import Keys
from keystead.factors.service import Factors
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import (
    FieldProblem,
    Forbidden,
    InvalidParameters,
    NotFound,
    SecondFactorRequired,
    Unauthenticated,
    WrongSignIn,
)
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.kernel.secrets import SESSION_PREFIX, Secret, is_opaque, keyed_hash
from keystead.kernel.settings import Settings
from keystead.sessions import ending, rules, store
from keystead.sessions.beginnings import Beginnings
from keystead.sessions.models import (
    RESET_LIFETIME,
    RESET_PATH,
    BrowserSession,
    Device,
    EndedSession,
    KeptSession,
    SignedIn,
    StepNeeded,
    Visit,
)
from keystead.sessions.steps import NO_ORGANIZATION, SignInSteps
from keystead.wire.limiter import Limiter, limit_key_of_address

_log = logging.getLogger(__name__)


class Sessions:
    """Browser sessions. Only a hash of the cookie's value is stored (promise K13)."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        keys: Keys,
        settings: Settings,
        accounts: Accounts,
        audit: AuditLog,
        limiter: Limiter,
        factors: Factors,
    ) -> None:
        """Take the lifetimes from ``settings``."""
        self._db = db
        self._clock = clock
        self._keys = keys
        self._idle = settings.session_idle_ttl
        self._lifetime = settings.session_ttl
        self._accounts = accounts
        self._audit = audit
        self._limiter = limiter
        self._factors = factors
        self._beginnings = Beginnings(clock=clock, keys=keys, settings=settings, audit=audit)
        self.steps = SignInSteps(
            db=db,
            clock=clock,
            keys=keys,
            accounts=accounts,
            factors=factors,
            limiter=limiter,
            beginnings=self._beginnings,
        )

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
        organization is the one that the person joined first. Raises RateLimited, WrongSignIn, Forbidden for a person
        without an organization, and SecondFactorRequired where a password is not enough.
        """
        visit = Visit(address=address, user_agent=user_agent, device_cookie=device_cookie, previous=previous)
        begun = await self._go_on(await self._user_with(username, password, visit), visit, in_steps=False)
        if isinstance(begun, StepNeeded):
            raise SecondFactorRequired()
        return begun

    async def sign_in_by_steps(self, username: str, password: Secret, visit: Visit) -> SignedIn | StepNeeded:
        """Do the same where a page can ask for more: where a password is not enough, there is a step and no session.

        Raises RateLimited, WrongSignIn, and Forbidden for a person without an organization.
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

        Raises WrongSignIn for a user who may not sign in, and Forbidden for one without an organization.
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
            memberships = await self._accounts.memberships_of(user.id, tx)
            if not memberships:
                raise Forbidden(NO_ORGANIZATION)
            has_factor = await self._factors.has_any(tx, user.id)
            if has_factor or memberships[0].second_factor_required:
                if not in_steps:
                    raise SecondFactorRequired()
                await self.steps.keep(tx, step, user.id)
                return StepNeeded(step, enrol=not has_factor)
            return await self._beginnings.begin(tx, fresh, user.id, memberships[0].organization_id, visit)

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
        return Principal(
            holder.alone(), Method.SESSION, ROLE_SCOPES[Role(holder.role)], holder.session_id, expires_at=ends
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
            await self._tell_of_end(tx, ended, address)

        await self._db.write(work)

    async def sign_out(self, session_id: str, *, address: str | None = None) -> None:
        """End a session. One that has ended already is no mistake."""

        async def work(tx: Transaction) -> None:
            ended = await tx.one(store.END_BY_ID, {"session_id": session_id})
            if ended is not None:
                await self._tell_of_end(tx, ended, address)

        await self._db.write(work)

    async def _tell_of_end(self, tx: Transaction, ended: EndedSession, address: str | None) -> None:
        await tx.announce(f"credential:{ended.id}")
        await self._audit.record(
            tx,
            "session:delete",
            actor_id=ended.user_id,
            organization_id=ended.organization_id,
            target=ended.id,
            address=address,
        )

    async def end_in(self, tx: Transaction, user_id: str, organization_id: str) -> int:
        """End a person's sessions in one organization, in ``tx``, which announces the person; return how many."""
        return await ending.end_in(tx, user_id, organization_id)

    async def end_with_password_alone(self, tx: Transaction, organization_id: str) -> int:
        """End an organization's sessions without a second factor, in ``tx``, which announces it; return how many."""
        return await ending.end_with_password_alone(tx, organization_id)

    async def begun_with_second_factor(self, tx: Transaction, principal: Principal) -> bool:
        """Tell whether a principal is a session that was begun with more than a password."""
        return await ending.begun_with_second_factor(tx, principal.credential_id)

    async def end_all(self, tx: Transaction, user_id: str) -> None:
        """End every session of a user, and every sign-in of theirs that is not finished."""
        await tx.run(store.END_ALL_OF_USER, {"user_id": user_id})
        await tx.run(store.END_STEPS_OF_USER, {"user_id": user_id})
        await tx.announce(f"user:{user_id}")

    async def end_others(self, principal: Principal, address: str | None = None) -> int:
        """End every session of a person but this one, in all their organizations, and return how many there were."""
        identity = principal.identity

        async def work(tx: Transaction) -> int:
            mine = {"user_id": identity.user_id, "session_id": principal.credential_id}
            ended = await tx.run(store.END_OTHERS_OF_USER, mine)
            await tx.run(store.END_STEPS_OF_USER, {"user_id": identity.user_id})
            if ended:
                await tx.announce(f"user:{identity.user_id}")
                await self._audit.record(
                    tx,
                    "session:delete-others",
                    actor_id=identity.user_id,
                    organization_id=identity.organization_id,
                    target=principal.credential_id,
                    address=address,
                    ended=ended,
                )
            return ended

        return await self._db.write(work)

    async def prove_second_factor(self, principal: Principal) -> None:
        """Remember that whoever is in this session has just shown a second factor, by adding one."""
        await self._db.run(store.PROVE, {"session_id": principal.credential_id})

    async def switch(
        self, principal: Principal, organization_id: str, address: str = "", *, device_cookie: str | None = None
    ) -> SignedIn:
        """Begin a session in another organization of the person; the one that asks is dead (W2).

        It ends when the old one would have ended. Raises NotFound for an organization that is not the person's, and
        Forbidden when that asks for a second factor and the session was begun without.
        """
        fresh, user_id = self._beginnings.fresh(), principal.identity.user_id

        async def work(tx: Transaction) -> SignedIn:
            memberships = await self._accounts.memberships_of(user_id, tx)
            joined = next((one for one in memberships if one.organization_id == organization_id), None)
            if joined is None:
                raise NotFound("You do not belong to this organization.")
            old = await self._end_for_another(tx, principal)
            if joined.second_factor_required and not old.second_factor:
                raise Forbidden(
                    f"{joined.organization_display_name} asks its members for a second factor. Set one up under "
                    "Security, or sign out and sign in with yours, then switch."
                )
            return await self._beginnings.replace(
                tx,
                fresh,
                old,
                organization_id=organization_id,
                address=address,
                device_cookie=device_cookie,
                lasts_longer=False,
                because="switch",
            )

        return await self._db.write(work)

    async def change_password(
        self,
        principal: Principal,
        old: Secret,
        new: Secret,
        address: str,
        *,
        device_cookie: str | None = None,
    ) -> SignedIn:
        """Give a person a new password, end all their sessions, and begin another one in place of this one (W2).

        Raises InvalidParameters on ``old_password`` when the old one is wrong and on ``password`` when the new one may
        not be set, Unauthenticated when the session ended meanwhile, and RateLimited.
        """
        user_id = principal.identity.user_id
        await self._limiter.charge("sign_in", f"change:{user_id}")
        user = await self._accounts.user_by_id(user_id)
        if user is None or not await self._accounts.password_is_right(user, old, known_device=True):
            raise _wrong_old_password()
        hashed = await self._accounts.hash_new_password(user, new)
        fresh = self._beginnings.fresh()

        async def work(tx: Transaction) -> SignedIn:
            if not await self._accounts.password_still_stands(tx, user):
                raise _wrong_old_password()
            kept = await self._end_for_another(tx, principal)
            await self._accounts.keep_password(tx, user, hashed, actor_id=user.id, address=address)
            await self.end_all(tx, user.id)
            return await self._beginnings.replace(
                tx,
                fresh,
                kept,
                organization_id=kept.organization_id,
                address=address,
                device_cookie=device_cookie,
                lasts_longer=True,
                because="password-change",
            )

        return await self._db.write(work)

    async def reset_link(self, user: User) -> str:
        """Return the path of a page on which this user chooses a new password: good once, for an hour.

        It lets in whoever holds it, so it goes to the person's own mailbox, or to the operator who asked for it.
        """
        expires_at = self._clock.now() + RESET_LIFETIME
        token = rules.reset_token(self._keys.forms, user.id, user.password_hash, expires_at)
        return f"{RESET_PATH}/{token.reveal()}"

    async def _end_for_another(self, tx: Transaction, principal: Principal) -> KeptSession:
        """End the session that asks, and return what the next one takes over. Raises Unauthenticated."""
        kept = await tx.one(store.KEPT, {"session_id": principal.credential_id})
        if kept is None or kept.user_id != principal.identity.user_id:
            raise Unauthenticated("This session has ended. Sign in again.")
        await tx.one(store.END_BY_ID, {"session_id": kept.id})
        await tx.announce(f"credential:{kept.id}")
        return kept

    async def set_password(
        self, username: str, password: Secret, *, actor_id: str | None = None, address: str | None = None
    ) -> None:
        """Give a user a new password and end all their sessions (W2).

        Raises NotFound, InvalidParameters for a password that may not be set, and RateLimited.
        """
        user = await self._accounts.user_by_name(username)
        if user is None:
            raise NotFound(f"There is no user called '{username}'.")
        hashed = await self._accounts.hash_new_password(user, password)

        async def work(tx: Transaction) -> None:
            await self._accounts.keep_password(tx, user, hashed, actor_id=actor_id, address=address)
            await self.end_all(tx, user.id)

        await self._db.write(work)

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


def _wrong_old_password() -> InvalidParameters:
    sentence = "This is not your present password."
    return InvalidParameters(sentence, fields=[FieldProblem("body", "old_password", "wrong", sentence)])
