"""Rate limits: named, by key, told to the client in the RateLimit and Retry-After headers (promises K3, W10).

One request is one charge, counted in fixed windows, each of which begins with a key's first charge. The ``limits``
library reads the settings; counting with it costs several times as much (``docs/decisions/hot-answers.md``).
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from limits import parse

from keystead.kernel.clock import Clock
from keystead.kernel.problems import RateLimited, retry_after
from keystead.kernel.settings import Settings

NAMES: Final = ("sign_in", "registration", "device_code", "token", "api")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit after a request was charged; ``window`` and ``reset`` are in seconds."""

    name: str
    limit: int
    window: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Return the RateLimit-Policy and RateLimit fields (IETF httpapi working group)."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={self.window}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset}',
        }


@dataclass(slots=True)
class _Window:
    """What was charged to one key until the window ends, in Unix milliseconds."""

    ends_ms: int
    charged: int = 0


class _Limit:
    """One limit: how much, for how many seconds, and the windows that have not ended, in the order of their ends."""

    def __init__(self, setting: str) -> None:
        item = parse(setting)
        self.amount = item.amount
        self.seconds = item.get_expiry()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def charge(self, key: str, now_ms: int) -> _Window:
        """Charge once and return the key's window. A clock that was set back begins a new one."""
        window = self._windows.get(key)
        if window is None or not now_ms < window.ends_ms <= now_ms + self.seconds * 1000:
            self._forget_ended(now_ms)
            window = self._windows[key] = _Window(now_ms + self.seconds * 1000)
            self._windows.move_to_end(key)
        window.charged += 1
        return window

    def _forget_ended(self, now_ms: int) -> None:
        """Forget windows from the first on, so that each is looked at once and none outlives its end for long."""
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if now_ms < window.ends_ms:
                return
            del self._windows[key]


class Limiter:
    """The limits of one process."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Read each limit from its setting."""
        self._clock = clock
        self._limits = {name: _Limit(getattr(settings, f"limit_{name}")) for name in NAMES}

    def charge(self, name: str, key: str, *, times: int = 1) -> Allowance:
        """Charge one request to ``key`` and return what is left; the limit is the setting's, ``times`` over.

        Raises RateLimited with Retry-After when nothing was left.
        """
        limit, now_ms = self._limits[name], self._clock.now_ms()
        window = limit.charge(key, now_ms)
        most = limit.amount * times
        wait = max(1, -(-(window.ends_ms - now_ms) // 1000))
        allowance = Allowance(name, most, limit.seconds, max(0, most - window.charged), wait)
        if window.charged > most:
            raise RateLimited(
                f"Too many requests. Try again in {wait} seconds.", headers={**retry_after(wait), **allowance.headers()}
            )
        return allowance
