"""How a request arrived: over https or not, and from whom. Forwarded headers are believed from listed proxies only.

A proxy that is not listed is an ordinary client: what it claims about others counts for nothing (promises W1, W3, W10).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from keystead.wire.asgi import Scope

Network = IPv4Network | IPv6Network


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

    def judge(self, scope: Scope) -> Arrival:
        """Return how this request arrived."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self._trusted or not self._is_trusted(peer):
            return _direct(scope["scheme"] == "https", peer)
        protocols = _values(scope, b"x-forwarded-proto")
        address = self._first_stranger(_values(scope, b"x-forwarded-for")) or peer
        return Arrival(bool(protocols) and protocols[-1] == "https", is_loopback(address), address)

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


def _values(scope: Scope, name: bytes) -> list[str]:
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [part.strip() for part in ",".join(found).split(",") if part.strip()]
