"""Times and durations as people write and read them. Inside, everything is whole Unix seconds."""

import re
from datetime import datetime
from typing import Final

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
_MOMENT: Final = 30
_UNITS: Final = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_DURATION: Final = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhdw])", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:?\d\d)?)?")
DURATION_FORM: Final = "Write a number and a unit, as in 30m, 12h, 30d or 2w."
EXPIRY_FORM: Final = "Write how long, as in 12h or 30d, or a date, as in 2027-01-01."


def read_duration(text: str) -> int:
    """Return how many seconds ``30d``, ``12h``, ``45m``, ``90s`` or ``2w`` are. Raises ValueError with a sentence."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is not a length of time. {DURATION_FORM}")
    return int(found["number"]) * _UNITS[found["unit"].lower()]


def read_expiry(text: str, now: int) -> int:
    """Return in how many seconds something ends: a length of time, or a date.

    A date without a time means its first moment, and a time without a zone is of this machine's zone. Raises
    ValueError with a sentence for anything else, and for what has passed already.
    """
    text = text.strip()
    if _DURATION.fullmatch(text):
        seconds = read_duration(text)
    elif _DATE.fullmatch(text):
        seconds = _read_date(text) - now
    else:
        raise ValueError(f"'{text}' is no time to end. {EXPIRY_FORM}")
    if seconds <= 0:
        raise ValueError(f"'{text}' has passed already.")
    return seconds


def _read_date(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"'{text}' is not a date that exists. {EXPIRY_FORM}") from None


def moment(at: int) -> datetime | None:
    """Return a time in the zone of this machine, or None for one that no calendar has."""
    try:
        return datetime.fromtimestamp(at).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def exact(at: int) -> str:
    """Return a time for programs: ISO 8601 with the offset of this machine's zone (RFC 3339)."""
    when = moment(at)
    return str(at) if when is None else when.isoformat(timespec="seconds")


def clock_time(at: int, now: int) -> str:
    """Return a time for people: the time of day alone where it is today, else the date with it."""
    when, today = moment(at), moment(now)
    if when is None or today is None:
        return str(at)
    return f"{when:%H:%M}" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M}"


def distance(at: int, now: int) -> str:
    """Return how far away a time is: ``in 3 days``, ``2 hours ago``, ``now``.

    What was made for seven days is told as seven days, although a moment of them has passed when it is told.
    """
    seconds = abs(at - now)
    if seconds < 1:
        return "now"
    if at > now:
        return f"in {roughly(seconds + min(seconds // MINUTE, _MOMENT))}"
    return f"{roughly(seconds)} ago"


def roughly(seconds: int) -> str:
    """Return a length of time in one unit, rounded down: ``3 days``, ``1 hour``, ``40 seconds``."""
    for name, size in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}" if number == 1 else f"{number} {name}s"
    return "0 seconds"


def both(at: int, now: int) -> str:
    """Return a time and how far away it is: ``2027-01-01 00:00 (in 3 days)``."""
    return f"{clock_time(at, now)} ({distance(at, now)})"


def countdown(seconds: int) -> str:
    """Return what is left, as a clock shows it: ``9:58``."""
    return f"{max(0, seconds) // MINUTE}:{max(0, seconds) % MINUTE:02}"
