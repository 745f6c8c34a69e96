"""An operator who acts as somebody else, to see what they see: with a reason, for an hour, and told to the person.

Such a session is one of the person's, with a note of whose hands it is in. It shows; the gate lets it change nothing
(``gate/acting.py``). The operator's own session waits meanwhile under a secret that nobody has, and both end together,
unless the operator stops: then a renewed session takes the place of their own (W2). It rests on the operator's account
and session for as long as it lives, which is asked with each request and never remembered (V1).
"""

from collections.abc import Sequence
from typing import Final

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.audit.models import ToldEvent
from keystead.audit.service import IMPERSONATE, AuditLog
from keystead.db import Database, Transaction
from keystead.db.installation import Keys
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidParameters,
    NotFound,
    Unauthenticated,
)
from keystead.kernel.settings import Settings
from keystead.mail.letters import acted_as
from keystead.mail.service import Mailer
from keystead.sessions import rules, store
from keystead.sessions.beginnings import Beginnings
from keystead.sessions.models import LONGEST_REASON, Acting, EndedSession, Fresh, KeptSession, Person, SignedIn
from keystead.sessions.proof import not_enough

IMPERSONATE_END: Final = "session:impersonate-end"
SHOWN_FOR: Final = 30 * rules.DAY
"""Seconds for which Account Settings tell somebody that an operator acted as them."""
_MOST_SHOWN: Final = 5
_ALREADY: Final = "You act as somebody already. Stop that first."
_ENDED: Final = "This session has ended. Sign in again."


