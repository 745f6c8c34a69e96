"""Held polls: a poll for an undecided code waits here and is woken the moment the person decides (promise D3).

The decision is heard of through the change feed, so it makes no difference which process took it. Where the feed does
not tell by itself, it is looked at every few milliseconds while somebody waits; a look costs microseconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from keystead.db.engine import DatabaseError
from keystead.db.feed import EVERYTHING

LOOK_EVERY: Final = 0.03
"""Seconds between two looks at the feed while polls are held."""
SUBJECT: Final = "device:"


class Place:
    """One held poll's place; ``woken`` is set when its code may have been decided, or a newer poll took over."""

    __slots__ = ("device_id", "woken")

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.woken = asyncio.Event()


class WaitingRoom:
    """The polls that this process holds, at most one for each code."""

    def __init__(self, changes: Callable[[], Awaitable[None]] | None, *, most: int) -> None:
        """``changes`` looks at the feed, None where the feed tells by itself; ``most`` bounds the memory."""
        self._changes = changes
        self._most = most
        self._places: dict[str, Place] = {}
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def take(self, device_id: str) -> Place | None:
        """Take the code's place, waking whoever had it; None when the room is full."""
        earlier = self._places.get(device_id)
        if earlier is not None:
            earlier.woken.set()
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
            place = self._places.get(subject.removeprefix(SUBJECT))
            if place is not None:
                place.woken.set()
        elif subject == EVERYTHING:
            self.release()

    def close(self) -> None:
        """Hold no poll any more: the server is stopping."""
        self._most = 0
        self.release()

    def release(self) -> None:
        """Wake everybody: it is not known what changed."""
        for place in self._places.values():
            place.woken.set()

    async def _look(self, changes: Callable[[], Awaitable[None]]) -> None:
        while self._places:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await changes()
            except DatabaseError:
                continue  # the held polls time out and are answered; the next look may succeed
