"""When a credential was last used, and how often: remembered here, written in batches, so that a check costs no write.

That is promise K2. A failure to write changes no answer; what could not be written is tried again with the next batch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Final

from keystead.db.engine import DatabaseError
from keystead.kernel.principal import Method, Principal

WRITE_EVERY: Final = 60
"""Seconds between two batches."""
PORTION: Final = 250
"""Uses that are written together. All of a busy minute together would hold up the writer for a second."""
DAY: Final = 86_400
"""Seconds of a day in UTC: Unix time knows no others."""

Use = tuple[str, int, str]
"""A credential's id, the time in Unix seconds, and the address."""
Writer = Callable[[list[Use]], Awaitable[None]]
Count = tuple[str, int, int]
"""A credential's id, a day as the Unix second of its midnight in UTC, and how often it was used on it."""
Counter = Callable[[list[Count]], Awaitable[None]]

_log = logging.getLogger(__name__)


class _Noted:
    """The last use of a credential, and how often it was used on the day that ends at ``midnight``."""

    __slots__ = ("address", "at", "method", "midnight", "times")

    def __init__(self, method: Method, at: int, address: str) -> None:
        self.method = method
        self.at = at
        self.address = address
        self.times = 1
        self.midnight = at - at % DAY + DAY


class LastUse:
    """The uses that are not written yet, one for each credential, and the counts that are not written yet."""

    def __init__(self, writers: Mapping[Method, Writer], counters: Mapping[Method, Counter] | None = None) -> None:
        """Write the uses of each kind of credential with its room's writer; other kinds are not recorded.

        ``counters`` are told, after the writers, how often credentials were used. A batch of which nobody heard whether
        it was committed, because the connection broke just then, is told again: rather a use too many than one lost.
        """
        self._writers = writers
        self._counters = counters or {}
        self._kinds = tuple(writers)  # not a set: an enumeration's hash takes longer than all the rest of a note
        self._noted: dict[str, _Noted] = {}
        self._uses: dict[Method, dict[str, Use]] = {method: {} for method in writers}
        self._counts: dict[Method, dict[tuple[str, int], int]] = {method: {} for method in self._counters}
        self._one_batch = asyncio.Lock()
        self._batch: asyncio.Task[None] | None = None

    def note(self, principal: Principal, now: int, address: str) -> None:
        """Remember a use; less than a tenth of a microsecond."""
        found = self._noted.get(principal.credential_id)
        if found is None:
            if principal.method in self._kinds:
                self._noted[principal.credential_id] = _Noted(principal.method, now, address)
        elif now < found.midnight:
            found.at = now
            found.address = address
            found.times += 1
        else:  # another day begins
            self._count(principal.credential_id, found)
            self._noted[principal.credential_id] = _Noted(principal.method, now, address)

    def _count(self, credential_id: str, noted: _Noted) -> None:
        counts = self._counts.get(noted.method)
        if counts is not None:
            day = (credential_id, noted.midnight - DAY)
            counts[day] = counts.get(day, 0) + noted.times

    async def write(self) -> None:
        """Write what was noted since the last time.

        Whoever stops waiting for it does not stop it: what was written and not known to be would be counted again.
        """
        self._batch = asyncio.create_task(self._write())
        await asyncio.shield(self._batch)

    async def _write(self) -> None:
        async with self._one_batch:
            self._gather()
            for method in self._writers:
                try:
                    await self._write_uses(method)
                    await self._write_counts(method)
                except DatabaseError:
                    _log.warning("last use could not be written; it is tried again with the next batch")

    def _gather(self) -> None:
        """Take what was noted; what is left from a batch that failed is older."""
        noted, self._noted = self._noted, {}
        for credential_id, one in noted.items():
            self._uses[one.method][credential_id] = (credential_id, one.at, one.address)
            self._count(credential_id, one)

    async def _write_uses(self, method: Method) -> None:
        uses = self._uses[method]
        while uses:
            portion = list(islice(uses.values(), PORTION))
            await self._writers[method](portion)
            for credential_id, *_ in portion:
                del uses[credential_id]

    async def _write_counts(self, method: Method) -> None:
        counts = self._counts.get(method)
        while counts:
            portion = list(islice(counts.items(), PORTION))
            await self._counters[method]([(credential_id, day, times) for (credential_id, day), times in portion])
            for day, times in portion:
                counts[day] -= times  # more may have come meanwhile, from a day that ended just now
                if not counts[day]:
                    del counts[day]

    async def write_for_ever(self) -> None:
        """Write a batch a minute until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY)
            await self.write()
