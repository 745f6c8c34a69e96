"""Look-ups that come at the same time are asked in one statement.

Over the wire a statement costs the driver and the database far more than the row that it asks for. So what is looked up
in one turn of the event loop goes together, and what comes while enough statements are under way goes with the next.

Nobody is answered by a statement that began before they asked: whoever asks joins those who wait to be asked for, never
those who wait for an answer. So what they are told is as new as an answer of their own would be (promises V1, V4).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from keystead.db.engine import DatabaseError
from keystead.db.statements import LookUp

T = TypeVar("T")

UNDER_WAY: Final = 2
"""Most statements at a time for one look-up: while one is answered the database works on the other."""
MOST: Final = 256
"""Most values in one statement, so that nobody waits long because many came."""

Found = Mapping[bytes, T]
Ask = Callable[[LookUp[T], list[bytes]], Awaitable[Found[T]]]
"""Asks for the rows of several values in one statement. Raises DatabaseError."""


class Together:
    """Gathers the look-ups of one process."""

    def __init__(self, ask: "Ask[Any]", *, patience: float) -> None:
        """Ask with ``ask``. After ``patience`` seconds behind statements that fail, who waits is told of it as well."""
        self._ask = ask
        self._patience = patience
        self._lines: dict[LookUp[Any], _Line[Any]] = {}

    def find(self, look_up: LookUp[T], value: bytes) -> "asyncio.Future[T | None]":
        """Return the record of this value's row, or None. Raises DatabaseError."""
        line = self._lines.get(look_up)
        if line is None:
            line = self._lines[look_up] = _Line(look_up, self._ask, self._patience)
        return line.join(value)

    async def finish(self) -> None:
        """Wait until nobody waits any more."""
        await asyncio.gather(*(task for line in self._lines.values() for task in line.asking))

    def stop(self) -> None:
        """Ask no more, and tell whoever waits that there is no answer."""
        for line in self._lines.values():
            line.stop()


class _Line(Generic[T]):
    """Those who wait for one kind of look-up."""

    def __init__(self, look_up: LookUp[T], ask: "Ask[T]", patience: float) -> None:
        self.asking: set[asyncio.Task[None]] = set()
        self._look_up = look_up
        self._ask = ask
        self._patience = patience
        self._waiting: list[tuple[bytes, asyncio.Future[T | None]]] = []
        self._since = 0.0
        """When the first of those who wait came, by the loop's clock."""
        self._gathering = False
        self._stopped = False
        self._at_work = 0
        """Tasks that will look once more who waits. One that has ended stays in ``asking`` for another turn."""

    def join(self, value: bytes) -> "asyncio.Future[T | None]":
        """Wait with the others for the next statement."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T | None] = loop.create_future()
        if self._stopped:
            _tell_fault([(value, waiter)], DatabaseError)
            return waiter
        if not self._waiting:
            self._since = loop.time()
        self._waiting.append((value, waiter))
        if not self._gathering and self._at_work < UNDER_WAY:
            self._gathering = True
            self._at_work += 1
            # It begins after all that is ready to run now: whoever else asks in this turn goes along.
            task = loop.create_task(self._go_on())
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)
        return waiter

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        for task in self.asking:
            task.cancel()
        # A task that is cancelled before its first step tells nobody.
        _tell_fault(self._waiting, DatabaseError)
        self._waiting = []

    async def _go_on(self) -> None:
        """Ask until nobody waits."""
        self._gathering = False
        try:
            while self._waiting:
                asked = [(value, waiter) for value, waiter in self._waiting[:MOST] if not waiter.done()]
                del self._waiting[:MOST]
                if asked:
                    await self._answer(asked)
        finally:
            self._at_work -= 1

    async def _answer(self, asked: "list[tuple[bytes, asyncio.Future[T | None]]]") -> None:
        """Ask for these, and tell each of them alone what came of it."""
        try:
            found = await self._ask(self._look_up, list({value: None for value, _ in asked}))
        except DatabaseError:
            if self._waiting and asyncio.get_running_loop().time() - self._since > self._patience:
                asked, self._waiting = asked + self._waiting, []
            _tell_fault(asked, DatabaseError)
        except asyncio.CancelledError:
            _tell_fault(asked + self._waiting, DatabaseError)
            self._waiting = []
            raise
        except Exception as error:
            mistake = error
            _tell_fault(asked, lambda: mistake)
        else:
            for value, waiter in asked:
                if not waiter.done():
                    waiter.set_result(found.get(value))


def _tell_fault(asked: "list[tuple[bytes, asyncio.Future[T | None]]]", fault: Callable[[], Exception]) -> None:
    for _, waiter in asked:
        if not waiter.done():
            waiter.set_exception(fault())
            waiter.exception()  # so that nobody complains of one whose client left at this very moment
