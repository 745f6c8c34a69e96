"""A person's own keys by their titles: one of a kind where that is asked for, and deleted by title or id."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    InsufficientScope,
    InvalidParameters,
    NotFound,
    Problem,
)
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope, Scopes, parse_scopes
from keystead.keys import rules
from keystead.keys.models import CreatedKey
from keystead.keys.service import DEFAULT_APP
from tests.keys.conftest import OpenHouse
from tests.keys.house import ADDRESS, House, neighbour

SCOPES: Scopes = frozenset({Scope.KEYS_READ, Scope.KEYS_DELETE})


async def make(
    house: House, title: str | None = "ci", who: str = "bob", lives_for: int | None = None, scopes: Scopes = SCOPES
) -> CreatedKey:
    creator = await house.principal(who, Method.SESSION)
    return await house.keys.create_own_key(creator, title, lives_for=lives_for, scopes=scopes, address=ADDRESS)


async def titles(house: House, who: str = "bob") -> list[str]:
    return [key.title for key in await house.keys.own.all((await house.principal(who)).identity)]


async def as_key(house: House, key: CreatedKey) -> Principal:
    found = await house.keys.find(key.secret.reveal())
    assert found is not None
    return found


# Titles


async def test_a_title_that_another_key_of_the_same_person_has_is_taken(house: House) -> None:
    first = await make(house)
    with pytest.raises(Conflict, match="already"):
        await make(house)
    assert await titles(house) == ["ci"]
    await make(house, "CI")
    await make(house, who="ada")
    await house.keys.own.delete(await house.principal("bob", Method.SESSION), first.record.id)
    await make(house)


async def test_of_many_keys_of_one_title_at_the_same_moment_on_two_nodes_one_is_made(house: House) -> None:
    there = neighbour(house)

    async def ask(node: House, number: int) -> str:
        try:
            await make(node, f"key {number % 4}")
        except Conflict as problem:
            return type(problem).__name__
        return "made"

    try:
        outcomes = await asyncio.gather(*(ask((house, there)[n % 2], n // 2) for n in range(32)))
    finally:
        there.db.close()
    assert sorted(outcomes) == ["TitleTaken"] * 28 + ["made"] * 4
    assert sorted(await titles(house)) == [f"key {n}" for n in range(4)]


async def test_a_title_that_is_taken_counts_whichever_way_the_other_key_was_made(house: House) -> None:
    app = await house.app()
    for _ in range(2):  # the Account API lets titles repeat
        await house.key(app, "bob")
    with pytest.raises(Conflict):
        await make(house, "laptop")
    await make(house, "phone")
    await house.keys.create_key(await house.principal("bob"), app.id, "phone")
    assert sorted(await titles(house)) == ["laptop", "laptop", "phone", "phone"]


async def test_without_a_title_a_key_is_named_by_the_time_in_utc(house: House) -> None:
    made = [await make(house, title) for title in (None, "", None)]
    at = datetime.fromtimestamp(house.clock.now(), UTC)
    assert len({one.record.title for one in made}) == 3
    for one in made:
        assert re.fullmatch(rf"token-{at:%Y%m%d-%H%M%S}-[0-9a-z]{{4}}", one.record.title)


@pytest.mark.parametrize("title", ["x" * 129, "x" * 10_000, " x", "x ", "a\nb", "a\x00b", "\u202ex", "\ud800"])
async def test_a_title_that_is_none_is_refused(house: House, title: str) -> None:
    with pytest.raises(InvalidParameters) as told:
        await make(house, title)
    assert [one.name for one in told.value.fields] == ["title"]
    assert await titles(house) == []


# What such a key may do


@pytest.mark.parametrize("who", ["ada", "alan", "bob"])
async def test_a_key_has_those_of_the_scopes_that_its_creators_role_allows(house: House, who: str) -> None:
    creator = await house.principal(who)
    made = await make(house, who=who, scopes=ALL_SCOPES)
    assert parse_scopes(made.record.scopes) == ROLE_SCOPES[creator.role]
    assert made.record.app_name == DEFAULT_APP
    assert (await as_key(house, made)).scopes == ROLE_SCOPES[creator.role]


# Deleting


@pytest.mark.parametrize("by", ["id", "title"])
async def test_a_key_that_was_deleted_is_refused_and_everybody_hears_of_it(house: House, by: str) -> None:
    made = await make(house, "ci/cd 🔑")
    heard = house.heard()
    name = made.record.id if by == "id" else made.record.title
    await house.keys.own.delete(await house.principal("bob", Method.SESSION), name, address=ADDRESS)
    await house.db.changes()
    assert heard == [f"credential:{made.record.id}"]
    assert await house.keys.find(made.secret.reveal()) is None
    (event,) = await house.events("key:delete")
    assert (event.target, event.actor_id, event.address) == (made.record.id, made.record.user_id, ADDRESS)


async def test_of_two_who_delete_a_key_at_the_same_moment_one_is_told_that_there_is_none(house: House) -> None:
    await make(house)
    bob = await house.principal("bob", Method.SESSION)
    there = neighbour(house)
    try:
        outcomes = await asyncio.gather(
            *(one.keys.own.delete(bob, "ci") for one in (house, there)), return_exceptions=True
        )
    finally:
        there.db.close()
    assert sorted(type(one).__name__ for one in outcomes) == ["NoneType", "NotFound"]
    assert len(await house.events("key:delete")) == 1


async def test_an_id_comes_before_a_title_and_a_title_of_several_keys_names_none(house: House) -> None:
    bob = await house.principal("bob", Method.SESSION)
    app = await house.app()
    meant = await house.key(app, "bob")
    other = await house.key(app, "bob")
    decoy = await make(house, meant.record.id)
    with pytest.raises(Conflict, match="by its id"):
        await house.keys.own.delete(bob, "laptop")
    await house.keys.own.delete(bob, meant.record.id)
    await house.keys.own.delete(bob, "laptop")
    assert await titles(house) == [decoy.record.title]
    assert await house.keys.find(other.secret.reveal()) is None


@pytest.mark.parametrize("name", ["", "laptops", "x" * 5_000, "\x00", "a\x00", "\ud800", "\n", " ", "%", "_"])
async def test_a_name_that_no_key_has_is_not_found_and_costs_no_fault(house: House, name: str) -> None:
    await make(house, "laptop")
    with pytest.raises(NotFound):
        await house.keys.own.delete(await house.principal("bob", Method.SESSION), name)
    assert await titles(house) == ["laptop"]


@pytest.mark.parametrize("who", ["ada", "alan", "eve"])
async def test_nobody_deletes_the_key_of_somebody_else_this_way(house: House, who: str) -> None:
    made = await make(house)
    for name in (made.record.id, "ci", new_id()):
        with pytest.raises(NotFound):
            await house.keys.own.delete(await house.principal(who, Method.SESSION), name)
    assert await titles(house) == ["ci"]


async def test_a_key_without_the_scope_deletes_itself_and_nothing_else(house: House) -> None:
    plain, other = await make(house, "plain", scopes=frozenset()), await make(house, "other")
    key = await as_key(house, plain)
    for name in ("other", other.record.id, "no such key"):
        with pytest.raises(InsufficientScope):
            await house.keys.own.delete(key, name)
    twin = await house.keys.create_key(await house.principal("bob"), None, "plain")
    with pytest.raises(InsufficientScope):
        await house.keys.own.delete(key, "plain")
    await house.keys.own.delete(await house.principal("bob", Method.SESSION), twin.record.id)
    await house.keys.own.delete(key, "plain")
    assert await titles(house) == ["other"]


async def test_who_else_may_delete_a_key(house: House) -> None:
    able = await as_key(house, await make(house, "able"))
    token = await house.principal("bob", Method.SHORT_TERM_TOKEN)
    told: list[type[Problem] | None] = []
    for number, (principal, scopes) in enumerate(
        [(able, SCOPES), (token, SCOPES), (token, frozenset()), (token, SCOPES - {Scope.KEYS_DELETE})]
    ):
        await make(house, f"key {number}")
        acting = Principal(principal.identity, principal.method, scopes, principal.credential_id, None)
        try:
            await house.keys.own.delete(acting, f"key {number}")
        except (InsufficientScope, CredentialNotAllowed) as problem:
            told.append(type(problem))
        else:
            told.append(None)
    assert told == [None, None, InsufficientScope, InsufficientScope]


# Rules


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (86_400, "1 day"),
        (7_776_000, "90 days"),
        (90_000, "25 hours"),
        (3_600, "1 hour"),
        (120, "2 minutes"),
        (61, "61 seconds"),
    ],
)
def test_the_longest_life_is_told_in_the_largest_unit_that_is_exact(seconds: int, words: str) -> None:
    with pytest.raises(InvalidParameters, match=f"at most {words}\\."):
        rules.check_cap(None, 0, seconds, "duration")
    assert rules.check_cap(seconds, 0, seconds, "duration") == seconds


async def test_a_member_who_was_demoted_gives_no_more_than_the_new_role_allows(opened: OpenHouse) -> None:
    house = opened()
    made = await make(house, who="alan", scopes=ALL_SCOPES)
    await house.set_role("alan", Role.MEMBER)
    assert (await as_key(house, made)).scopes == ROLE_SCOPES[Role.MEMBER]
