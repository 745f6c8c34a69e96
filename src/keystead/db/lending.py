"""Connections to a networked database, opened when they are needed and lent to one request at a time.

The driver has a pool of its own, which makes a wrapper, a timer and a task for each loan: twice what a look-up costs.
Here a loan takes from the end of a list and gives back to it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    OwnConnection = asyncpg.Connection[asyncpg.Record]

LONGEST_IDLE: Final = 300.0
"""Seconds after which a connection that nobody needed is closed: what is between may have forgotten it by then."""

Connect = Callable[[], Awaitable["OwnConnection"]]


class Lending:
    """At most so many connections; who finds none waits for a turn, the first who came first."""

    def __init__(self, connect: Connect, *, most: int, patience: float) -> None:
        """Open nothing yet. ``patience`` is the longest wait for a turn, in seconds."""
        self._connect = connect
        self._most = most
        self._patience = patience
        self._idle: deque[tuple[OwnConnection, float]] = deque()
        self._waiting: deque[asyncio.Future[OwnConnection | None]] = deque()
        self._all: set[OwnConnection] = set()
        self._places = 0
        """Connections that are open or being opened."""
        self._closed = False
        self._empty = asyncio.Event()

    async def borrow(self) -> "OwnConnection":
        """Return a connection that is nobody else's until it is given back.

        Raises TimeoutError when no turn comes, InterfaceError once this is closed, and what the driver raises.
        """
        if self._closed:
            raise asyncpg.InterfaceError("the connections to the database are closed")
        connection = self._at_hand()
        if connection is None and self._places >= self._most:
            connection = await self._turn()
        elif connection is None:
            self._places += 1
        return await self._opened() if connection is None else connection

    def give_back(self, connection: "OwnConnection") -> None:
        """Take a connection back. One that was closed meanwhile is replaced when somebody needs it."""
        if connection.is_closed():
            self._all.discard(connection)
            self._pass_on(None)
        else:
            self._pass_on(connection)

    async def close(self) -> None:
        """Lend no more to newcomers, wait for what is lent, and close every connection."""
        self._closed = True
        while self._idle:
            connection, _ = self._idle.pop()
            self._let_go(connection)
            await connection.close()
        if self._places:
            await self._empty.wait()

    def terminate(self) -> None:
        """Cut every connection, whoever has it."""
        for connection in tuple(self._all):
            connection.terminate()

    def _at_hand(self) -> "OwnConnection | None":
        """Return the connection that came back last. When that is too old, so are the others."""
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.is_closed() and time.monotonic() - since < LONGEST_IDLE:
                return connection
            self._let_go(connection)
            connection.terminate()
        return None

    async def _turn(self) -> "OwnConnection | None":
        """Wait for a connection, or for a place in which to open one, which is None."""
        turn: asyncio.Future[OwnConnection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it came at the very moment
                self._pass_on(turn.result())
            raise

    async def _opened(self) -> "OwnConnection":
        """Open a connection in a place that was taken for it."""
        try:
            connection = await self._connect()
        except BaseException:
            self._pass_on(None)
            raise
        self._all.add(connection)
        return connection

    def _pass_on(self, connection: "OwnConnection | None") -> None:
        """Hand a connection, or its place, to who has waited longest; else keep the one and free the other."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is not None and not self._closed:
            now = time.monotonic()
            self._idle.append((connection, now))
            if now - self._idle[0][1] > LONGEST_IDLE:
                connection, _ = self._idle.popleft()
                self._let_go(connection)
                connection.terminate()
        elif connection is not None:
            self._let_go(connection)
            connection.terminate()
        else:
            self._free()

    def _let_go(self, connection: "OwnConnection") -> None:
        self._all.discard(connection)
        self._free()

    def _free(self) -> None:
        self._places -= 1
        if self._closed and not self._places:
            self._empty.set()
