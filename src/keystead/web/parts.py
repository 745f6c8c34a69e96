"""A list that a service answers whole, shown in parts and searched: hundreds of members, keys, tokens or sessions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fastapi import Request

from keystead.web.asking import page_url, searched
from keystead.web.pages import query_value

PART: Final = 25
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
    """Return the part of a list that a request asks for: what holds ``search`` in one of its texts, 25 at a time.

    A place in the address that is none is the beginning.
    """
    search, after = searched(request)
    wanted = search.casefold()
    found = [item for item in items if any(wanted in text.casefold() for text in texts(item))]
    return _from(after, found, _Ways(path, "after", search, len(items)))


def stretch(request: Request, path: str, items: Sequence[T], place: str = "after") -> Part[T]:
    """Return the part of a list without a search; ``place`` is the word in the address that says where it begins."""
    return _from(query_value(request, place), items, _Ways(path, place, "", len(items)))


@dataclass(frozen=True, slots=True)
class _Ways:
    """The addresses of the parts of a list: ``place`` is the word that says where one begins."""

    path: str
    place: str
    search: str
    total: int

    def to(self, begin: int) -> str:
        return page_url(self.path, {"search": self.search, self.place: str(begin) if begin else ""})


def _from(place: str, found: Sequence[T], ways: _Ways) -> Part[T]:
    begin = int(place) if place.isascii() and place.isdigit() and len(place) < 10 else 0
    begin = begin if begin < len(found) else 0
    end = begin + PART
    shown = Shown(
        search=ways.search,
        total=ways.total,
        found=len(found),
        previous_url=ways.to(max(0, begin - PART)) if begin else "",
        next_url=ways.to(end) if end < len(found) else "",
    )
    return Part(items=tuple(found[begin:end]), shown=shown)
