"""Device authorizations: made for a client, shown to a person, decided by one session, redeemed once (RFC 8628)."""

import asyncio
from dataclasses import dataclass

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.problems import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidGrant,
    Problem,
    RateLimited,
    SlowDown,
    Unavailable,
    retry_after,
)
from keystead.kernel.scopes import READ_SCOPES, Role, Scope, Scopes, format_scopes, parse_scopes, stored_scopes
from keystead.kernel.secrets import DEVICE_CODE_PREFIX, Secret, is_opaque, keyed_hash, new_opaque
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys
from keystead.oauth import store
from keystead.oauth.clients import Clients
from keystead.oauth.grants import Grants
from keystead.oauth.models import (
    Client,
    Decision,
    DeviceAuthorization,
    DeviceCodes,
    DeviceState,
    DeviceView,
    Grant,
    TokenSet,
)
from keystead.oauth.rules import SLOW_DOWN_STEP, PollOutcome, decide_poll, may_decide, scopes_granted
from keystead.oauth.user_codes import new_user_code
from keystead.oauth.waiting import SUBJECT, WaitingRoom
from keystead.wire.limiter import limit_key_of_address

GUESS_WINDOW = 3_600
"""Seconds over which wrong user codes are counted (promise D6)."""
_GUESS_STEP = 60
_GUESS_KEPT = GUESS_WINDOW + _GUESS_STEP
"""How long a minute's wrong codes count from its beginning: until the last of them is as old as the window is long."""
_CODE_ATTEMPTS = 5
_UNDECIDED = ("last_poll_ms", "decided_at", "decided_by", "decided_session", "organization_id", "granted_scopes")


@dataclass(frozen=True, slots=True)
class _Polled:
    outcome: PollOutcome
    grant: Grant | None = None
    interval: int = 0


_NEEDS_A_WRITE = {PollOutcome.PENDING, PollOutcome.SLOW_DOWN, PollOutcome.REDEEM}
_POLL_PROBLEMS: dict[PollOutcome, type[Problem]] = {
    PollOutcome.EXPIRED: ExpiredToken,
    PollOutcome.DENIED: AccessDenied,
    PollOutcome.PENDING: AuthorizationPending,
}


