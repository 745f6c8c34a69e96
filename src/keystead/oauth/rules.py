"""What may happen to a device authorization and to a grant: pure decisions over values and the time.

Both are explicit state machines. A decision says what to do; the service does it in one conditional statement, so that
a second process that decided the same at the same moment finds nothing left to do.
"""

from enum import Enum
from typing import Final

from keystead.kernel.problems import Forbidden
from keystead.kernel.scopes import Role, Scopes, grantable
from keystead.oauth.models import DeviceAuthorization, DeviceState, Grant, PolledDevice

SLOW_DOWN_STEP: Final = 5
"""Seconds by which the interval grows with each ``slow_down`` (RFC 8628, section 3.5)."""
FIRST_GENERATION: Final = 1
"""The generation of the refresh token that a sign-in begins with."""
POLL_TOLERANCE_MS: Final = 100
"""How much earlier than its interval a poll may come: timers and clocks are not exact."""


class PollOutcome(Enum):
    """What a poll with a device code gets (RFC 8628, section 3.5)."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    DENIED = "denied"
    CONSUMED = "consumed"
    REDEEM = "redeem"
    PENDING = "pending"
    SLOW_DOWN = "slow_down"


def decide_poll(
    found: PolledDevice | None, client_id: str, now_ms: int, last_poll_ms: int | None = None
) -> PollOutcome:
    """Return what a poll gets. A decided code is answered with its result however early the poll comes (D1).

    ``last_poll_ms`` is an arrival that is not stored yet. A code of another client is as unknown as one that never was
    (RFC 6749, section 5.2).
    """
    if found is None or found.client_id != client_id:
        return PollOutcome.UNKNOWN
    state = found.state
    if state == DeviceState.CONSUMED:
        return PollOutcome.CONSUMED
    if now_ms >= found.expires_at * 1000:
        return PollOutcome.EXPIRED
    if state == DeviceState.DENIED:
        return PollOutcome.DENIED
    if state == DeviceState.APPROVED:
        return PollOutcome.REDEEM
    return PollOutcome.SLOW_DOWN if too_early(found, now_ms, last_poll_ms) else PollOutcome.PENDING


def too_early(found: PolledDevice, now_ms: int, last_poll_ms: int | None = None) -> bool:
    """Tell whether a poll came before its interval, measured from one arrival to the next. The first may come at once.

    The last arrival is the later one of what is stored and ``last_poll_ms``. A clock that went backwards punishes
    nobody.
    """
    stored = found.last_poll_ms
    last = stored if last_poll_ms is None or (stored is not None and stored > last_poll_ms) else last_poll_ms
    if last is None:
        return False
    passed = now_ms - last
    return 0 <= passed < found.interval * 1000 - POLL_TOLERANCE_MS


def may_decide(found: DeviceAuthorization, now: int) -> bool:
    """Tell whether a person can still approve or refuse this sign-in."""
    return found.state == DeviceState.PENDING and now < found.expires_at


def scopes_granted(requested: Scopes, role: Role, organization: str) -> Scopes:
    """Return what an approval grants. Raises Forbidden when the person's role allows none of what was asked for."""
    granted = grantable(requested, role)
    if not granted:
        raise Forbidden(
            f"Your role in {organization} allows none of what this sign-in asks for. Choose another organization."
        )
    return granted


class RefreshOutcome(Enum):
    """What a presented refresh token leads to."""

    ENDED = "ended"
    EXPIRED = "expired"
    ROTATE = "rotate"
    REPLAY = "replay"
    REUSE = "reuse"


def decide_refresh(grant: Grant, generation: int, now: int, *, replay_ttl: int, race_ttl: int) -> RefreshOutcome:
    """Return what the grant's token of this generation leads to (promises R2, R3, R5; RFC 9700, section 4.14.2).

    The newest token rotates. The one before it gives its successor again while that is unused, for a client that lost
    the answer. The one before that does so for ``race_ttl`` seconds after its successor's first use, for a process that
    was slow. Any other spent token was copied: the grant ends. A grant that has ended makes no alarm, and once its
    newest token has expired none of the older ones leads anywhere.
    """
    if grant.ended_at is not None:
        return RefreshOutcome.ENDED
    if now >= min(grant.refresh_expires_at, grant.expires_at):
        return RefreshOutcome.EXPIRED
    behind = grant.generation - generation
    if behind == 0:
        return RefreshOutcome.ROTATE
    window = {1: replay_ttl, 2: race_ttl}.get(behind, 0)
    if behind > 0 and window and now <= grant.rotated_at + window:
        return RefreshOutcome.REPLAY
    return RefreshOutcome.REUSE
