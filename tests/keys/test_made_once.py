"""Who may ask twice, as a page that is loaded again, names the key's id and gets one key. Apps are named too."""

import asyncio
from collections import Counter

import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.problems import Conflict, InvalidParameters, NotFound
from keystead.keys.models import CreatedKey
from keystead.keys.service import DEFAULT_APP
from tests.keys.house import House, neighbour


async def test_a_key_is_made_once_under_an_id_and_the_second_time_is_a_conflict(house: House) -> None:
    ada, key_id = await house.principal("ada"), new_id()
    made = await house.keys.create_key(ada, None, "laptop", key_id=key_id)
    with pytest.raises(Conflict, match="made before"):
        await house.keys.create_key(ada, None, "laptop", key_id=key_id)
    with pytest.raises(Conflict):
        await house.keys.create_key(await house.principal("eve"), None, "mine", key_id=key_id)
    assert made.record.id == key_id
    assert [key.id for key in await house.keys.own.all(ada.identity)] == [key_id]
    assert len(await house.events("key:create")) == 1


async def test_twenty_who_ask_two_nodes_for_the_same_id_at_once_get_one_key(house: House) -> None:
    ada, key_id = await house.principal("ada"), new_id()
    nodes = [house, neighbour(house)]
    answers = await asyncio.gather(
        *(nodes[n % 2].keys.create_key(ada, None, "laptop", key_id=key_id) for n in range(20)), return_exceptions=True
    )
    nodes[1].db.close()
    assert Counter(map(type, answers)) == {CreatedKey: 1, Conflict: 19}
    assert [key.id for key in await house.keys.own.all(ada.identity)] == [key_id]


@pytest.mark.parametrize("key_id", ["", "1", "x" * 300, "01A202A1-064F-798E-A147-240740CEF25F"])
async def test_an_id_that_is_not_written_as_ours_are_is_refused(house: House, key_id: str) -> None:
    with pytest.raises(InvalidParameters) as refused:
        await house.keys.create_key(await house.principal("ada"), None, "laptop", key_id=key_id)
    assert [field.name for field in refused.value.fields] == ["key_id"]


async def test_a_key_goes_into_the_app_of_a_name_which_is_made_once(house: House) -> None:
    bob = await house.principal("bob")
    made = await asyncio.gather(*(house.keys.create_key(bob, None, f"key {n}", app_name="Reports") for n in range(5)))
    default = await house.keys.create_key(bob, None, "laptop")
    assert len({key.record.app_id for key in made}) == 1
    assert {key.record.app_name for key in made} == {"Reports"}
    assert default.record.app_name == DEFAULT_APP
    assert [app.name for app in await house.keys.list_apps(bob)] == ["Reports", DEFAULT_APP]


@pytest.mark.parametrize("name", ["", " x", "x" * 129, "a\nb"])
async def test_an_app_has_a_name_that_can_be_read(house: House, name: str) -> None:
    ada = await house.principal("ada")
    with pytest.raises(InvalidParameters) as refused:
        await house.keys.create_key(ada, None, "laptop", app_name=name)
    assert [field.name for field in refused.value.fields] == ["app_name"]
    assert await house.keys.list_apps(ada) == []


async def test_a_member_finds_their_own_key_by_its_id_and_owners_and_admins_everybodys(house: House) -> None:
    app = await house.app()
    of_ada, of_bob = await house.key(app), await house.key(app, "bob")
    ada, alan, bob = [await house.principal(name) for name in ("ada", "alan", "bob")]
    assert await house.keys.own.one(bob, of_bob.record.id) == of_bob.record
    assert await house.keys.own.one(ada, of_bob.record.id) == of_bob.record
    assert await house.keys.own.one(alan, of_ada.record.id) == of_ada.record
    for principal, key_id in ((bob, of_ada.record.id), (await house.principal("eve"), of_ada.record.id)):
        with pytest.raises(NotFound):
            await house.keys.own.one(principal, key_id)
