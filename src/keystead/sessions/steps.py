"""Signing in step by step: what comes between a right password and a session, and passkeys that need no password.

A step is a row that is good for ten minutes and ten wrong codes. It ends in the transaction in which the session
begins, so it begins one session only. It also ends with any change of the password.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.db import Database, Transaction, UniqueViolation
from keystead.db.installation import Keys
from keystead.factors.models import NewTotp
from keystead.factors.service import Factors
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.problems import Conflict, Forbidden, FormExpired, InvalidParameters, NotFound
from keystead.kernel.secrets import STEP_PREFIX, Secret, is_opaque, keyed_hash, new_opaque
from keystead.sessions import ending, rules, store
from keystead.sessions.beginnings import Beginnings
from keystead.sessions.budget import CodeBudget
from keystead.sessions.models import Enrolled, OpenStep, PasskeyQuestion, Refused, SignedIn, Step, Visit
from keystead.sessions.proof import NO_ORGANIZATION, first_open
from keystead.wire.limiter import Limiter, limit_key_of_address

_TYPED: Final = frozenset({"totp", "recovery-code"})
_Shown = Callable[[Transaction, str], Awaitable[bool]]

_log = logging.getLogger(__name__)


class SignInSteps:
    """The steps of sign-ins that are not finished."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        keys: Keys,
        accounts: Accounts,
        factors: Factors,
        limiter: Limiter,
        beginnings: Beginnings,
    ) -> None:
        """Ask ``factors`` for what people show; ``beginnings`` begins their sessions."""
        self._db = db
        self._clock = clock
        self._keys = keys
        self._accounts = accounts
        self._factors = factors
        self._limiter = limiter
        self._beginnings = beginnings
        self._budget = CodeBudget(clock=clock)

    def fresh(self) -> Secret:
        """Return the secret of a step, drawn outside the transaction that keeps it."""
        return new_opaque(STEP_PREFIX)

    async def keep(self, tx: Transaction, secret: Secret, user_id: str) -> None:
        """Remember that this user has shown the right password, in the transaction in which that still stands."""
        await tx.run(store.INSERT_STEP, self._row(secret.reveal(), user_id, rules.STEP_LIFETIME))

    async def look(self, text: str) -> OpenStep | None:
        """Return what the cookie of a step leads to, or None when it leads nowhere any more."""
        step = await self._find(text)
        user = None if step is None or step.user_id is None else await self._accounts.user_by_id(step.user_id)
        if step is None or user is None or user.disabled_at is not None:
            return None
        summary = await self._factors.summary(user.id)
        if summary.any:
            return OpenStep(
                step_id=step.id,
                user_id=user.id,
                username=user.username,
                enrol=False,
                totp=summary.totp_since is not None,
                passkeys=bool(summary.passkeys),
                recovery_codes=summary.recovery_codes_left > 0,
            )
        memberships = await self._accounts.memberships_of(user.id)
        joined = next((one for one in memberships if not one.password_sign_in_off), None)
        if joined is None or not joined.second_factor_required:
            return None  # the factor was removed meanwhile: the password is enough now, and is asked for again
        return OpenStep(step_id=step.id, user_id=user.id, username=user.username, enrol=True)

    def form_token(self, step: OpenStep) -> str:
        """Return the token of a form that is shown in this step."""
        return rules.form_token(self._keys.forms, step.step_id, "step", self._clock.now())

    def check_form_token(self, step: OpenStep, token: str | None) -> None:
        """Raise FormExpired unless the token was made for a form of this step."""
        rules.check_form_token(self._keys.forms, step.step_id, "step", token, self._clock.now())

    # The second factor

    async def show_code(self, text: str, code: str, visit: Visit) -> SignedIn | Refused:
        """Go on with a code of the person's authenticator app. Raises RateLimited."""

        async def shown(tx: Transaction, user_id: str) -> bool:
            return await self._factors.use_totp(tx, user_id, code)

        return await self._finish(text, shown, "totp", visit)

    async def show_recovery_code(self, text: str, code: str, visit: Visit) -> SignedIn | Refused:
        """Go on with a recovery code, which is used up. Raises RateLimited."""

        async def shown(tx: Transaction, user_id: str) -> bool:
            return await self._factors.use_recovery_code(tx, user_id, code, address=visit.address)

        return await self._finish(text, shown, "recovery-code", visit)

    async def passkey_question(self, step: OpenStep) -> PasskeyQuestion:
        """Return what to ask the person's passkeys."""
        return await self.question_for(step.user_id, step.step_id)

    async def question_for(self, user_id: str, holder: str) -> PasskeyQuestion:
        """Return what to ask a person's passkeys; the token fits ``holder``, the id of a step or of a session.

        Raises NotFound for a person without a passkey: without a name, the question would be one for any passkey.
        """
        passkeys = (await self._factors.summary(user_id)).passkeys
        if not passkeys:
            raise NotFound("You have no passkey. Use a code of your authenticator app, or a recovery code.")
        options = self._factors.request_options(passkeys)
        return PasskeyQuestion(options.json, self._factors.challenge_token(holder, options.challenge))

    async def show_passkey(self, text: str, answer: str, token: str, visit: Visit) -> SignedIn | Refused:
        """Go on with the answer of a passkey to ``passkey_question``. Raises RateLimited."""
        step = await self._find(text)
        if step is None:
            return Refused.OVER
        try:
            challenge = self._factors.challenge_of(step.id, token)
        except FormExpired:
            return Refused.WRONG

        async def shown(tx: Transaction, user_id: str) -> bool:
            return await self._factors.use_passkey(tx, answer, challenge, user_id, address=visit.address) == user_id

        return await self._finish(text, shown, "passkey", visit)

    # A second factor that the organization asks for

    def new_app(self, step: OpenStep) -> NewTotp:
        """Return an authenticator app that is to be set up."""
        return self._factors.new_totp(step.user_id, step.username)

    def pending_app(self, step: OpenStep, sealed: str) -> NewTotp:
        """Return the app of a form that is shown again. Raises FormExpired."""
        return self._factors.pending_totp(step.user_id, step.username, sealed)

    async def enrol(self, text: str, sealed: str, code: str, visit: Visit) -> Enrolled | Refused:
        """Add the app that shows the code, and go on with it.

        Raises InvalidParameters on ``code``, FormExpired for a form that is too old, and RateLimited.
        """
        step = await self.look(text)
        if step is None or not step.enrol:
            return Refused.OVER
        await self._charge(step.user_id, visit)
        try:
            codes = await self._factors.add_totp(step.user_id, sealed, code, address=visit.address)
        except Conflict:
            return Refused.OVER
        except InvalidParameters:
            await self._db.write(lambda tx: self._count_wrong(tx, step.step_id))
            raise

        await self._db.write(lambda tx: self._end_password_alone(tx, step.user_id))

        async def shown(_: Transaction, __: str) -> bool:
            return True

        finished = await self._finish(text, shown, "totp", visit, charged=True)
        return Enrolled(codes, None if isinstance(finished, Refused) else finished)

    # A passkey instead of a password

    def passkey_alone(self, browser: str) -> PasskeyQuestion:
        """Return what to ask any passkey; the token fits the browser that has ``browser`` in a cookie."""
        options = self._factors.request_options()
        return PasskeyQuestion(options.json, self._factors.challenge_token(f"browser:{browser}", options.challenge))

    async def sign_in_with_passkey(self, answer: str, token: str, browser: str, visit: Visit) -> SignedIn | Refused:
        """Begin a session for whoever's passkey answered ``passkey_alone`` and verified that it is them.

        A challenge is good once: its use is a row that nobody can write twice. Raises RateLimited, and Forbidden for a
        person without an organization.
        """
        await self._charge_passkey(visit)
        try:
            challenge = self._factors.challenge_of(f"browser:{browser}", token)
        except FormExpired:
            return Refused.OVER
        fresh, used = self._beginnings.fresh(), self._row(f"passkey:{challenge.hex()}", None, rules.STEP_LIFETIME)

        async def work(tx: Transaction) -> SignedIn | Refused:
            user_id = await self._factors.use_passkey(tx, answer, challenge, address=visit.address)
            user = None if user_id is None else await self._accounts.user_by_id(user_id, tx)
            if user is None or user.disabled_at is not None:
                return Refused.WRONG
            memberships = await self._accounts.memberships_of(user.id, tx)
            if not memberships:
                raise Forbidden(NO_ORGANIZATION)
            await tx.run(store.INSERT_STEP, used)
            joined = memberships[0].organization_id
            return await self._beginnings.begin(tx, fresh, user.id, joined, visit, factor="passkey", password=False)

        try:
            return await self._db.write(work)
        except UniqueViolation:
            return Refused.OVER

    async def _finish(
        self, text: str, shown: _Shown, factor: str, visit: Visit, *, charged: bool = False
    ) -> SignedIn | Refused:
        """Begin the session if what was shown is right; the step ends in the same transaction.

        What is wrong is counted in the step, and for the account like a wrong password (W5); codes that a person types
        are counted over a day as well, whichever step and browser they come from. Passkeys cannot be guessed.
        """
        step = await self._find(text)
        if step is None or step.user_id is None:
            return Refused.OVER
        if not charged:
            await self._charge(step.user_id, visit)
        fresh, known = self._beginnings.fresh(), step.user_id
        typed = factor in _TYPED and not charged

        async def work(tx: Transaction) -> SignedIn | Refused:
            found = await tx.one(store.STEP_BY_HASH, {"secret_hash": self._hash(text)})
            user = await self._accounts.user_by_id(known, tx)
            if found is None or user is None or not _stands(found, user, self._clock.now()):
                return Refused.OVER
            if not await self._factors.has_any(tx, user.id):
                return Refused.OVER
            if typed:
                await self._budget.check(tx, user.id)
            if not await shown(tx, user.id):
                if typed:
                    await self._budget.count(tx, user.id)
                await self._count_wrong(tx, found.id)
                return Refused.OVER if found.attempts + 1 >= rules.STEP_TRIES else Refused.WRONG
            joined = first_open(await self._accounts.memberships_of(user.id, tx))
            await tx.run(store.END_STEP, {"step_id": found.id})
            return await self._beginnings.begin(tx, fresh, user.id, joined.organization_id, visit, factor=factor)

        finished = await self._db.write(work)
        if isinstance(finished, Refused):
            _log.info("second factor refused: user %s, address %s", known, visit.address)
        return finished

    async def _end_password_alone(self, tx: Transaction, user_id: str) -> None:
        """End the sessions that somebody began elsewhere before they had a second factor."""
        if await ending.end_others_with_password_alone(tx, user_id, ""):
            await tx.announce(f"user:{user_id}")

    async def _count_wrong(self, tx: Transaction, step_id: str) -> None:
        await tx.run(store.COUNT_WRONG, {"step_id": step_id})

    async def _find(self, text: str) -> Step | None:
        """Return the step of a cookie, or None for one that is unknown, too old, or had too many tries."""
        if not is_opaque(text, STEP_PREFIX):
            return None
        found = await self._db.one(store.STEP_BY_HASH, {"secret_hash": self._hash(text)})
        if found is None or found.expires_at <= self._clock.now() or found.attempts >= rules.STEP_TRIES:
            return None
        return found

    async def _charge(self, user_id: str, visit: Visit) -> None:
        """Charge a known device to its own budget, and all others to the account's: nobody comes here unknown (W5)."""
        device = self._beginnings.known_device(visit.device_cookie, user_id)
        whom = f"factor:{user_id}" if device is None else f"factor:{user_id}:{device.device_id}"
        await self._limiter.charge("sign_in", whom)

    async def _charge_passkey(self, visit: Visit) -> None:
        """Charge a known device to its own budget, and all others to the address's: nobody has a name yet (W5)."""
        device = self._beginnings.device(visit.device_cookie)
        if device is not None:
            await self._limiter.charge("sign_in", f"passkey:{device.user_id}:{device.device_id}")
        else:
            await self._limiter.charge("sign_in", f"address:{limit_key_of_address(visit.address)}", times=3)

    def _row(self, text: str, user_id: str | None, lifetime: int) -> dict[str, str | bytes | int | None]:
        now = self._clock.now()
        return {
            "id": new_id(),
            "secret_hash": self._hash(text),
            "user_id": user_id,
            "challenge": None,
            "attempts": 0,
            "created_at": now,
            "expires_at": now + lifetime,
        }

    def _hash(self, text: str) -> bytes:
        return keyed_hash(self._keys.credentials, f"step:{text}")


def _stands(step: Step, user: User, now: int) -> bool:
    """Tell whether a step may still be finished: in time, by somebody who may sign in.

    That the password is the one of then needs no look: whoever sets another one ends the steps (``Sessions.end_all``).
    """
    return now < step.expires_at and step.attempts < rules.STEP_TRIES and user.may_sign_in
