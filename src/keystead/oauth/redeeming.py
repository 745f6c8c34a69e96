"""Redeeming approved sign-ins: once each (promise D9), and together where many are approved at one moment.

Thousands of held polls may be woken by one change. They stand in a queue, from which so many are taken at a time: one
question tells how their codes stand, and on SQLite one unit of work redeems those that are approved. What cannot be
done together is done one by one, so that none of them spoils it for the others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from keystead.db import Database, Transaction
from keystead.db.engine import DatabaseError
from keystead.kernel.clock import Clock
from keystead.kernel.problems import AccessDenied
from keystead.oauth import store
from keystead.oauth.grants import Grants
from keystead.oauth.models import Grant
from keystead.oauth.rules import PollOutcome, decide_poll
from keystead.oauth.waiting import UntilGone, is_there

GROUPS: Final = 4
"""Most groups that are on their way at the same time."""
TOGETHER: Final = 256
"""Most that are redeemed in one unit of work, which takes the writer some ten milliseconds."""
APART: Final = 16
"""Most in a group where each is redeemed in a unit of work of its own: all groups together do not drain a pool."""
LONGEST_TURN: Final = 10
"""Seconds for which one of them waits for its turn. After that it is told to go on polling."""

Redeemed = Grant | PollOutcome | None
"""A grant; or how the code stands, where there is none; or None when it was given to somebody else meanwhile."""

_encode = msgspec.json.Encoder().encode


class _Asker:
    """Somebody who waits for a turn. ``client_id`` is None for one who knows already that the code is approved."""

    __slots__ = ("answer", "client_id", "device_id", "until", "until_gone")

    def __init__(
        self, device_id: str, client_id: str | None, until_gone: UntilGone, answer: "asyncio.Future[Redeemed]"
    ) -> None:
        self.device_id = device_id
        self.client_id = client_id
        self.until_gone = until_gone
        self.answer = answer
        self.until = 0.0

    def tell(self, found: Redeemed) -> None:
        if not self.answer.done():
            self.answer.set_result(found)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Redeeming:
    """The queue of those who redeem."""

    def __init__(self, *, db: Database, clock: Clock, grants: Grants) -> None:
        """Redeem together where the database has one writer anyway, else one by one, many at the same time."""
        self._db = db
        self._clock = clock
        self._grants = grants
        self._together = not db.hears_by_itself
        self._most = TOGETHER if self._together else APART
        self._queue: deque[_Asker] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._working: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def redeem(self, device_id: str, until_gone: UntilGone) -> Awaitable[Redeemed]:
        """Open the grant of a sign-in that was seen to be approved, unless its client has gone, when awaited.

        Raises AccessDenied when the person may no longer give it, and DatabaseError.
        """
        return self._in_turn(device_id, None, until_gone)

    def look_and_redeem(self, device_id: str, client_id: str, until_gone: UntilGone) -> Awaitable[Redeemed]:
        """Look how a code stands, and do the same if it is approved, when awaited."""
        return self._in_turn(device_id, client_id, until_gone)

    async def _in_turn(self, device_id: str, client_id: str | None, until_gone: UntilGone) -> Redeemed:
        loop = asyncio.get_running_loop()
        asker = _Asker(device_id, client_id, until_gone, loop.create_future())
        asker.until = loop.time() + LONGEST_TURN
        self._queue.append(asker)
        if self._ending is None:
            self._ending = loop.call_at(asker.until, self._end)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_on())
        return await asker.answer

    def _end(self) -> None:
        """Tell those who waited for too long to go on polling: their sign-in is still there."""
        loop = asyncio.get_running_loop()
        while self._queue and self._queue[0].until <= loop.time():
            self._queue.popleft().tell(PollOutcome.PENDING)
        self._ending = loop.call_at(self._queue[0].until, self._end) if self._queue else None

    async def _work_on(self) -> None:
        """Take one group after another from the queue, a few of them on their way at the same time."""
        while self._queue:
            if len(self._groups) >= GROUPS:
                await asyncio.wait(self._groups, return_when=asyncio.FIRST_COMPLETED)
            taken = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
            # In a turn of the loop to come, so that nobody redeems for a client whose end can be read by now.
            group = asyncio.create_task(self._answer([asker for asker in taken if not asker.answer.done()]))
            self._groups.add(group)
            group.add_done_callback(self._groups.discard)

    async def _answer(self, askers: Sequence[_Asker]) -> None:
        """Answer each of them; whatever goes wrong, nobody is left waiting."""
        try:
            approved = await self._approved(askers)
            if self._together and len(approved) > 1:
                approved = await self._redeem_together(approved)
            await asyncio.gather(*(self._redeem_alone(asker) for asker in approved))
        except BaseException as error:
            for asker in askers:
                asker.fail(error if isinstance(error, Exception) else DatabaseError())
            if not isinstance(error, Exception):
                raise

    async def _approved(self, askers: Iterable[_Asker]) -> list[_Asker]:
        """Return those whose code is approved and whose client is there, and tell the others how their code stands."""
        looking = {asker.device_id: 0 for asker in askers if asker.client_id is not None}
        found = await self._db.all(store.POLLED_DEVICES, {"ids": _encode(looking).decode()}) if looking else ()
        devices, now_ms = {device.id: device for device in found}, self._clock.now_ms()
        approved = []
        for asker in askers:
            outcome = PollOutcome.REDEEM
            if asker.client_id is not None:
                outcome = decide_poll(devices.get(asker.device_id), asker.client_id, now_ms)
            if outcome is PollOutcome.REDEEM and not _is_there(asker):
                outcome = PollOutcome.PENDING  # to nobody; the sign-in is still there when the client comes back
            if outcome is PollOutcome.REDEEM:
                approved.append(asker)
            else:
                asker.tell(outcome)
        return approved

    async def _redeem_together(self, askers: list[_Asker]) -> list[_Asker]:
        """Redeem all of these in one unit of work. Return those that have to be redeemed one by one."""
        first: dict[str, _Asker] = {}
        for asker in askers:
            first.setdefault(asker.device_id, asker)
        try:
            opened = await self._db.write(self._unit(first))
        except DatabaseError:
            raise
        except Exception:  # one of them; alone it is told what is wrong, and the others are not
            return askers
        for device_id, grant in opened.items():
            first.pop(device_id).tell(grant)
        return [asker for asker in askers if not asker.answer.done()]

    async def _redeem_alone(self, asker: _Asker) -> None:
        """Redeem one in a unit of work of its own."""
        try:
            opened = await self._db.write(self._unit([asker.device_id]))
            asker.tell(opened.get(asker.device_id))
        except Exception as error:
            asker.fail(error)

    def _unit(self, device_ids: Iterable[str]) -> "Callable[[Transaction], Awaitable[dict[str, Grant]]]":
        """Return the unit of work that redeems whichever of these are approved, and answers their grants."""
        now, ids = self._clock.now(), _encode(dict.fromkeys(device_ids, 0)).decode()

        async def work(tx: Transaction) -> dict[str, Grant]:
            devices = await tx.all(store.CONSUME, {"ids": ids, "now": now})
            opened = await self._grants.open(tx, devices, now) if devices else {}
            if opened is None:
                raise AccessDenied()  # which undoes the redemption too: nothing was given for it
            return opened

        return work


def _is_there(asker: _Asker) -> bool:
    """Tell whether a client has not gone; where that cannot be told, it has."""
    try:
        return is_there(asker.until_gone)
    except Exception as error:
        asker.fail(error)
        return False
