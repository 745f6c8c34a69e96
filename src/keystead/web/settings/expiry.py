"""When a new API key shall expire, as a person chooses it: after some days, with a date, or never. All pure."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from keystead.kernel.problems import FieldProblem, InvalidParameters
from keystead.keys.models import LONGEST_LIFE
from keystead.web.frame import Choice
from keystead.web.render import day_words

DAY: Final = 86_400
LIVES: Final = (7, 30, 60, 90)
"""The days for which a key may live without anybody looking at a calendar."""
NEVER: Final = "never"
ON_DATE: Final = "date"
USUAL: Final = 90
"""The days that are chosen unless somebody chooses others, where the policy allows them."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiries:
    """What may be chosen. ``first`` and ``last`` are dates as HTML writes them; ``policy`` says why that is all."""

    choices: tuple[Choice, ...]
    first: str
    last: str
    policy: str


def expiries(now: int, longest: int | None, chosen: str = "") -> Expiries:
    """Return what may be chosen where keys live for ``longest`` seconds at most, or for ever."""
    lives = _lives(longest)
    offered = [(str(days), f"After {_words(days * DAY)}", f"On {day_words(now + days * DAY)}") for days in lives]
    if _last_day(now, longest) >= _day(now):
        offered.append((ON_DATE, "On a date", "At the end of that day, in UTC"))
    if longest is None:
        offered.append((NEVER, "Never", "It works until somebody deletes it"))
    values = [value for value, _, _ in offered]
    usual = (str(days) for days in reversed(lives) if days <= USUAL)
    marked = next((value for value in (chosen, *usual) if value in values), "")
    return Expiries(
        choices=tuple(
            Choice(value=value, label=label, hint=hint, checked=value == marked) for value, label, hint in offered
        ),
        first=_day(now).isoformat(),
        last=_last_day(now, longest).isoformat(),
        policy="" if longest is None else f"Keys of this organization live for at most {_words(longest)}: its policy.",
    )


def end_of(chosen: str, on: str, now: int, longest: int | None) -> int | None:
    """Return the Unix second at which a key expires, or None for never. Raises InvalidParameters."""
    if chosen == ON_DATE:
        return _end_of_date(on, now, longest)
    if chosen == NEVER and longest is None:
        return None
    days = next((days for days in _lives(longest) if chosen == str(days)), None)
    if days is not None:
        return now + days * DAY
    if longest is not None and chosen in {NEVER, *map(str, LIVES)}:
        raise _misfit("expires", f"Keys of this organization live for at most {_words(longest)}. Choose less.")
    raise _misfit("expires", "Choose when the key shall expire.")


def _lives(longest: int | None) -> list[int]:
    """Return the days for which a key may live, the longest that a policy allows among them."""
    if longest is None:
        return list(LIVES)
    most = longest // DAY
    return sorted({days for days in (*LIVES, most) if 1 <= days <= most})


def _end_of_date(text: str, now: int, longest: int | None) -> int:
    if not text:
        raise _misfit("expires_on", "Choose the date on which the key shall expire.")
    try:
        day = date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        raise _misfit("expires_on", "This is no date. Write it as year-month-day, such as 2030-01-31.") from None
    if day < _day(now):
        raise _misfit("expires_on", "This date is in the past. Choose today or a later one.")
    last = _last_day(now, longest)
    if day > last:
        why = "An API key lives" if longest is None else "Keys of this organization live"
        cap = LONGEST_LIFE if longest is None else min(longest, LONGEST_LIFE)
        raise _misfit("expires_on", f"{why} for at most {_words(cap)}. Choose {_written(last)} or an earlier date.")
    return _second_after(day)


def _day(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def _second_after(day: date) -> int:
    """Return the Unix second in which a day has ended."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + DAY


def _last_day(now: int, longest: int | None) -> date:
    """Return the last day whose end is not too late; yesterday when there is none."""
    cap = LONGEST_LIFE if longest is None else min(longest, LONGEST_LIFE)
    return _day(now + cap) - timedelta(days=1)


def _written(day: date) -> str:
    return day_words(_second_after(day) - DAY)


def _words(seconds: int) -> str:
    days = seconds // DAY
    if days and days % 365 == 0 and days > 365:
        return f"{days // 365} years"
    return "1 day" if days == 1 else f"{days} days"


def _misfit(field: str, sentence: str) -> InvalidParameters:
    return InvalidParameters(sentence, fields=[FieldProblem("body", field, "expiry", sentence)])
