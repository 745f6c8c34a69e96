"""One look at the feed of changes for all requests that had arrived before it (promise V1).

A server's event loop runs callbacks in the order in which they were scheduled, and schedules a request when it has read
it. So a request that runs between a look and the callback that the look scheduled was read before the look: whatever
was revoked before it was sent has been heard of. A request that is read after the look runs after that callback, and
looks again. Under load many requests share a look; a request by itself has its own.
"""

import asyncio
from collections.abc import Callable


class Looks:
    """Says whether what is remembered may be trusted, by looking or by having looked."""

    def __init__(self, look: Callable[[], bool]) -> None:
        """Look each time, until ``share`` is called. ``look`` hears of every change, and says whether it could."""
        self._look = look
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looked = False

    def share(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the requests of this loop share their looks; not where tasks are begun before their turn."""
        if loop.get_task_factory() is None:
            self._loop = loop

    def fresh(self) -> bool:
        """Say whether every change was heard of that was committed before the running request was read.

        For the first step of a request's task and no other place. Raises DatabaseError.
        """
        if self._looked:
            return True
        if not self._look():
            return False
        if self._loop is not None:
            self._looked = True
            self._loop.call_soon(self._again)
        return True

    def _again(self) -> None:
        self._looked = False