class Impersonating:
    """Acting as somebody else, for the operators of the installation."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        keys: Keys,
        settings: Settings,
        accounts: Accounts,
        audit: AuditLog,
        mailer: Mailer,
    ) -> None:
        """Write to people by ``mailer`` where there is a mail server."""
        self._db = db
        self._clock = clock
        self._settings = settings
        self._accounts = accounts
        self._audit = audit
        self._mailer = mailer
        self._beginnings = Beginnings(clock=clock, keys=keys, settings=settings, audit=audit)

    async def start(
        self, principal: Principal, username: str, reason: str, *, address: str, user_agent: str = ""
    ) -> Acting:
        """Begin a session that acts as who has this user name or e-mail address, in the organization joined first.

        The operator's own session waits, and is refused until they stop. Raises Conflict for who acts already, for
        oneself, a disabled user and one without an organization; Forbidden for who is no operator, for another
        operator, and where the organization asks for a second factor that the session was begun without;
        InvalidParameters on ``reason``, NotFound, and Unauthenticated when the session ended meanwhile.
        """
        if principal.impersonator is not None:
            raise Conflict(_ALREADY)
        if not principal.identity.platform_admin:
            raise Forbidden("Only operators of this installation act as somebody else.")
        if not rules.is_reason(reason):
            raise _no_reason()
        user = await self._accounts.user_by_name(username)
        if user is None:
            raise NotFound("There is no user of this name.")
        fresh, parked = self._beginnings.fresh(), self._beginnings.fresh()
        found = user

        async def work(tx: Transaction) -> tuple[Person, int]:
            own = await self._own(tx, principal)
            person = await self._person(tx, principal, own, found)
            await self._park(tx, own, parked)
            ends = await self._beginnings.act_as(
                tx, fresh, own, person, address=address, user_agent=user_agent or own.user_agent, reason=reason
            )
            await self._audit.record(
                tx,
                IMPERSONATE,
                actor_id=own.user_id,
                organization_id=person.organization_id,
                target=person.user_id,
                address=address,
                reason=reason,
                session=fresh.session_id,
                username=person.username,
            )
            return person, ends

        person, ends = await self._db.write(work)
        self._write_to(person, principal.identity.username, reason)
        return Acting(
            session_id=fresh.session_id,
            secret=fresh.secret,
            lasts=ends - self._clock.now(),
            username=person.username,
        )

    async def stop(self, principal: Principal, *, address: str, device_cookie: str | None = None) -> SignedIn:
        """End the session that acts as somebody, and begin the operator's own anew; of two stops at once one does.

        Raises Conflict for a session that acts as nobody else, and Unauthenticated when it ended meanwhile.
        """
        if principal.impersonator is None:
            raise Conflict("This session acts as nobody else, so there is nothing to stop.")
        fresh = self._beginnings.fresh()

        async def work(tx: Transaction) -> SignedIn:
            # Single use by the row that is there or not: whoever finds it gone gets no session.
            ended = await tx.one(store.END_ACTING, {"session_id": principal.credential_id})
            if ended is None or ended.impersonator_session is None:
                raise Unauthenticated(_ENDED)
            own = await tx.one(store.KEPT, {"session_id": ended.impersonator_session})
            if own is None or own.user_id != ended.impersonator_id:
                raise Unauthenticated(_ENDED)
            await tx.one(store.END_BY_ID, {"session_id": own.id})
            await tx.announce(f"credential:{own.id}")
            await tell_of_end(tx, self._audit, ended, by=own.user_id, address=address)
            return await self._beginnings.replace(
                tx,
                fresh,
                own,
                organization_id=own.organization_id,
                address=address,
                device_cookie=device_cookie,
                lasts_longer=False,
                because="impersonate-end",
            )

        return await self._db.write(work)

    async def told(self, user_id: str) -> Sequence[ToldEvent]:
        """Return when operators acted as somebody within the last 30 days, the newest first."""
        since = self._clock.now() - SHOWN_FOR
        return await self._audit.impersonations_of(self._db, user_id, since, _MOST_SHOWN)

    async def _own(self, tx: Transaction, principal: Principal) -> KeptSession:
        """Return the operator's session as it is now. Raises Unauthenticated."""
        own = await tx.one(store.KEPT, {"session_id": principal.credential_id})
        if own is None or own.user_id != principal.identity.user_id:
            raise Unauthenticated(_ENDED)
        return own

    async def _person(self, tx: Transaction, principal: Principal, own: KeptSession, user: User) -> Person:
        """Return as whom the operator is to act. Raises Conflict and Forbidden, as ``start`` says."""
        if user.id == principal.identity.user_id:
            raise Conflict("You are this person. Choose somebody else.")
        memberships = await self._accounts.memberships_of(user.id, tx)
        if not memberships:
            raise Conflict("This person belongs to no organization, so there is nothing that they see.")
        first = memberships[0]
        identity = await self._accounts.identity(user.id, first.organization_id, tx)
        if identity is None:
            raise Conflict("This person is disabled, and sees nothing. Enable the user first.")
        if identity.platform_admin:
            raise Forbidden("Nobody acts as another operator.")
        if first.second_factor_required and not own.second_factor:
            raise not_enough(first.organization_display_name)
        if first.password_sign_in_off and own.password:
            name = first.organization_display_name
            raise Forbidden(f"{name} lets nobody in with a password. Sign in with a passkey, then try again.")
        return Person(identity.user_id, identity.username, identity.email, first.organization_id)

    async def _park(self, tx: Transaction, own: KeptSession, parked: Fresh) -> None:
        """Let the operator's session wait under a secret that is given to nobody. Raises Conflict for one that does."""
        hidden = self._beginnings.hash(parked.secret.reveal())
        if await tx.run(store.PARK, {"session_id": own.id, "parked_hash": hidden}) != 1:
            raise Conflict(_ALREADY)
        await tx.announce(f"credential:{own.id}")

    def _write_to(self, person: Person, operator: str, reason: str) -> None:
        if self._mailer.configured:
            url = f"{self._settings.public_url}/settings"
            self._mailer.send_later(acted_as(self._settings.product_name, person.email, operator, reason, url))


async def tell_of_end(tx: Transaction, audit: AuditLog, ended: EndedSession, *, by: str, address: str | None) -> None:
    """Announce and record that a session that acted as somebody was ended by the user ``by``."""
    await tx.announce(f"credential:{ended.id}")
    await audit.record(
        tx,
        IMPERSONATE_END,
        actor_id=by,
        organization_id=ended.organization_id,
        target=ended.user_id,
        address=address,
        session=ended.id,
    )


async def end_what_hangs_on(
    tx: Transaction, audit: AuditLog, ended: EndedSession, *, by: str, address: str | None
) -> None:
    """End what lived by a session that was just ended: who acted from it, or the operator's own that waited for it."""
    acting = await tx.one(store.END_ACTING_FROM, {"session_id": ended.id})
    if acting is not None:
        await tell_of_end(tx, audit, acting, by=by, address=address)
    if ended.impersonator_session is None:
        return
    own = await tx.one(store.END_BY_ID, {"session_id": ended.impersonator_session})
    if own is not None:
        await tx.announce(f"credential:{own.id}")
        await audit.record(
            tx,
            "session:delete",
            actor_id=by,
            organization_id=own.organization_id,
            target=own.id,
            address=address,
        )


def _no_reason() -> InvalidParameters:
    sentence = f"Say why in 1 to {LONGEST_REASON} characters, on one line. The person reads it."
    return InvalidParameters(sentence, fields=[FieldProblem("body", "reason", "reason", sentence)])
