"""The use cases of sessions: signing in and out, knowing a session again, forms, and a password that ends them all."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace

from keystead.accounts.models import Membership, User
from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.installation import Keys
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import Forbidden, NotFound, WrongSignIn
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.kernel.secrets import SESSION_PREFIX, Secret, is_opaque, keyed_hash, new_opaque
from keystead.kernel.settings import Settings
from keystead.sessions import ending, rules, store
from keystead.sessions.models import BrowserSession, Device, EndedSession, SignedIn
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
        user_agent: str,
        device_cookie: str | None = None,
        previous: Secret | None = None,
    ) -> SignedIn:
        """Begin a session for whoever has this user name or e-mail address and this password.

        ``previous`` is the session cookie that the browser already had: it is dead afterwards (W2). The organization
        is the one that the person joined first. Raises RateLimited, WrongSignIn, and Forbidden for a person without an
        organization.
        """
        user = await self._accounts.user_by_name(username)
        device = self._known_device(device_cookie, user)
        await self._charge(username, address, device)
        right = await self._accounts.password_is_right(user, password, known_device=device is not None)
        if user is None or not right:
            _log.info("sign-in refused: user %s, address %s", user.id if user else "unknown", address)
            raise WrongSignIn()
        memberships = await self._accounts.memberships_of(user.id)
        if not memberships:
            raise Forbidden("You do not belong to an organization yet. Ask its owner to add you, then sign in again.")
        return await self._begin(user, memberships[0], device, previous, address=address, user_agent=user_agent)

    async def find(self, text: str) -> Principal | None:
        """Return whose session a cookie's value is, or None for any text that is not a live session's.

        Raises DatabaseError when it cannot be known.
        """
        if not is_opaque(text, SESSION_PREFIX):
            return None
        holder = await self._db.one(store.HOLDER_BY_HASH, {"secret_hash": self._hash(text)})
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
        found = await self._db.all(store.SESSIONS_OF, _mine(identity))
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
        """End every session of a user."""
        await tx.run(store.END_ALL_OF_USER, {"user_id": user_id})
        await tx.announce(f"user:{user_id}")

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

    def _known_device(self, cookie: str | None, user: User | None) -> Device | None:
        device = rules.read_device(self._keys.devices, cookie, self._clock.now())
        return device if device is not None and user is not None and device.user_id == user.id else None

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

    async def _begin(
        self,
        user: User,
        membership: Membership,
        device: Device | None,
        previous: Secret | None,
        *,
        address: str,
        user_agent: str,
    ) -> SignedIn:
        now, secret = self._clock.now(), new_opaque(SESSION_PREFIX)
        session_id = new_id()
        device_id = device.device_id if device is not None else secrets.token_hex(16)
        row = {
            "id": session_id,
            "secret_hash": self._hash(secret.reveal()),
            "user_id": user.id,
            "organization_id": membership.organization_id,
            "created_at": now,
            "last_used_at": now,
            "expires_at": now + self._lifetime,
            "address": address,
            "user_agent": rules.shown_user_agent(user_agent),
            "second_factor": 0,
        }

        async def work(tx: Transaction) -> None:
            if not await self._accounts.password_still_stands(tx, user):
                raise WrongSignIn()
            if previous is not None:
                await self._end_previous(tx, previous)
            await tx.run(store.INSERT, row)
            await self._audit.record(
                tx,
                "session:create",
                actor_id=user.id,
                organization_id=membership.organization_id,
                target=session_id,
                address=address,
                known_device=device is not None,
            )

        await self._db.write(work)
        cookie = rules.device_cookie(self._keys.devices, Device(user.id, device_id, now))
        return SignedIn(session_id, secret, cookie)

    async def _end_previous(self, tx: Transaction, previous: Secret) -> None:
        ended = await tx.one(store.END_BY_HASH, {"secret_hash": self._hash(previous.reveal())})
        if ended is not None:
            await tx.announce(f"credential:{ended.id}")

    def _hash(self, text: str) -> bytes:
        return keyed_hash(self._keys.credentials, text)


def _mine(identity: Identity) -> dict[str, str]:
    return {"user_id": identity.user_id, "organization_id": identity.organization_id}
