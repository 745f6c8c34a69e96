"""Identifiers of rows: UUIDs of version 7, so that new rows land side by side in an index (RFC 9562, section 5.7)."""

import secrets
import time
import uuid


def new_id() -> str:
    """Return a fresh UUIDv7 in its canonical form; 74 of its bits are random."""
    milliseconds, random = time.time_ns() // 1_000_000, secrets.randbits(74)
    high, low = divmod(random, 1 << 62)
    value = milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
    return str(uuid.UUID(int=value))


def is_id(text: str) -> bool:
    """Tell whether ``text`` is a UUID in its canonical form, the only form in which ids are issued."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
