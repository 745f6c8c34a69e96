"""Draws a view model with its template.

A template is compiled when it is first used, so that a server starts at once and holds what its people look at; the
tests draw each of them. Everything is escaped, and a name a template uses but its view does not have is an error rather
than an empty space.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from keystead.sessions.models import STOP_PATH
from keystead.web import views
from keystead.web.brand import worn

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_UNITS: Final = ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1, "second"))
_HASH_LENGTH: Final = 16


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def wait_words(seconds: int) -> str:
    """A time to wait, in words, rounded up so that nobody comes back too early: 130 is "3 minutes"."""
    if seconds <= 0:
        return "a moment"
    for unit in (_MINUTE, _HOUR, _DAY):
        # Below one and a half units the smaller unit is the better word: "75 seconds", not "2 minutes".
        if seconds >= 1.5 * unit:
            seconds = math.ceil(seconds / unit) * unit
    unit, name = next((unit, name) for unit, name in _UNITS if seconds % unit == 0)
    return _counted(seconds // unit, name)


def span_words(seconds: int) -> str:
    """A length of time in its largest whole unit, rounded down: 150 is "2 minutes"."""
    unit, name = next(((unit, name) for unit, name in _UNITS if seconds >= unit), (1, "second"))
    return _counted(max(0, seconds) // unit, name)


def ago_words(then: int, now: int) -> str:
    """How long ago something was. Clocks may differ a little, so the future reads "just now" too."""
    seconds = now - then
    return "just now" if seconds < 5 else f"{span_words(seconds)} ago"


def when_words(moment: int, now: int) -> str:
    """When something was or will be: "2 hours ago", "in 3 days", and the day for what is months away."""
    seconds = moment - now
    if abs(seconds) >= 60 * _DAY:
        return day_words(moment)
    return ago_words(moment, now) if seconds <= 0 else f"in {span_words(seconds)}"


def exact_words(moment: int) -> str:
    """A moment to the second, with its time zone: 14 March 2026, 09:26:53 UTC."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at.day} {at:%B %Y, %H:%M:%S} UTC"


def day_words(moment: int) -> str:
    """The day of a moment, in UTC: 14 March 2026."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at.day} {at:%B %Y}"


def machine_time(moment: int) -> str:
    """A moment for the datetime attribute of a time element (ISO 8601)."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def spelled(code: str) -> str:
    """A code letter by letter, so that a screen reader does not try to say it as a word."""
    return ", ".join(" ".join(part) for part in code.split("-"))


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, which an empty line divides."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


_FAMILIES: Final = {
    "keys": "API keys",
    "apps": "Apps",
    "balance": "Balance",
    "tokens": "Short-term tokens",
    "sessions": "Browsers",
    "devices": "Devices",
}


def scope_families(lines: Iterable[views.ScopeLine]) -> list[tuple[str, list[views.ScopeLine]]]:
    """Permissions by what they are about, in the order in which they come: seventeen lines are read by nobody."""
    families: dict[str, list[views.ScopeLine]] = {}
    for line in lines:
        about = line.scope.partition(":")[0]
        families.setdefault(_FAMILIES.get(about, about), []).append(line)
    return list(families.items())


def _static_hashes() -> Mapping[str, str]:
    """The content hash of every static file: a changed file has a new address."""
    files = (resources.files("keystead.web") / "static").iterdir()
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:_HASH_LENGTH] for file in files if file.is_file()}


_STATIC: Final = _static_hashes()


def static_url(name: str) -> str:
    """The address of a static file, with its content hash, so that it may be cached for a year.

    Raises KeyError for a file that is not in the package.
    """
    return f"/static/{quote(name)}?v={_STATIC[name]}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("keystead.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        {
            "wait": wait_words,
            "span": span_words,
            "ago": ago_words,
            "when": when_words,
            "exact": exact_words,
            "day": day_words,
            "machine_time": machine_time,
            "spelled": spelled,
            "paragraphs": paragraphs,
            "families": scope_families,
        }
    )
    environment.globals.update(
        {
            "static_url": static_url,
            "worn": worn,
            "SIGN_IN_PATH": views.SIGN_IN_PATH,
            "SIGN_OUT_PATH": views.SIGN_OUT_PATH,
            "STOP_ACTING_PATH": STOP_PATH,
            "DEVICE_PATH": views.DEVICE_PATH,
            "PROBLEMS_PATH": views.PROBLEMS_PATH,
            "HOME_PATH": views.HOME_PATH,
        }
    )
    return environment


_ENVIRONMENT: Final = _environment()


def render(view: views.Page) -> str:
    """The HTML of a page, complete, from its view model."""
    return _ENVIRONMENT.get_template(view.template).render(view=view)
