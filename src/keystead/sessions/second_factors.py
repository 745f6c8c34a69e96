"""Changes of second factors, and what follows each: the sessions that end, the letter, the audit log.

The pages and the APIs call these, so that a change means the same wherever it is made.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import bindparam, select

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.db import Database, Query, Transaction
from keystead.db.tables import session
from keystead.factors.service import Factors
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, SignInAgain, Unauthenticated
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.mail import letters
from keystead.mail.service import Mailer
from keystead.sessions.service import Sessions

SECURITY_PATH: Final = "/settings/security"
FRESH: Final = 900
"""Seconds after a sign-in in which second factors can be changed without the password (as a page asks for it)."""
ONLY_PASSKEY: Final = "This is your only passkey, and {} lets nobody sign in with a password. Add another one first."
EVERY_PASSKEY: Final = (
    "You would have no passkey left, and {} lets nobody sign in with a password. Keep one, and remove only what you do "
    "not use."
)
BY_OPERATOR: Final = (
    "Your authenticator app, passkeys and recovery codes were removed by an operator, who was asked to let you in"
)
_BEGUN_AT: Final = Query(select(session.c.created_at).where(session.c.id == bindparam("session_id")), int)


class SecondFactors:
    """What people do with their own second factors, and what is done for somebody who has lost theirs."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        settings: Settings,
        mailer: Mailer,
        accounts: Accounts,
        factors: Factors,
        sessions: Sessions,
    ) -> None:
        """Write letters with ``mailer``; without a mail server none is written."""
        self._db = db
        self._clock = clock
        self._product_name = settings.product_name
        self._security_url = settings.public_url + SECURITY_PATH
        self._mailer = mailer
        self._accounts = accounts
        self._factors = factors
        self._sessions = sessions

    async def check_fresh(self, principal: Principal) -> None:
        """Raise SignInAgain unless the session was begun a moment ago, with a sign-in or a new password.

        So that a browser that was left open, or a cookie that was stolen, changes no second factor where the password
        cannot be asked for (OWASP ASVS 5.0, 7.5.1). Raises Unauthenticated when the session has ended.
        """
        begun_at = await self._db.one(_BEGUN_AT, {"session_id": principal.credential_id})
        if begun_at is None:
            raise Unauthenticated("This session has ended. Sign in again.")
        if self._clock.now() - begun_at > FRESH:
            raise SignInAgain()

    # One's own

    async def add_app(
        self, principal: Principal, sealed: str, code: str, address: str | None = None
    ) -> tuple[Secret, ...]:
        """Add an authenticator app and return the recovery codes when it is the first factor.

        In the same unit of work the person's other sessions that rest on a password alone end. Raises as
        ``Factors.add_totp`` does, and Unauthenticated when the session ended meanwhile.
        """

        async def prove(tx: Transaction) -> None:
            await self._sessions.prove_second_factor(tx, principal)

        codes = await self._factors.add_totp(principal.identity.user_id, sealed, code, address=address, then=prove)
        self._tell(principal, "An authenticator app was added to your account", address)
        return codes

    async def add_passkey(
        self, principal: Principal, answer: str, challenge: bytes, name: str, address: str | None = None
    ) -> tuple[Secret, ...]:
        """Add a passkey, as ``add_app`` adds an app. Raises as ``Factors.add_passkey`` does, and Unauthenticated."""

        async def prove(tx: Transaction) -> None:
            await self._sessions.prove_second_factor(tx, principal)

        user_id = principal.identity.user_id
        codes = await self._factors.add_passkey(user_id, answer, challenge, name, address=address, then=prove)
        self._tell(principal, "A passkey was added to your account", address)
        return codes

    async def remove_app(self, principal: Principal, address: str | None = None) -> None:
        """Remove the authenticator app; sessions go on, whatever an organization asks. Raises NotFound."""
        await self._factors.remove_totp(principal.identity.user_id, address=address)
        self._tell(principal, "The authenticator app was removed from your account", address)

    async def remove_passkey(self, principal: Principal, passkey_id: str, address: str | None = None) -> None:
        """Remove one passkey, as ``remove_app`` removes the app.

        Raises NotFound, and Conflict for the only one of somebody who could not sign in without it any more.
        """
        user_id = principal.identity.user_id
        needed = self._unless_needed(user_id, ONLY_PASSKEY)
        await self._factors.remove_passkey(user_id, passkey_id, address=address, when_none_is_left=needed)
        self._tell(principal, "A passkey was removed from your account", address)

    async def remove_passkeys(self, principal: Principal, address: str | None = None) -> None:
        """Remove every passkey, as ``remove_app`` removes the app.

        Raises NotFound when there is none, and Conflict as ``remove_passkey`` does.
        """
        removed = await self._remove_own(principal, app=False, address=address)
        some = "A passkey was" if removed == 1 else f"{removed} passkeys were"
        self._tell(principal, f"{some} removed from your account", address)

    async def remove_own(self, principal: Principal, address: str | None = None) -> None:
        """Remove the app, every passkey and with them the recovery codes.

        Raises NotFound when there is nothing, and Conflict as ``remove_passkey`` does: then nothing was removed.
        """
        await self._remove_own(principal, app=True, address=address)
        self._tell(principal, "Every passkey and authenticator app was removed from your account", address)

    async def _remove_own(self, principal: Principal, *, app: bool, address: str | None) -> int:
        user_id = principal.identity.user_id
        needed = self._unless_needed(user_id, EVERY_PASSKEY)
        return await self._factors.remove_own(
            user_id, app=app, passkeys=True, address=address, when_none_is_left=needed
        )

    def _unless_needed(self, user_id: str, sentence: str) -> Callable[[Transaction], Awaitable[None]]:
        """Return what raises Conflict when one of somebody's organizations lets nobody sign in with a password."""

        async def check(tx: Transaction) -> None:
            for one in await self._accounts.memberships_of(user_id, tx):
                if one.password_sign_in_off:
                    raise Conflict(sentence.format(one.organization_display_name))

        return check

    async def new_recovery_codes(self, principal: Principal, address: str | None = None) -> tuple[Secret, ...]:
        """Return ten fresh recovery codes in place of all others. Raises Conflict without a second factor."""
        codes = await self._factors.new_recovery_codes(principal.identity.user_id, address=address)
        self._tell(principal, "New recovery codes were made for your account", address)
        return codes

    # Somebody else's, who has lost them

    async def remove_for(self, user: User, *, actor_id: str | None = None, address: str | None = None) -> None:
        """Remove every second factor of a user for an operator, end their sessions, and write to them.

        ``actor_id`` is the operator, None for whoever is on the server's host.
        """

        async def work(tx: Transaction) -> None:
            await self.remove_lost(tx, user.id, actor_id=actor_id, address=address)

        await self._db.write(work)
        self.tell_of_loss(user.email, BY_OPERATOR)

    async def remove_lost(
        self,
        tx: Transaction,
        user_id: str,
        *,
        actor_id: str | None,
        organization_id: str | None = None,
        address: str | None = None,
    ) -> None:
        """Remove every second factor of a user, in ``tx``, and end their sessions and unfinished sign-ins everywhere.

        Whoever asked for it says that a device is lost: whoever found it is signed in there, on any node no longer
        than until the change is heard of (promise V1).
        """
        await self._factors.remove_all(tx, user_id, actor_id=actor_id, organization_id=organization_id, address=address)
        await self._sessions.end_all(tx, user_id)

    def tell_of_loss(self, to: str, what: str) -> None:
        """Write to somebody what was removed, and by whom."""
        if self._mailer.configured:
            letter = letters.second_factor_changed(self._product_name, to, what, None, self._security_url)
            self._mailer.send_later(letter)

    def _tell(self, principal: Principal, what: str, address: str | None) -> None:
        """Write to the person what was changed, in case it was not they who did it."""
        to = principal.identity.email
        self._mailer.send_later(
            letters.second_factor_changed(self._product_name, to, what, address, self._security_url)
        )
