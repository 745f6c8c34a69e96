"""API keys: how one is known again, what it may do, who may end it, and what is noted of it."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from keystead.db.installation import DATABASE_FILE
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity, Method
from keystead.kernel.problems import Forbidden, InsufficientScope, InvalidParameters, NotFound, Problem
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope, Scopes
from keystead.kernel.secrets import is_api_key, keyed_hash, new_api_key
from keystead.keys import rules, store
from keystead.keys.models import NewKey
from tests.keys.conftest import OpenHouse
from tests.keys.house import ADDRESS, PUBLIC_URL, House
from tests.support.engine import sqlite_of


async def test_a_key_answers_its_user_organization_and_id(house: House) -> None:
    made = await house.key(await house.app())
    found = await house.keys.find(made.secret.reveal())
    assert found is not None
    assert (found.identity.username, found.identity.organization) == ("ada", "acme")
    assert (found.method, found.credential_id, found.expires_at) == (Method.API_KEY, made.record.id, None)
    assert found.scopes == frozenset()
    assert is_api_key(made.secret.reveal(), "pwt")


@pytest.mark.sqlite
async def test_a_malformed_key_costs_no_look_up(house: House) -> None:
    good = (await house.key(await house.app())).secret.reveal()
    asked: list[str] = []
    sqlite_of(house.db)._reads.set_trace_callback(asked.append)
    wrong_checksum = good[:-1] + ("a" if good[-1] != "a" else "b")
    for text in (wrong_checksum, good + "x", good[1:], "pwt_", "", "pwk" + good[3:], "\ud800", good + "\n"):
        assert await house.keys.find(text) is None
        assert not await house.keys.flag_exposed(text, ADDRESS)
    assert asked == []
    assert await house.keys.find(good) is not None
    assert len(asked) == 1


@pytest.mark.sqlite
async def test_a_check_is_one_indexed_read_without_a_write(house: House) -> None:
    key = (await house.key(await house.app())).secret.reveal()
    read: list[str] = []
    written: list[str] = []
    sqlite_of(house.db)._reads.set_trace_callback(read.append)
    sqlite_of(house.db)._writes.set_trace_callback(written.append)
    assert await house.keys.find(key) is not None
    assert len(read) == 1
    assert written == []
    sqlite_of(house.db)._reads.set_trace_callback(None)
    plan = (
        sqlite_of(house.db)
        ._reads.execute("EXPLAIN QUERY PLAN " + store.HOLDER_BY_HASH.sql, {"secret_hash": b""})
        .fetchall()
    )
    steps = [step for *_, step in plan]
    assert len(steps) == 4
    assert all("SEARCH" in step and "INDEX" in step for step in steps)


async def test_an_unknown_key_is_nobodys(house: House) -> None:
    assert await house.keys.find(new_api_key("pwt", PUBLIC_URL).reveal()) is None


async def test_a_key_ends_at_its_expiry_to_the_second(house: House) -> None:
    app = await house.app()
    made = await house.key(app, expires_at=house.clock.now() + 60)
    house.clock.advance(59.999)
    found = await house.keys.find(made.secret.reveal())
    assert found is not None
    assert found.expires_at == made.record.expires_at
    house.clock.advance(0.001)
    assert await house.keys.find(made.secret.reveal()) is None
    with pytest.raises(InvalidParameters):
        await house.key(app, expires_at=house.clock.now())


@pytest.mark.sqlite
async def test_a_dump_of_the_database_holds_no_usable_key(house: House) -> None:
    made = await house.key(await house.app())
    text = made.secret.reveal()
    secret_part = text.rpartition(".")[2]
    dump = "\n".join(sqlite_of(house.db)._reads.iterdump())
    files = b"".join(path.read_bytes() for path in house.directory.glob(f"{DATABASE_FILE}*"))
    stored = keyed_hash(house.keys_of_installation.credentials, text)
    assert stored in files
    for start in range(len(secret_part) - 11):
        piece = secret_part[start : start + 12]
        assert piece not in dump
        assert piece.encode() not in files
    for as_text in (stored.hex(), stored.decode("latin-1"), f"pwt_{stored.hex()}", made.record.hint):
        assert await house.keys.find(as_text) is None


async def test_a_key_does_not_show_itself_in_repr(house: House) -> None:
    made = await house.key(await house.app())
    assert made.secret.reveal().rpartition(".")[2] not in repr(made) + str(made)
    assert made.secret.reveal() not in str([event.detail for event in await house.events("key:create")])


# What a key may do


@given(st.sampled_from(Role), st.sets(st.sampled_from(Scope)).map(frozenset))
def test_a_new_key_has_the_scopes_that_were_asked_or_is_refused(role: Role, scopes: Scopes) -> None:
    identity = Identity("u", "ada", "a@example.com", "Ada", 0, None, "o", "acme", "Acme", role.value)
    try:
        given_scopes = rules.check_scopes(scopes, identity)
    except InsufficientScope:
        assert not scopes <= ROLE_SCOPES[role]
    else:
        assert given_scopes == scopes <= ROLE_SCOPES[role]


async def test_a_key_has_at_most_its_creators_scopes(house: House) -> None:
    app = await house.app()
    with pytest.raises(InsufficientScope):
        await house.key(app, "bob", scopes=frozenset({Scope.APPS_DELETE}))
    narrow = replace(await house.principal("ada"), scopes=frozenset({Scope.KEYS_CREATE}))
    with pytest.raises(InsufficientScope):
        await house.keys.create_key(narrow, app.id, "laptop", scopes=frozenset({Scope.KEYS_READ}))
    assert await house.keys.list_keys(await house.principal("ada"), app.id) == []


async def test_a_key_follows_its_owners_role_down(house: House) -> None:
    made = await house.key(await house.app(), "alan", scopes=ALL_SCOPES)
    before = await house.keys.find(made.secret.reveal())
    await house.set_role("alan", Role.MEMBER)
    after = await house.keys.find(made.secret.reveal())
    assert before is not None
    assert after is not None
    assert (before.scopes, after.scopes) == (ALL_SCOPES, ROLE_SCOPES[Role.MEMBER])


# Making keys


async def test_a_member_makes_keys_in_their_own_name(house: House) -> None:
    app = await house.app()
    made = await house.key(app, "bob")
    found = await house.keys.find(made.secret.reveal())
    assert found is not None
    assert (found.identity.username, made.record.username, made.record.email) == ("bob", "bob", "bob@example.com")
    (event,) = await house.events("key:create")
    assert (event.actor_id, event.target) == (found.identity.user_id, made.record.id)


async def test_titles_repeat_freely(house: House) -> None:
    app = await house.app()
    first, second = await house.key(app), await house.key(app)
    assert first.record.title == second.record.title
    assert first.record.id != second.record.id
    assert {key.id for key in await house.keys.list_keys(await house.principal("ada"), app.id)} == {
        first.record.id,
        second.record.id,
    }


async def test_the_operator_makes_a_key_in_the_default_app(house: House) -> None:
    first = await house.keys.create_key_for_user("bob", "cron")
    second = await house.keys.create_key_for_user("ada@example.com", "cron", scopes=frozenset({Scope.BALANCE_READ}))
    assert (first.record.app_name, first.record.app_id) == ("Default", second.record.app_id)
    found = await house.keys.find(second.secret.reveal())
    assert found is not None
    assert found.scopes == {Scope.BALANCE_READ}
    assert [event.actor_id for event in await house.events("key:create")] == [None, None]
    with pytest.raises(NotFound):
        await house.keys.create_key_for_user("nobody", "cron")


async def test_another_organizations_app_looks_like_none(house: House) -> None:
    theirs = await house.app("eve")
    ours = await house.app("ada")
    key = await house.key(theirs, "eve")
    ada = await house.principal("ada")
    details = set()
    for app_id, key_id in ((theirs.id, key.record.id), (new_id(), new_id()), (new_id(), key.record.id)):
        for attempt in (
            house.keys.list_keys(ada, app_id),
            house.keys.create_key(ada, app_id, "laptop"),
            house.keys.delete_key(ada, app_id, key_id),
            house.keys.delete_app(ada, app_id),
        ):
            with pytest.raises(NotFound) as refused:
                await attempt
            details.add(refused.value.detail)
    with pytest.raises(NotFound) as refused:
        await house.keys.delete_key(ada, ours.id, key.record.id)
    with pytest.raises(NotFound) as refused_too:
        await house.keys.delete_key(ada, ours.id, new_id())
    assert len(details) == 1
    assert refused.value.detail == refused_too.value.detail
    assert await house.keys.find(key.secret.reveal()) is not None


# Ending keys


async def test_a_deleted_key_is_unknown_and_every_process_hears_of_it(house: House) -> None:
    app = await house.app()
    made, other = await house.key(app), await house.key(app)
    heard = house.heard()
    await house.keys.delete_key(await house.principal("ada"), app.id, made.record.id, address=ADDRESS)
    house.db.fresh()
    assert heard == [f"credential:{made.record.id}"]
    assert await house.keys.find(made.secret.reveal()) is None
    assert await house.keys.find(other.secret.reveal()) is not None
    (event,) = await house.events("key:delete")
    assert (event.target, event.address) == (made.record.id, ADDRESS)


async def test_owners_and_admins_end_any_key_and_members_their_own(house: House) -> None:
    app = await house.app()
    adas, bobs, another = await house.key(app, "ada"), await house.key(app, "bob"), await house.key(app, "bob")
    bob = await house.principal("bob")
    with pytest.raises(Forbidden):
        await house.keys.delete_key(bob, app.id, adas.record.id)
    await house.keys.delete_key(bob, app.id, bobs.record.id)
    await house.keys.delete_key(await house.principal("alan"), app.id, another.record.id)
    assert await house.keys.find(adas.secret.reveal()) is not None
    assert await house.keys.find(bobs.secret.reveal()) is None
    assert await house.keys.find(another.secret.reveal()) is None


async def test_one_of_many_parallel_deletions_succeeds(house: House) -> None:
    app = await house.app()
    made = await house.key(app)
    ada = await house.principal("ada")
    answers = await asyncio.gather(
        *(house.keys.delete_key(ada, app.id, made.record.id) for _ in range(30)), return_exceptions=True
    )
    assert sum(found is None for found in answers) == 1
    assert sum(isinstance(found, NotFound) for found in answers) == 29
    assert len(await house.events("key:delete")) == 1


async def test_the_operator_revokes_any_key_by_its_id(house: House) -> None:
    made = await house.key(await house.app("eve"), "eve")
    heard = house.heard()
    await house.keys.revoke_key(made.record.id)
    house.db.fresh()
    assert heard == [f"credential:{made.record.id}"]
    assert await house.keys.find(made.secret.reveal()) is None
    with pytest.raises(NotFound):
        await house.keys.revoke_key(made.record.id)


# What is noted of keys


async def test_last_use_is_kept_with_its_address_and_never_goes_back(house: House) -> None:
    app = await house.app()
    first, second = await house.key(app), await house.key(app)
    now = house.clock.now()
    await house.keys.record_use([(first.record.id, now, "192.0.2.1"), (new_id(), now, "192.0.2.9")])
    await house.keys.record_use([(first.record.id, now - 1, "192.0.2.2"), (second.record.id, now, "192.0.2.3")])
    found = await house.keys.list_keys(await house.principal("ada"), app.id)
    assert {(key.id, key.last_used_at, key.last_used_address) for key in found} == {
        (first.record.id, now, "192.0.2.1"),
        (second.record.id, now, "192.0.2.3"),
    }


async def test_a_key_seen_on_plain_http_is_flagged_once_and_audited_once(house: House) -> None:
    app = await house.app()
    made = await house.key(app)
    at = house.clock.now()
    answers = await asyncio.gather(*(house.keys.flag_exposed(made.secret.reveal(), ADDRESS) for _ in range(20)))
    house.clock.advance(60)
    assert not await house.keys.flag_exposed(made.secret.reveal(), "192.0.2.8")
    (key,) = await house.keys.list_keys(await house.principal("ada"), app.id)
    (event,) = await house.events("key:exposed")
    assert sum(answers) == 1
    assert (key.exposed_at, event.target, event.address) == (at, made.record.id, ADDRESS)
    assert await house.keys.find(made.secret.reveal()) is not None


@pytest.mark.sqlite
async def test_a_flood_of_an_exposed_key_writes_nothing_more(house: House) -> None:
    made = await house.key(await house.app())
    await house.keys.flag_exposed(made.secret.reveal(), ADDRESS)
    written: list[str] = []
    sqlite_of(house.db)._writes.set_trace_callback(written.append)
    for text in (made.secret.reveal(), new_api_key("pwt", PUBLIC_URL).reveal()):
        assert not await house.keys.flag_exposed(text, ADDRESS)
    assert written == []


async def test_a_setting_revokes_an_exposed_key(opened: OpenHouse) -> None:
    house = opened(revoke_exposed_keys=True)
    made = await house.key(await house.app())
    heard = house.heard()
    assert await house.keys.flag_exposed(made.secret.reveal(), ADDRESS)
    house.db.fresh()
    assert heard == [f"credential:{made.record.id}"]
    assert await house.keys.find(made.secret.reveal()) is None
    assert not await house.keys.flag_exposed(made.secret.reveal(), ADDRESS)
    assert {event.type for event in await house.events("key:exposed", "key:revoke")} == {"key:exposed", "key:revoke"}


async def test_a_key_flagged_before_the_setting_was_made_is_revoked_too(opened: OpenHouse) -> None:
    lenient = opened()
    made = await lenient.key(await lenient.app())
    assert await lenient.keys.flag_exposed(made.secret.reveal(), ADDRESS)
    strict = opened(revoke_exposed_keys=True)
    assert await strict.keys.flag_exposed(made.secret.reveal(), ADDRESS)
    assert await strict.keys.find(made.secret.reveal()) is None
    assert len(await strict.events("key:exposed")) == 1


# Names


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a" * 129,
        "a\nb",
        "a\n",
        "\x00",
        "a\x7f",
        " a",
        "a ",
        "a\u202eb",
        "\ud800",
        "a\u2028",
        "\ufeffa",
        "\u00a0",
    ],
)
async def test_a_name_that_cannot_be_read_is_refused(house: House, name: str) -> None:
    app = await house.app()
    ada = await house.principal("ada")
    with pytest.raises(InvalidParameters):
        await house.keys.create_key(ada, app.id, name)
    with pytest.raises(InvalidParameters):
        await house.keys.create_app(ada, name)
    assert [found.name for found in await house.keys.list_apps(ada)] == ["Reports"]


@pytest.mark.parametrize(
    "name", ["a", "a" * 128, "Büro 7", "鍵", "a b", "👩‍💻", "kc_abc-2025-11-22-0015", "../x?y=1#z", "'\"<b>"]
)
async def test_a_name_that_can_be_read_is_kept_as_it_is(house: House, name: str) -> None:
    app = await house.app(name=name)
    made = await house.keys.create_key(await house.principal("ada"), app.id, name)
    assert (app.name, made.record.title, made.record.app_name) == (name, name, name)


@given(st.text(max_size=140))
def test_the_api_and_the_service_agree_on_every_name(name: str) -> None:
    def accepted_by_api() -> bool:
        try:
            NewKey(api_key_name=name)
        except ValidationError:
            return False
        return True

    def accepted_by_service() -> bool:
        try:
            rules.check_name(name, "title", "key's title")
        except Problem:
            return False
        return True

    assert accepted_by_api() == accepted_by_service()
