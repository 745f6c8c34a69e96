"""A list that a service answers whole, shown in parts and searched: some hundreds of members, or of keys in an app."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fastapi import Request

from keystead.web.asking import page_url, searched

PART: Final = 30
"""Lines of a list on one page: with its styles and scripts the page stays below 60 KB."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Which part of a list is shown: what was searched for, how many there are and fit, and the way to other parts."""

    search: str
    total: int
    found: int
    previous_url: str
    next_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[T]):
    """Some of a list, and which."""

    items: tuple[T, ...]
    shown: Shown


def part(request: Request, path: str, items: Sequence[T], texts: Callable[[T], Iterable[str]]) -> Part[T]:
    """Return the part of a list that a request asks for: what holds ``search`` in one of its texts, 30 at a time.

    A place in the address that is none is the beginning.
    """
    search, after = searched(request)
    wanted = search.casefold()
    found = [item for item in items if any(wanted in text.casefold() for text in texts(item))]
    begin = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    begin = begin if begin < len(found) else 0
    end = begin + PART

    def url(place: int) -> str:
        return page_url(path, {"search": search, "after": str(place) if place else ""})

    shown = Shown(
        search=search,
        total=len(items),
        found=len(found),
        previous_url=url(max(0, begin - PART)) if begin else "",
        next_url=url(end) if end < len(found) else "",
    )
    return Part(items=tuple(found[begin:end]), shown=shown)
