"""The list of revoked tokens as verifiers elsewhere follow it: signed, in pages, and at once (promise V2)."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar, cast

import msgspec

from keystead.db.cleanup import TOKENS_KEPT
from keystead.db.engine import Database
from keystead.kernel.clock import Clock
from keystead.kernel.settings import Settings
from keystead.tokens import store
from keystead.tokens.cursors import BEGINNING, Cursor, Place, read_cursor, write_cursor
from keystead.tokens.followers import Followers
from keystead.tokens.models import REVOCATIONS_TYPE, Algorithm, RevocationClaims
from keystead.tokens.signing_keys import SigningKeys

T = TypeVar("T")

TRUSTED: Final = 60
"""Seconds for which a verifier may trust what it has without a newer answer; a held one comes after 25 at most."""
MOST_IDS: Final = 10_000
"""Ids in one answer, which is then 700 KB long."""
_READ_AT_ONCE: Final = 1_000
"""Rows that are read without letting others have their turn: 3 ms."""
MOST_COUNTED: Final = 10_000
"""Rows of the overlap that are counted; beyond that, whoever is woken takes it that there is something new."""
_MOST_SHARED: Final = 32

_encode = msgspec.json.Encoder().encode


class RevocationFeed:
    """Answers about the list of revoked tokens."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        settings: Settings,
        signing: SigningKeys,
        followers: Followers,
        most_ids: int = MOST_IDS,
    ) -> None:
        """Sign in the name of ``settings.public_url``; ``followers`` says whom we hold, ``most_ids`` bounds a page."""
        self._db = db
        self._clock = clock
        self._issuer = settings.public_url
        self._signing = signing
        self._most_ids = most_ids
        self._shared = _Shared()
        self.followers = followers

    def close(self) -> None:
        """Answer everybody who is held, and hold nobody any more: the server is stopping."""
        self.followers.close()

    async def answer(self, after: str, seconds: float, gone: asyncio.Event) -> bytes:
        """Return what was taken back since ``after``, the ``next`` of an earlier answer, as a compact JWS.

        Without anything new the request is held, ``seconds`` at most, and not beyond the moment at which the client is
        ``gone``; for such a client the answer is empty. Raises DatabaseError, and Unavailable without a signing key.
        """
        cursor = read_cursor(after, self._clock.now())
        if cursor is not None and cursor.place is None and seconds > 0:
            await self._hold(cursor, seconds, gone)
        if gone.is_set():
            return b""
        return await self._once(("page", cursor), lambda: self._page(cursor))

    async def _hold(self, cursor: Cursor, seconds: float, gone: asyncio.Event) -> None:
        """Wait until there is something that the holder of ``cursor`` has not seen."""
        until = asyncio.get_running_loop().time() + seconds
        with self.followers.place() as held:
            awakening = self.followers.awakening  # taken before the look, so that nothing falls between the two
            if not held:
                return
            if await self._is_behind(cursor):
                await self.followers.pause()
                return
            while await _first_of(awakening, gone, until) and not gone.is_set() and not self.followers.closed:
                awakening = self.followers.awakening
                if cursor.known >= MOST_COUNTED or await self._is_behind(cursor):
                    return

    async def _is_behind(self, cursor: Cursor) -> bool:
        """Tell whether there are other rows than the holder of ``cursor`` knows; it may also be one less."""
        return await self._once(("count", cursor.overlap), lambda: self._count(cursor)) != cursor.known

    async def _count(self, cursor: Cursor) -> int:
        wanted = {"first": cursor.overlap, "most": MOST_COUNTED}
        return await self._db.one(store.COUNT_REVOKED, wanted) or 0

    async def _page(self, cursor: Cursor | None) -> bytes:
        """Return one signed page. The time and the count are taken before the rows, so a row between is told twice."""
        now = self._clock.now()
        following = cursor
        if following is None or following.place is None:
            following = Cursor(now, await self._count(Cursor(now, 0)))
        begins = BEGINNING if cursor is None else cursor.begins
        pairs, place = await self._pairs(begins, expired=now - TOKENS_KEPT)
        claims = RevocationClaims(
            iss=self._issuer,
            iat=now,
            exp=now + TRUSTED,
            after="" if cursor is None else write_cursor(cursor),
            full=cursor is None,
            revoked=msgspec.Raw(b"[" + b",".join(pairs) + b"]"),
            more=place is not None,
            next=write_cursor(Cursor(following.asked_at, following.known, place)),
        )
        signer = await self._signing.signer(Algorithm.ACCESS)
        return signer.sign(claims, REVOCATIONS_TYPE).encode()

    async def _pairs(self, place: Place, *, expired: int) -> tuple[list[bytes], Place | None]:
        """Return encoded pairs of id and expiry from ``place`` on, and where to go on; None at the list's end."""
        found: list[bytes] = []
        left = self._most_ids
        while left > 0:
            most = min(left, _READ_AT_ONCE)
            wanted = {"revoked_at": place.revoked_at, "id": place.id, "most": most}
            rows = await self._db.all(store.REVOKED_TOKENS, wanted)
            pairs = [(row.id, row.expires_at) for row in rows if row.expires_at >= expired]
            if pairs:
                found.append(_encode(pairs)[1:-1])
            if len(rows) < most:
                return found, None
            place = Place(rows[-1].revoked_at, rows[-1].id)
            left -= most
            await asyncio.sleep(0)
        return found, place

    async def _once(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Do the same thing once for all who ask in the same second, unless something was heard meanwhile.

        An older answer would not be wrong either: its ``next`` says what it knew.
        """
        if not self._db.fresh():
            return await make()
        return await self._shared.get((self.followers.heard, self._clock.now()), key, make)


class _Shared:
    """What is done once for many who ask for it at the same time."""

    def __init__(self) -> None:
        self._turn: Hashable = None
        self._tasks: dict[Hashable, asyncio.Future[Any]] = {}

    async def get(self, turn: Hashable, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return what ``make`` answers, or what it answers to somebody else in this turn."""
        if turn != self._turn:
            self._turn, self._tasks = turn, {}
        task = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= _MOST_SHARED:
                return await make()
            task = self._tasks[key] = asyncio.ensure_future(make())
            task.add_done_callback(lambda done: self._forget(key, done))
        return cast(T, await asyncio.shield(task))

    def _forget(self, key: Hashable, done: "asyncio.Future[Any]") -> None:
        """Let the next one try again when it failed."""
        if (done.cancelled() or done.exception() is not None) and self._tasks.get(key) is done:
            del self._tasks[key]


async def _first_of(awakening: asyncio.Event, gone: asyncio.Event, until: float) -> bool:
    """Wait until either is set; False when ``until``, on the loop's clock, came first."""
    seconds = until - asyncio.get_running_loop().time()
    waits = [asyncio.ensure_future(awakening.wait()), asyncio.ensure_future(gone.wait())]
    try:
        done, _ = await asyncio.wait(waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)
