"""Following the feed on a networked database: what was heard, until when it may be trusted, and hearing soon.

The rows of the feed are the truth. They are read several times a second; a notification only makes the next reading
come at once. What a process remembers is trusted for a second after the beginning of its last reading. So a node that
is cut off asks the database instead, which cannot be reached either, and refuses (promise V1).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg
from sqlalchemy import bindparam, select

from keystead.db.feed import EVERYTHING, FEED_KEPT, SINCE, Listener
from keystead.db.heard import Heard
from keystead.db.statements import Query
from keystead.db.tables import revocation

CHANNEL: Final = "keystead"
READ_EVERY: Final = 0.2
"""Seconds between two readings of the feed when nobody notifies."""
TRUSTED: Final = 0.9
"""Seconds after the beginning of a reading for which what is remembered is trusted: under the second of promise V1."""
_LOOKED_BACK: Final = 20_000
"""Rows that are looked at when a process begins: more than are added while one transaction may be open."""
_OVER: Final = 120
"""Seconds by which a row must be older than the newest, so that none below it is still to come: a transaction may last
ten, and clocks differ by a minute."""
_LONGEST_AWAY: Final = FEED_KEPT / 2
_PAUSE: Final = 0.1

# Time that goes on while the machine sleeps, where the system has it.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class _Row:
    seq: int
    at: int


_NEWEST = Query(
    select(revocation.c.seq, revocation.c.at).order_by(revocation.c.seq.desc()).limit(bindparam("most")), _Row
)
_LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.TargetServerAttributeNotMatched,
    OSError,
    TimeoutError,
)
_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

Connect = Callable[[], Awaitable["Connection"]]


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class Follower:
    """One process's place in the feed."""

    def __init__(self, connect: Connect, *, notify: bool) -> None:
        """Trust nothing before the first reading. ``connect`` opens the connection that does nothing else."""
        self._connect = connect
        self._notify = notify
        self._heard = Heard()
        self._listeners: list[Listener] = []
        self._trusted_until = 0.0
        self._last_reading = 0.0
        self._begun = False
        self._lost = False
        self._wake = asyncio.Event()
        self._first = asyncio.Event()

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with each changed subject, or with ``EVERYTHING``."""
        self._listeners.append(listener)

    def fresh(self) -> bool:
        """Say whether every change of more than a second ago was heard of."""
        return _now() < self._trusted_until

    async def heard_once(self) -> None:
        """Wait for the first reading, though not for ever: without it nothing is trusted, which is slow, not wrong."""
        try:
            await asyncio.wait_for(self._first.wait(), 2 * TRUSTED)
        except TimeoutError:
            _log.warning("the feed of changes cannot be read yet; every request asks the database")

    async def read(self, connection: "Connection", *, anew: bool = False) -> None:
        """Tell the listeners of every change committed so far that is news; of everything at first, and ``anew``."""
        now = _now()
        if anew or not self._begun or now - self._last_reading > _LONGEST_AWAY:
            await self._begin(connection, now)
        else:
            values = SINCE.bind_numbered({"seq": self._heard.floor})
            rows = await connection.fetch(SINCE.numbered.sql, *values, timeout=TRUSTED)
            for subject in self._heard.take([SINCE.read(row) for row in rows], _now()):
                self._tell(subject)
        self._last_reading = now

    async def follow(self) -> None:
        """Read the feed until cancelled, over one connection after another, whatever goes wrong."""
        while True:
            try:
                await self._follow(await self._connect())
            except Exception as error:
                if not self._lost:
                    unforeseen = None if isinstance(error, _LOST) else error
                    _log.warning("the feed of changes was lost, so the cache is not trusted", exc_info=unforeseen)
                self._lost = True
            await asyncio.sleep(_PAUSE)

    async def _follow(self, connection: "Connection") -> None:
        anew = True  # another server may have taken over whose feed ends earlier, or an older state been restored
        try:
            if self._notify:
                await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            while True:
                self._wake.clear()
                started = _now()
                await self.read(connection, anew=anew)
                anew = False
                self._trusted_until = started + TRUSTED
                self._first.set()
                if self._lost:
                    _log.info("the feed of changes is read again")
                    self._lost = False
                try:
                    await asyncio.wait_for(self._wake.wait(), READ_EVERY)
                except TimeoutError:
                    continue
        finally:
            connection.terminate()

    async def _begin(self, connection: "Connection", now: float) -> None:
        """Begin at the end of the feed, looking back for numbers whose rows may still come; forget everything."""
        values = _NEWEST.bind_numbered({"most": _LOOKED_BACK})
        rows = [_NEWEST.read(row) for row in await connection.fetch(_NEWEST.numbered.sql, *values, timeout=TRUSTED)]
        over = max((row.at for row in rows), default=0) - _OVER
        floor = max((row.seq for row in rows if row.at < over), default=0)
        if not floor and len(rows) == _LOOKED_BACK:
            floor = rows[-1].seq
        self._heard.begin(sorted(row.seq for row in rows if row.seq > floor), floor, now)
        self._begun = True
        self._tell(EVERYTHING)

    def _tell(self, subject: str) -> None:
        for listener in self._listeners:
            listener(subject)
