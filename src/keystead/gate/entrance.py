"""What every request is checked for before anybody asks who sends it: its size, and how it travelled (W1, W3, W10)."""

import logging
from typing import Final

from keystead.gate.credentials import Headers, Kind, read_credential
from keystead.gate.transport import Arrival, Transport
from keystead.kernel.problems import HeadersTooLarge, HttpsRequired, MethodNotAllowed, Problem
from keystead.keys.service import Keys
from keystead.wire.asgi import Scope

LARGEST_HEADERS: Final = 32_768
"""Bytes of all names and values together."""

READS: Final = frozenset({"GET", "HEAD"})

_log = logging.getLogger("keystead.requests")


class Entrance:
    """Judges how a request arrived."""

    def __init__(self, *, transport: Transport, dev: bool, keys: Keys, api_key_prefix: str) -> None:
        """``dev`` lets loopback use plain HTTP."""
        self.judge = transport.judge
        self._dev = dev
        self._keys = keys
        self._prefix = api_key_prefix

    def may_pass(self, arrival: Arrival) -> bool:
        """Tell whether a credential may travel like this."""
        return arrival.secure or (self._dev and arrival.loopback)

    async def check(self, scope: Scope, arrival: Arrival) -> None:
        """Raise HttpsRequired unless a credential may travel like this."""
        if not self.may_pass(arrival):
            await self.refuse(scope, arrival)

    async def refuse(self, scope: Scope, arrival: Arrival) -> None:
        """Raise HttpsRequired, and note which API key was readable on its way here (W3)."""
        try:
            presented = read_credential(scope["headers"], self._prefix)
            if presented is not None and presented.kind is Kind.API_KEY:
                await self._keys.flag_exposed(presented.text, arrival.address)
        except Problem:  # whatever fails, the request is refused
            _log.warning("an API key that came over plain HTTP could not be flagged")
        raise HttpsRequired()


def check_head(headers: Headers) -> int:
    """Return the length that a request declares for its body, 0 where it does not. Raises HeadersTooLarge."""
    size, declared = 0, b""
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"content-length" and not declared:
            declared = value
    if size > LARGEST_HEADERS:
        raise HeadersTooLarge()
    return int(declared) if declared.isdigit() else 0


def only_read() -> MethodNotAllowed:
    """Return the refusal of a method that is not in ``READS``."""
    return MethodNotAllowed("Use GET here.", headers={"Allow": "GET, HEAD"})
