"""Held polls: a poll for an undecided code waits here and is woken the moment the person decides (promise D3).

The decision is heard of through the change feed, so it makes no difference which process took it. Where the feed does
not tell by itself, it is looked at every few milliseconds while somebody waits; a look costs microseconds.

A held poll is one timer and nothing else: its request waits, in the task that it has anyway, for the client to close
the connection, and whoever wakes it lets the timer run out (docs/decisions/held-polls.md).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from keystead.db.engine import DatabaseError
from keystead.db.feed import EVERYTHING

LOOK_EVERY: Final = 0.03
"""Seconds between two looks at the feed while polls are held."""
SUBJECT: Final = "device:"

UntilGone = Callable[[], Awaitable[object]]
"""Waits until the client has closed its connection; it may be given up at any moment and called again."""


class Place:
    """One held poll's place."""

    __slots__ = ("_timer", "_woken", "device_id")

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self._woken = False
        self._timer: asyncio.Timeout | None = None

    def wake(self) -> None:
        """Let the wait end now, or before it began: the code may be decided, or a newer poll took over."""
        self._woken = True
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(0.0)

    async def wait(self, seconds: float, until_gone: UntilGone) -> bool:
        """Wait until woken, at most for so long. Return whether the client is still there."""
        if self._woken:
            return True
        try:
            async with asyncio.timeout(seconds) as self._timer:
                await until_gone()
        except TimeoutError:
            return True
        return False


async def is_there(until_gone: UntilGone) -> bool:
    """Tell whether the client has not closed its connection yet."""
    try:
        async with asyncio.timeout(0):
            await until_gone()
    except TimeoutError:
        return True
    return False


class WaitingRoom:
    """The polls that this process holds, at most one for each code."""

    def __init__(self, changes: Callable[[], Awaitable[None]] | None, *, most: int) -> None:
        """``changes`` looks at the feed, None where the feed tells by itself; ``most`` bounds the memory."""
        self._changes = changes
        self._most = most
        self._places: dict[str, Place] = {}
        self._looking: asyncio.Task[None] | None = None
        self.heard = 0
        """How often something was heard that may be a decision. What was read before the last time may be old."""

    def __len__(self) -> int:
        return len(self._places)

    def take(self, device_id: str) -> Place | None:
        """Take the code's place, waking whoever had it; None when the room is full."""
        earlier = self._places.get(device_id)
        if earlier is not None:
            earlier.wake()
        elif len(self._places) >= self._most:
            return None
        place = self._places[device_id] = Place(device_id)
        if self._changes is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(self._changes))
        return place

    def leave(self, place: Place) -> None:
        """Give the place up."""
        if self._places.get(place.device_id) is place:
            del self._places[place.device_id]

    def hear(self, subject: str) -> None:
        """Wake who waits for this change; a listener of the change feed."""
        if subject.startswith(SUBJECT):
            self.heard += 1
            place = self._places.get(subject.removeprefix(SUBJECT))
            if place is not None:
                place.wake()
        elif subject == EVERYTHING:
            self.heard += 1
            self.release()

    def close(self) -> None:
        """Hold no poll any more: the server is stopping."""
        self._most = 0
        self.release()

    def release(self) -> None:
        """Wake everybody: it is not known what changed."""
        for place in self._places.values():
            place.wake()

    async def _look(self, changes: Callable[[], Awaitable[None]]) -> None:
        while self._places:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await changes()
            except DatabaseError:
                continue  # the held polls time out and are answered; the next look may succeed
