"""Users, organizations and memberships: made whole or not at all, and found again."""

import asyncio
import json

import pytest
from sqlalchemy import select

from keystead.accounts.passwords import Cost
from keystead.db import Query
from keystead.db.tables import user
from keystead.kernel.problems import Conflict, InvalidParameters, NotFound
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import CHEAP, PASSWORD, WRONG, House

USERS = Query(select(user.c.username), str)
HASH = Query(select(user.c.password_hash), str)


async def test_an_organization_has_its_name_once(house: House) -> None:
    made = await house.accounts.create_organization("acme", "Acme Ltd")
    with pytest.raises(Conflict) as refusal:
        await house.accounts.create_organization("acme")
    assert refusal.value.detail == "There is already an organization called 'acme'. Choose another name."
    found = await house.accounts.organization_by_name("acme")
    assert (found.id, found.display_name) == (made, "Acme Ltd")


async def test_a_user_is_in_the_organization_and_the_role_that_were_named(house: House) -> None:
    ada = await house.add_ada()
    (membership,) = await house.accounts.memberships_of(ada)
    assert (membership.organization, membership.role) == ("acme", "owner")
    identity = await house.accounts.identity(ada, membership.organization_id)
    assert identity is not None
    assert (identity.username, identity.email, identity.name) == ("ada", "ada@example.com", "ada")
    assert (identity.platform_admin, identity.password_updated_at) == (0, house.clock.now())


@pytest.mark.parametrize(
    ("username", "email", "sentence"),
    [
        ("ada", "other@example.com", "There is already a user called 'ada'."),
        ("other", "ADA@example.com", "There is already a user with the e-mail address 'ada@example.com'."),
    ],
)
async def test_a_user_name_and_an_email_address_belong_to_one_person(
    house: House, username: str, email: str, sentence: str
) -> None:
    await house.add_ada()
    with pytest.raises(Conflict) as refusal:
        await house.accounts.create_user(username=username, email=email, organization="acme")
    assert refusal.value.detail == sentence
    assert await house.db.all(USERS, {}) == ["ada"]


async def test_a_user_who_cannot_be_made_whole_is_not_made(house: House) -> None:
    with pytest.raises(NotFound) as missing:
        await house.accounts.create_user(username="ada", email="ada@example.com", organization="acme")
    assert missing.value.detail == "There is no organization called 'acme'."
    with pytest.raises(InvalidParameters):
        await house.accounts.create_user(username="ada", email="ada@example.com", password=Secret("short"))
    assert await house.db.all(USERS, {}) == []
    assert await house.events() == []


async def test_a_person_is_known_by_user_name_and_email_address_in_any_case(house: House) -> None:
    ada = await house.add_ada()
    for typed in ("ada", "Ada", " ada ", "ada@example.com", "ADA@Example.com"):
        found = await house.accounts.user_by_name(typed)
        assert found is not None
        assert found.id == ada
    assert await house.accounts.user_by_name("bob") is None
    assert await house.accounts.user_by_name("") is None


async def test_the_password_hash_is_not_shown_with_the_user(house: House) -> None:
    await house.add_ada()
    found = await house.accounts.user_by_name("ada")
    assert found is not None
    assert found.password_hash is not None
    assert found.password_hash not in repr(found)


async def test_memberships_come_in_the_order_in_which_they_began(house: House) -> None:
    ada = await house.add_ada()
    organizations = [await house.accounts.create_organization(name) for name in ("zebra", "bee")]
    for organization in organizations:
        house.clock.advance(1)
        await house.accounts.add_membership(ada, organization, Role.MEMBER)
    assert [found.organization for found in await house.accounts.memberships_of(ada)] == ["acme", "zebra", "bee"]
    with pytest.raises(Conflict) as refusal:
        await house.accounts.add_membership(ada, organizations[0], Role.OWNER)
    assert refusal.value.detail == "The user is a member of this organization already."
    first = await house.accounts.first_identity("ada")
    assert first.organization == "acme"


async def test_a_disabled_user_and_a_stranger_to_the_organization_have_no_identity_in_it(house: House) -> None:
    ada = await house.add_ada()
    (membership,) = await house.accounts.memberships_of(ada)
    elsewhere = await house.accounts.create_organization("other")
    assert await house.accounts.identity(ada, elsewhere) is None
    await house.disable(ada)
    assert await house.accounts.identity(ada, membership.organization_id) is None
    with pytest.raises(NotFound) as refusal:
        await house.accounts.first_identity("ada")
    assert refusal.value.detail == "The user 'ada' is disabled, or belongs to no organization."


async def test_the_right_password_of_a_disabled_user_is_not_right(house: House) -> None:
    ada = await house.add_ada()
    assert await house.accounts.password_is_right(await house.accounts.user_by_name("ada"), PASSWORD)
    assert not await house.accounts.password_is_right(await house.accounts.user_by_name("ada"), WRONG)
    await house.disable(ada)
    assert not await house.accounts.password_is_right(await house.accounts.user_by_name("ada"), PASSWORD)


async def test_a_password_hashed_with_other_parameters_is_hashed_anew_when_it_was_right(opened: OpenHouse) -> None:
    house = opened(cost=CHEAP)
    await house.add_ada()
    (old,) = await house.db.all(HASH, {})
    dearer = opened(cost=Cost(memory=128, passes=1))
    ada = await dearer.accounts.user_by_name("ada")
    assert not await dearer.accounts.password_is_right(ada, WRONG)
    assert await house.db.all(HASH, {}) == [old]
    assert await dearer.accounts.password_is_right(ada, PASSWORD)
    (new,) = await house.db.all(HASH, {})
    assert "m=128" in new
    again = await dearer.accounts.user_by_name("ada")
    assert again is not None
    assert ada is not None
    assert again.password_updated_at == ada.password_updated_at
    assert await dearer.accounts.password_is_right(again, PASSWORD)


async def test_of_a_hundred_who_make_the_same_user_at_once_one_succeeds(house: House) -> None:
    await house.accounts.create_organization("acme")
    attempts = [
        house.accounts.create_user(username="ada", email="ada@example.com", organization="acme") for _ in range(100)
    ]
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 99


async def test_what_was_made_is_in_the_audit_log_without_any_secret(house: House) -> None:
    ada = await house.add_ada()
    events = await house.events()
    assert [event.type for event in events] == ["organization:create", "user:create", "membership:create"]
    assert [event.target for event in events[1:]] == [ada, ada]
    assert json.loads(events[2].detail) == {"role": "owner"}
    assert PASSWORD.reveal() not in repr(events)
