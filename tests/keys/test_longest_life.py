"""Policies of an organization and of the platform say how long new API keys live at most (promises K7, K8)."""

import pytest
from sqlalchemy import bindparam, delete, update

from keystead.db import Command, insert_into
from keystead.db.tables import NO_POLICIES, organization, platform_policy
from keystead.kernel.problems import InvalidParameters
from keystead.keys.models import LONGEST_LIFE
from tests.keys.house import House

DAY = 86_400
CAP = 90 * DAY
SET = Command(
    update(organization).where(organization.c.name == bindparam("named")).values(longest_key_life=bindparam("life"))
)


FORGET = Command(delete(platform_policy))
SET_PLATFORM = Command(insert_into(platform_policy))


async def cap_platform(house: House, life: int | None) -> None:
    await house.db.run(FORGET, {})
    await house.db.run(SET_PLATFORM, {"id": 1, **NO_POLICIES, "longest_key_life": life})


async def cap(house: House, life: int | None = CAP, named: str = "acme") -> None:
    await house.db.run(SET, {"named": named, "life": life})


@pytest.mark.parametrize("field", ["expires_at", "lives_for"])
async def test_a_new_key_may_live_as_long_as_the_policy_says_and_not_a_second_longer(house: House, field: str) -> None:
    app, now = await house.app(), house.clock.now()
    await cap(house)
    begin = now if field == "expires_at" else 0
    made = await house.key(app, "bob", **{field: begin + CAP})
    assert made.record.expires_at == now + CAP
    with pytest.raises(InvalidParameters, match="at most 90 days") as told:
        await house.key(app, "bob", **{field: begin + CAP + 1})
    name = "expires_at" if field == "expires_at" else "expires_in"
    assert [(one.name, one.code) for one in told.value.fields] == [(name, "policy")]
    assert len(await house.keys.list_keys(await house.principal("ada"), app.id)) == 1


async def test_a_key_without_an_end_is_refused_where_keys_must_end_with_a_sentence_that_says_how_long(
    house: House,
) -> None:
    app = await house.app()
    await cap(house, DAY)
    with pytest.raises(InvalidParameters, match=r"at most 1 day\.") as told:
        await house.key(app)
    assert [one.name for one in told.value.fields] == ["expires_at"]
    assert await house.keys.list_keys(await house.principal("ada"), app.id) == []


async def test_the_policy_of_another_organization_concerns_nobody_here(house: House) -> None:
    app, evil = await house.app(), await house.app("eve", "Secrets")
    await cap(house, named="evil")
    assert (await house.key(app)).record.expires_at is None
    with pytest.raises(InvalidParameters):
        await house.key(evil, "eve")
    await cap(house, None, "evil")
    assert (await house.key(evil, "eve")).record.expires_at is None


async def test_a_program_that_knows_of_no_policy_gets_a_key_that_lives_as_long_as_the_policy_says(house: House) -> None:
    app, ada = await house.app(), await house.principal("ada")
    async with house.client(ada) as client:
        keys = f"/apps/{app.id}/keys"
        before = (await client.post(keys, json={"api_key_name": "laptop"})).json()
        await cap(house)
        after = (await client.post(keys, json={"api_key_name": "laptop"})).json()
        shorter = (await client.post(keys, json={"api_key_name": "laptop", "expires_in": DAY})).json()
        longer = await client.post(keys, json={"api_key_name": "laptop", "expires_in": CAP + 1})
    now = house.clock.now()
    assert [one["expires_at"] for one in (before, after, shorter)] == [None, now + CAP, now + DAY]
    assert longer.status_code == 422
    (mistake,) = longer.json()["detail"]
    assert (mistake["loc"], mistake["type"]) == (["body", "expires_in"], "policy")
    assert "90 days" in mistake["msg"]


async def test_the_operators_key_for_a_user_ends_as_the_policy_says(house: House) -> None:
    await cap(house)
    now = house.clock.now()
    assert (await house.keys.create_key_for_user("bob", "nightly")).record.expires_at == now + CAP
    assert (await house.keys.create_key_for_user("bob", "soon", expires_at=now + DAY)).record.expires_at == now + DAY
    with pytest.raises(InvalidParameters):
        await house.keys.create_key_for_user("bob", "late", expires_at=now + CAP + 1)


@pytest.mark.parametrize(
    ("life", "successor"), [(None, CAP), (DAY, DAY), (CAP, CAP), (CAP + 1, CAP), (LONGEST_LIFE, CAP)]
)
async def test_the_successor_of_a_rotated_key_ends_no_later_than_the_policy_says(
    house: House, life: int | None, successor: int
) -> None:
    app, ada, now = await house.app(), await house.principal("ada"), house.clock.now()
    old = await house.key(app, lives_for=life)
    await cap(house)
    rotated = await house.keys.changes.rotate(ada, app.id, old.record.id, DAY)
    assert rotated.made.record.expires_at == now + successor
    found = await house.keys.find(rotated.made.secret.reveal())
    assert found is not None
    assert found.expires_at == now + successor


async def test_keys_that_were_there_before_live_on_as_they_were_made(house: House) -> None:
    app = await house.app()
    forever, long = await house.key(app), await house.key(app, lives_for=LONGEST_LIFE)
    await cap(house, DAY)
    house.clock.advance(30 * DAY)
    found = [await house.keys.find(key.secret.reveal()) for key in (forever, long)]
    assert [one.expires_at for one in found if one] == [None, long.record.expires_at]


@pytest.mark.parametrize(
    ("of_organization", "of_platform", "longest"),
    [(None, CAP, CAP), (CAP, None, CAP), (CAP, DAY, DAY), (DAY, CAP, DAY), (CAP, CAP, CAP), (None, None, None)],
)
async def test_the_stricter_policy_counts_in_every_way_in_which_a_key_is_made(
    house: House, of_organization: int | None, of_platform: int | None, longest: int | None
) -> None:
    app, bob, now = await house.app(), await house.principal("bob"), house.clock.now()
    old = await house.key(app, "bob")
    await cap(house, of_organization)
    await cap_platform(house, of_platform)
    ends = None if longest is None else now + longest
    assert await house.keys.own.longest_life(bob.identity) == longest
    made = [
        await house.keys.create_key(bob, app.id, "program", or_longest=True),
        await house.keys.create_key_for_user("bob", "operator"),
        (await house.keys.changes.rotate(bob, app.id, old.record.id, 0)).made,
    ]
    if longest is not None:
        made += [
            await house.keys.create_key(bob, None, "page", expires_at=now + longest),
            await house.keys.create_own_key(bob, "program 2", lives_for=longest, scopes=frozenset()),
        ]
    assert {one.record.expires_at for one in made} == {ends}
    if longest is None:
        return
    for too_long in ({}, {"lives_for": longest + 1}, {"expires_at": now + longest + 1}):
        with pytest.raises(InvalidParameters, match="at most"):
            await house.key(app, "bob", **too_long)
    for life in (None, longest + 1):
        with pytest.raises(InvalidParameters, match="at most"):
            await house.keys.create_own_key(bob, "too long", lives_for=life, scopes=frozenset())
    with pytest.raises(InvalidParameters, match="at most"):
        await house.keys.create_key_for_user("bob", "too long", expires_at=now + longest + 1)


async def test_the_policy_of_the_platform_concerns_every_organization(house: House) -> None:
    app, evil = await house.app(), await house.app("eve", "Secrets")
    await cap_platform(house, DAY)
    for one, who in ((app, "bob"), (evil, "eve")):
        with pytest.raises(InvalidParameters, match="at most 1 day"):
            await house.key(one, who)
