"""Device authorizations: made for a client, shown to a person, decided by one session, redeemed once (RFC 8628)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.problems import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidClient,
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
from keystead.oauth.arrivals import Arrivals
from keystead.oauth.clients import DELETED, Clients
from keystead.oauth.grants import Grants
from keystead.oauth.models import (
    Client,
    Decision,
    DeviceAuthorization,
    DeviceCodes,
    DeviceState,
    DeviceView,
    Grant,
    PolledDevice,
    Standing,
    TokenSet,
)
from keystead.oauth.rules import SLOW_DOWN_STEP, PollOutcome, decide_poll, may_decide, scopes_granted
from keystead.oauth.user_codes import new_user_code
from keystead.oauth.waiting import SUBJECT, Place, UntilGone, WaitingRoom, is_there
from keystead.wire.limiter import limit_key_of_address

GUESS_WINDOW = 3_600
"""Seconds over which wrong user codes are counted (promise D6)."""
_GUESS_STEP = 60
_GUESS_KEPT = GUESS_WINDOW + _GUESS_STEP
"""How long a minute's wrong codes count from its beginning: until the last of them is as old as the window is long."""
_CODE_ATTEMPTS = 5
_AT_ONCE = 64
"""Most polls that look again, or redeem, at the same time: thousands may be woken by one change."""
_LONGEST_TURN = 10
"""Seconds for which one of them waits for its turn."""
LONGEST_HOLD = 25
"""Seconds for which a poll is held at most, whatever its client prefers: proxies give up after 30 and more."""
_UNDECIDED = {PollOutcome.PENDING, PollOutcome.SLOW_DOWN}
_USED = "This device code was already used. Start a new sign-in."
_PROBLEMS: dict[PollOutcome, tuple[type[Problem], str]] = {
    PollOutcome.PENDING: (AuthorizationPending, ""),
    PollOutcome.SLOW_DOWN: (AuthorizationPending, ""),
    PollOutcome.EXPIRED: (ExpiredToken, ""),
    PollOutcome.DENIED: (AccessDenied, ""),
    PollOutcome.CONSUMED: (InvalidGrant, _USED),
    PollOutcome.REDEEM: (InvalidGrant, _USED),
    PollOutcome.UNKNOWN: (InvalidGrant, "This device code is not known for this client. Start a new sign-in."),
}
"""What a poll is told that gives no tokens and does not come too early for its first answer."""