class Devices:
    """The device authorizations of this installation."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        key: bytes,
        settings: Settings,
        clients: Clients,
        grants: Grants,
        keys: Keys,
        audit: AuditLog,
        waiting: WaitingRoom,
    ) -> None:
        """``key`` hashes device codes and user codes."""
        self._db = db
        self._clock = clock
        self._key = key
        self._settings = settings
        self._clients = clients
        self._grants = grants
        self._keys = keys
        self._audit = audit
        self._waiting = waiting

    async def issue(self, client_id: str, scope: str | None, address: str) -> DeviceCodes:
        """Return fresh codes for a client (RFC 8628, section 3.2). Raises InvalidClient and InvalidScope.

        Without a scope the client asks for what only reads.
        """
        client = self._clients.read(client_id)
        scopes = (parse_scopes(scope) if scope is not None else None) or READ_SCOPES
        for _ in range(_CODE_ATTEMPTS):
            codes = await self._store_codes(client, scopes, address)
            if codes is not None:
                return codes
        raise Unavailable("No free code was found. Try again.")

    async def _store_codes(self, client: Client, scopes: Scopes, address: str) -> DeviceCodes | None:
        """Store a fresh device authorization and return its codes; None when the user code is taken."""
        now, ttl, interval = self._clock.now(), self._settings.device_code_ttl, self._settings.device_poll_interval
        device_code, user_code = new_opaque(DEVICE_CODE_PREFIX), new_user_code()
        row = {
            "id": new_id(),
            "device_code_hash": keyed_hash(self._key, device_code.reveal()),
            "user_code_hash": self._user_code_hash(user_code),
            "client_id": client.id,
            "scopes": format_scopes(scopes),
            "address": address,
            "created_at": now,
            "expires_at": now + ttl,
            "interval": interval,
            "state": DeviceState.PENDING.value,
            **dict.fromkeys(_UNDECIDED),
        }

        async def work(tx: Transaction) -> None:
            await self._clients.known(tx, client.id)  # an operator may be deleting it at this moment
            await tx.run(store.INSERT_DEVICE, row)

        try:
            await self._db.write(work)
        except UniqueViolation:
            return None
        return DeviceCodes(device_code, Secret(user_code), ttl, interval)

    # The client's side: polling

    async def redeem(self, device_code: str, client_id: str, gone: asyncio.Event) -> TokenSet:
        """Return the tokens of an approved sign-in, once; wait a little for a decision that has not been taken.

        A client that is ``gone`` while it waits redeems nothing, so the sign-in is still there when it comes back.
        Raises InvalidGrant, ExpiredToken, AccessDenied, AuthorizationPending and SlowDown (RFC 8628, section 3.5).
        """
        arrived = self._clock.now_ms()
        if not is_opaque(device_code, DEVICE_CODE_PREFIX):
            return await self._answer(_Polled(PollOutcome.UNKNOWN))
        device_hash = keyed_hash(self._key, device_code)
        found = await self._db.one(store.DEVICE_BY_CODE, {"hash": device_hash})
        outcome = decide_poll(found, client_id, arrived)
        if found is None or outcome not in _NEEDS_A_WRITE:
            return await self._answer(_Polled(outcome))
        polled = await self._poll(device_hash, client_id, arrived)
        if polled.outcome is PollOutcome.PENDING:
            await self._hold(found, device_hash, gone)
            if not gone.is_set():
                polled = await self._look_again(device_hash, client_id)
        return await self._answer(polled)

    async def _hold(self, device: DeviceAuthorization, device_hash: bytes, gone: asyncio.Event) -> None:
        """Wait until the sign-in is decided or expired, the client has gone, or the poll was held long enough.

        The place is taken before the state is read once more, so that no decision falls between the two.
        """
        seconds = min(self._settings.device_poll_hold, device.expires_at - self._clock.now_ms() / 1000)
        place = self._waiting.take(device.id) if seconds > 0 else None
        if place is None:
            return
        try:
            found = await self._db.one(store.DEVICE_BY_CODE, {"hash": device_hash})
            if found is not None and found.state == DeviceState.PENDING:
                await _first_of(place.woken, gone, seconds)
        finally:
            self._waiting.leave(place)

    async def _look_again(self, device_hash: bytes, client_id: str) -> _Polled:
        """Answer a poll that was held. Its arrival is on record, so only a redemption writes once more."""
        now_ms = self._clock.now_ms()
        found = await self._db.one(store.DEVICE_BY_CODE, {"hash": device_hash})
        outcome = decide_poll(found, client_id, now_ms)
        if outcome is PollOutcome.REDEEM:
            return await self._poll(device_hash, client_id, now_ms)
        return _Polled(PollOutcome.PENDING if outcome is PollOutcome.SLOW_DOWN else outcome)

    async def _poll(self, device_hash: bytes, client_id: str, arrived: int) -> _Polled:
        """Decide a poll and do what follows in one transaction."""

        async def work(tx: Transaction) -> _Polled:
            device = await tx.one(store.DEVICE_BY_CODE, {"hash": device_hash})
            outcome = decide_poll(device, client_id, arrived)
            if device is None:
                return _Polled(outcome)
            if outcome is PollOutcome.REDEEM:
                return await self._consume(tx, device, self._clock.now())
            if outcome in {PollOutcome.PENDING, PollOutcome.SLOW_DOWN}:
                grow = SLOW_DOWN_STEP if outcome is PollOutcome.SLOW_DOWN else 0
                await tx.run(store.RECORD_POLL, {"device_id": device.id, "now_ms": arrived, "grow": grow})
                return _Polled(outcome, interval=device.interval + grow)
            return _Polled(outcome)

        return await self._db.write(work)

    async def _consume(self, tx: Transaction, device: DeviceAuthorization, now: int) -> _Polled:
        if not await tx.run(store.CONSUME, {"device_id": device.id, "now": now}):
            return _Polled(PollOutcome.CONSUMED)
        grant = await self._grants.open(tx, device, now)
        if grant is None:
            raise AccessDenied()  # which undoes the redemption too: nothing was given for it
        await self._audit.record(
            tx,
            "grant:open",
            actor_id=grant.user_id,
            organization_id=grant.organization_id,
            target=grant.grant_id,
            address=device.address,
            client_id=device.client_id,
            scopes=grant.scopes,
        )
        return _Polled(PollOutcome.REDEEM, grant)

    async def _answer(self, polled: _Polled) -> TokenSet:
        if polled.grant is not None:
            return await self._grants.first_tokens(polled.grant)
        if polled.outcome is PollOutcome.SLOW_DOWN:
            raise SlowDown(f"You are polling too fast. Poll every {polled.interval} seconds from now on.")
        if polled.outcome is PollOutcome.CONSUMED:
            raise InvalidGrant("This device code was already used. Start a new sign-in.")
        if polled.outcome is PollOutcome.UNKNOWN:
            raise InvalidGrant("This device code is not known for this client. Start a new sign-in.")
        raise _POLL_PROBLEMS[polled.outcome]()

    # The person's side: looking at a code and deciding

    async def look_up(self, user_code: str, user_id: str, address: str) -> DeviceView | None:
        """Return the sign-in behind a canonical user code, or None, which counts as a wrong guess (promise D6).

        Raises RateLimited when the account or the address guessed wrong too often within the hour, even for a right
        code: a success clears nothing.
        """

        async def work(tx: Transaction) -> DeviceAuthorization | RateLimited | None:
            now = self._clock.now()
            limits = {
                f"account:{user_id}": self._settings.limit_wrong_codes,
                f"address:{limit_key_of_address(address)}": self._settings.limit_wrong_codes_address,
            }
            for subject, most in limits.items():
                guesses = await tx.one(store.GUESSES, {"subject": subject, "since": now - _GUESS_KEPT})
                if guesses is not None and guesses.oldest is not None and guesses.tried >= most:
                    wait = guesses.oldest + _GUESS_KEPT - now
                    return RateLimited("Too many wrong codes. Wait before you try another.", headers=retry_after(wait))
            device = await tx.one(store.DEVICE_BY_USER_CODE, {"hash": self._user_code_hash(user_code)})
            if device is None:
                minute = now - now % _GUESS_STEP
                for subject in limits:
                    row = {"subject": subject, "window_start": minute, "expires_at": minute + _GUESS_KEPT}
                    await tx.run(store.COUNT_GUESS, row)
            return device

        found = await self._db.write(work)
        if isinstance(found, RateLimited):
            raise found
        if found is None:
            return None
        return DeviceView(found, self._clients.read(found.client_id), user_code, stored_scopes(found.scopes))

    async def decide(self, view: DeviceView, decision: Decision, role: Role, organization: str) -> bool:
        """Approve or refuse a sign-in; False when it can no longer be decided: expired, or somebody was quicker.

        Approving fixes the organization and the scopes (D12), keeps the client, and makes the app that the client's API
        keys will belong to. Raises Forbidden when the person's role allows nothing of what was asked for.
        """
        device, now = view.authorization, self._clock.now()
        if not may_decide(device, now):
            return False
        granted = scopes_granted(view.scopes, role, organization) if decision.approve else frozenset()
        values = {
            "device_id": device.id,
            "now": now,
            "decided_state": (DeviceState.APPROVED if decision.approve else DeviceState.DENIED).value,
            "user_id": decision.user_id,
            "session_id": decision.session_id,
            "organization": decision.organization_id if decision.approve else None,
            "granted": format_scopes(granted) if decision.approve else None,
        }

        async def work(tx: Transaction) -> bool:
            if not await tx.run(store.DECIDE, values):
                return False
            if decision.approve:
                await self._clients.keep(tx, view.client, now)
                if Scope.KEYS_CREATE in granted:
                    await self._keys.ensure_app(tx, decision.organization_id, app_name(view.client), decision.user_id)
            await self._audit.record(
                tx,
                "device:approve" if decision.approve else "device:refuse",
                actor_id=decision.user_id,
                organization_id=decision.organization_id or None,
                target=device.id,
                address=decision.address,
                client_id=device.client_id,
                scopes=format_scopes(granted),
            )
            await tx.announce(SUBJECT + device.id)
            return True

        decided = await self._db.write(work)
        await self._db.changes()
        return decided

    def _user_code_hash(self, user_code: str) -> bytes:
        return keyed_hash(self._key, "user-code:" + user_code)


async def _first_of(woken: asyncio.Event, gone: asyncio.Event, seconds: float) -> None:
    """Wait until either is set, at most for so long."""
    waits = [asyncio.ensure_future(woken.wait()), asyncio.ensure_future(gone.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def app_name(client: Client) -> str:
    """Return the name of the app that a client's API keys belong to; ``parallel-cli`` looks for exactly this."""
    return f"{client.name} Users"
