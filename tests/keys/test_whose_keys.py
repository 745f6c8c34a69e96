"""Keys belong to an app of an organization and say who made them; admins see and end them all (promise K8)."""

from keystead.kernel.scopes import Role
from tests.keys.house import House


async def test_a_key_says_who_made_it_and_belongs_to_its_app_and_organization(house: House) -> None:
    app = await house.app("ada")
    made = [await house.key(app, creator) for creator in ("ada", "alan", "bob")]
    ada = await house.principal("ada")
    assert [key.record.email for key in made] == [f"{name}@example.com" for name in ("ada", "alan", "bob")]
    assert {key.record.app_id for key in made} == {app.id}
    for key in made:
        found = await house.keys.find(key.secret.reveal())
        assert found is not None
        assert found.identity.organization_id == ada.identity.organization_id


async def test_an_admin_sees_the_keys_of_everybody_and_ends_them_all(house: House) -> None:
    app = await house.app("ada")
    made = {(await house.key(app, creator)).record.id: creator for creator in ("ada", "alan", "bob")}
    alan = await house.principal("alan")
    assert {key.id: key.username for key in await house.keys.list_keys(alan, app.id)} == made
    for key_id in made:
        await house.keys.delete_key(alan, app.id, key_id)
    assert await house.keys.list_keys(alan, app.id) == []


async def test_a_key_stays_with_its_organization_when_its_maker_becomes_a_member(house: House) -> None:
    app = await house.app("ada")
    made = await house.key(app, "alan")
    await house.set_role("alan", Role.MEMBER)
    (listed,) = await house.keys.list_keys(await house.principal("ada"), app.id)
    assert (listed.id, listed.username) == (made.record.id, "alan")
    assert await house.keys.find(made.secret.reveal()) is not None
