"""The use cases of second factors: adding, using and removing authenticator apps, passkeys and recovery codes."""

import base64
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.db.engine import Reader
from keystead.db.installation import Keys
from keystead.factors import ceremonies, rules, store
from keystead.factors.models import FactorSummary, NewTotp, Passkey, PasskeyOptions
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.problems import Conflict, FormExpired, NotFound
from keystead.kernel.sealing import WrongKey, derive_key, open_sealed, seal
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings

Then: TypeAlias = Callable[[Transaction], Awaitable[object]]
"""What else belongs to the unit of work in which a factor is added."""

_log = logging.getLogger(__name__)


async def _nothing(_: Transaction) -> None:
    """Do nothing else."""


class Factors:
    """Second factors. Nothing that is stored of them can be used: secrets are sealed, codes hashed (promise K13).

    With a person's first factor come ten recovery codes, and with the last one they go: a lost phone locks nobody out
    (promise W7).
    """

    def __init__(self, *, db: Database, clock: Clock, keys: Keys, settings: Settings, audit: AuditLog) -> None:
        """Make passkeys for the host of ``settings.public_url``."""
        self._db = db
        self._clock = clock
        self._sealing = derive_key(keys.factors, "sealing")
        self._hashing = derive_key(keys.factors, "hashing")
        self._party = ceremonies.RelyingParty.at(settings.public_url, settings.product_name)
        self._audit = audit

    async def summary(self, user_id: str) -> FactorSummary:
        """Return a person's second factors, the oldest passkey first, in three statements."""
        mine = {"user_id": user_id}
        totp_since = await self._db.one(store.TOTP_SINCE, mine)
        passkeys = await self._db.all(store.PASSKEYS_OF, mine)
        left = await self._db.one(store.RECOVERY_CODES_LEFT, mine)
        return FactorSummary(totp_since, tuple(passkeys), left or 0)

    async def has_any(self, reader: Reader, user_id: str) -> bool:
        """Tell whether a person has a second factor, in one statement."""
        return await reader.one(store.HAS_ANY, {"user_id": user_id}) is not None

    # Authenticator apps

    def new_totp(self, user_id: str, label: str) -> NewTotp:
        """Return an authenticator app to be added; ``label`` is the name by which the app will list it."""
        secret = Secret(base64.b32encode(secrets.token_bytes(rules.TOTP_SECRET_BYTES)).decode())
        sealed = rules.seal_pending(self._sealing, user_id, secret, self._clock.now())
        return self._shown(secret, label, sealed)

    def pending_totp(self, user_id: str, label: str, sealed: str) -> NewTotp:
        """Return the app that ``new_totp`` returned, for a form that is shown again.

        Raises FormExpired for a text that was not made for this user in the last 15 minutes.
        """
        return self._shown(self._pending(user_id, sealed), label, sealed)

    async def add_totp(
        self, user_id: str, sealed: str, code: str, *, address: str | None = None, then: Then = _nothing
    ) -> tuple[Secret, ...]:
        """Add an authenticator app that shows the code; return the recovery codes when it is the first factor.

        ``then`` is done in the same unit of work: when it raises, nothing was added. Raises FormExpired as
        ``pending_totp`` does, InvalidParameters on the field ``code`` when the code is not the app's, and Conflict for
        a person who has an app.
        """
        secret, now = self._pending(user_id, sealed), self._clock.now()
        step = rules.matching_step(secret.reveal(), code, now=now, after=-1)
        if step is None:
            raise rules.refuse(
                "code",
                "wrong_code",
                "This is not the code that the app shows now. Check that the clock of the phone is right, and type the "
                "newest code.",
            )
        row = {
            "user_id": user_id,
            "sealed_secret": seal(self._sealing, secret.reveal().encode(), _purpose(user_id)),
            "last_step": step,
            "created_at": now,
        }
        codes = rules.new_recovery_codes()

        async def work(tx: Transaction) -> bool:
            first = not await self.has_any(tx, user_id)
            await tx.run(store.INSERT_TOTP, row)
            await self._record(tx, "totp:add", user_id, address)
            if first:
                await self._replace_codes(tx, user_id, codes, address)
            await then(tx)
            return first

        try:
            return codes if await self._db.write(work) else ()
        except UniqueViolation:
            raise Conflict("You have an authenticator app already. Remove it before you set up another one.") from None

    async def remove_totp(self, user_id: str, *, address: str | None = None) -> None:
        """Remove a person's authenticator app. Raises NotFound when there is none."""

        async def work(tx: Transaction) -> None:
            if not await tx.run(store.REMOVE_TOTP, {"user_id": user_id}):
                raise NotFound("You have no authenticator app.")
            await self._record(tx, "totp:remove", user_id, address)
            await self._drop_codes_without_factor(tx, user_id)

        await self._db.write(work)

    async def use_totp(self, tx: Transaction, user_id: str, code: str) -> bool:
        """Tell whether this is a code of the person's app, and spend its time step (RFC 6238, section 5.2)."""
        stored = await tx.one(store.TOTP_OF, {"user_id": user_id})
        if stored is None:
            return False
        try:
            secret = open_sealed(self._sealing, stored.sealed_secret, _purpose(user_id)).decode()
        except WrongKey:
            _log.error("the authenticator app of user %s cannot be read: its row was changed", user_id)
            return False
        step = rules.matching_step(secret, code, now=self._clock.now(), after=stored.last_step)
        return step is not None and await tx.run(store.USE_STEP, {"user": user_id, "step": step}) == 1

    # Recovery codes

    async def use_recovery_code(self, tx: Transaction, user_id: str, code: str, *, address: str | None = None) -> bool:
        """Tell whether this is one of the person's recovery codes, and spend it. Case, blanks and dashes are free."""
        read = rules.read_recovery_code(code)
        if read is None:
            return False
        hashed = rules.recovery_hash(self._hashing, user_id, read)
        if not await tx.run(store.USE_RECOVERY_CODE, {"user": user_id, "hash": hashed, "at": self._clock.now()}):
            return False
        await self._record(tx, "recovery-code:use", user_id, address)
        return True

    async def new_recovery_codes(self, user_id: str, *, address: str | None = None) -> tuple[Secret, ...]:
        """Return ten fresh codes in place of all others. Raises Conflict for a person without a second factor."""
        codes = rules.new_recovery_codes()

        async def work(tx: Transaction) -> None:
            if not await self.has_any(tx, user_id):
                raise Conflict("Add a passkey or an authenticator app first: recovery codes stand in for them.")
            await self._replace_codes(tx, user_id, codes, address)

        await self._db.write(work)
        return codes

    # Passkeys

    def registration_options(self, user_id: str, username: str, passkeys: Sequence[Passkey]) -> PasskeyOptions:
        """Return what the browser makes a passkey with, beside those that the person has."""
        return ceremonies.registration_options(self._party, user_id, username, passkeys)

    def check_passkey_name(self, name: str) -> str:
        """Return a passkey's name as it is kept. Raises InvalidParameters on the field ``name``."""
        return rules.check_passkey_name(name)

    def challenge_token(self, session_id: str, challenge: bytes) -> str:
        """Return a challenge in the form in which it travels through a form of this session, for ten minutes."""
        return rules.challenge_token(self._hashing, session_id, challenge, self._clock.now())

    def challenge_of(self, session_id: str, token: str) -> bytes:
        """Return the challenge of a form. Raises FormExpired unless this session was given it in the last minutes."""
        challenge = rules.read_challenge(self._hashing, session_id, token, self._clock.now())
        if challenge is None:
            raise FormExpired()
        return challenge

    async def add_passkey(
        self,
        user_id: str,
        answer_json: str,
        challenge: bytes,
        name: str,
        *,
        address: str | None = None,
        then: Then = _nothing,
    ) -> tuple[Secret, ...]:
        """Add the passkey that a browser made; return the recovery codes when it is the first factor.

        ``then`` is as for ``add_totp``. Raises InvalidParameters on the field ``name`` or ``answer``, and Conflict for
        a passkey that is known.
        """
        shown = rules.check_passkey_name(name)
        made = ceremonies.new_passkey(self._party, answer_json, challenge)
        if made is None:
            raise rules.refuse("answer", "passkey", "The passkey could not be checked. Nothing was added; try again.")
        passkey_id = new_id()
        row = {
            "id": passkey_id,
            "user_id": user_id,
            "credential_id": made.credential_id,
            "public_key": made.public_key,
            "sign_count": made.sign_count,
            "name": shown,
            "created_at": self._clock.now(),
            "last_used_at": None,
        }
        codes = rules.new_recovery_codes()

        async def work(tx: Transaction) -> bool:
            first = not await self.has_any(tx, user_id)
            if (await tx.one(store.COUNT_PASSKEYS, {"user_id": user_id}) or 0) >= rules.MOST_PASSKEYS:
                raise Conflict(
                    f"You have {rules.MOST_PASSKEYS} passkeys, the most there can be. Remove one that you do not use."
                )
            await tx.run(store.INSERT_PASSKEY, row)
            await self._record(tx, "passkey:add", user_id, address, target=passkey_id, name=shown)
            if first:
                await self._replace_codes(tx, user_id, codes, address)
            await then(tx)
            return first

        try:
            return codes if await self._db.write(work) else ()
        except UniqueViolation:
            raise Conflict("This passkey was added already.") from None

    def request_options(self, passkeys: Sequence[Passkey] = ()) -> PasskeyOptions:
        """Return what the browser is asked for one of these passkeys with, or for any of this server's when none."""
        return ceremonies.request_options(self._party, passkeys)

    async def use_passkey(
        self,
        tx: Transaction,
        answer_json: str,
        challenge: bytes,
        user_id: str | None = None,
        *,
        address: str | None = None,
    ) -> str | None:
        """Return whose passkey answered, or None for an answer that does not fit, whatever is wrong with it.

        ``user_id`` is who has shown a password already. Without it the passkey stands alone: it must have verified
        its user and name them. The challenge must be one that is used once. A counter that did not grow means that
        somebody may have copied the passkey (W3C Web Authentication, section 6.1.1): that is refused and recorded, so
        let the transaction end as usual after None.
        """
        answer = ceremonies.read_answer(answer_json)
        if answer is None:
            return None
        found = await tx.one(store.PASSKEY_BY_CREDENTIAL, {"credential_id": answer.credential_id})
        if found is None or (user_id is not None and found.user_id != user_id):
            return None
        if answer.user_id != found.user_id and (user_id is None or answer.user_id is not None):
            return None
        told = ceremonies.told_count(self._party, answer_json, challenge, found, alone=user_id is None)
        if told is None:
            return None
        if (told or found.sign_count) and told <= found.sign_count:
            _log.warning("a passkey of user %s was refused: its counter did not grow", found.user_id)
            await self._record(tx, "passkey:refuse", found.user_id, address, target=found.id)
            return None
        use = {"passkey_id": found.id, "seen": found.sign_count, "told": told, "at": self._clock.now()}
        return found.user_id if await tx.run(store.USE_PASSKEY, use) else None

    async def rename_passkey(self, user_id: str, passkey_id: str, name: str, *, address: str | None = None) -> None:
        """Give one of the person's passkeys another name. Raises InvalidParameters on ``name``, and NotFound."""
        shown = rules.check_passkey_name(name)

        async def work(tx: Transaction) -> None:
            wanted = {"passkey_id": passkey_id, "owner": user_id, "new_name": shown}
            if not await tx.run(store.RENAME_PASSKEY, wanted):
                raise NotFound("You have no such passkey.")
            await self._record(tx, "passkey:rename", user_id, address, target=passkey_id, name=shown)

        await self._db.write(work)

    async def remove_passkey(
        self, user_id: str, passkey_id: str, *, address: str | None = None, when_none_is_left: Then = _nothing
    ) -> None:
        """Remove one of the person's passkeys. Raises NotFound.

        ``when_none_is_left`` is done in the same unit of work when it was the last one, which stays when that raises.
        """

        async def work(tx: Transaction) -> None:
            name = await tx.one(store.REMOVE_PASSKEY, {"passkey_id": passkey_id, "owner": user_id})
            if name is None:
                raise NotFound("You have no such passkey.")
            await self._record(tx, "passkey:remove", user_id, address, target=passkey_id, name=name)
            if not await tx.one(store.COUNT_PASSKEYS, {"user_id": user_id}):
                await when_none_is_left(tx)
            await self._drop_codes_without_factor(tx, user_id)

        await self._db.write(work)

    async def remove_own(
        self,
        user_id: str,
        *,
        app: bool,
        passkeys: bool,
        address: str | None = None,
        when_none_is_left: Then = _nothing,
    ) -> int:
        """Remove a person's authenticator app, all their passkeys, or both, and return how many those were.

        ``when_none_is_left`` is as for ``remove_passkey``, if there was a passkey. Raises NotFound when there is none
        of them.
        """

        async def work(tx: Transaction) -> int:
            removed = 0
            if app and await tx.run(store.REMOVE_TOTP, {"user_id": user_id}):
                await self._record(tx, "totp:remove", user_id, address)
                removed += 1
            owned = await tx.all(store.PASSKEYS_OF, {"user_id": user_id}) if passkeys else ()
            for one in owned:
                await tx.one(store.REMOVE_PASSKEY, {"passkey_id": one.id, "owner": user_id})
                await self._record(tx, "passkey:remove", user_id, address, target=one.id, name=one.name)
                removed += 1
            if owned:
                await when_none_is_left(tx)
            if not removed:
                raise NotFound("You have no such second factor.")
            await self._drop_codes_without_factor(tx, user_id)
            return removed

        return await self._db.write(work)

    async def remove_all(
        self,
        tx: Transaction,
        user_id: str,
        *,
        actor_id: str | None = None,
        organization_id: str | None = None,
        address: str | None = None,
    ) -> None:
        """Remove every second factor of a user who has lost them, in ``tx``. To have none is no mistake.

        ``actor_id`` is who does it, None for the operator on the server's host. Whoever calls ends the sessions.
        """
        for command in (store.REMOVE_TOTP, store.REMOVE_PASSKEYS, store.REMOVE_RECOVERY_CODES):
            await tx.run(command, {"user_id": user_id})
        await self._audit.record(
            tx,
            "second-factor:remove-all",
            actor_id=actor_id,
            organization_id=organization_id,
            target=user_id,
            address=address,
        )

    def _pending(self, user_id: str, sealed: str) -> Secret:
        secret = rules.open_pending(self._sealing, user_id, sealed, self._clock.now())
        if secret is None:
            raise FormExpired()
        return secret

    def _shown(self, secret: Secret, label: str, sealed: str) -> NewTotp:
        return NewTotp(secret, rules.totp_uri(secret, label=label, issuer=self._party.name), sealed)

    async def _replace_codes(self, tx: Transaction, user_id: str, codes: Sequence[Secret], address: str | None) -> None:
        await tx.run(store.REMOVE_RECOVERY_CODES, {"user_id": user_id})
        now = self._clock.now()
        for code in codes:
            hashed = rules.recovery_hash(self._hashing, user_id, rules.undressed(code.reveal()))
            row = {"user_id": user_id, "code_hash": hashed, "created_at": now, "used_at": None}
            await tx.run(store.INSERT_RECOVERY_CODE, row)
        await self._record(tx, "recovery-codes:make", user_id, address)

    async def _drop_codes_without_factor(self, tx: Transaction, user_id: str) -> None:
        if not await self.has_any(tx, user_id):
            await tx.run(store.REMOVE_RECOVERY_CODES, {"user_id": user_id})

    async def _record(
        self,
        tx: Transaction,
        event_type: str,
        user_id: str,
        address: str | None,
        *,
        target: str | None = None,
        **detail: str,
    ) -> None:
        await self._audit.record(tx, event_type, actor_id=user_id, target=target or user_id, address=address, **detail)


def _purpose(user_id: str) -> str:
    return f"totp/{user_id}"
