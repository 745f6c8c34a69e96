"""Rate limits: named, by key, told to the client in the RateLimit and Retry-After headers (promises K3, K4, W10).

One request is one charge. A node by itself counts in its memory; with the setting ``valkey_url`` the nodes share their
limits (``sharing.py``, ``docs/decisions/shared-limits.md``).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from limits import parse

from keystead.kernel.clock import Clock
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.wire.windows import Allowance, Field, Limit, WhenAway, Window, Windows

if TYPE_CHECKING:
    from keystead.wire.sharing import Sharing

_ADDRESSES_OF_ONE: Final = 64
"""The bits of an IPv6 address that a provider gives to one customer at the least (RFC 6177)."""
PATIENCE_MS: Final = 250
"""How long a request waits at most for what the nodes share."""
WHEN_AWAY: Final[dict[str, WhenAway]] = {
    "sign_in": "strict",
    "registration": "strict",
    "device_code": "strict",
    "token": "open",
    "api": "open",
    "invitations": "strict",
}
"""What each limit does while the nodes cannot share it: what guards against guessing and hoarding becomes stricter."""
HOT: Final = frozenset({"token", "api"})
"""Limits that are charged too often to ask for each charge."""
NAMES: Final = tuple(WHEN_AWAY)


class Limiter:
    """The limits, for one process."""

    def __init__(self, settings: Settings, clock: Clock, *, key: bytes = b"", patience_ms: int = PATIENCE_MS) -> None:
        """Read each limit from its setting. ``key`` hides from the nodes' storage whom it counts.

        Nothing is reached yet. Raises SettingsError when ``valkey_url`` is no address.
        """
        url = settings.valkey_url
        self._sharing: Sharing | None = None
        self._now_ms = clock.now_ms
        self._windows = {
            name: Windows(_limit(name, getattr(settings, f"limit_{name}")), shared=url is not None) for name in NAMES
        }
        self._larger: dict[tuple[str, int], Windows] = {}
        if url is not None:
            self._now_ms, self._sharing = self._share(Secret(url.get_secret_value()), key, patience_ms)

    @property
    def sharing(self) -> Literal["shared", "alone", "away"]:
        """Whether the limits are shared by nodes; "away" when they should be and their storage does not count."""
        if self._sharing is None:
            return "alone"
        return "away" if self._sharing.away else "shared"

    async def look(self) -> None:
        """See whether the nodes' storage still counts; ``sharing`` tells."""
        if self._sharing is not None:
            await self._sharing.look()

    def start(self) -> None:
        """Look whether the nodes' storage is there, without waiting for it; an event loop must run."""
        if self._sharing is not None:
            self._sharing.start()

    async def aclose(self) -> None:
        """Close the connections. Requests that still come are counted here."""
        if self._sharing is not None:
            await self._sharing.aclose()

    async def charge(self, name: str, key: str, *, times: int = 1) -> Allowance:
        """Charge one request to ``key`` and return what is left; the limit is the setting's, ``times`` over.

        It waits for the nodes' storage for at most 250 ms, and when that is away it counts here. Raises RateLimited
        with Retry-After when nothing was left.
        """
        allowance = self.charge_here(name, key, times=times)
        if allowance is not None:
            return allowance
        windows = self._windows_of(name, times)
        window = windows.at(key, self._now_ms())
        remaining = None if self._sharing is None else await self._sharing.reserve(window)
        now_ms = self._now_ms()
        if remaining is None:
            window = windows.at(key, now_ms)
            if not self._refill(window, now_ms, alone=True):
                raise window.refusal(now_ms)
            window.left -= 1
            remaining = window.left
        if remaining < 0:
            raise window.refusal(now_ms)
        return window.allowance(remaining, now_ms)

    def charge_here(self, name: str, key: str, *, times: int = 1) -> Allowance | None:
        """Charge one request at once, or return None when the nodes' storage is to be asked, which ``charge`` does.

        Raises RateLimited.
        """
        now_ms = self._now_ms()
        window = (self._windows[name] if times == 1 else self._windows_of(name, times)).at(key, now_ms)
        if not window.left and not self._refill(window, now_ms):
            return None
        window.left -= 1
        limit = window.limit
        wait = (window.ends_ms - now_ms + 999) // 1000
        return Allowance(limit.name, limit.amount, limit.seconds, window.left + window.beyond, wait)

    def counter(self, name: str, key: str) -> "Counter":
        """Return something that charges this key again and again, at a fraction of the cost."""
        return Counter(self.meter(name), key)

    def meter(self, name: str) -> "Meter":
        """Return something that charges this limit again and again, at a fraction of the cost."""
        return Meter(self._windows[name], self._now_ms, self._refill)

    def _refill(self, window: Window, now_ms: int, *, alone: bool = False) -> bool:
        """Look for more where nothing is left. False when the nodes' storage is to be asked. Raises RateLimited."""
        if window.left:
            return True
        if not window.beyond:
            raise window.refusal(now_ms)
        if self._sharing is None or not (self._sharing.away or alone):
            return False
        if not self._sharing.lend(window):
            raise window.refusal(now_ms)
        return True

    def _windows_of(self, name: str, times: int) -> Windows:
        if times == 1:
            return self._windows[name]
        found = self._larger.get((name, times))
        if found is None:
            limit = replace(self._windows[name].limit, amount=self._windows[name].limit.amount * times)
            found = self._larger[name, times] = Windows(limit, shared=self._sharing is not None)
        return found

    def _all_windows(self) -> Iterator[Window]:
        return chain.from_iterable(chain(self._windows.values(), self._larger.values()))

    def _share(self, url: Secret, key: bytes, patience_ms: int) -> "tuple[Callable[[], int], Sharing]":
        # A node by itself does without these, whose import takes 0.1 s.
        from keystead.wire.sharing import Sharing, uptime_ms  # noqa: PLC0415
        from keystead.wire.valkey import Valkey  # noqa: PLC0415

        return uptime_ms, Sharing(Valkey(url, key, patience_ms), self._all_windows, patience_ms)


