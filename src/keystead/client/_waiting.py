"""Waiting for a person to decide: how often to poll, for how long, and what each answer means (RFC 8628, section 3.5).

Times are by the monotonic clock, which nobody sets.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keystead.client._answers import Foreign, foreign, refusal, speaks_oauth
from keystead.client._calls import DEFAULT_POLICY
from keystead.client._errors import ApiError, NetworkError, RateLimited, ServerUnavailable, SignInExpired
from keystead.client._http import TIMEOUT
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._oauth import polling, token_set
from keystead.client._retry import RetryPolicy
from keystead.client._steps import Conversation, ask, pause

LONGEST_HOLD: Final = 25
"""Seconds for which the server may hold a poll: proxies give up after 30 and more (docs/decisions/held-polls.md)."""
SLOW_DOWN_STEP: Final = 5.0
"""Seconds by which the interval grows with each ``slow_down`` (RFC 8628, section 3.5)."""
_A_WHILE: Final = 60.0


class Waiting(StrEnum):
    """What happened while a sign-in waits."""

    PENDING = "pending"
    """The person has not decided yet."""
    SLOW_DOWN = "slow_down"
    """The server wants to be asked less often; the interval has grown."""
    UNREACHABLE = "unreachable"
    """The server could not be asked. The sign-in goes on as soon as it can."""


OnWaiting = Callable[[Waiting, float], None]
"""Told after each poll that decided nothing: what happened, and how many seconds are left."""


@dataclass
class Wait:
    """Where a wait stands: the interval, when the code runs out, for how long polls are held.

    ``exact`` tells that this process asked for the code. Otherwise the deadline rests on a clock that may have been set
    since, and the server's word outweighs it. ``policy`` says how fast pauses grow while the server cannot be asked.
    """

    interval: float
    deadline: float
    exact: bool
    policy: RetryPolicy = DEFAULT_POLICY
    hold: int = LONGEST_HOLD
    failures: int = 0

    def left(self) -> float:
        """Return how many seconds are left."""
        return self.deadline - time.monotonic()

    def next_hold(self) -> int:
        """Return for how many seconds the next poll may be held."""
        return max(0, min(self.hold, int(self.left())))

    def after_refusal(self, error: ApiError, took: float) -> tuple[Waiting, float]:
        """Return what a poll without tokens means, and for how long to pause. Raises the error when it is final.

        A poll that was held for longer than the interval may be followed by another at once: the interval counts from
        one arrival to the next. A shorter one is followed by a whole interval, because nobody knows when it arrived.
        """
        self.failures = 0
        if not self.exact:
            self.deadline = max(self.deadline, time.monotonic() + _A_WHILE)
        if error.code == "authorization_pending":
            return Waiting.PENDING, 0.0 if took > self.interval + 1.0 else self.interval
        if error.code == "slow_down":
            self.interval += SLOW_DOWN_STEP
            return Waiting.SLOW_DOWN, self.interval
        if isinstance(error, RateLimited):
            return Waiting.SLOW_DOWN, max(error.retry_after, self.interval)
        if error.code == "invalid_client":
            raise SignInExpired("The server no longer knows the client that asked for this code.") from error
        raise error

    def after_failure(self, error: NetworkError, took: float) -> tuple[Waiting, float]:
        """Return for how long to pause after a poll that could not be made, or whose answer did not come.

        When answers do not come, a proxy may have given up on them: the next poll is held for half as long.
        """
        self.failures += 1
        if took > 2.0:
            self.hold //= 2
        asked = error.retry_after if isinstance(error, ServerUnavailable) else None
        chance = random.random()  # noqa: S311 - it spreads requests, and guards nothing
        return Waiting.UNREACHABLE, max(asked or 0.0, min(self.interval, 1.0)) + self.policy.backoff(
            self.failures, chance
        )


def decision(server: str, code: DeviceCode, wait: Wait, on_waiting: OnWaiting | None) -> Conversation[TokenSet]:
    """Poll until the person has decided, and return the tokens.

    A server that cannot be reached, or a page of a network that stands in for it, ends nothing before the code expires.
    """
    while True:
        began = time.monotonic()
        trouble: NetworkError | None = None
        try:
            return (yield from _poll(server, code, wait.next_hold()))
        except ApiError as error:
            happened, seconds = wait.after_refusal(error, time.monotonic() - began)
        except NetworkError as error:
            trouble = error
            happened, seconds = wait.after_failure(error, time.monotonic() - began)
        left = wait.left()
        if left <= 0:
            if trouble is not None:
                raise SignInExpired(f"The code ran out while {server} could not be asked.") from trouble
            raise SignInExpired("The code ran out before anybody decided.")
        if on_waiting is not None:
            on_waiting(happened, left)
        yield from pause(min(seconds, left))


def _poll(server: str, code: DeviceCode, hold: int) -> Conversation[TokenSet]:
    request = polling(code, wait=hold, timeout=hold + TIMEOUT)
    answer = yield from ask(request)
    if 200 <= answer.status < 300:
        try:
            return token_set(answer)
        except Foreign:
            raise foreign(answer, server) from None
    if answer.status < 500 and not speaks_oauth(answer):
        raise foreign(answer, server)
    raise refusal(answer, request, server, time.time())
