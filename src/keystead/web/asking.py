"""What pages read out of a request beside forms, such as an id in the path or a place in a long list.

And what a service said of each field of a form.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import urlencode

from fastapi import Request

from keystead.kernel.ids import is_id
from keystead.kernel.problems import InvalidRequest, NotFound, Problem
from keystead.web.frame import Frames, Visitor
from keystead.web.pages import query_value

DAY: Final = 86_400
"""Seconds of a day."""
PAGE: Final = 50
"""Lines of a long list on one page."""

_LONGEST: Final = 700
"""Most characters of a name that is looked for: those of a client's id."""
_PLACE: Final = re.compile(r"([0-9]{1,12})-([0-9a-f-]{36})\Z")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def leader(frames: Frames, request: Request) -> Visitor:
    """Return the owner or admin who asks. Raises NotSignedIn, and Forbidden for a member."""
    visitor = frames.visitor(request)
    visitor.check_leads()
    return visitor


def operator(frames: Frames, request: Request) -> Visitor:
    """Return the operator who asks. Raises NotSignedIn, and Forbidden for anybody else."""
    visitor = frames.visitor(request)
    visitor.check_operates()
    return visitor


def path_id(request: Request, name: str, sentence: str) -> str:
    """Return an id that stands in the path. Raises NotFound with ``sentence`` for a text that is no id."""
    text = str(request.path_params[name])
    if not is_id(text):
        raise NotFound(sentence)
    return text


def path_text(request: Request, name: str) -> str:
    """Return a name that stands in the path, without what neither database takes in a text."""
    return _clean(str(request.path_params[name]))


def searched(request: Request) -> tuple[str, str]:
    """Return what a list is searched for, and after which name to go on; both may be empty."""
    return _clean(query_value(request, "search")).strip(), _clean(query_value(request, "after"))


def _clean(text: str) -> str:
    """Return a text without a NUL, which neither database takes, nor half a character; nothing stored holds one."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()[:_LONGEST]


def place(request: Request) -> tuple[int, str] | None:
    """Return after which time and id to go on in a long list, None for its beginning. Raises InvalidRequest."""
    text = query_value(request, "before")
    if not text:
        return None
    found = _PLACE.match(text)
    if found is None or not is_id(found[2]):
        raise InvalidRequest("The address of this page is not complete. Begin at the first page of the list.")
    return int(found[1]), found[2]


def page_url(path: str, asked: Mapping[str, str], at: int | None = None, id: str = "") -> str:
    """Return the address of a page of a list with what is asked for, after a time and id or from its beginning."""
    parts = {name: value for name, value in asked.items() if value}
    if at is not None:
        parts["before"] = f"{at}-{id}"
    return f"{path}?{urlencode(parts)}" if parts else path


def day(text: str) -> int:
    """Return the Unix second in which a day begins in UTC, written as a browser's date field does: 2026-03-14.

    Raises ValueError for any other text.
    """
    if _DAY.match(text) is None:
        raise ValueError(text)
    return int(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp())


def messages(problem: Problem) -> dict[str, str]:
    """Return what a service said of each field, by its name."""
    return {field.name: field.detail for field in problem.fields}