class Meter:
    """One limit, for a caller that charges it often and keeps each key's window at hand."""

    __slots__ = ("_now_ms", "_policy", "_refill", "_start", "_windows")

    def __init__(self, windows: Windows, now_ms: Callable[[], int], refill: Callable[[Window, int], bool]) -> None:
        """Charge in ``windows``."""
        self._windows = windows
        self._now_ms = now_ms
        self._refill = refill
        limit = windows.limit
        self._policy: Field = (
            b"ratelimit-policy",
            b'"%s";q=%d;w=%d' % (limit.name.encode(), limit.amount, limit.seconds),
        )
        self._start = b'"%s";r=' % limit.name.encode()

    def charge(self, key: str, window: Window | None) -> tuple[Window, tuple[Field, Field] | None]:
        """Charge one request to ``key``, whose window may be at hand from the last time.

        Return the window to keep at hand, and the fields that tell what is left: None when the nodes' storage is to be
        asked, which ``Limiter.charge`` does. Raises RateLimited.
        """
        now_ms = self._now_ms()
        if window is None or not window.begins_ms <= now_ms < window.ends_ms:
            window = self._windows.at(key, now_ms)
        if not window.left and not self._refill(window, now_ms):
            return window, None
        window.left -= 1
        wait = (window.ends_ms - now_ms + 999) // 1000
        state = b"%b%d;t=%d" % (self._start, window.left + window.beyond, wait)
        return window, (self._policy, (b"ratelimit", state))


class Counter:
    """One key's limit, for a caller that charges it often."""

    __slots__ = ("_key", "_meter", "_window")

    def __init__(self, meter: Meter, key: str) -> None:
        """Charge ``key`` by ``meter``."""
        self._meter = meter
        self._key = key
        self._window: Window | None = None

    def charge(self) -> tuple[Field, Field] | None:
        """Charge one request, as ``Meter.charge`` does, and return the fields that tell what is left."""
        self._window, fields = self._meter.charge(self._key, self._window)
        return fields


def _limit(name: str, text: str) -> Limit:
    """Return a limit that is written as ``10/minute``."""
    item = parse(text)
    return Limit(name, item.amount, item.get_expiry(), hot=name in HOT, when_away=WHEN_AWAY[name])


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
