"""When to ask again, and after how long: pure decisions over values (RFC 9110, sections 9.2.2 and 10.2.3).

The pause grows exponentially and is chosen at random below its bound ("full jitter"), so that clients which failed
together do not come back together. What the server said in Retry-After is waited for at least.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keystead.client._errors import UsageError

_TRY_LATER: Final = frozenset({502, 503, 504})
_NOT_DONE: Final = 429
_LONGEST_PAUSE_READ: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long to try. Times are in seconds.

    At most ``attempts`` requests are sent, and none is begun more than ``total`` seconds after the first one. The pause
    before the n-th repetition is random, between 0 and ``first * 2**(n - 1)``, at most ``longest``. A Retry-After is
    waited for where it fits into ``total``; otherwise the error is raised at once, and it names the time.
    """

    attempts: int = 4
    total: float = 30.0
    first: float = 0.5
    longest: float = 8.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.total < 0 or self.first < 0 or self.longest < 0:
            raise UsageError("A retry policy has at least one attempt, and no time below zero.")

    def backoff(self, failures: int, chance: float) -> float:
        """Return the pause after so many failures, at least one; ``chance`` is a random number below 1."""
        return chance * min(self.longest, self.first * 2.0 ** min(failures - 1, 60))

    def pause(self, sent: int, elapsed: float, chance: float, retry_after: float | None = None) -> float | None:
        """Return for how long to wait before the next request, or None when there is to be none.

        ``sent`` requests have failed, the first of them ``elapsed`` seconds ago.
        """
        if sent >= self.attempts:
            return None
        wait = self.backoff(sent, chance)
        if retry_after is not None:
            wait += retry_after
        return wait if elapsed + wait <= self.total else None


NO_RETRIES: Final = RetryPolicy(attempts=1)


def may_repeat(status: int, *, repeatable: bool) -> bool:
    """Tell whether a request that was answered with this status may be sent again.

    429 refuses a request before it is looked at (RFC 6585, section 4), so that even a creation was certainly not done.
    After 502, 503 and 504 nobody knows: only what may be done twice is repeated.
    """
    return status == _NOT_DONE or (repeatable and status in _TRY_LATER)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds an answer asks to wait (RFC 9110, section 10.2.3), or None when it does not say.

    A date is measured against the answer's own Date, so that a wrong clock here does no harm; ``now``, in Unix seconds,
    serves where there is none. Header names are in lower case. What cannot be read is passed over.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE_READ)
    at = _date(text)
    if at is None:
        return None
    sent = _date(headers.get("date", ""))
    return min(max(0.0, at - (now if sent is None else sent)), _LONGEST_PAUSE_READ)


def _date(text: str) -> float | None:
    from datetime import UTC
    from email.utils import parsedate_to_datetime  # it costs milliseconds, and is hardly ever needed

    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
