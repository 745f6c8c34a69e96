"""Where rate limits are counted: for each key a window, in which so much may still be used here.

A node by itself may use up the whole limit. Nodes that share their limits get theirs in portions from ``sharing.py``.
Either way a charge is a look at the time, a comparison and a subtraction.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from keystead.kernel.problems import RateLimited, retry_after

Field = tuple[bytes, bytes]
WhenAway = Literal["open", "strict"]
"""What a limit does when the nodes cannot share it: each node lets through all of it, or a quarter of it."""

PORTIONS: Final = 100
"""A portion is at most the hundredth of the limit: five nodes that fall silent keep at most 5 % from the others."""
LAST_PORTIONS: Final = 20
"""And at most the twentieth of what nobody has reserved, so that portions shrink as the limit is reached."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many charges in so many seconds for each key. Hot limits are shared in portions, others charge by charge."""

    name: str
    amount: int
    seconds: int
    hot: bool
    when_away: WhenAway

    @property
    def alone(self) -> int:
        """What one node lets through while the nodes cannot share the limit."""
        return self.amount if self.when_away == "open" else max(1, self.amount // 4)


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

    def fields(self) -> tuple[Field, Field]:
        """Return the same fields as ASGI wants them."""
        policy, state = ((name.lower().encode(), value.encode()) for name, value in self.headers().items())
        return policy, state


@dataclass(slots=True, eq=False)
class Window:
    """What one key may still use. Times are in milliseconds of whichever clock counts.

    ``left`` may be used here at once. ``beyond`` was not reserved by anybody when the nodes' storage was last asked; a
    node by itself has nothing beyond. ``taken`` is all that was put into ``left``.
    """

    limit: Limit
    key: str
    begins_ms: int
    ends_ms: int
    left: int
    beyond: int
    taken: int
    owed: int = 0
    """Charges that this node counted by itself and has not told the others."""
    lent: int | None = None
    """What this node gave itself when the nodes' storage went away; None while that is there."""
    waiting: list["asyncio.Future[int | None]"] | None = None
    """Requests that wait for a portion; None in all the many windows for which nobody ever waited."""

    def wait(self, now_ms: int) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        return max(1, (self.ends_ms - now_ms + 999) // 1000)

    def allowance(self, remaining: int, now_ms: int) -> Allowance:
        """Return what a client is told."""
        limit = self.limit
        return Allowance(limit.name, limit.amount, limit.seconds, remaining, self.wait(now_ms))

    def refusal(self, now_ms: int) -> RateLimited:
        """Return what a client is told when nothing is left."""
        allowance = self.allowance(0, now_ms)
        return RateLimited(
            f"Too many requests. Try again in {allowance.reset} seconds.",
            headers={**retry_after(allowance.reset), **allowance.headers()},
        )


class Windows:
    """The windows of one limit; a key's window begins with its first charge. A clock set back begins a new one."""

    def __init__(self, limit: Limit, *, shared: bool) -> None:
        """Hold no window yet. One that is ``shared`` begins with nothing in it, else with the whole limit."""
        self.limit = limit
        self._first = 0 if shared else limit.amount
        self._milliseconds = limit.seconds * 1000
        self._windows: dict[str, Window] = {}
        self._begun: deque[Window] = deque()
        """Windows of one length end in the order in which they began, so the ended ones come first."""

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[Window]:
        return iter(self._windows.values())

    def at(self, key: str, now_ms: int) -> Window:
        """Return the window in which a key is charged now."""
        window = self._windows.get(key)
        if window is None or not window.begins_ms <= now_ms < window.ends_ms:
            window = self._begin(key, now_ms)
        return window

    def _begin(self, key: str, now_ms: int) -> Window:
        """Begin a window, and forget those that have ended: each is looked at once."""
        windows, begun, first = self._windows, self._begun, self._first
        while begun and now_ms >= begun[0].ends_ms:
            ended = begun.popleft()
            if windows.get(ended.key) is ended:
                del windows[ended.key]
        ends_ms = now_ms + self._milliseconds
        window = windows[key] = Window(self.limit, key, now_ms, ends_ms, first, self.limit.amount - first, first)
        begun.append(window)
        return window
