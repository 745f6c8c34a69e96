"""Where one process counts its rate limits: a storage for the ``limits`` library that goes by the clock passed in.

The library's own memory storage goes by the wall clock and starts a thread to forget; this one forgets as it counts.
Nodes that share their limits use one of the library's other storages in its place.
"""

from collections import OrderedDict
from dataclasses import dataclass

from limits.storage import Storage

from keystead.kernel.clock import Clock


@dataclass(slots=True)
class _Window:
    """What was charged to one key until the window ends, in Unix milliseconds."""

    ends_ms: int
    charged: int


class Windows(Storage):
    """Fixed windows, each of which begins with a key's first charge."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock) -> None:
        """Count by ``clock``."""
        super().__init__()
        self._clock = clock
        # By length: windows of one length end in the order in which they began, so the ended ones come first.
        self._by_length: dict[int, OrderedDict[str, _Window]] = {}
        self._windows: dict[str, _Window] = {}

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """Nothing can fail here."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Charge ``amount`` to a key and return what was charged in its window. A clock set back begins a new one."""
        now_ms = self._clock.now_ms()
        window = self._windows.get(key)
        if window is None or not now_ms < window.ends_ms <= now_ms + expiry * 1000:
            window = self._begin(key, expiry, now_ms)
        window.charged += amount
        return window.charged

    def get(self, key: str) -> int:
        """Return what was charged to a key."""
        window = self._windows.get(key)
        return 0 if window is None else window.charged

    def get_expiry(self, key: str) -> float:
        """Return when a key's window ends, in Unix seconds."""
        window = self._windows.get(key)
        return (self._clock.now_ms() if window is None else window.ends_ms) / 1000

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int:
        """Forget everything and return how many windows there were."""
        found = len(self._windows)
        self._by_length.clear()
        self._windows.clear()
        return found

    def clear(self, key: str) -> None:
        """Forget one key."""
        if self._windows.pop(key, None) is not None:
            for windows in self._by_length.values():
                windows.pop(key, None)

    def __len__(self) -> int:
        return len(self._windows)

    def _begin(self, key: str, expiry: int, now_ms: int) -> _Window:
        """Begin a window, and forget those of its length that have ended: each is looked at once."""
        windows = self._by_length.setdefault(expiry, OrderedDict())
        while windows:
            first, oldest = next(iter(windows.items()))
            if now_ms < oldest.ends_ms:
                break
            del windows[first]
            del self._windows[first]
        window = self._windows[key] = windows[key] = _Window(now_ms + expiry * 1000, 0)
        windows.move_to_end(key)
        return window
