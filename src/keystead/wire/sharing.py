"""Limits that nodes share: portions of each are reserved in one storage and used up here (promises W10, K4).

What is asked while an answer is awaited goes together with the next question, so a node has one conversation with the
storage, whatever it serves. When the storage is away each node counts by itself, and asks again once a second
(``docs/decisions/shared-limits.md``).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from keystead.wire.valkey import Ask, Count, StorageError, Valkey
from keystead.wire.windows import LAST_PORTIONS, PORTIONS, Window

PROBE_SECONDS: Final = 1.0
_TOGETHER: Final = 256
"""Most counters in one question, so that the storage is never held up for long."""
_PROBE: Final = Ask(("probe",), 1, 1_000)

Waiters = list["asyncio.Future[int | None]"]

_log = logging.getLogger(__name__)


def uptime_ms() -> int:
    """Return the time by which shared windows end: a duration, which no setting of a clock changes."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class _Turn:
    """A window whose turn it is to be asked for, and who waits for it."""

    window: Window
    waiters: Waiters
    wanted: int
    owed: int

    def ask(self) -> Ask:
        """Return what to ask. What was counted here is told for its own window, which may end sooner than a new one."""
        limit, window = self.window.limit, self.window
        life_ms = max(1, window.ends_ms - uptime_ms()) if self.owed else limit.seconds * 1000
        words = (limit.name, window.key, str(limit.amount), str(limit.seconds))
        return Ask(words, self.wanted + self.owed, life_ms)


class Sharing:
    """One node's conversation with the storage."""

    def __init__(self, valkey: Valkey, windows: Callable[[], Iterable[Window]], patience_ms: int) -> None:
        """Ask ``valkey`` for these windows, for no longer than ``patience_ms``. It counts as there until it fails."""
        self.away = False
        self._valkey = valkey
        self._windows = windows
        self._patience_ms = patience_ms
        self._next: list[Window] = []
        self._since_ms = 0
        self._talking: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Look whether the storage is there, without waiting for it."""
        self._watch(0)

    async def aclose(self) -> None:
        """End the conversation; requests that still come are counted here."""
        self._closed = self.away = True
        tasks = [task for task in (self._talking, self._probing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._valkey.aclose()
        except StorageError as error:
            _log.info("the connection to the storage of the rate limits did not close cleanly: %s", error)

    async def look(self) -> None:
        """See whether the storage still counts, for somebody who asks; what is known to be away is watched anyway."""
        if self.away:
            return
        try:
            await self._valkey.count([_PROBE], self._patience_ms / 1000)
        except StorageError as error:
            self._go_away(error)

    def reserve(self, window: Window) -> "asyncio.Future[int | None]":
        """Charge one request to a window in which nothing is left here.

        The answer is what then remains of the limit, -1 when nothing was left for this request, or None when the
        storage is away.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[int | None] = loop.create_future()
        if not self._next:
            self._since_ms = uptime_ms()
        if window.waiting:
            window.waiting.append(waiter)
        else:
            window.waiting = [waiter]
            self._next.append(window)
        if self._talking is None:
            self._talking = loop.create_task(self._talk())
        return waiter

    def lend(self, window: Window) -> bool:
        """Give a window what this node may let through by itself while the storage is away. False when that is nothing.

        It is what nobody had reserved when the storage was last asked, and no more than the limit's choice allows.
        """
        window.lent = min(window.beyond, max(0, window.limit.alone - window.taken))
        window.left = window.lent
        window.taken += window.lent
        window.beyond = 0
        return window.left > 0

    async def _talk(self) -> None:
        """Ask for all that is waited for, until nothing is."""
        turns: list[_Turn] = []
        try:
            while self._next:
                turns = [_turn(window) for window in self._next[:_TOGETHER] if window.waiting]
                del self._next[:_TOGETHER]
                if turns:
                    await self._ask(turns)
        except StorageError as error:
            self._go_away(error)
        finally:
            self._talking = None
            self._let_go([turn.waiters for turn in turns])

    async def _ask(self, turns: Sequence[_Turn]) -> None:
        asked_ms = uptime_ms()
        seconds = (self._since_ms + self._patience_ms - asked_ms) / 1000
        counts = await self._valkey.count([turn.ask() for turn in turns], seconds)
        for turn, count in zip(turns, counts, strict=True):
            _fill(turn, count, asked_ms)
            _serve(turn.window, turn.waiters)
            _serve(turn.window, turn.window.waiting or [])  # who came meanwhile

    def _let_go(self, asked_for: Iterable[Waiters]) -> None:
        """Tell all who still wait that the storage is away."""
        for waiters in [*asked_for, *(window.waiting or [] for window in self._next)]:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            waiters.clear()
        self._next.clear()

    def _go_away(self, error: StorageError) -> None:
        if not self.away:
            self.away = True
            _log.warning(
                "the rate limits are not shared, each node counts by itself: their storage does not count (%s)", error
            )
        self._watch(PROBE_SECONDS)

    def _watch(self, pause: float) -> None:
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe(pause))

    async def _probe(self, pause: float) -> None:
        """Ask once a second until the storage counts.

        It is not asked again at once: one that keeps falling silent would hold up every request.
        """
        try:
            while True:
                await asyncio.sleep(pause)
                pause = PROBE_SECONDS
                try:
                    await self._valkey.count([_PROBE], self._patience_ms / 1000)
                    break
                except StorageError as error:
                    self._go_away(error)
        finally:
            self._probing = None
        if self.away:
            self._come_back()

    def _come_back(self) -> None:
        """Share again. What was counted here is told with each window's next ask."""
        self.away = False
        for window in self._windows():
            if window.lent is not None:
                window.owed += max(0, window.lent - window.left)
                window.taken -= window.left
                window.left, window.lent = 0, None
                window.beyond = window.limit.amount  # unknown, so the next charge asks
        _log.info("the rate limits are shared again")


def _turn(window: Window) -> _Turn:
    """Take the waiting requests, and a portion for those that come next."""
    waiters, window.waiting = window.waiting or [], None
    return _Turn(window, waiters, min(window.limit.amount, max(len(waiters), _portion(window))), window.owed)


def _portion(window: Window) -> int:
    """Return how much to reserve beyond need: nothing at first, and less as the limit is reached."""
    if not window.limit.hot:
        return 0
    return min(window.limit.amount // PORTIONS, window.taken, window.beyond // LAST_PORTIONS)


def _fill(turn: _Turn, count: Count, asked_ms: int) -> None:
    """Put into a window what was granted: never what is over the limit, though the storage counts that too."""
    window = turn.window
    granted = min(turn.wanted, max(0, window.limit.amount - count.total + turn.wanted))
    window.owed -= turn.owed
    window.left += granted
    window.taken += granted
    window.beyond = max(0, window.limit.amount - count.total)
    # From when it was asked: so it ends here before it ends for the others, and nothing is used after its end.
    window.begins_ms, window.ends_ms = asked_ms, asked_ms + count.life_ms


def _serve(window: Window, waiters: Waiters) -> None:
    """Let waiting requests in as far as something is left, and refuse the others if it is all that there was."""
    served = 0
    for waiter in waiters:
        if not window.left and window.beyond:
            break
        served += 1
        if waiter.done():
            continue  # the client went away
        if window.left:
            window.left -= 1
            waiter.set_result(window.left + window.beyond)
        else:
            waiter.set_result(-1)
    del waiters[:served]
