"""Making a person and their organization together, and what an e-mail address and a slug may be."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.accounts.rules import check_email, check_name, slug_of
from keystead.db import Transaction
from keystead.kernel.problems import Conflict, InvalidParameters
from keystead.kernel.secrets import Secret
from tests.accounts.house import PASSWORD, House


async def sign_up(house: House, username: str, email: str, organization: str = "Acme Inc.") -> str:
    """Sign somebody up."""
    return await house.accounts.sign_up(
        email=email, username=username, name="Ada", password=PASSWORD, organization=organization, address="192.0.2.7"
    )


async def test_a_person_and_an_organization_that_they_own_are_made_together(house: House) -> None:
    ada = await sign_up(house, "ada", "Ada@Example.com")
    (membership,) = await house.accounts.memberships_of(ada)
    assert (membership.organization, membership.organization_display_name) == ("acme-inc", "Acme Inc.")
    assert membership.role == "owner"
    events = await house.events()
    assert [event.type for event in events] == ["user:create", "organization:create", "membership:create"]
    assert {(event.actor_id, event.address) for event in events} == {(ada, "192.0.2.7")}


@pytest.mark.parametrize(
    ("username", "email", "field"), [("ada", "b@example.com", "username"), ("bob", "ada@example.com", "email")]
)
async def test_what_somebody_has_already_is_told_by_its_field_and_nothing_is_made(
    house: House, username: str, email: str, field: str
) -> None:
    await house.add_ada()
    before = house.db.rows_changed
    with pytest.raises(Conflict) as refusal:
        await sign_up(house, username, email)
    assert [one.name for one in refusal.value.fields] == [field]
    assert house.db.rows_changed == before


async def test_of_many_who_take_one_address_or_one_name_at_once_one_gets_it(house: House) -> None:
    await asyncio.gather(
        *(sign_up(house, f"ada{n}", "ada@example.com") for n in range(4)),
        *(sign_up(house, "grace", f"grace{n}@example.com") for n in range(4)),
        return_exceptions=True,
    )
    events = [event.type for event in await house.events()]
    assert (events.count("user:create"), events.count("organization:create")) == (2, 2)


async def test_organizations_of_one_name_made_at_once_get_slugs_of_their_own(house: House) -> None:
    people = await asyncio.gather(*(sign_up(house, f"ada{n}", f"ada{n}@example.com") for n in range(4)))
    slugs = {(await house.accounts.memberships_of(one))[0].organization for one in people}
    assert len(slugs) == 4
    assert all(slug.startswith("acme-inc") for slug in slugs)


async def test_a_password_that_was_changed_in_the_same_second_does_not_stand_any_more(house: House) -> None:
    ada = await house.accounts.user_by_id(await house.add_ada())
    assert ada is not None

    async def change(tx: Transaction) -> None:
        await house.accounts.keep_password(tx, ada, "another hash")

    async def look(tx: Transaction) -> bool:
        return await house.accounts.password_still_stands(tx, ada)

    assert await house.db.write(look)
    await house.db.write(change)
    assert not await house.db.write(look)


async def test_a_password_that_may_not_be_set_makes_nothing(house: House) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        await house.accounts.sign_up(
            email="ada@example.com", username="ada", name="Ada", password=Secret("short"), organization="Acme"
        )
    assert [one.name for one in refusal.value.fields] == ["password"]
    assert await house.accounts.user_by_name("ada") is None


@pytest.mark.parametrize(
    ("shown", "slug"),
    [
        ("Acme Inc.", "acme-inc"),
        ("  Caf\u00e9 & Co ", "cafe-co"),
        ("\u65e5\u672c", "organization"),
        ("-_-", "organization"),
    ],
)
def test_a_slug_is_made_of_the_name_that_people_are_shown(shown: str, slug: str) -> None:
    assert slug_of(shown) == slug


@given(st.text(max_size=120))
def test_a_slug_is_always_one_that_an_organization_may_have(shown: str) -> None:
    assert check_name(slug_of(shown), "name", "organization's name") == slug_of(shown)


@pytest.mark.parametrize(
    "text",
    [
        "<ada@example.com>",
        "ada@example.com,eve@example.org",
        "ada@example.com;eve@example.org",
        "ada@exam<ple.com",
        '"ada"@example.com',
        "a(b)@example.com",
        "ada\\@example.com",
        "ada@example",
        "ada@@example.com",
        "ada@example..com",
        "",
    ],
)
def test_what_would_be_more_than_one_address_or_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameters):
        check_email(text)


@pytest.mark.parametrize(
    "text", ["ada@example.com", "a.d+a_1@sub.example.co.uk", "O'Neil@example.com", "\u00e5sa@example.se"]
)
def test_what_people_have_is_an_address(text: str) -> None:
    assert check_email(text) == text.lower()
