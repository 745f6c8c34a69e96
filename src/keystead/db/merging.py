"""Walking two sides of a table at once, each in the order of its primary key, to find where they differ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]
Fetch = Callable[[], Awaitable[list[Row]]]
Key = Callable[[Row], Row]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of the source that is not in the target, or differs there; or one of the target alone."""

    source: Row | None
    target: Row | None


class Rows:
    """Rows in batches, of which the next is on its way while this one is worked on. Each may be taken once."""

    def __init__(self, fetch: Fetch) -> None:
        """``fetch`` gives the next batch, and an empty one at the end."""
        self.batch: list[Row] = []
        self.at = 0
        self.taken = 0
        self._fetch = fetch
        self._ended = False
        self._next: asyncio.Future[list[Row]] | None = None

    async def more(self) -> bool:
        """Have a row at hand; False at the end."""
        while self.at == len(self.batch) and not self._ended:
            self.batch, self.at = await (self._next or asyncio.ensure_future(self._fetch())), 0
            self._ended = not self.batch
            self._next = None if self._ended else asyncio.ensure_future(self._fetch())
        return not self._ended

    def take(self, rows: int = 1) -> None:
        """Go on by so many rows of the batch."""
        self.at += rows
        self.taken += rows

    def rest(self) -> list[Row]:
        """Take all that is left of the batch."""
        found = self.batch[self.at :]
        self.take(len(found))
        return found

    async def close(self) -> None:
        """Forget what is on its way."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Sides:
    """The rows of the source and of the target."""

    source: Rows
    target: Rows


@asynccontextmanager
async def both(source: Fetch, target: Fetch) -> AsyncIterator[Sides]:
    """Give the rows of two sides, and forget at the end what was fetched too much."""
    sides = Sides(Rows(source), Rows(target))
    try:
        yield sides
    finally:
        await sides.source.close()
        await sides.target.close()


async def differences(sides: Sides, key: Key) -> AsyncIterator[list[Difference]]:
    """Yield where two sides differ, batch by batch; a list is empty where all is alike."""
    source, target = sides.source, sides.target
    while True:
        left, right = await source.more(), await target.more()
        if not left and not right:
            return
        if left and right:
            yield list(_meet(source, target, key))
        elif left:
            yield [Difference(row, None) for row in source.rest()]
        else:
            yield [Difference(None, row) for row in target.rest()]


def _meet(source: Rows, target: Rows, key: Key) -> Iterator[Difference]:
    """Go through the two batches until one of them ends."""
    while source.at < len(source.batch) and target.at < len(target.batch):
        ours, theirs = source.batch[source.at], target.batch[target.at]
        if ours == theirs:
            source.take()
            target.take()
        elif key(ours) == key(theirs):
            yield Difference(ours, theirs)
            source.take()
            target.take()
        elif key(ours) < key(theirs):
            yield Difference(ours, None)
            source.take()
        else:
            yield Difference(None, theirs)
            target.take()
