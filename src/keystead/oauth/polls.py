"""Polls: a client asks again and again whether the person has decided, and redeems an approved sign-in (RFC 8628).

A poll goes by what the database says at that moment and by nothing that is remembered of a code, so a decision, an
expiry and a longer interval are seen at once, whoever wrote them. What is remembered is how a request was read: a
client sends the same words with each poll (docs/decisions/polls.md).
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

from keystead.db import Database
from keystead.kernel.clock import Clock
from keystead.kernel.problems import (
    AccessDenied,
    ExpiredToken,
    InvalidGrant,
    Problem,
    SlowDown,
)
from keystead.kernel.secrets import DEVICE_CODE_PREFIX, is_opaque, keyed_hash
from keystead.kernel.settings import Settings
from keystead.oauth import store
from keystead.oauth.arrivals import Arrivals
from keystead.oauth.grants import Grants
from keystead.oauth.models import AccessTokenKind, DeviceState, Grant, Poll, PolledDevice, TokenSet
from keystead.oauth.redeeming import Redeeming
from keystead.oauth.rules import SLOW_DOWN_STEP, PollOutcome, decide_poll
from keystead.oauth.waiting import Place, UntilGone, WaitingRoom

LONGEST_HOLD: Final = 25
"""Seconds for which a poll is held at most, whatever its client prefers: proxies give up after 30 and more."""
MOST_SIGHTS: Final = 50_000
"""Most requests that are known by sight, with about 350 bytes each; beyond, the oldest is read anew."""
_SIGHT_BYTES: Final = 32
_USED: Final = "This device code was already used. Start a new sign-in."
_PROBLEMS: Final[dict[PollOutcome, tuple[type[Problem], str]]] = {
    PollOutcome.EXPIRED: (ExpiredToken, ""),
    PollOutcome.DENIED: (AccessDenied, ""),
    PollOutcome.CONSUMED: (InvalidGrant, _USED),
    PollOutcome.REDEEM: (InvalidGrant, _USED),
    PollOutcome.UNKNOWN: (InvalidGrant, "This device code is not known for this client. Start a new sign-in."),
}
"""What a poll is told that gives no tokens and has nothing to wait for."""


class Sights:
    """Requests whose words were read before, by their keyed hash: the same words ask the same thing.

    Nothing here can be out of date, because nothing here says how a code stands.
    """

    def __init__(self, key: bytes, most: int = MOST_SIGHTS) -> None:
        """``key`` hashes requests, which hold device codes."""
        self._keyed = blake2b(b"poll:", key=key, digest_size=_SIGHT_BYTES)
        self._most = most
        self._polls: OrderedDict[bytes, Poll] = OrderedDict()

    def __len__(self) -> int:
        return len(self._polls)

    def of(self, content_type: bytes, body: bytes) -> bytes:
        """Return by what a request is known: its whole body, and as what it was sent."""
        keyed = self._keyed.copy()
        keyed.update(b"%b\n%b" % (content_type, body))  # no header field holds a line's end
        return keyed.digest()

    def recall(self, sight: bytes) -> Poll | None:
        """Return what a request asks that came before in the same words."""
        return self._polls.get(sight)

    def keep(self, sight: bytes, poll: Poll) -> None:
        """Know a request from now on."""
        if sight not in self._polls:
            if len(self._polls) >= self._most:
                self._polls.popitem(last=False)
            self._polls[sight] = poll


class Polls:
    """The client's side of device authorizations."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        key: bytes,
        settings: Settings,
        grants: Grants,
        waiting: WaitingRoom,
    ) -> None:
        """``key`` hashes device codes."""
        self._db = db
        self._clock = clock
        self._key = key
        self._settings = settings
        self._grants = grants
        self._waiting = waiting
        self.sights = Sights(key)
        self.arrivals = Arrivals(db, clock)
        self.redeeming = Redeeming(db=db, clock=clock, grants=grants)

    def read(self, device_code: str, client_id: str) -> Poll:
        """Return what a poll asks. Raises InvalidGrant for what is no device code."""
        if not is_opaque(device_code, DEVICE_CODE_PREFIX):
            raise _problem(PollOutcome.UNKNOWN)
        return Poll(keyed_hash(self._key, device_code), client_id)

    async def answer(
        self,
        poll: Poll,
        until_gone: UntilGone,
        *,
        wait: int | None = None,
        sight: bytes | None = None,
        kind: AccessTokenKind = AccessTokenKind.JWT,
    ) -> TokenSet | None:
        """Return the tokens of an approved sign-in, once; wait a little for a decision that has not been taken.

        None when the client is to go on polling. It may prefer to ``wait`` for some other time, in seconds. One that
        has gone while it waits redeems nothing, so the sign-in is still there when it comes back. Raises InvalidGrant,
        ExpiredToken, AccessDenied and SlowDown (RFC 8628, section 3.5).
        """
        arrived = self._clock.now_ms()
        # What is heard, or written, while the row is on its way may not be in it.
        heard, last = self._waiting.heard, self.arrivals.last(poll.device_hash)
        found = await self._db.one(store.POLLED_DEVICE, {"hash": poll.device_hash})
        outcome = decide_poll(found, poll.client_id, arrived, self.arrivals.last(poll.device_hash) or last)
        if found is None or outcome is not PollOutcome.PENDING:
            return await self._told_at_once(poll, outcome, found, arrived, until_gone, kind=kind)
        self.arrivals.note(poll.device_hash, found.id, arrived)
        seconds = self._longest_hold(found, wait)
        place = self._waiting.take(found.id, seconds) if seconds > 0 else None
        if place is None:
            if sight is not None:
                self.sights.keep(sight, poll)
            return None
        del found  # thousands of polls may be held: each keeps as little as possible
        try:
            if self._waiting.heard != heard:
                await self._check(poll, place)
            there = await place.wait(until_gone)
        finally:
            self._waiting.leave(place)
        if not there:
            return None
        return await self._look_again(poll, place.device_id, until_gone, kind)

    async def _check(self, poll: Poll, place: Place) -> None:
        """Wake a place whose code was decided before the place was taken, so that no decision is missed."""
        found = await self._read(poll)
        if found is None or found.state != DeviceState.PENDING:
            place.wake()

    async def _read(self, poll: Poll) -> PolledDevice | None:
        return await self._db.one(store.POLLED_DEVICE, {"hash": poll.device_hash})

    def _longest_hold(self, device: PolledDevice, wait: int | None) -> float:
        """Return for how many seconds a poll may be held; 0 in the settings is an operator's no to all of them."""
        most = self._settings.device_poll_hold
        if not most:
            return 0
        if wait is not None:
            most = min(wait, LONGEST_HOLD)
        return min(most, device.expires_at - self._clock.now_ms() / 1000)

    async def _told_at_once(
        self,
        poll: Poll,
        outcome: PollOutcome,
        device: PolledDevice | None,
        arrived: int,
        until_gone: UntilGone,
        *,
        kind: AccessTokenKind,
    ) -> TokenSet | None:
        """Answer a poll that is not pending: slow it down, redeem it, or tell of its problem."""
        if device is None:
            raise _problem(outcome)
        if outcome is PollOutcome.SLOW_DOWN:
            device = await self._slow_down(poll, device, arrived)
            outcome = decide_poll(device, poll.client_id, self._clock.now_ms())
        if device is None or outcome is not PollOutcome.REDEEM:
            _undecided(outcome)
            return None
        return await self._tokens(poll, await self.redeeming.redeem(device.id, until_gone), kind)

    async def _slow_down(self, poll: Poll, device: PolledDevice, arrived: int) -> PolledDevice | None:
        """Make the interval longer, for good and for every process, and say so. Raises SlowDown.

        Unless the code was just decided: then return how it stands.
        """
        grown = {"device_id": device.id, "now_ms": arrived, "now": self._clock.now(), "grow": SLOW_DOWN_STEP}
        with self.arrivals.written_at_once(poll.device_hash, device.id, arrived):
            grew = await self._db.run(store.GROW_INTERVAL, grown)
        found = await self._read(poll)
        if grew:
            interval = device.interval + SLOW_DOWN_STEP if found is None else found.interval
            raise SlowDown(f"You are polling too fast. Poll every {interval} seconds from now on.")
        return found

    async def _look_again(
        self, poll: Poll, device_id: str, until_gone: UntilGone, kind: AccessTokenKind
    ) -> TokenSet | None:
        """Answer a poll that was held: its code may be decided or expired now. Its arrival is on record."""
        found = await self.redeeming.look_and_redeem(device_id, poll.client_id, until_gone)
        return await self._tokens(poll, found, kind)

    async def _tokens(self, poll: Poll, found: Grant | PollOutcome | None, kind: AccessTokenKind) -> TokenSet | None:
        if isinstance(found, PollOutcome):
            _undecided(found)
            return None
        if found is None:  # somebody else was quicker, or it was taken away
            _undecided(decide_poll(await self._read(poll), poll.client_id, self._clock.now_ms()))
            return None
        return await self._grants.first_tokens(found, kind)


def _undecided(outcome: PollOutcome) -> None:
    """Raise the problem that a poll is told, unless its client is to go on polling."""
    if outcome not in {PollOutcome.PENDING, PollOutcome.SLOW_DOWN}:
        raise _problem(outcome)


def _problem(outcome: PollOutcome) -> Problem:
    """Return what a poll that gives no tokens is told."""
    kind, detail = _PROBLEMS[outcome]
    return kind(detail) if detail else kind()
