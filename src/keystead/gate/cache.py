"""Remembering who a credential is, and forgetting it the moment that may no longer be true (promises V1, V4).

An entry is found by the keyed hash of its credential, so a dump of the memory's index shows none. It is dropped when
the change feed names its credential, its user or its organization, or the grant that it ends with. A look-up that was
under way while something changed must not fill the cache with what it saw before: it is kept only if nothing was heard
since it began.

An entry is also known by sight: by the keyed hash of a header field in which its credential came, so that the same
field is not read and decoded each time. What is known by sight goes when its entry goes, and so does what is known of
a person when the last of their credentials goes.

When there is no room, a newcomer takes the place of the oldest if it was here lately. So those who come again and again
stay, however many others come once.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from keystead.db.feed import EVERYTHING
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.scopes import Scopes
from keystead.wire.windows import Window

MOST_ENTRIES: Final = 20_000
MOST_SIGHTS: Final = 4
"""As many honest ways as there are to send one key; whoever invents more of them is read each time."""


@dataclass(frozen=True, slots=True)
class Written:
    """An answer in the form in which ASGI takes it, but for the header fields that differ from request to request."""

    headers: list[tuple[bytes, bytes]]
    body: dict[str, str | bytes]


@dataclass(slots=True, eq=False)
class Person:
    """Somebody in an organization, the answers that are written for them, and the keys of their entries.

    Answers are the same for many credentials of a person. Written once for each, they would fill the memory, and keep
    Python's garbage collector busy: every object that stays costs a microsecond there in the end.
    """

    identity: Identity
    session: Written | None = None
    verify: dict[tuple[Method, Scopes], Written] = field(default_factory=dict[tuple[Method, Scopes], Written])
    keys: set[bytes] = field(default_factory=set[bytes])


@dataclass(slots=True, eq=False)
class Entry:
    """A principal, what is already prepared for it, and the hashes by which it is known by sight."""

    principal: Principal
    person: Person
    window: Window | None = None
    """Where its limit was charged the last time."""
    kept: bool = False
    sights: tuple[bytes, ...] = ()


class CredentialCache:
    """The principals that this process remembers, of which the oldest leaves for one that comes a second time."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        """Remember at most this many credentials."""
        self._most = most
        self._lately = array("H", bytes(2 * most))
        """Two bytes of each of about the last ``most`` newcomers, in the place that six others tell."""
        # A plain dict would search through the places of all that left before for the oldest.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_sight: dict[bytes, Entry] = {}
        self._by_credential: dict[str, tuple[bytes, ...]] = {}
        self._by_grant: dict[str, tuple[bytes, ...]] = {}
        """The keys of what ends at once when its grant does; an access token that does not is not among them."""
        self._people: dict[str, dict[str, Person]] = {}
        """By user and organization; only those with a credential here."""
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

    def put(self, key: bytes, principal: Principal, heard: int) -> Entry:
        """Remember a principal if there is room for it, unless something was heard since the look-up began.

        Return its entry in any case. An operator who acts as somebody is never remembered: that rests on more than the
        feed tells of, and what is written for the person must not tell of the operator.
        """
        if heard != self.heard or principal.impersonator is not None:
            return Entry(principal, Person(principal.identity))
        if key in self._entries:
            self._drop(key)
        elif len(self._entries) >= self._most:
            if not self._was_here_lately(key):
                return Entry(principal, self._acquaintance(principal.identity))
            self._drop(next(iter(self._entries)))
        person = self._person(principal.identity)
        person.keys.add(key)
        self._by_credential[principal.credential_id] = (*self._by_credential.get(principal.credential_id, ()), key)
        if principal.ends_with_grant and principal.grant_id is not None:
            self._by_grant[principal.grant_id] = (*self._by_grant.get(principal.grant_id, ()), key)
        entry = self._entries[key] = Entry(principal, person, kept=True)
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
            entry.sights = (*entry.sights, sight)

    def identity(self, user_id: str, organization_id: str) -> Identity | None:
        """Return who a user is in an organization, if one of their credentials is remembered."""
        of_user = self._people.get(user_id)
        person = None if of_user is None else of_user.get(organization_id)
        return None if person is None else person.identity

    def hear(self, subject: str) -> None:
        """Forget all that a change concerns; a listener of the change feed."""
        self.heard += 1
        if subject == EVERYTHING:
            self._forget_everything()
        else:
            for key in tuple(self._concerned(subject)):
                self._drop(key)

    def _concerned(self, subject: str) -> Iterable[bytes]:
        """Return the keys of what the feed names by ``subject``."""
        kind, _, name = subject.partition(":")
        if kind == "credential":
            return self._by_credential.get(name, ())
        if kind == "grant":
            return self._by_grant.get(name, ())
        if kind == "user":
            return [key for person in self._people.get(name, {}).values() for key in person.keys]
        if kind == "organization":  # changes so seldom that looking through the people will do
            members = [people[name] for people in self._people.values() if name in people]
            return [key for person in members for key in person.keys]
        return ()

    def _was_here_lately(self, key: bytes) -> bool:
        """Say whether a newcomer was here before, among so many as are remembered, and note it for the next time."""
        number = int.from_bytes(key[-8:])
        place, mark = number % len(self._lately), number >> 48
        if self._lately[place] == mark:
            return True
        self._lately[place] = mark
        return False

    def _acquaintance(self, identity: Identity) -> Person:
        """Return the person of an identity for once, with the answers that are written for them if they are known."""
        of_user = self._people.get(identity.user_id)
        person = None if of_user is None else of_user.get(identity.organization_id)
        if person is not None and (person.identity is identity or person.identity == identity):
            return person
        return Person(identity)

    def _person(self, identity: Identity) -> Person:
        """Return the person of an identity, which was read just now; one who is not the same any more is another."""
        of_user = self._people.setdefault(identity.user_id, {})
        person = of_user.get(identity.organization_id)
        if person is None:
            person = of_user[identity.organization_id] = Person(identity)
        elif person.identity is not identity and person.identity != identity:
            for key in tuple(person.keys):
                self._drop(key)
            person = self._people.setdefault(identity.user_id, {})[identity.organization_id] = Person(identity)
        return person

    def _forget_everything(self) -> None:
        for entry in self._entries.values():
            entry.kept = False
        for index in (self._entries, self._by_sight, self._by_credential, self._by_grant, self._people):
            index.clear()

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        entry.kept = False
        for sight in entry.sights:
            del self._by_sight[sight]
        credential_id, identity, person = entry.principal.credential_id, entry.principal.identity, entry.person
        _leave(self._by_credential, credential_id, key)
        if entry.principal.ends_with_grant and entry.principal.grant_id is not None:
            _leave(self._by_grant, entry.principal.grant_id, key)
        person.keys.discard(key)
        if not person.keys:
            of_user = self._people[identity.user_id]
            del of_user[identity.organization_id]
            if not of_user:
                del self._people[identity.user_id]


def _leave(index: dict[str, tuple[bytes, ...]], name: str, key: bytes) -> None:
    """Take a key out of those that an index has under a name, and the name with the last of them."""
    others = tuple(other for other in index.pop(name) if other != key)
    if others:
        index[name] = others
