"""How a session begins, whatever led to it: a fresh id and secret, a row, the end of the one before."""

import secrets
from typing import Final

from keystead.audit.service import AuditLog
from keystead.db import Transaction
from keystead.db.installation import Keys
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.secrets import SESSION_PREFIX, Secret, keyed_hash, new_opaque
from keystead.kernel.settings import Settings
from keystead.sessions import rules, store
from keystead.sessions.models import Device, Fresh, KeptSession, Person, SignedIn, Visit

_NOBODY_ELSE: Final = {"impersonator_id": None, "impersonator_session": None, "impersonation_reason": None}


class Beginnings:
    """Begins sessions, within the transaction of what they rest on. Only a hash of the secret is stored (K13)."""

    def __init__(self, *, clock: Clock, keys: Keys, settings: Settings, audit: AuditLog) -> None:
        """Sessions last for ``settings.session_ttl`` at most."""
        self._clock = clock
        self._keys = keys
        self._lifetime = settings.session_ttl
        self._audit = audit

    def fresh(self) -> Fresh:
        """Return what is random about a session, drawn outside the transaction, which may run twice."""
        return Fresh(new_id(), new_opaque(SESSION_PREFIX), secrets.token_hex(16))

    def hash(self, text: str) -> bytes:
        """Return what is stored of a session's secret."""
        return keyed_hash(self._keys.credentials, text)

    def device(self, cookie: str | None) -> Device | None:
        """Return the device that a cookie names, whoever has signed in on it."""
        return rules.read_device(self._keys.devices, cookie, self._clock.now())

    def known_device(self, cookie: str | None, user_id: str | None) -> Device | None:
        """Return the device that a cookie names when it is one of this user's, else None."""
        return rules.known_device(self._keys.devices, cookie, user_id, self._clock.now())

    async def begin(
        self,
        tx: Transaction,
        fresh: Fresh,
        user_id: str,
        organization_id: str,
        visit: Visit,
        *,
        factor: str | None = None,
        password: bool = True,
    ) -> SignedIn:
        """Begin a session, and end the one that the browser had (W2).

        ``factor`` is the second factor that was used, ``password`` whether a password was.
        """
        detail: dict[str, str | bool] = {} if password else {"password": False}
        now = self._clock.now()
        if visit.previous is not None:
            await self._end_previous(tx, visit.previous)
        await tx.run(
            store.INSERT,
            {
                "id": fresh.session_id,
                "secret_hash": self.hash(fresh.secret.reveal()),
                "user_id": user_id,
                "organization_id": organization_id,
                "created_at": now,
                "last_used_at": now,
                "expires_at": now + self._lifetime,
                "address": visit.address,
                "user_agent": rules.shown_user_agent(visit.user_agent),
                "second_factor": int(factor is not None),
                "password": int(password),
                **_NOBODY_ELSE,
            },
        )
        device = self.known_device(visit.device_cookie, user_id)
        if factor is not None:
            detail["second_factor"] = factor
        await self._audit.record(
            tx,
            "session:create",
            actor_id=user_id,
            organization_id=organization_id,
            target=fresh.session_id,
            address=visit.address,
            known_device=device is not None,
            **detail,
        )
        return self._signed_in(fresh, user_id, device)

    async def replace(
        self,
        tx: Transaction,
        fresh: Fresh,
        old: KeptSession,
        *,
        organization_id: str,
        address: str,
        device_cookie: str | None,
        lasts_longer: bool,
        because: str,
        no_later_than: int | None = None,
    ) -> SignedIn:
        """Put a session in the place of one that was just ended: the same person, browser and factors, a new secret.

        It ends when the old one would have ended, unless the person has proven anew who they are (``lasts_longer``);
        ``no_later_than``, in Unix seconds, holds even then.
        """
        now = self._clock.now()
        ends = now + self._lifetime if lasts_longer else old.expires_at
        await tx.run(
            store.INSERT,
            {
                "id": fresh.session_id,
                "secret_hash": self.hash(fresh.secret.reveal()),
                "user_id": old.user_id,
                "organization_id": organization_id,
                "created_at": now if lasts_longer else old.created_at,
                "last_used_at": now,
                "expires_at": ends if no_later_than is None else min(ends, no_later_than),
                "address": address or old.address,
                "user_agent": old.user_agent,
                "second_factor": old.second_factor,
                "password": old.password,
                **_NOBODY_ELSE,
            },
        )
        await self._audit.record(
            tx,
            "session:create",
            actor_id=old.user_id,
            organization_id=organization_id,
            target=fresh.session_id,
            address=address or None,
            because=because,
        )
        return self._signed_in(fresh, old.user_id, self.known_device(device_cookie, old.user_id))

    async def act_as(
        self,
        tx: Transaction,
        fresh: Fresh,
        parked: KeptSession,
        person: Person,
        *,
        address: str,
        user_agent: str,
        reason: str,
    ) -> int:
        """Begin a session that acts as somebody, from an operator's own one, and return when it ends in Unix seconds.

        It proves no more than the operator's does and ends no later, nor later than ``LONGEST_ACT`` from now. The
        operator's browser does not become a known device of the person's.
        """
        now = self._clock.now()
        ends = min(parked.expires_at, now + rules.LONGEST_ACT)
        await tx.run(
            store.INSERT,
            {
                "id": fresh.session_id,
                "secret_hash": self.hash(fresh.secret.reveal()),
                "user_id": person.user_id,
                "organization_id": person.organization_id,
                "created_at": now,
                "last_used_at": now,
                "expires_at": ends,
                "address": address,
                "user_agent": rules.shown_user_agent(user_agent),
                "second_factor": parked.second_factor,
                "password": parked.password,
                "impersonator_id": parked.user_id,
                "impersonator_session": parked.id,
                "impersonation_reason": reason,
            },
        )
        return ends

    def _signed_in(self, fresh: Fresh, user_id: str, device: Device | None) -> SignedIn:
        device_id = fresh.device_id if device is None else device.device_id
        cookie = rules.device_cookie(self._keys.devices, Device(user_id, device_id, self._clock.now()))
        return SignedIn(fresh.session_id, fresh.secret, cookie)

    async def _end_previous(self, tx: Transaction, previous: Secret) -> None:
        ended = await tx.one(store.END_BY_HASH, {"secret_hash": self.hash(previous.reveal())})
        if ended is not None:
            await tx.announce(f"credential:{ended.id}")
