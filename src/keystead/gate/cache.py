"""Remembering who a credential is, and forgetting it the moment that may no longer be true (promises V1, V4).

An entry is found by the keyed hash of its credential, so a dump of the memory's index shows none. It is dropped when
the change feed names its credential, its user or its organization. A look-up that was under way while something changed
must not fill the cache with what it saw before: it is kept only if nothing was heard since it began.

An entry is also known by sight: by the keyed hash of a header field in which its credential came, so that the same
field is not read and decoded each time. What is known by sight goes when its entry goes.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from keystead.db.feed import EVERYTHING
from keystead.kernel.principal import Principal
from keystead.wire.limiter import Counter

MOST_ENTRIES: Final = 20_000
MOST_SIGHTS: Final = 4
"""As many honest ways as there are to send one key; whoever invents more of them is read each time."""


@dataclass(slots=True)
class Entry:
    """A principal, and the answers already written for it. ``sights`` are the hashes by which it is known by sight."""

    principal: Principal
    session: "Written | None" = None
    verify: "Written | None" = None
    counter: Counter | None = None
    kept: bool = False
    sights: list[bytes] = field(default_factory=list[bytes])


@dataclass(frozen=True, slots=True)
class Written:
    """An answer in the form in which ASGI takes it, but for the header fields that differ from request to request."""

    headers: list[tuple[bytes, bytes]]
    body: dict[str, str | bytes]


def subjects_of(principal: Principal) -> tuple[str, str, str]:
    """Return what the feed names when this principal is no longer what it was."""
    identity = principal.identity
    return (
        f"credential:{principal.credential_id}",
        f"user:{identity.user_id}",
        f"organization:{identity.organization_id}",
    )


class CredentialCache:
    """The principals that this process remembers, the oldest leaving first when there are too many."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        """Remember at most this many credentials."""
        self._most = most
        # A plain dict would search through the places of all that left before for the oldest.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_sight: dict[bytes, Entry] = {}
        self._by_subject: dict[str, set[bytes]] = {}
        self.heard = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: int) -> Entry | None:
        """Return what is remembered of a credential that has not expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at = entry.principal.expires_at
        if expires_at is not None and now >= expires_at:
            self._drop(key)
            return None
        return entry

    def seen(self, sight: bytes, now: int) -> Entry | None:
        """Return what is remembered of a credential that has not expired, by sight."""
        entry = self._by_sight.get(sight)
        if entry is None:
            return None
        expires_at = entry.principal.expires_at
        return entry if expires_at is None or now < expires_at else None

    def recognize(self, sight: bytes, entry: Entry) -> None:
        """Know an entry by sight from now on, for as long as it is remembered."""
        if entry.kept and len(entry.sights) < MOST_SIGHTS and sight not in self._by_sight:
            self._by_sight[sight] = entry
            entry.sights.append(sight)

    def put(self, key: bytes, principal: Principal, heard: int) -> Entry:
        """Remember a principal, unless something was heard since the look-up began; return its entry in any case."""
        entry = Entry(principal)
        if heard != self.heard:
            return entry
        self._drop(key)
        if len(self._entries) >= self._most:
            self._drop(next(iter(self._entries)))
        self._entries[key] = entry
        entry.kept = True
        for subject in subjects_of(principal):
            self._by_subject.setdefault(subject, set()).add(key)
        return entry

    def hear(self, subject: str) -> None:
        """Forget all that a change concerns; a listener of the change feed."""
        self.heard += 1
        if subject == EVERYTHING:
            for entry in self._entries.values():
                entry.kept = False
            self._entries.clear()
            self._by_sight.clear()
            self._by_subject.clear()
        for key in tuple(self._by_subject.get(subject, ())):
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        entry.kept = False
        for sight in entry.sights:
            del self._by_sight[sight]
        for subject in subjects_of(entry.principal):
            keys = self._by_subject.get(subject)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._by_subject[subject]
