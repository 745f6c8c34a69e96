"""The cable between a node and its database, which a test can cut: quietly, so that nothing passes, or with a bang."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tests.support.processes import free_port

T = TypeVar("T")

HOST: Final = "127.0.0.1"
SECONDS: Final = 10.0
_PIECE: Final = 65_536


class Cable:
    """Passes bytes between connections to its own ``port`` and 127.0.0.1:``to``.

    ``freeze`` is a network that swallows everything: connections stay open and can even be made, and no byte arrives.
    ``drop`` is a machine that has gone: connections are reset, and new ones are refused. ``keep_ends`` is a machine too
    busy to close: what it says arrives, and the end of its connection does not. ``mend`` ends each; what was sent into
    a frozen cable arrives then, late.
    """

    def __init__(self, to: int) -> None:
        """Choose the port. Nothing passes before the context is entered."""
        self.port = free_port()
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable", daemon=True)
        self._flows = asyncio.Event()
        self._closes = asyncio.Event()
        self._newest = b""
        self._heard: dict[asyncio.StreamWriter, bytes] = {}
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def freeze(self) -> None:
        """Let no byte pass any more."""
        self._do(self._freeze)

    def drop(self) -> None:
        """Reset every connection and refuse new ones."""
        self._do(self._drop)

    def keep_ends(self) -> None:
        """Let bytes pass, and no end of a connection."""
        self._do(self._keep_ends)

    def has_passed(self, words: bytes) -> bool:
        """Tell whether the newest bytes that were passed hold these."""
        return words in self._newest

    def heard(self, words: bytes) -> int:
        """Return to how many connections the newest bytes that were passed hold these."""
        return sum(words in newest for newest in tuple(self._heard.values()))

    def mend(self) -> None:
        """Let everything pass again."""
        self._do(self._mend)

    def _do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(SECONDS)

    async def _freeze(self) -> None:
        self._flows.clear()

    async def _keep_ends(self) -> None:
        self._closes.clear()

    async def _drop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._ends:
            end.transport.abort()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _mend(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self._flows.set()
        self._closes.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_both_ways(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass_both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        beyond: asyncio.StreamWriter | None = None
        try:
            await self._flows.wait()
            from_beyond, beyond = await asyncio.open_connection(HOST, self._to)
            self._ends.add(beyond)
            await asyncio.gather(self._pass(reader, beyond), self._pass(from_beyond, writer))
        except OSError:
            pass  # one end has gone, so the other one goes too
        finally:
            for end in (writer, beyond):
                if end is not None:
                    end.transport.abort()
                    self._ends.discard(end)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
            self._newest = self._heard[writer] = data
        await self._flows.wait()
        await self._closes.wait()
        with contextlib.suppress(OSError):
            writer.write_eof()
