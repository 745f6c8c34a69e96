"""How a request arrived: over https or not, and from whom. Forwarded headers are believed from listed proxies only.

A proxy that is not listed is an ordinary client: what it claims about others counts for nothing (promises W1, W3, W10).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from keystead.wire.asgi import Scope

Network = IPv4Network | IPv6Network

LONGEST_REMEMBERED: Final = 256
"""Bytes of forwarded headers."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a request arrived: whether over https, and the caller's address, which may be this very machine's."""

    secure: bool
    loopback: bool
    address: str


class Transport:
    """The judge of arrivals."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        """Believe the forwarded headers of these networks only."""
        self._trusted = tuple(trusted_proxies)
        self._is_trusted = lru_cache(maxsize=4_096)(self._look_up)
        self._remembered = lru_cache(maxsize=4_096)(self._forwarded)

    def judge(self, scope: Scope) -> Arrival:
        """Return how this request arrived."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self._trusted or not self._is_trusted(peer):
            return _direct(scope["scheme"] == "https", peer)
        protocols, chain = _told_by_proxies(scope)
        # What is told decides, and nothing else, so it is read once. Endless tales would fill the memory.
        judge = self._remembered if len(protocols) + len(chain) <= LONGEST_REMEMBERED else self._forwarded
        return judge(peer, protocols, chain)

    def _forwarded(self, peer: str, protocols: bytes, chain: bytes) -> Arrival:
        """Return what the two forwarded headers of a trusted ``peer`` tell."""
        address = self._first_stranger(_values(chain)) or peer
        return Arrival(_values(protocols)[-1:] == ["https"], is_loopback(address), address)

    def _first_stranger(self, chain: list[str]) -> str | None:
        """Return the nearest address that no trusted proxy vouches against; whatever stands before it is hearsay."""
        for text in reversed(chain):
            address = _address(text)
            if address is None:
                return None
            if not self._is_trusted(str(address)):
                return str(address)
        return None

    def _look_up(self, text: str) -> bool:
        address = _address(text)
        return address is not None and within(address, self._trusted)


@lru_cache(maxsize=4_096)
def _direct(secure: bool, peer: str) -> Arrival:
    return Arrival(secure, is_loopback(peer), peer)


def was_forwarded(scope: Scope) -> bool:
    """Tell whether any proxy, listed or not, says that it stands between."""
    return any(name.startswith(b"x-forwarded-") or name == b"forwarded" for name, _ in scope["headers"])


def within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    """Tell whether an address belongs to one of the networks."""
    return any(address.version == network.version and address in network for network in networks)


def address_within(text: str, networks: Iterable[Network]) -> bool:
    """Tell whether the text is an address of one of the networks."""
    address = _address(text)
    return address is not None and within(address, networks)


@lru_cache(maxsize=4_096)
def is_loopback(text: str) -> bool:
    """Tell whether the text is an address of this very machine."""
    address = _address(text)
    return address is not None and address.is_loopback


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped: Any = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _told_by_proxies(scope: Scope) -> tuple[bytes, bytes]:
    """Return ``X-Forwarded-Proto`` and ``X-Forwarded-For``, each as one list (RFC 9110, section 5.3)."""
    protocols, chain = b"", b""
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            chain = chain + b"," + value if chain else value
        elif name == b"x-forwarded-proto":
            protocols = protocols + b"," + value if protocols else value
    return protocols, chain


def _values(joined: bytes) -> list[str]:
    return [part.strip() for part in joined.decode("latin-1").split(",") if part.strip()]
