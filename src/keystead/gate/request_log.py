"""The lines of the log that tell of requests: like all others to look at, but not made by the machinery of the others.

There is one for almost every request, so they go past ``logging`` and its processors, which take 70 µs for a line.
Nothing in them needs a mask: the path is told in the words of its route (``gate.paths``), the rest is the server's own
(promise W9). The level is asked for all the same.
"""

import asyncio
import logging
import os
from http import HTTPMethod
from typing import Final

import msgspec

from keystead.gate.identity import iso
from keystead.kernel.clock import Clock

STANDARD_ERROR: Final = 2
TOGETHER: Final = 4_096
"""Most bytes of several lines in one write: so many are not mixed with another process's in a pipe (pipe(7))."""
_OTHER: Final = b'"other"'
_METHODS: Final = {method.value: f'"{method.value}"'.encode() for method in HTTPMethod}
_LINE: Final = (
    b'{"event": "request", "level": "info", "logger": "keystead.requests", "request_id": "%b", "method": %b, '
    b'"path": %b, "status": %d, "milliseconds": %.1f, "address": %b, "timestamp": "%b.%03dZ"}\n'
)

_log = logging.getLogger("keystead.requests")
_encode = msgspec.json.Encoder().encode


class RequestLog:
    """Writes a line for each request, whole; a process that is killed takes the lines of a moment with it.

    A server handles what it has read in turns; the lines of one turn are written together when it is over, before
    anything that was read later is answered. What is not a line about a request goes past here and is written at once.
    """

    def __init__(self, clock: Clock, descriptor: int = STANDARD_ERROR) -> None:
        """Write to an open file, each line by itself; ``configure_logs`` says whether anything is written."""
        self._now_ms = clock.now_ms
        self._descriptor = descriptor
        self._second = 0
        self._shown = b""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lines: list[bytes] = []
        self._size = 0

    def gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write the lines of each turn of this loop together from now on."""
        self._loop = loop

    def let_go(self) -> None:
        """Write what was gathered, and each line by itself from now on."""
        self._loop = None
        self._write_gathered()

    def tell(self, request_id: bytes, *, method: str, path: str, status: int, seconds: float, address: str) -> None:
        """Tell of one answered request. Where the log cannot be written, the request is answered all the same."""
        if not _log.isEnabledFor(logging.INFO):
            return
        second, milliseconds = divmod(self._now_ms(), 1000)
        if second != self._second:
            self._second, self._shown = second, iso(second).removesuffix("Z").encode()
        facts = (request_id, _METHODS.get(method, _OTHER), _encode(path), status, seconds * 1000)
        line = _LINE % (*facts, _encode(address), self._shown, milliseconds)
        if self._loop is None:
            self._write(line)
            return
        if self._size + len(line) > TOGETHER:
            self._write_gathered()
        if not self._lines:
            self._loop.call_soon(self._write_gathered)
        self._lines.append(line)
        self._size += len(line)

    def _write_gathered(self) -> None:
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            self._write(b"".join(lines))

    def _write(self, lines: bytes) -> None:
        try:
            os.write(self._descriptor, lines)
        except OSError:
            return
