"""Renaming a key, and putting another in its place while the old one goes on for a while (promises K7, K9, K12)."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, update

from keystead.db import Command
from keystead.db.tables import membership, user
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, Forbidden, InsufficientScope, InvalidParameters, NotFound, Problem
from keystead.kernel.scopes import ROLE_SCOPES, Role, Scope
from keystead.keys.models import LONGEST_LIFE, LONGEST_OVERLAP, SHORTEST_LIFE, App, CreatedKey, RotatedKey
from tests.keys.house import ADDRESS, House, neighbour

DAY = 86_400
LEAVE = Command(delete(membership).where(membership.c.user_id == bindparam("who")))
DISABLE = Command(update(user).where(user.c.id == bindparam("who")).values(disabled_at=1))
ELEVATE = Command(update(user).where(user.c.id == bindparam("who")).values(platform_admin=1))


async def rotate(house: House, key: CreatedKey, overlap: int = DAY, actor: str | Principal = "ada") -> RotatedKey:
    who = await house.principal(actor) if isinstance(actor, str) else actor
    return await house.keys.changes.rotate(who, key.record.app_id, key.record.id, overlap, address=ADDRESS)


async def works(house: House, key: CreatedKey) -> bool:
    return await house.keys.find(key.secret.reveal()) is not None


async def everything_of(house: House, app: App) -> list[Any]:
    return [*await house.keys.list_keys(await house.principal("ada"), app.id), *await house.events("key:rotate")]


async def run(house: House, command: Command, who: str) -> None:
    principal = await house.principal(who)
    await house.db.run(command, {"who": principal.identity.user_id})


# Rotating


async def test_the_successor_of_a_rotated_key_inherits_owner_app_title_scopes_and_expiry(house: House) -> None:
    app = await house.app()
    scopes = frozenset({Scope.KEYS_READ, Scope.BALANCE_READ})
    old = await house.key(app, "bob", scopes=scopes, lives_for=30 * DAY)
    house.clock.advance(10)
    made = (await rotate(house, old, actor="bob")).made
    found = await house.keys.find(made.secret.reveal())
    assert found is not None
    assert (found.identity.username, found.scopes, found.expires_at) == ("bob", scopes, old.record.expires_at)
    inherited = ("title", "app_id", "organization_id", "user_id", "scopes", "expires_at")
    assert [getattr(made.record, name) for name in inherited] == [getattr(old.record, name) for name in inherited]
    assert made.record.created_at == old.record.created_at + 10
    assert made.record.id != old.record.id
    assert made.secret != old.secret


@pytest.mark.parametrize(
    ("life", "overlap", "lasts"),
    [
        (None, 0, 0),
        (None, 1, 1),
        (None, DAY, DAY),
        (None, LONGEST_OVERLAP, LONGEST_OVERLAP),
        (3_600, DAY, 3_600),
        (DAY, DAY, DAY),
        (DAY + 1, DAY, DAY),
        (60, 0, 0),
    ],
)
async def test_the_predecessor_ends_at_the_earlier_of_its_expiry_and_the_overlap_to_the_second(
    house: House, life: int | None, overlap: int, lasts: int
) -> None:
    old = await house.key(await house.app(), lives_for=life)
    rotated = await rotate(house, old, overlap)
    assert rotated.predecessor_expires_at == house.clock.now() + lasts
    if lasts:
        house.clock.advance(lasts - 1)
        assert await works(house, old)
        house.clock.advance(1)
    assert not await works(house, old)
    assert await works(house, rotated.made) == (life is None or life > lasts)


@pytest.mark.parametrize("overlap", [-1, LONGEST_OVERLAP + 1, 10**30])
async def test_an_overlap_has_0_seconds_to_30_days(house: House, overlap: int) -> None:
    app = await house.app()
    old = await house.key(app)
    before = await everything_of(house, app)
    with pytest.raises(InvalidParameters):
        await rotate(house, old, overlap)
    assert await everything_of(house, app) == before
    assert LONGEST_OVERLAP == 30 * DAY


async def test_every_process_hears_that_a_rotated_key_ends(house: House) -> None:
    old = await house.key(await house.app())
    other = neighbour(house)
    try:
        heard = other.heard()
        await rotate(house, old)
        await other.db.changes()
        assert heard == [f"credential:{old.record.id}"]
    finally:
        other.db.close()


async def test_a_key_is_rotated_once_and_afterwards_its_successor_is(house: House) -> None:
    app = await house.app()
    old = await house.key(app)
    first = await rotate(house, old, DAY)
    with pytest.raises(Conflict):
        await rotate(house, old, DAY)
    second = await rotate(house, first.made, 0)
    keys = {key.id: key for key in await house.keys.list_keys(await house.principal("ada"), app.id)}
    chain = [old.record.id, first.made.record.id, second.made.record.id]
    assert [keys[key_id].successor_id for key_id in chain] == [*chain[1:], None]
    assert [await works(house, key) for key in (old, first.made, second.made)] == [True, False, True]


async def test_of_many_who_rotate_a_key_at_once_one_does_and_no_key_is_lost(house: House) -> None:
    app = await house.app()
    old = await house.key(app)
    others = [neighbour(house) for _ in range(3)]
    try:
        outcomes = await asyncio.gather(
            *(rotate(one, old) for one in (house, *others) for _ in range(8)), return_exceptions=True
        )
    finally:
        for one in others:
            one.db.close()
    done = [one for one in outcomes if isinstance(one, RotatedKey)]
    assert [type(one) for one in outcomes if not isinstance(one, RotatedKey)] == [Conflict] * 31
    assert await works(house, old)
    assert await works(house, done[0].made)
    keys = await house.keys.list_keys(await house.principal("ada"), app.id)
    assert [key.id for key in keys] == [old.record.id, done[0].made.record.id]
    assert len(await house.events("key:rotate")) == len(done) == 1


async def test_a_rotation_and_a_deletion_at_once_leave_either_the_successor_or_nothing(house: House) -> None:
    app, ada = await house.app(), await house.principal("ada")
    for _ in range(10):
        old = await house.key(app)
        ended, rotated = await asyncio.gather(
            house.keys.delete_key(ada, app.id, old.record.id), rotate(house, old), return_exceptions=True
        )
        assert ended is None
        assert isinstance(rotated, RotatedKey | NotFound)
        assert not await works(house, old)
        if isinstance(rotated, RotatedKey):
            assert await works(house, rotated.made)


async def test_a_predecessor_can_be_ended_at_once_and_its_successor_lives(house: House) -> None:
    old = await house.key(await house.app())
    made = (await rotate(house, old)).made
    await house.keys.delete_key(await house.principal("ada"), old.record.app_id, old.record.id)
    assert (await works(house, old), await works(house, made)) == (False, True)


async def test_a_key_that_has_expired_is_not_rotated(house: House) -> None:
    app = await house.app()
    old = await house.key(app, lives_for=60)
    house.clock.advance(60)
    before = await everything_of(house, app)
    with pytest.raises(Conflict):
        await rotate(house, old)
    assert await everything_of(house, app) == before


@pytest.mark.parametrize("change", [LEAVE, DISABLE], ids=["left the organization", "was disabled"])
async def test_nobody_rotates_a_key_whose_owner_is_gone(house: House, change: Command) -> None:
    app = await house.app()
    old = await house.key(app, "bob")
    await run(house, change, "bob")
    before = await everything_of(house, app)
    with pytest.raises(Conflict):
        await rotate(house, old)
    assert await everything_of(house, app) == before


# Who may


@pytest.mark.parametrize(
    ("actor", "owner", "refusal"),
    [
        ("ada", "ada", None),
        ("ada", "alan", None),
        ("ada", "bob", None),
        ("alan", "ada", Forbidden),
        ("alan", "alan", None),
        ("alan", "bob", None),
        ("bob", "ada", Forbidden),
        ("bob", "alan", Forbidden),
        ("bob", "bob", None),
        ("eve", "ada", NotFound),
        ("eve", "bob", NotFound),
    ],
)
async def test_a_key_is_rotated_by_its_owner_or_by_an_admin_and_by_nobody_who_may_do_less(
    house: House, actor: str, owner: str, refusal: type[Problem] | None
) -> None:
    app = await house.app()
    old = await house.key(app, owner)
    before = await everything_of(house, app)
    if refusal is None:
        made = (await rotate(house, old, actor=actor)).made
        found = await house.keys.find(made.secret.reveal())
        assert found is not None
        assert found.identity.username == owner
    else:
        with pytest.raises(refusal):
            await rotate(house, old, actor=actor)
        assert await everything_of(house, app) == before


async def test_an_owner_does_not_get_a_key_of_an_administrator_of_the_platform(house: House) -> None:
    old = await house.key(await house.app(), "bob")
    await run(house, ELEVATE, "bob")
    with pytest.raises(Forbidden):
        await rotate(house, old, actor="ada")
    assert await works(house, (await rotate(house, old, actor="bob")).made)


async def test_a_rotation_hands_on_no_scope_that_the_owner_has_lost(house: House) -> None:
    scopes = frozenset({Scope.KEYS_READ, Scope.BALANCE_ADD})
    old = await house.key(await house.app(), "alan", scopes=scopes)
    await house.set_role("alan", Role.MEMBER)
    made = (await rotate(house, old, actor="alan")).made
    await house.set_role("alan", Role.ADMIN)
    found = await house.keys.find(made.secret.reveal())
    assert found is not None
    assert found.scopes == {Scope.KEYS_READ}


async def test_a_token_rotates_no_key_that_can_do_more_than_the_token(house: House) -> None:
    old = await house.key(await house.app(), scopes=frozenset({Scope.BALANCE_ADD}))
    ada = await house.principal("ada")
    with pytest.raises(InsufficientScope):
        await rotate(house, old, actor=replace(ada, scopes=frozenset({Scope.KEYS_ROTATE})))
    wide = replace(ada, scopes=frozenset({Scope.KEYS_ROTATE, Scope.BALANCE_ADD}))
    assert await works(house, (await rotate(house, old, actor=wide)).made)


async def test_a_key_in_another_app_or_of_another_organization_looks_like_none(house: House) -> None:
    app, other = await house.app(), await house.app(name="Other")
    key = await house.key(app)
    eve, ada = await house.principal("eve"), await house.principal("ada")
    for who, app_id, key_id in (
        (ada, other.id, key.record.id),
        (ada, app.id, new_id()),
        (ada, new_id(), key.record.id),
        (eve, app.id, key.record.id),
    ):
        said = set()
        for act in (
            house.keys.changes.rotate(who, app_id, key_id, 0),
            house.keys.changes.rename(who, app_id, key_id, "taken"),
        ):
            with pytest.raises(NotFound) as refusal:
                await act
            said.add(refusal.value.detail)
        assert said == {"There is no such API key in this app of your organization."}
    assert await works(house, key)


async def test_a_rotation_is_in_the_audit_log_with_both_keys_and_neither_text(house: House) -> None:
    old = await house.key(await house.app(), "bob")
    rotated = await rotate(house, old, actor="ada")
    ada = await house.principal("ada")
    (event,) = await house.events("key:rotate")
    assert (event.actor_id, event.target, event.address) == (ada.identity.user_id, old.record.id, ADDRESS)
    assert json.loads(event.detail) == {
        "user_id": old.record.user_id,
        "successor_id": rotated.made.record.id,
        "expires_at": rotated.predecessor_expires_at,
    }
    assert [made.target for made in await house.events("key:create")] == [old.record.id, rotated.made.record.id]
    events = await house.events("key:rotate", "key:create")
    assert not any(key.secret.reveal()[-12:] in one.detail for one in events for key in (old, rotated.made))


async def test_rotating_takes_as_many_rows_for_the_hundredth_time_as_for_the_first(house: House) -> None:
    key = await house.key(await house.app())
    changed = []
    for _ in range(100):
        before = house.db.rows_changed
        key = (await rotate(house, key)).made
        changed.append(house.db.rows_changed - before)
    assert set(changed) == {5}  # the new key, the old one, two audit events, a line in the feed


# Renaming


async def test_a_key_is_renamed_and_stays_the_same_otherwise(house: House) -> None:
    app = await house.app()
    key = await house.key(app)
    ada = await house.principal("ada")
    renamed = await house.keys.changes.rename(ada, app.id, key.record.id, "server in Zürich", address=ADDRESS)
    assert renamed == replace(key.record, title="server in Zürich")
    assert await works(house, key)
    (event,) = await house.events("key:update")
    assert (event.actor_id, event.target, event.address) == (ada.identity.user_id, key.record.id, ADDRESS)
    assert json.loads(event.detail) == {
        "user_id": ada.identity.user_id,
        "title": "server in Zürich",
        "before": "laptop",
    }


@pytest.mark.parametrize(("actor", "owner"), [("ada", "bob"), ("alan", "ada"), ("bob", "bob")])
async def test_an_admin_renames_every_key_and_a_member_their_own(house: House, actor: str, owner: str) -> None:
    app = await house.app()
    key = await house.key(app, owner)
    renamed = await house.keys.changes.rename(await house.principal(actor), app.id, key.record.id, "new")
    assert renamed.title == "new"


async def test_a_member_does_not_rename_somebody_elses_key(house: House) -> None:
    app = await house.app()
    key = await house.key(app)
    with pytest.raises(Forbidden):
        await house.keys.changes.rename(await house.principal("bob"), app.id, key.record.id, "mine")
    (listed,) = await house.keys.list_keys(await house.principal("bob"), app.id)
    assert listed.title == "laptop"


@pytest.mark.parametrize("title", ["", " a", "a\n", "\u202ea", "a" * 129, "\ud800"], ids=repr)
async def test_a_title_that_could_not_be_shown_is_refused(house: House, title: str) -> None:
    key = await house.key(await house.app())
    with pytest.raises(InvalidParameters):
        await house.keys.changes.rename(await house.principal("ada"), key.record.app_id, key.record.id, title)
    assert await house.events("key:update") == []


# Making keys that expire, and seeing them all


@pytest.mark.parametrize("life", [SHORTEST_LIFE, DAY, LONGEST_LIFE])
async def test_a_key_that_is_made_to_expire_does_so_to_the_second(house: House, life: int) -> None:
    made = await house.key(await house.app(), lives_for=life)
    assert made.record.expires_at == made.record.created_at + life
    house.clock.advance(life - 1)
    assert await works(house, made)
    house.clock.advance(1)
    assert not await works(house, made)


@pytest.mark.parametrize("life", [-1, 0, SHORTEST_LIFE - 1, LONGEST_LIFE + 1, 10**30])
async def test_a_life_too_short_to_be_meant_or_too_long_to_be_kept_is_refused(house: House, life: int) -> None:
    app = await house.app()
    with pytest.raises(InvalidParameters):
        await house.key(app, lives_for=life)
    assert await house.keys.list_keys(await house.principal("ada"), app.id) == []


@pytest.mark.parametrize("name", ["ada", "alan", "bob"])
async def test_everybody_in_an_organization_sees_the_keys_of_all_its_apps_and_of_no_others(
    house: House, name: str
) -> None:
    mine = [await house.key(await house.app(name=f"App {n}"), who) for n, who in enumerate(("ada", "bob", "alan"))]
    theirs = await house.key(await house.app("eve"), "eve")
    listed = await house.keys.list_all_keys(await house.principal(name))
    assert listed == [key.record for key in mine]
    assert await house.keys.list_all_keys(await house.principal("eve")) == [theirs.record]
    assert ROLE_SCOPES[Role.MEMBER] >= {Scope.KEYS_READ}
