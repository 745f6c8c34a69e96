"""The clock is passed in, never asked for: every rule takes the time as a value."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a service gets the time from."""

    def now(self) -> int:
        """Return the time as whole Unix seconds."""
        ...

    def now_ms(self) -> int:
        """Return the time as whole Unix milliseconds, for intervals shorter than a second."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> int:
        """Return the time as whole Unix seconds."""
        return int(time.time())

    def now_ms(self) -> int:
        """Return the time as whole Unix milliseconds."""
        return time.time_ns() // 1_000_000
