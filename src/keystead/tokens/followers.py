"""Held requests for the list of revoked tokens: all wait for the same thing, the next token that is taken back.

It is heard of through the change feed, so it makes no difference which node took the token back. Where the feed does
not tell by itself, it is looked at every few milliseconds while somebody waits. A storm of revocations wakes everybody
four times a second, so that a verifier that asks again at once stays within its limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from keystead.db.engine import DatabaseError
from keystead.db.feed import EVERYTHING

REVOKED_TOKENS: Final = "revoked-tokens"
"""What the change feed calls a short-term token that was taken back."""
MOST_HELD: Final = 10_000
"""Requests that one process holds at once, at some 10 KB each; more are answered at once."""
LOOK_EVERY: Final = 0.03
"""Seconds between two looks at the feed while requests are held."""
PACE: Final = 0.25
"""Seconds that are left between two awakenings, or two answers that are given on arrival."""


class Followers:
    """The requests that this process holds for those who follow the list."""

    def __init__(self, changes: Callable[[], Awaitable[None]] | None, *, most: int = MOST_HELD) -> None:
        """``changes`` looks at the feed, None where the feed tells by itself; ``most`` bounds the memory."""
        self._changes = changes
        self._most = most
        self._held = 0
        self._woken = asyncio.Event()
        self._last = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self.heard = 0
        """How often something was heard of: what was read before it rose may lack a row."""

    def __len__(self) -> int:
        return self._held

    @property
    def closed(self) -> bool:
        """Whether nobody is held any more."""
        return self._most <= 0

    @property
    def awakening(self) -> asyncio.Event:
        """What is set when something was taken back, or when everybody is let go. Take it before you look."""
        return self._woken

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Count as held for as long as this lasts; False when there is no place, so that nothing may be waited for."""
        if self._held >= self._most:
            yield False
            return
        self._held += 1
        if self._changes is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(self._changes))
        try:
            yield True
        finally:
            self._held -= 1

    async def pause(self) -> None:
        """Let the pace pass since the last awakening; for those who find on arrival that they are behind."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._last + PACE - loop.time()))
        self._last = max(self._last, loop.time())

    def hear(self, subject: str) -> None:
        """Wake everybody for a token that was taken back; a listener of the change feed."""
        if subject not in {REVOKED_TOKENS, EVERYTHING}:
            return
        self.heard += 1
        if self._held and self._later is None:
            loop = asyncio.get_running_loop()
            wait = self._last + PACE - loop.time()
            if wait <= 0:
                self._wake()
            else:
                self._later = loop.call_later(wait, self._wake)

    def close(self) -> None:
        """Hold nobody any more: the server is stopping."""
        self._most = 0
        if self._held:
            self._wake()

    def _wake(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._last = asyncio.get_running_loop().time()
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def _look(self, changes: Callable[[], Awaitable[None]]) -> None:
        while self._held:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await changes()
            except DatabaseError:
                continue  # the held requests time out and are answered; the next look may succeed
