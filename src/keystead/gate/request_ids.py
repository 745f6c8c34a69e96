"""The id of a request: sixteen random digits that name one request in an answer and in the log, and nobody's else."""

from os import urandom
from typing import Final

_DIGITS: Final = 16
_AT_ONCE: Final = 256


class RequestIds:
    """Fresh ids. The system is asked for its randomness for many of them at a time, because each asking costs."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        """Begin with none."""
        self._ready: list[bytes] = []

    def new(self) -> bytes:
        """Return an id that no other request has, here or elsewhere."""
        if not self._ready:
            digits = urandom(_AT_ONCE * _DIGITS // 2).hex().encode()
            self._ready = [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]
        return self._ready.pop()
