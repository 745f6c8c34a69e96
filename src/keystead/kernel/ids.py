"""Identifiers of rows: UUIDs of version 7, so that new rows land side by side in an index (RFC 9562, section 5.7)."""

import secrets
import time
import uuid

_NANOSECONDS_A_TICK = 245
"""Slightly more than a 4,096th of a millisecond, so that a millisecond never counts more ticks than fit in 12 bits."""

_last = 0
"""The newest id's time: milliseconds, then ticks within one. Threads that race for it differ in 62 random bits."""


def new_id() -> str:
    """Return a fresh UUIDv7 in its canonical form; 62 of its bits are random.

    Ids of one process sort in the order in which they were made, also within a millisecond and when the clock was set
    back (RFC 9562, section 6.2, method 3): what was done first is listed first.
    """
    global _last  # noqa: PLW0603 - the one thing a process remembers of its ids
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    _last = made = max(milliseconds << 12 | rest // _NANOSECONDS_A_TICK, _last + 1)
    value = made >> 12 << 80 | 0x7 << 76 | (made & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def is_id(text: str) -> bool:
    """Tell whether ``text`` is a UUID in its canonical form, the only form in which ids are issued."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
