"""Sessions that take the place of others: after a switch, after a new password; and ending all there are (W2)."""

from keystead.accounts import policies
from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.installation import Keys
from keystead.factors.service import Factors
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import FieldProblem, InvalidParameters, NotFound, Unauthenticated
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.sessions import ending, rules, store
from keystead.sessions.beginnings import Beginnings
from keystead.sessions.models import RESET_LIFETIME, RESET_PATH, KeptSession, SignedIn
from keystead.sessions.proof import no_passwords, not_enough
from keystead.sessions.steps import SignInSteps
from keystead.wire.limiter import Limiter


class Renewing:
    """The part of ``Sessions`` that ends sessions for good or for another one."""

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

    async def prove_second_factor(self, tx: Transaction, principal: Principal) -> int:
        """Remember, in ``tx``, that whoever is in this session has just shown a second factor, by adding one.

        The person's other sessions that rest on a password alone end, and how many there were is returned: whoever has
        one of them, and the password, could else add a factor of their own and pass for somebody who has shown one.
        Raises Unauthenticated when the session ended meanwhile.
        """
        user_id, session_id = principal.identity.user_id, principal.credential_id
        if not await tx.run(store.PROVE, {"session_id": session_id}):
            raise Unauthenticated("This session has ended. Sign in again.")
        ended = await ending.end_others_with_password_alone(tx, user_id, session_id)
        if ended:
            await tx.announce(f"user:{user_id}")
            await self._audit.record(
                tx,
                "session:delete-others",
                actor_id=user_id,
                organization_id=principal.identity.organization_id,
                target=session_id,
                ended=ended,
            )
        return ended

    async def switch(
        self, principal: Principal, organization_id: str, address: str = "", *, device_cookie: str | None = None
    ) -> SignedIn:
        """Begin a session in another organization of the person; the one that asks is dead (W2).

        It ends when the old one would have ended. Raises NotFound for an organization that is not the person's, and
        Forbidden when that asks for a second factor and the session was begun without, or lets nobody sign in with a
        password and the session was begun with one.
        """
        fresh, user_id = self._beginnings.fresh(), principal.identity.user_id

        async def work(tx: Transaction) -> SignedIn:
            memberships = await self._accounts.memberships_of(user_id, tx)
            joined = next((one for one in memberships if one.organization_id == organization_id), None)
            if joined is None:
                raise NotFound("You do not belong to this organization.")
            old = await self._end_for_another(tx, principal)
            if joined.password_sign_in_off and old.password:
                raise no_passwords(joined.organization_display_name)
            if joined.second_factor_required and not old.second_factor:
                raise not_enough(joined.organization_display_name)
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

        Where nobody signs in with a password any more, one that was begun so ends when it would have ended.
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
            # The person's row first: two changes that held a session each would wait for one another's for ever.
            await self._accounts.keep_password(tx, user, hashed, actor_id=user.id, address=address)
            kept = await self._end_for_another(tx, principal)
            await self.end_all(tx, user.id)
            asked = await policies.effective(tx, kept.organization_id)
            # Else whoever has a password could stay for ever where none may sign in with one, by changing it.
            rests_on_it = asked.password_sign_in_off and bool(kept.password)
            return await self._beginnings.replace(
                tx,
                fresh,
                kept,
                organization_id=kept.organization_id,
                address=address,
                device_cookie=device_cookie,
                lasts_longer=True,
                because="password-change",
                no_later_than=kept.expires_at if rests_on_it else None,
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


def _wrong_old_password() -> InvalidParameters:
    sentence = "This is not your present password."
    return InvalidParameters(sentence, fields=[FieldProblem("body", "old_password", "wrong", sentence)])
