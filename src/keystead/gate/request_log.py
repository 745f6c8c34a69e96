"""The lines of the log that tell of requests: like all others to look at, but not made by the machinery of the others.

There is one for almost every request, so they go past ``logging`` and its processors, which take 70 µs for a line.
Nothing in them needs a mask: the path is told in the words of its route (``gate.paths``), the rest is the server's own
(promise W9). The level is asked for all the same.
"""

import logging
import os
from http import HTTPMethod
from typing import Final

import msgspec

from keystead.gate.identity import iso
from keystead.kernel.clock import Clock

STANDARD_ERROR: Final = 2
_OTHER: Final = b'"other"'
_METHODS: Final = {method.value: f'"{method.value}"'.encode() for method in HTTPMethod}
_LINE: Final = (
    b'{"event": "request", "level": "info", "logger": "keystead.requests", "request_id": "%b", "method": %b, '
    b'"path": %b, "status": %d, "milliseconds": %.1f, "address": %b, "timestamp": "%b.%03dZ"}\n'
)

_log = logging.getLogger("keystead.requests")
_encode = msgspec.json.Encoder().encode


class RequestLog:
    """Writes a line for each request, whole and at once, so that none is lost whatever ends the process."""

    def __init__(self, clock: Clock, descriptor: int = STANDARD_ERROR) -> None:
        """Write to an open file; ``configure_logs`` says whether anything is written."""
        self._now_ms = clock.now_ms
        self._descriptor = descriptor
        self._second = 0
        self._shown = b""

    def tell(self, request_id: str, *, method: str, path: str, status: int, seconds: float, address: str) -> None:
        """Tell of one answered request. Where the log cannot be written, the request is answered all the same."""
        if not _log.isEnabledFor(logging.INFO):
            return
        second, milliseconds = divmod(self._now_ms(), 1000)
        if second != self._second:
            self._second, self._shown = second, iso(second).removesuffix("Z").encode()
        facts = (request_id.encode(), _METHODS.get(method, _OTHER), _encode(path), status, seconds * 1000)
        line = _LINE % (*facts, _encode(address), self._shown, milliseconds)
        try:
            os.write(self._descriptor, line)
        except OSError:
            return
