"""The cache forgets in the moment in which something may no longer be true (promises V1, V4)."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import bindparam, delete, update

from keystead.db.engine import Transaction
from keystead.db.feed import EVERYTHING
from keystead.db.statements import Command
from keystead.db.tables import membership, user
from keystead.gate.authenticator import Authenticator
from keystead.gate.cache import MOST_SIGHTS, CredentialCache
from keystead.gate.credentials import Kind, Presented
from keystead.kernel.clock import SystemClock
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import Unauthenticated
from keystead.kernel.scopes import ALL_SCOPES
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys, Known
from keystead.services import Services, open_services
from tests.gate.serving import Furnished, new_key
from tests.support.server import ADA

pytestmark = pytest.mark.sqlite
"""The server is built in this process, over a file."""

RENAME = Command(update(user).where(user.c.username == bindparam("who")).values(name=bindparam("new_name")))
LEAVE = Command(delete(membership).where(membership.c.user_id == bindparam("who")))
NOW = 1_763_800_000
IDENTITY = Identity("u1", "ada", "ada@example.com", "Ada", 0, None, "o1", "acme", "Acme", "owner")


def principal(credential_id: str = "c1", expires_at: int | None = None, user_id: str = "u1") -> Principal:
    return Principal(replace(IDENTITY, user_id=user_id), Method.API_KEY, ALL_SCOPES, credential_id, expires_at)


def key_of(number: int) -> bytes:
    """Return the key of a credential, which is a hash."""
    return blake2b(b"%d" % number).digest()


def subjects_of(found: Principal) -> set[str]:
    """Return what the feed names when this principal is no longer what it was."""
    identity = found.identity
    return {
        f"credential:{found.credential_id}",
        f"user:{identity.user_id}",
        f"organization:{identity.organization_id}",
    }


def test_what_was_put_is_remembered() -> None:
    cache = CredentialCache()
    entry = cache.put(b"k", principal(), cache.heard)
    assert cache.get(b"k", NOW) is entry


@pytest.mark.parametrize("subject", ["credential:c1", "user:u1", "organization:o1", EVERYTHING])
def test_an_entry_is_forgotten_when_its_credential_its_user_or_its_organization_changes(subject: str) -> None:
    cache = CredentialCache()
    cache.put(b"k", principal(), cache.heard)
    cache.put(b"l", principal("c2"), cache.heard)
    cache.hear(subject)
    assert cache.get(b"k", NOW) is None
    assert (cache.get(b"l", NOW) is None) == (subject != "credential:c1")


@pytest.mark.parametrize("subject", ["credential:c2", "user:u2", "organization:o2", "device:c1", "grant:c1", "c1", ""])
def test_an_entry_stays_when_something_else_changes(subject: str) -> None:
    cache = CredentialCache()
    cache.put(b"k", principal(), cache.heard)
    cache.hear(subject)
    assert cache.get(b"k", NOW) is not None


def test_a_credential_is_forgotten_in_the_second_in_which_it_expires() -> None:
    cache = CredentialCache()
    cache.put(b"k", principal(expires_at=NOW), cache.heard)
    assert cache.get(b"k", NOW - 1) is not None
    assert cache.get(b"k", NOW) is None
    assert cache.get(b"k", NOW - 1) is None


def test_a_look_up_that_began_before_a_change_fills_nothing() -> None:
    cache = CredentialCache()
    heard = cache.heard
    cache.hear("credential:c1")
    entry = cache.put(b"k", principal(), heard)
    assert entry.principal == principal()
    assert cache.get(b"k", NOW) is None


def test_when_there_are_too_many_the_oldest_leaves_for_one_that_comes_again_and_leaves_nothing_behind() -> None:
    cache = CredentialCache(most=3)
    for number in range(10):
        for _ in range(2):
            cache.put(key_of(number), principal(f"c{number}", user_id=f"u{number}"), cache.heard)
    assert len(cache) == 3
    assert [number for number in range(10) if cache.get(key_of(number), NOW)] == [7, 8, 9]
    assert (set(cache._by_credential), set(cache._people)) == ({"c7", "c8", "c9"}, {"u7", "u8", "u9"})


def test_who_comes_once_takes_nobodys_place_however_many_they_are() -> None:
    cache = CredentialCache(most=100)
    often = [cache.put(key_of(number), principal(f"c{number}"), cache.heard) for number in range(100)]
    for number in range(100, 10_000):
        entry = cache.put(key_of(number), principal(f"c{number}", user_id=f"u{number}"), cache.heard)
        assert entry.principal.credential_id == f"c{number}"
    assert len(cache) == 100
    assert [cache.get(key_of(number), NOW) for number in range(100)] == often
    assert set(cache._people) == {"u1"}


def test_who_is_not_remembered_is_given_the_answers_of_the_same_person_but_not_of_one_who_has_changed() -> None:
    cache = CredentialCache(most=1)
    kept = cache.put(key_of(1), principal(), cache.heard)
    passing = cache.put(key_of(2), principal("c2"), cache.heard)
    assert (passing.kept, passing.person) == (False, kept.person)
    renamed = replace(principal("c3"), identity=replace(IDENTITY, name="Ada L."))
    assert cache.put(key_of(3), renamed, cache.heard).person.identity.name == "Ada L."
    assert cache.get(key_of(1), NOW) is kept


def test_who_is_not_remembered_is_not_known_by_sight_either() -> None:
    cache = CredentialCache(most=1)
    cache.put(key_of(1), principal(), cache.heard)
    cache.recognize(b"s", cache.put(key_of(2), principal("c2"), cache.heard))
    assert (cache.seen(b"s", NOW), cache.get(key_of(2), NOW), cache._by_sight) == (None, None, {})


def test_a_credential_that_is_found_again_with_another_user_leaves_nothing_of_the_first_behind() -> None:
    cache = CredentialCache(most=1)
    cache.put(b"k", principal(user_id="u1"), cache.heard)
    cache.put(b"k", principal(user_id="u2"), cache.heard)
    cache.hear("user:u1")
    assert cache.get(b"k", NOW) is not None
    cache.hear("user:u2")
    assert (len(cache), cache._by_credential, cache._people) == (0, {}, {})


@pytest.mark.parametrize("subject", ["credential:c1", "user:u1", "organization:o1", EVERYTHING])
def test_what_is_known_by_sight_is_forgotten_with_its_entry(subject: str) -> None:
    cache = CredentialCache()
    entry = cache.put(b"k", principal(), cache.heard)
    cache.recognize(b"s", entry)
    assert cache.seen(b"s", NOW) is entry
    cache.hear(subject)
    assert cache.seen(b"s", NOW) is None
    cache.recognize(b"s", entry)
    assert (cache.seen(b"s", NOW), cache._by_sight) == (None, {})


def test_what_is_known_by_sight_is_refused_in_the_second_in_which_it_expires() -> None:
    cache = CredentialCache()
    cache.recognize(b"s", cache.put(b"k", principal(expires_at=NOW), cache.heard))
    assert cache.seen(b"s", NOW - 1) is not None
    assert cache.seen(b"s", NOW) is None


def test_what_a_look_up_in_flight_brings_after_a_change_is_not_known_by_sight_either() -> None:
    cache = CredentialCache()
    heard = cache.heard
    cache.hear("credential:c1")
    cache.recognize(b"s", cache.put(b"k", principal(), heard))
    assert cache.seen(b"s", NOW) is None


def test_one_credential_in_a_thousand_dresses_takes_no_room_from_others() -> None:
    cache = CredentialCache(most=3)
    entries = [cache.put(bytes([number]), principal(f"c{number}"), cache.heard) for number in range(3)]
    for number in range(1_000):
        cache.recognize(b"%d" % number, entries[0])
    assert len(cache._by_sight) == MOST_SIGHTS
    assert [cache.get(bytes([number]), NOW) for number in range(3)] == entries


class CacheMachine(RuleBasedStateMachine):
    """Puts, changes and expiries in any order, against a model that remembers nothing wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = CredentialCache(most=4)
        self.true: dict[bytes, Principal] = {}
        self.begun: list[tuple[bytes, Principal, int]] = []

    @rule(key=st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"]))
    def look_up(self, key: bytes) -> None:
        found = principal(f"c-{key.decode()}", user_id="u1" if key < b"d" else "u2")
        self.begun.append((key, found, self.cache.heard))
        self.true[key] = found

    @rule()
    def finish(self) -> None:
        if self.begun:
            self.cache.put(*self.begun.pop(0))

    @rule(sight=st.sampled_from([b"v", b"w", b"x", b"y", b"z"]))
    def recognize(self, sight: bytes) -> None:
        for entry in reversed(self.cache._entries.values()):
            self.cache.recognize(sight, entry)
            break

    @rule(subject=st.sampled_from(["user:u1", "user:u2", "credential:c-a", "credential:c-b", "organization:o1", "*"]))
    def change(self, subject: str) -> None:
        self.cache.hear(subject)
        self.true = {k: p for k, p in self.true.items() if subject != EVERYTHING and subject not in subjects_of(p)}

    @invariant()
    def nothing_that_changed_is_remembered(self) -> None:
        for key in (b"a", b"b", b"c", b"d", b"e", b"f"):
            found = self.cache.get(key, NOW)
            assert found is None or key in self.true

    @invariant()
    def nothing_is_known_by_sight_that_is_not_remembered(self) -> None:
        kept = [id(entry) for entry in self.cache._entries.values()]
        assert all(id(entry) in kept for entry in self.cache._by_sight.values())

    @invariant()
    def it_is_bounded_and_its_index_fits(self) -> None:
        assert len(self.cache) <= 4
        people = [person for of_user in self.cache._people.values() for person in of_user.values()]
        assert {key for keys in self.cache._by_credential.values() for key in keys} == set(self.cache._entries)
        assert set().union(*(person.keys for person in people)) == set(self.cache._entries)
        assert all(person.keys for person in people)


def test_in_any_order_of_look_ups_and_changes_nothing_that_changed_is_remembered() -> None:
    run_state_machine_as_test(CacheMachine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
    assert len(CacheMachine().cache) == 0


# A look-up in flight, interleaved by hand


class SlowKeys(Keys):
    """The room of keys, whose look-up stops after it has read, until it is let go."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.has_read = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def find(self, text: str, known: Known | None = None) -> Principal | None:
        """Read, then wait."""
        found = await super().find(text, known)
        self.has_read.set()
        await self.may_answer.wait()
        return found


@dataclass(frozen=True, slots=True)
class Desk:
    """Services in one process, and an authenticator whose look-up of an API key can be stopped."""

    services: Services
    slow: SlowKeys
    authenticator: Authenticator
    key_id: str
    presented: Presented


@pytest.fixture
def desk(furnished: Furnished, tmp_path: Path) -> Iterator[Desk]:
    shutil.copytree(furnished.data, tmp_path / "data")
    settings = Settings(public_url="https://auth.example.com")
    key_id, key = new_key(tmp_path / "data", settings.public_url, "ada")
    services = open_services(tmp_path / "data", settings, SystemClock())
    slow = SlowKeys(
        db=services.db,
        clock=services.clock,
        keys=services.keys_of_installation,
        settings=settings,
        accounts=services.accounts,
        tokens=services.tokens,
        audit=services.audit,
    )
    authenticator = Authenticator(
        db=services.db,
        clock=services.clock,
        key=services.keys_of_installation.credentials,
        keys=slow,
        tokens=services.tokens,
        access=services.oauth.access,
        sessions=services.sessions,
    )
    yield Desk(services, slow, authenticator, key_id, Presented(Kind.API_KEY, key))
    services.close()


async def test_a_look_up_in_flight_during_a_revoke_does_not_fill_the_cache(desk: Desk) -> None:
    in_flight = asyncio.create_task(desk.authenticator.entry(desk.presented))
    await desk.slow.has_read.wait()
    await desk.services.keys.revoke_key(desk.key_id)
    # Somebody else's request hears of the change while the look-up still holds what it read before.
    assert desk.authenticator.remembered(Presented(Kind.API_KEY, "pwt_other")) is None
    desk.slow.may_answer.set()
    assert (await in_flight).principal.credential_id == desk.key_id
    assert len(desk.authenticator.cache) == 0
    with pytest.raises(Unauthenticated):
        await desk.authenticator.entry(desk.presented)


async def test_what_a_look_up_put_there_before_anybody_heard_of_the_revoke_is_gone_at_the_next_request(
    desk: Desk,
) -> None:
    in_flight = asyncio.create_task(desk.authenticator.entry(desk.presented))
    await desk.slow.has_read.wait()
    await desk.services.keys.revoke_key(desk.key_id)
    desk.slow.may_answer.set()
    assert (await in_flight).principal.credential_id == desk.key_id
    assert desk.authenticator.remembered(desk.presented) is None


async def test_a_key_of_somebody_known_is_found_by_one_read_of_its_own_row(desk: Desk) -> None:
    desk.slow.may_answer.set()
    await desk.authenticator.entry(desk.presented)
    other = await desk.services.keys.create_key_for_user("ada", "other")
    reads: list[str] = []
    connection: Any = desk.services.db._reads  # type: ignore[attr-defined]
    connection.set_trace_callback(reads.append)
    entry = await desk.authenticator.entry(Presented(Kind.API_KEY, other.secret.reveal()))
    connection.set_trace_callback(None)
    assert entry.principal.credential_id == other.record.id
    looked_up = [read for read in reads if "revocation" not in read and not read.startswith("PRAGMA")]
    assert len(looked_up) == 1
    assert "JOIN" not in looked_up[0]


@pytest.mark.parametrize("in_flight", [False, True])
async def test_what_is_known_of_a_person_is_forgotten_when_the_person_changes(desk: Desk, *, in_flight: bool) -> None:
    desk.slow.may_answer.set()
    before = (await desk.authenticator.entry(desk.presented)).principal.identity
    other = Presented(Kind.API_KEY, (await desk.services.keys.create_key_for_user("ada", "other")).secret.reveal())
    look_up: asyncio.Task[Any] | None = None
    if in_flight:
        desk.slow.may_answer.clear()
        desk.slow.has_read.clear()
        look_up = asyncio.create_task(desk.authenticator.entry(other))
        await desk.slow.has_read.wait()
    await desk.services.db.run(RENAME, {"who": "ada", "new_name": "Augusta Ada"})
    await desk.services.sessions.set_password("ada", Secret(ADA.password))
    assert desk.authenticator.remembered(desk.presented) is None
    desk.slow.may_answer.set()
    if look_up is not None:
        assert (await look_up).principal.identity == before
        assert len(desk.authenticator.cache) == 0
    found = (await desk.authenticator.entry(other)).principal.identity
    assert (before.name, found.name) == ("ada", "Augusta Ada")


async def test_a_key_of_somebody_who_left_is_nobodys_once_that_was_announced(desk: Desk) -> None:
    desk.slow.may_answer.set()
    user_id = (await desk.authenticator.entry(desk.presented)).principal.identity.user_id
    other = (await desk.services.keys.create_key_for_user("ada", "other")).secret.reveal()

    async def leave(tx: Transaction) -> None:
        await tx.run(LEAVE, {"who": user_id})
        await tx.announce(f"user:{user_id}")

    await desk.services.db.write(leave)
    for presented in (desk.presented, Presented(Kind.API_KEY, other)):
        with pytest.raises(Unauthenticated):
            await desk.authenticator.entry(presented)
    assert desk.authenticator.cache.identity(user_id, "") is None


async def test_a_credential_is_remembered_for_the_kind_that_it_was_sent_as(desk: Desk) -> None:
    desk.slow.may_answer.set()
    entry = await desk.authenticator.entry(desk.presented)
    assert desk.authenticator.remembered(desk.presented) is entry
    for kind in (Kind.TOKEN, Kind.SESSION, Kind.UNREADABLE):
        assert desk.authenticator.remembered(Presented(kind, desk.presented.text)) is None
