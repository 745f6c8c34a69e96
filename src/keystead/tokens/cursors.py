"""How far a verifier has read the list of revoked tokens: pure, so that it can be tested in every order of things.

A row's ``revoked_at`` is the clock of the node that wrote it, read before the commit. So a row may become visible late,
beside rows of the same second, or from a node whose clock is behind. A cursor therefore says when the answer was begun,
and the next answer goes back ``OVERLAP`` seconds before that: whatever was not visible then is younger. It also says
how many rows there were from there on, which tells at once that there is another one, whatever its second.
"""

import re
from dataclasses import dataclass
from typing import Final

from keystead.kernel.ids import is_id
from keystead.tokens.rules import CLOCK_DIFFERENCE, LONGEST_TOKEN_LIFE

OVERLAP: Final = 120
"""Seconds: twice what clocks may differ by, which leaves a minute for a commit that takes its time."""
OLDEST: Final = LONGEST_TOKEN_LIFE + OVERLAP
"""Seconds after which everything that a verifier was told of has expired, so that it may as well begin anew."""

_WRITTEN: Final = re.compile(r"(\d{1,11})\.(\d{1,9})(?:\.(\d{1,11})\.([0-9a-f-]{36}))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list between two rows: after the row with this second and this id."""

    revoked_at: int
    id: str


BEGINNING: Final = Place(0, "")


@dataclass(frozen=True, slots=True)
class Cursor:
    """What ``next`` stands for.

    ``asked_at`` is the second in which the answer was begun, by the clock of the node that gave it, and ``known`` how
    many rows there were then from ``overlap`` on. ``place`` is where to go on while an answer takes several pages.
    """

    asked_at: int
    known: int
    place: Place | None = None

    @property
    def overlap(self) -> int:
        """The first second that the next answer has to tell of again."""
        return max(0, self.asked_at - OVERLAP + 1)

    @property
    def begins(self) -> Place:
        """Where the next answer begins."""
        return self.place or Place(self.overlap, "")


def read_cursor(text: str, now: int) -> Cursor | None:
    """Return what a verifier's ``after`` stands for; None when it has to begin with the whole list.

    That is so for a text that we did not write, for one that is older than what is kept, and for one from a future that
    no clock within the allowed difference can have seen (promise J5).
    """
    match = _WRITTEN.match(text)
    if match is None or not now - OLDEST <= int(match[1]) <= now + CLOCK_DIFFERENCE:
        return None
    if match[4] is None:
        return Cursor(int(match[1]), int(match[2]))
    return Cursor(int(match[1]), int(match[2]), Place(int(match[3]), match[4])) if is_id(match[4]) else None


def write_cursor(cursor: Cursor) -> str:
    """Return the text for ``next``, opaque to those who get it."""
    told = f"{cursor.asked_at}.{cursor.known}"
    return told if cursor.place is None else f"{told}.{cursor.place.revoked_at}.{cursor.place.id}"
