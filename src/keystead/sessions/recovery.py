"""A forgotten password: a letter with a link, good once and for an hour, and the new password that it leads to; and
letters about passwords that were changed.

Nothing is stored of a link (``rules.reset_token``), and asking for one looks and takes the same whether or not somebody
has the address: the letter goes out in the background (OWASP Forgot Password Cheat Sheet, "Forgot Password Request").
"""

import logging
from typing import Final

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.db import Database, Transaction
from keystead.db.engine import Reader
from keystead.db.installation import Keys
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.mail import letters
from keystead.mail.service import Mailer
from keystead.sessions import proof, rules
from keystead.sessions.budget import LetterBudget
from keystead.sessions.models import RESET_LIFETIME, SignedIn
from keystead.sessions.service import Sessions
from keystead.wire.limiter import Limiter, limit_key_of_address

FORGOT_PATH: Final = "/sign-in/forgot"

_log = logging.getLogger(__name__)


class Recovery:
    """Lets people choose another password, because they forgot theirs or want to."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        keys: Keys,
        settings: Settings,
        accounts: Accounts,
        sessions: Sessions,
        limiter: Limiter,
        mailer: Mailer,
    ) -> None:
        """Send links of ``settings.public_url`` by ``mailer``."""
        self._db = db
        self._clock = clock
        self._key = keys.forms
        self._url = settings.public_url
        self._product_name = settings.product_name
        self._accounts = accounts
        self._sessions = sessions
        self._limiter = limiter
        self._mailer = mailer
        self._budget = LetterBudget(db=db, clock=clock, key=keys.devices)

    @property
    def by_mail(self) -> bool:
        """Whether links are mailed; else the operator makes them."""
        return self._mailer.configured

    async def forgot(self, email: str, *, address: str) -> None:
        """Mail a link to whoever has this e-mail address; nobody is told whether somebody has.

        Raises InvalidParameters on ``email`` for what is no address, and RateLimited.
        """
        await self._forgot(self._accounts.normal_email(email), address)

    async def forgot_by_name(self, typed: str, *, address: str) -> None:
        """Do the same for whoever has this user name or e-mail address, if anybody. Raises RateLimited."""
        await self._forgot(self._accounts.normal_name(typed), address)

    async def _forgot(self, name: str, address: str) -> None:
        """Do the same statements for everybody, so that nobody can tell by the time whom there is.

        Letters are counted by the address that they go to, whichever name was typed.
        """
        await self._charge(address)
        user = await self._accounts.user_by_name(name)
        allowed = await self._budget.spend("reset", name if user is None else user.email)
        if not self.by_mail:
            _log.warning("somebody forgot a password, and no mail server is set: a link can be made by the operator")
            return
        if user is None or user.disabled_at is not None or not allowed:
            return
        url = Secret(self._url + await self._sessions.reset_link(user))
        minutes = RESET_LIFETIME // 60
        self._mailer.send_later(letters.password_reset(self._product_name, user.email, url, minutes))

    async def change(
        self, principal: Principal, old: Secret, new: Secret, address: str, *, device_cookie: str | None = None
    ) -> SignedIn:
        """Give a person who is signed in another password, as ``Sessions.change_password`` does, and write to them."""
        renewed = await self._sessions.change_password(principal, old, new, address, device_cookie=device_cookie)
        self._tell(principal.identity.email, address)
        return renewed

    async def user_of(self, token: str) -> User | None:
        """Return who may choose a new password by this link, or None for one that is not good or no longer."""
        user_id = rules.user_of_reset(token, self._clock.now())
        user = None if user_id is None else await self._accounts.user_by_id(user_id)
        return user if user is not None and self._good(token, user) else None

    async def check_of_use(self, user: User, reader: Reader | None = None) -> None:
        """Raise Forbidden when a password leads somebody into none of their organizations.

        A new one would end their sessions, and they could not come in again.
        """
        memberships = await self._accounts.memberships_of(user.id, reader)
        if memberships:
            proof.first_open(memberships)

    async def reset(self, token: str, password: Secret, *, address: str) -> bool:
        """Give the user of this link a new password and end their sessions; False when the link is not good any more.

        Raises InvalidParameters on ``password`` for one that may not be set, Forbidden as ``check_of_use`` does, and
        RateLimited.
        """
        await self._charge(address)
        user = await self.user_of(token)
        if user is None:
            return False
        await self.check_of_use(user)  # before it costs a hash
        hashed = await self._accounts.hash_new_password(user, password)

        async def work(tx: Transaction) -> bool:
            now = await self._accounts.user_by_id(user.id, tx)
            if now is None or not self._good(token, now):
                return False
            await self.check_of_use(user, tx)
            await self._accounts.keep_password(tx, user, hashed, actor_id=user.id, address=address)
            await self._sessions.end_all(tx, user.id)
            return True

        done = await self._db.write(work)
        if done:
            self._tell(user.email, address)
        return done

    def _tell(self, to: str, address: str) -> None:
        """Write to somebody that their password was changed, in case it was not they who did it."""
        url = self._url + FORGOT_PATH
        self._mailer.send_later(letters.password_changed(self._product_name, to, address, url))

    def _good(self, token: str, user: User) -> bool:
        return user.disabled_at is None and rules.is_reset_token(self._key, token, user.id, user.password_hash)

    async def _charge(self, address: str) -> None:
        await self._limiter.charge("sign_in", f"letters:{limit_key_of_address(address)}", times=3)
