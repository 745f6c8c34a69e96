"""The HTTP server: uvicorn's with bounds that it lacks, less memory for a connection, and a stop that fails nobody."""

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors import multiprocess

from keystead.app import Application

_LOOK: Final = 0.02
_LOOKS: Final = 25
"""How often, this many seconds apart, a server that stops looks whether anybody still has a connection.

What comes over it meanwhile is answered, and told to come over another one.
"""
_LARGEST_FRAMING: Final = 524_288
"""Bytes of one request that are not its body. From 32 KiB of header fields on the gate answers 431 by itself."""
_HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class _Pipeline(list[Any]):
    """What uvicorn needs of a queue, without the room for sixty-four requests that an empty ``deque`` takes."""

    def appendleft(self, request: Any) -> None:
        """Put a request at the end that is taken from last."""
        self.insert(0, request)


def _make_small(event: asyncio.Event) -> None:
    """Let those who wait for an event, of whom there is one, stand in a list; nobody waits yet."""
    if not event._waiters:
        event._waiters = []  # type: ignore[assignment]


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with two bounds that it lacks: on the length of a head, and between headers and trailers.

    It also takes a third less memory, because thousands of connections may wait for a decision
    (docs/decisions/held-polls.md): attributes of its own would make Python keep all of uvicorn's in a larger kind of
    table, and an empty ``deque`` has room for sixty-four.
    """

    __slots__ = ("_body", "_framing")

    stopping: ClassVar[bool] = False
    """Whether each answer is to be its connection's last one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Begin a connection."""
        super().__init__(*arguments, **options)
        self._framing = 0
        self._body = 0
        self.pipeline = cast("deque[Any]", _Pipeline())

    def on_message_begin(self) -> None:
        """Begin to count anew with each request."""
        super().on_message_begin()
        self._framing = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, with less room for those who wait for the client to read."""
        super().connection_made(transport)
        _make_small(self.flow._is_writable_event)

    def on_headers_complete(self) -> None:
        """Keep trailers apart: they are not what a proxy checked as headers (RFC 9110, section 6.5.1)."""
        super().on_headers_complete()
        self.headers = []
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None:
            _make_small(cycle.message_event)
            cycle.keep_alive = cycle.keep_alive and not Protocol.stopping  # uvicorn says so (RFC 9112, section 9.6)

    def on_body(self, body: bytes) -> None:
        """Count a piece of the body, which the application bounds."""
        self._body += len(body)
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        """Read on, unless what is not body has grown beyond all measure: a head without end would fill the memory."""
        self._body = 0
        super().data_received(data)
        self._framing += len(data) - self._body
        if self._framing > _LARGEST_FRAMING and not self.transport.is_closing():
            cycle = cast("RequestResponseCycle | None", self.cycle)
            if cycle is None or cycle.response_complete:
                self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, which stops so that no request fails, not even one that a proxy has just sent.

    A proxy sends a request that is not idempotent to one server only, so a connection must not be closed under it.
    """

    application: ClassVar[Application | None] = None
    """What this process serves; None until it is built."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: held polls are answered, requests finish, what was accepted is written."""
        if Server.application is not None:
            Server.application.operations.stop()
        Protocol.stopping = True
        arrived = [connection for listening in sockets or [] for connection in _arrived(listening)]
        for server in self.servers:
            server.close()  # from here on the system refuses, and a proxy goes on to another server
        await asyncio.gather(*map(self._accept, arrived), return_exceptions=True)
        for _ in range(_LOOKS):
            if not self.server_state.connections:
                break
            await asyncio.sleep(_LOOK)
        await super().shutdown(sockets)

    async def _accept(self, connection: socket.socket) -> None:
        """Serve a connection, as the listener would have done."""

        def protocol() -> Protocol:
            return Protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection, ssl=self.config.ssl)


def _arrived(listening: socket.socket) -> Iterator[socket.socket]:
    """Take the connections that were made and not accepted yet: closing the listener would reset them."""
    listening.setblocking(False)
    while True:
        try:
            yield listening.accept()[0]
        except OSError:
            return


# uvicorn has no other place to say that its worker processes are to stop like this too.
multiprocess.Server = Server  # type: ignore[attr-defined]
