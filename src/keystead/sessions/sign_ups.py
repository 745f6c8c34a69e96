"""Signing up: an e-mail address, a letter to it, and only then an account (promise W8).

Nothing is stored before the address is proven, so nobody can take somebody else's address, neither before nor after its
owner. The link holds all there is to know, sealed; it is good once because an address has one account.
"""

from dataclasses import dataclass
from typing import Final

from keystead.accounts import policies
from keystead.accounts.service import Accounts
from keystead.db import Database
from keystead.db.installation import Keys
from keystead.kernel.clock import Clock
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.mail import letters
from keystead.mail.service import Mailer
from keystead.sessions import rules
from keystead.sessions.budget import LetterBudget
from keystead.sessions.models import SIGN_UP_LIFETIME, SIGN_UP_PATH, SignedIn, SignUpLink, StepNeeded, Visit
from keystead.sessions.service import Sessions
from keystead.wire.limiter import Limiter, limit_key_of_address

_HOURS: Final = SIGN_UP_LIFETIME // 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What somebody fills in whose address is proven; ``organization`` is its name for people."""

    username: str
    name: str
    password: Secret
    organization: str


class SignUps:
    """Lets anybody make an account and an organization, where the operator wants that."""

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
        self._wanted = settings.sign_up
        self._url = settings.public_url
        self._product_name = settings.product_name
        self._accounts = accounts
        self._sessions = sessions
        self._limiter = limiter
        self._mailer = mailer
        self._budget = LetterBudget(db=db, clock=clock, key=keys.devices)

    @property
    def open(self) -> bool:
        """Whether anybody may sign up: the operator wants it, and letters can be sent."""
        return self._wanted and self._mailer.configured

    async def check_possible(self) -> None:
        """Raise Forbidden while nobody signs in with a password: an account that is made here begins with one."""
        await policies.check_new_password(self._db, None)

    async def ask(self, email: str, next_path: str, *, address: str) -> None:
        """Mail a link that proves the address; to an address that has an account, a letter that says so.

        Raises InvalidParameters on ``email`` for what is no address, Forbidden where no account can be made, and
        RateLimited.
        """
        await self.check_possible()
        email = self._accounts.normal_email(email)
        await self._charge(address)
        allowed = await self._budget.spend("sign-up", email)
        user = await self._accounts.user_by_name(email)
        if not allowed:
            return
        expires_at = self._clock.now() + SIGN_UP_LIFETIME
        token = rules.sign_up_token(self._key, SignUpLink(email, next_path), expires_at)
        if user is None:
            url = Secret(f"{self._url}{SIGN_UP_PATH}/{token.reveal()}")
            self._mailer.send_later(letters.prove_email(self._product_name, email, url, _HOURS))
        else:
            self._mailer.send_later(letters.already_known(self._product_name, email, f"{self._url}/sign-in"))

    def read(self, token: str) -> SignUpLink | None:
        """Return what a link says, or None for one that is not ours or too old."""
        return rules.read_sign_up(self._key, token, self._clock.now())

    async def is_used(self, link: SignUpLink) -> bool:
        """Tell whether the address has an account by now."""
        return await self._accounts.user_by_name(link.email) is not None

    async def finish(self, link: SignUpLink, account: NewAccount, visit: Visit) -> SignedIn | StepNeeded:
        """Make the account and its organization, and sign the person in.

        Raises InvalidParameters with the field that does not fit, Conflict for an address that has an account by now,
        Forbidden as ``check_possible`` does, and RateLimited.
        """
        await self._charge(visit.address)
        user_id = await self._accounts.sign_up(
            email=link.email,
            username=account.username,
            name=account.name,
            password=account.password,
            organization=account.organization,
            address=visit.address,
        )
        return await self._sessions.begin_for(user_id, visit)

    async def _charge(self, address: str) -> None:
        await self._limiter.charge("sign_in", f"letters:{limit_key_of_address(address)}", times=3)
