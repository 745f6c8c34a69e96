"""Held polls: a poll for an undecided code waits here and is woken the moment the person decides (promise D3).

The decision is heard of through the change feed, so it makes no difference which process took it. Where the feed does
not tell by itself, it is looked at every few milliseconds while somebody waits; a look costs microseconds.

A held poll is its place and nothing else, neither a task nor a timer: its request waits, in the task that it has
anyway, for the client to close the connection, and whoever wakes it interrupts that (docs/decisions/held-polls.md).
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final

from keystead.db.engine import DatabaseError
from keystead.db.feed import EVERYTHING

LOOK_EVERY: Final = 0.03
"""Seconds between two looks at the feed while polls are held."""
END_EVERY: Final = 0.05
"""Seconds to which the end of a hold is rounded up."""
SUBJECT: Final = "device:"

UntilGone = Callable[[], Awaitable[object]]
"""Waits until the client has closed its connection; it may be given up at any moment and called again."""


class Place:
    """One held poll's place."""

    __slots__ = ("_task", "_woken", "device_id")

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self._woken = False
        self._task: asyncio.Task[object] | None = None

    def wake(self) -> None:
        """Let the wait end now, or before it began: the code may be decided, or the poll was held long enough."""
        if not self._woken:
            self._woken = True
            if self._task is not None:
                self._task.cancel()

    async def wait(self, until_gone: UntilGone) -> bool:
        """Wait until woken. Return whether the client is still there.

        This is what ``asyncio.timeout`` does, which tells its own interruption from others in the same way.
        """
        task = asyncio.current_task()
        if task is None or self._is_over():
            return True
        cancelling = task.cancelling()
        self._task = task
        try:
            await until_gone()
        except asyncio.CancelledError:
            if not self._is_over() or task.uncancel() > cancelling:
                raise
            return True
        finally:
            self._task = None
        return False

    def _is_over(self) -> bool:
        return self._woken


def is_there(until_gone: UntilGone) -> bool:
    """Tell whether the client has not closed its connection, so far as that was read: one step of waiting for it."""
    waiting = until_gone().__await__()
    try:
        next(waiting)
    except StopIteration:
        return False
    finally:
        waiting.close()
    return True


class WaitingRoom:
    """The polls that this process holds, at most one for each code."""

    def __init__(self, changes: Callable[[], Awaitable[None]] | None, *, most: int) -> None:
        """``changes`` looks at the feed, None where the feed tells by itself; ``most`` bounds the memory."""
        self._changes = changes
        self._most = most
        self._places: dict[str, Place] = {}
        self._ending: dict[int, list[Place]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.heard = 0
        """How often something was heard that may be a decision. What was read before the last time may be old."""

    def __len__(self) -> int:
        return len(self._places)

    def take(self, device_id: str, seconds: float) -> Place | None:
        """Take the code's place for so long, waking whoever had it; None when the room is full."""
        earlier = self._places.get(device_id)
        if earlier is not None:
            earlier.wake()
        elif len(self._places) >= self._most:
            return None
        place = self._places[device_id] = Place(device_id)
        self._end_after(seconds, place)
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

    def _end_after(self, seconds: float, place: Place) -> None:
        """Wake a place when its time is over. Those whose time ends in the same twentieth of a second share a timer."""
        loop = asyncio.get_running_loop()
        moment = ceil((loop.time() + seconds) / END_EVERY)
        ending = self._ending.get(moment)
        if ending is None:
            ending = self._ending[moment] = []
            loop.call_at(moment * END_EVERY, self._end, moment)
        ending.append(place)

    def _end(self, moment: int) -> None:
        for place in self._ending.pop(moment, ()):
            place.wake()

    async def _look(self, changes: Callable[[], Awaitable[None]]) -> None:
        while self._places:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await changes()
            except DatabaseError:
                continue  # the held polls time out and are answered; the next look may succeed