@dataclass(frozen=True, slots=True)
class _Poll:
    """A poll: for which code, by which client, and when it arrived, in Unix milliseconds."""

    device_hash: bytes
    client_id: str
    arrived: int


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
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self.arrivals = Arrivals(db, clock)

    async def issue(self, client_id: str, scope: str | None, address: str) -> DeviceCodes:
        """Return fresh codes for a client (RFC 8628, section 3.2). Raises InvalidClient and InvalidScope.

        Without a scope the client asks for what only reads.
        """
        standing = self._clients.standing(client_id)
        scopes = (parse_scopes(scope) if scope is not None else None) or READ_SCOPES
        for _ in range(_CODE_ATTEMPTS):
            codes = await self._store_codes(standing, scopes, address)
            if codes is not None:
                return codes
        raise Unavailable("No free code was found. Try again.")

    async def _store_codes(self, standing: Standing, scopes: Scopes, address: str) -> DeviceCodes | None:
        """Store a fresh device authorization and return its codes; None when the user code is taken."""
        now, ttl, interval = self._clock.now(), self._settings.device_code_ttl, self._settings.device_poll_interval
        device_code, user_code = new_opaque(DEVICE_CODE_PREFIX), new_user_code()
        row = {
            "new_id": new_id(),
            "new_device_code_hash": keyed_hash(self._key, device_code.reveal()),
            "new_user_code_hash": self._user_code_hash(user_code),
            "new_client_id": standing.client.id,
            "new_scopes": format_scopes(scopes),
            "new_address": address,
            "new_created_at": now,
            "new_expires_at": now + ttl,
            "new_interval": interval,
            "new_state": DeviceState.PENDING.value,
        }
        known = {"fingerprint": standing.fingerprint, "generation": standing.generation}
        try:
            if not await self._db.run(store.ISSUE_DEVICE, row | known):
                raise InvalidClient(DELETED)
        except UniqueViolation:
            return None
        return DeviceCodes(device_code, Secret(user_code), ttl, interval)

    # The client's side: polling

    async def redeem(
        self, device_code: str, client_id: str, until_gone: UntilGone, *, wait: int | None = None
    ) -> TokenSet:
        """Return the tokens of an approved sign-in, once; wait a little for a decision that has not been taken.

        The client may prefer to ``wait`` for some other time, in seconds. One that has gone while it waits redeems
        nothing, so the sign-in is still there when it comes back. Raises InvalidGrant, ExpiredToken, AccessDenied,
        AuthorizationPending and SlowDown (RFC 8628, section 3.5).
        """
        if not is_opaque(device_code, DEVICE_CODE_PREFIX):
            raise _problem(PollOutcome.UNKNOWN)
        poll = _Poll(keyed_hash(self._key, device_code), client_id, self._clock.now_ms())
        del device_code  # thousands of polls may be held: each keeps as little as possible
        found = await self._first_look(poll, wait, until_gone)
        if isinstance(found, TokenSet):
            return found
        try:
            there = await found.wait(until_gone)
        finally:
            self._waiting.leave(found)
        if not there:
            raise AuthorizationPending()
        return await self._look_again(poll, until_gone)

    async def _first_look(self, poll: _Poll, wait: int | None, until_gone: UntilGone) -> TokenSet | Place:
        """Answer a poll, unless it is to be held: then take a place for it."""
        # What is heard, or written, while the row is on its way may not be in it.
        heard, last = self._waiting.heard, self.arrivals.last(poll.device_hash)
        found = await self._read(poll)
        outcome = decide_poll(found, poll.client_id, poll.arrived, self.arrivals.last(poll.device_hash) or last)
        if found is None or outcome not in _UNDECIDED:
            return await self._result(poll, outcome, found, until_gone)
        if outcome is PollOutcome.SLOW_DOWN:
            return await self._slow_down(poll, found, until_gone)
        self.arrivals.note(poll.device_hash, found.id, poll.arrived)
        seconds = self._longest_hold(found, wait)
        place = self._waiting.take(found.id, seconds) if seconds > 0 else None
        if place is None:
            raise AuthorizationPending()
        if self._waiting.heard != heard:
            await self._check(poll, place)
        return place

    async def _check(self, poll: _Poll, place: Place) -> None:
        """Wake a place whose code was decided before the place was taken, so that no decision is missed."""
        try:
            found = await self._read(poll)
        except BaseException:
            self._waiting.leave(place)
            raise
        if found is None or found.state != DeviceState.PENDING:
            place.wake()

    async def _read(self, poll: _Poll) -> PolledDevice | None:
        return await self._db.one(store.POLLED_DEVICE, {"hash": poll.device_hash})

    def _longest_hold(self, device: PolledDevice, wait: int | None) -> float:
        """Return for how many seconds a poll may be held; 0 in the settings is an operator's no to all of them."""
        most = self._settings.device_poll_hold
        if not most:
            return 0
        if wait is not None:
            most = min(wait, LONGEST_HOLD)
        return min(most, device.expires_at - self._clock.now_ms() / 1000)

    async def _slow_down(self, poll: _Poll, device: PolledDevice, until_gone: UntilGone) -> TokenSet:
        """Make the interval longer, for good and for every process, and say so; unless the code was just decided."""
        grown = {"device_id": device.id, "now_ms": poll.arrived, "now": self._clock.now(), "grow": SLOW_DOWN_STEP}
        with self.arrivals.written_at_once(poll.device_hash, device.id, poll.arrived):
            grew = await self._db.run(store.GROW_INTERVAL, grown)
        found = await self._read(poll)
        if grew:
            interval = device.interval + SLOW_DOWN_STEP if found is None else found.interval
            raise SlowDown(f"You are polling too fast. Poll every {interval} seconds from now on.")
        return await self._result(poll, decide_poll(found, poll.client_id, self._clock.now_ms()), found, until_gone)

    async def _look_again(self, poll: _Poll, until_gone: UntilGone) -> TokenSet:
        """Answer a poll that was held: its code may be decided or expired now. Its arrival is on record."""
        async with self._in_turn():
            found = await self._read(poll)
            outcome = decide_poll(found, poll.client_id, self._clock.now_ms())
            if found is None or outcome is not PollOutcome.REDEEM:
                raise _problem(outcome)
            grant = await self._redeem(found.id, until_gone)
        return await self._tokens(poll, grant)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Let some ask the database while the others wait. Who waits for too long is asked to poll again."""
        try:
            async with asyncio.timeout(_LONGEST_TURN if self._turn.locked() else None):
                await self._turn.acquire()
        except TimeoutError:
            raise AuthorizationPending() from None
        try:
            yield
        finally:
            self._turn.release()

    async def _result(
        self, poll: _Poll, outcome: PollOutcome, device: PolledDevice | None, until_gone: UntilGone
    ) -> TokenSet:
        """Redeem an approved sign-in, and tell of any other by its problem."""
        if device is None or outcome is not PollOutcome.REDEEM:
            raise _problem(outcome)
        async with self._in_turn():
            grant = await self._redeem(device.id, until_gone)
        return await self._tokens(poll, grant)

    async def _tokens(self, poll: _Poll, grant: Grant | None) -> TokenSet:
        if grant is None:  # somebody else was quicker, or it was taken away
            raise _problem(decide_poll(await self._read(poll), poll.client_id, self._clock.now_ms()))
        return await self._grants.first_tokens(grant)

    async def _redeem(self, device_id: str, until_gone: UntilGone) -> Grant | None:
        """Open the grant of an approved sign-in, once; None when there is nothing left to redeem."""
        if not await is_there(until_gone):
            raise AuthorizationPending()  # to nobody; the sign-in is still there when the client comes back
        now = self._clock.now()

        async def work(tx: Transaction) -> Grant | None:
            device = await tx.one(store.CONSUME, {"device_id": device_id, "now": now})
            if device is None:
                return None
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
            return grant

        return await self._db.write(work)

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
        """Approve or refuse a sign-in; False when it can no longer be decided: expired, decided, or its client deleted.

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
            if decision.approve and not await self._clients.is_known(tx, device.client_id):
                # Deleted by an operator while this sign-in was being stored or looked at.
                await tx.run(store.FORGET_DEVICES_OF_CLIENT, {"client": device.client_id})
                return False
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


def _problem(outcome: PollOutcome) -> Problem:
    """Return what a poll that gives no tokens is told."""
    kind, detail = _PROBLEMS[outcome]
    return kind(detail) if detail else kind()


def app_name(client: Client) -> str:
    """Return the name of the app that a client's API keys belong to; ``parallel-cli`` looks for exactly this."""
    return f"{client.name} Users"
