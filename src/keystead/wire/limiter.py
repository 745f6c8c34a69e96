"""Rate limits: named, by key, told to the client in the RateLimit and Retry-After headers (promises K3, W10).

One request is one charge: one step of a counter in a storage of the ``limits`` library, whichever it is. Asking the
library's fixed-window strategy instead costs two more steps (``docs/decisions/hot-answers.md``).
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import Storage

from keystead.kernel.clock import Clock
from keystead.kernel.problems import RateLimited, retry_after
from keystead.kernel.settings import Settings
from keystead.wire.windows import Windows

_ADDRESSES_OF_ONE: Final = 64
"""The bits of an IPv6 address that a provider gives to one customer at the least (RFC 6177)."""
NAMES: Final = ("sign_in", "registration", "device_code", "token", "api")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit after a request was charged; ``window`` and ``reset`` are in seconds."""

    name: str
    limit: int
    window: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Return the RateLimit-Policy and RateLimit fields (IETF httpapi working group)."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={self.window}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset}',
        }


class Limiter:
    """The limits of one process."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Read each limit from its setting."""
        self._clock = clock
        self._items = {name: parse(getattr(settings, f"limit_{name}")) for name in NAMES}
        self._storage: Storage = Windows(clock)

    async def charge(self, name: str, key: str, *, times: int = 1) -> Allowance:
        """Charge one request to ``key`` and return what is left; the limit is the setting's, ``times`` over.

        Raises RateLimited with Retry-After when nothing was left.
        """
        return self.charge_here(name, key, times=times)

    def charge_here(self, name: str, key: str, *, times: int = 1) -> Allowance:
        """Charge one request in this process alone, at once. Raises RateLimited."""
        item = self._item(name, times)
        counter, window = item.key_for(name, key), item.get_expiry()
        charged = self._storage.incr(counter, window)
        wait = max(1, ceil(self._storage.get_expiry(counter) - self._clock.now_ms() / 1000))
        allowance = Allowance(name, item.amount, window, max(0, item.amount - charged), wait)
        if charged > item.amount:
            raise RateLimited(
                f"Too many requests. Try again in {wait} seconds.", headers={**retry_after(wait), **allowance.headers()}
            )
        return allowance

    def _item(self, name: str, times: int) -> RateLimitItem:
        item = self._items[name]
        return item if times == 1 else type(item)(item.amount * times, item.multiples, item.namespace)


def limit_key_of_address(address: str) -> str:
    """Return what a limit counts an address by: for IPv6 its network, of which one household has all addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = int(parsed) >> (128 - _ADDRESSES_OF_ONE) << (128 - _ADDRESSES_OF_ONE)
    return f"{IPv6Address(network)}/{_ADDRESSES_OF_ONE}"
