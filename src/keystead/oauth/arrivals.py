"""When each code was last polled: remembered here at once, written for the other processes ten times a second (D2).

A poll changes nothing but the time of its arrival, so it does not wait for the disk: its process remembers the arrival
and writes it soon after, with all the others, in one statement. A process that is killed takes a tenth of a second of
arrivals with it, which lets a client poll once too early and does no other harm (docs/decisions/polls.md).
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import msgspec

from keystead.db.engine import Database, DatabaseError
from keystead.kernel.clock import Clock
from keystead.oauth import store

WRITE_EVERY: Final = 0.1
"""Seconds between two batches while there is something to write."""
LARGEST_BATCH: Final = 1_000
"""Most arrivals in one statement, which takes the writer a few milliseconds."""
MOST: Final = 50_000
"""Most codes whose arrivals are remembered until they are written; beyond, the oldest leaves unwritten."""

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


Arrival = tuple[str, int]
"""A device authorization's id, and when it was last polled here, in Unix milliseconds."""


class Arrivals:
    """The arrivals that the database does not know yet, one for each code, by the hash of the device code."""

    def __init__(self, db: Database, clock: Clock) -> None:
        """Write to ``db``."""
        self._db = db
        self._clock = clock
        self._due: dict[bytes, Arrival] = {}
        self._under_way: dict[bytes, Arrival] = {}
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due) + len(self._under_way)

    def last(self, device_hash: bytes) -> int | None:
        """Return when a code was last polled, so far as only this process knows."""
        found = self._due.get(device_hash) or self._under_way.get(device_hash)
        return None if found is None else found[1]

    def note(self, device_hash: bytes, device_id: str, at_ms: int) -> None:
        """Remember an arrival and see to it that it is written soon."""
        if device_hash in self._due:
            del self._due[device_hash]  # so that the oldest is always the first
        self._due[device_hash] = (device_id, at_ms)
        if len(self._due) > MOST:
            del self._due[next(iter(self._due))]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_on())

    @contextmanager
    def written_at_once(self, device_hash: bytes, device_id: str, at_ms: int) -> Iterator[None]:
        """Remember an arrival while the caller writes it, which needs no other write then."""
        self._due.pop(device_hash, None)
        arrival = self._under_way[device_hash] = (device_id, at_ms)
        try:
            yield
        finally:
            self._forget(device_hash, arrival)

    async def write(self) -> None:
        """Write what was noted so far. What cannot be written is tried again with the next batch."""
        while self._due:
            batch = dict(islice(self._due.items(), LARGEST_BATCH))
            for device_hash in batch:
                del self._due[device_hash]
            self._under_way.update(batch)
            try:
                await self._db.run(store.RECORD_ARRIVALS, self._values(batch))
            except DatabaseError:
                _log.warning("arrivals of polls could not be written; they are tried again with the next batch")
                self._due = {**batch, **self._due}
                return
            finally:
                for device_hash, arrival in batch.items():
                    self._forget(device_hash, arrival)

    async def aclose(self) -> None:
        """Write what is left, and no more after that."""
        if self._task is not None:
            self._task.cancel()
        await self.write()

    def _forget(self, device_hash: bytes, arrival: Arrival) -> None:
        if self._under_way.get(device_hash) is arrival:  # and no later one
            del self._under_way[device_hash]

    def _values(self, batch: dict[bytes, Arrival]) -> dict[str, object]:
        # Sorted, so that two nodes that write the same rows lock them in the same order.
        return {"arrived": _encode(dict(sorted(batch.values()))).decode(), "now_ms": self._clock.now_ms()}

    async def _write_on(self) -> None:
        while self._due:
            await asyncio.sleep(WRITE_EVERY)
            await self.write()
