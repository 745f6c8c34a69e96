"""What the operators of the installation manage, and that nobody else does."""

import json

import pytest

from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound
from keystead.organizations.models import PAGE
from tests.organizations.company import ADDRESS, Company


async def names(company: Company, search: str = "", after: str = "") -> list[str]:
    found = await company.organizations.all_organizations(await company.operator(), search, after)
    return [one.name for one in found.items]


async def users(company: Company, search: str = "", after: str = "") -> list[str]:
    found = await company.organizations.all_users(await company.operator(), search, after)
    return [one.username for one in found.items]


async def test_an_operator_sees_every_organization_with_its_members_and_keys(company: Company) -> None:
    app = await company.app()
    for _ in range(2):
        await company.key(app, "bob")
    found = {one.name: one for one in (await company.organizations.all_organizations(await company.operator())).items}
    assert {name: (one.members, one.keys) for name, one in found.items()} == {
        "acme": (6, 2),
        "desk": (1, 0),
        "evil": (2, 0),
    }
    assert (found["acme"].display_name, found["acme"].id) == ("Acme", company.house.acme)


async def test_an_operator_sees_every_user_with_what_matters(company: Company) -> None:
    await company.disable("ben")
    found = {one.username: one for one in (await company.organizations.all_users(await company.operator())).items}
    assert list(found) == sorted(found) == ["ada", "alan", "amy", "ben", "bob", "eve", "olga", "root"]
    assert [name for name, one in found.items() if one.platform_admin] == ["root"]
    assert [name for name, one in found.items() if one.disabled_at is not None] == ["ben"]
    assert (found["bob"].organizations, found["bob"].email, found["bob"].second_factor) == (2, "bob@example.com", 0)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("cm", ["acme"]),
        (" ACME ", ["acme"]),
        ("e", ["acme", "desk", "evil"]),
        ("%", []),
        ("_", []),
        ("\\", []),
        ("'; DROP TABLE organization; --", []),
        ("å" * 500, []),
        ("ac\x00me\ud800", ["acme"]),
    ],
)
async def test_a_search_finds_what_holds_it_and_nothing_in_it_is_a_pattern(
    company: Company, search: str, expected: list[str]
) -> None:
    assert await names(company, search) == expected


async def test_users_are_found_by_user_name_and_by_email_address(company: Company) -> None:
    assert await users(company, "BEN@example") == ["ben"]
    assert await users(company, "oo") == ["root"]
    assert len(await users(company, "example.com")) == 8


async def test_long_lists_come_in_parts_without_gaps(company: Company) -> None:
    operator = await company.operator()
    made = sorted(f"org-{number:03}" for number in range(2 * PAGE))
    for name in made:
        await company.organizations.create_organization(operator, name, None, ADDRESS)
    seen, after = [], ""
    parts = 0
    while True:
        part = await company.organizations.all_organizations(operator, "org-", after)
        seen += [one.name for one in part.items]
        parts += 1
        if not part.after:
            break
        assert len(part.items) == PAGE
        after = part.after
    assert (seen, parts) == (made, 2)


async def test_an_operator_makes_an_organization(company: Company) -> None:
    operator = await company.operator()
    await company.organizations.create_organization(operator, "hooli", "", ADDRESS)
    assert "hooli" in await names(company)
    with pytest.raises(Conflict):
        await company.organizations.create_organization(operator, "hooli", "Hooli", ADDRESS)
    with pytest.raises(InvalidParameters):
        await company.organizations.create_organization(operator, "Not A Slug", "", ADDRESS)
    event = (await company.events("organization:create"))[-1]
    assert (event.actor_id, event.address) == (operator.identity.user_id, ADDRESS)


async def test_nobody_but_an_operator_manages_users_and_organizations(company: Company) -> None:
    ben = await company.id_of("ben")
    rooms = company.organizations
    for name in ("ada", "alan", "bob"):
        somebody = await company.principal(name)
        for act in (
            rooms.all_organizations(somebody),
            rooms.all_users(somebody),
            rooms.disable_user(somebody, ben, ADDRESS),
            rooms.enable_user(somebody, ben, ADDRESS),
            rooms.reset_link(somebody, ben, ADDRESS),
            rooms.create_organization(somebody, "hooli", None, ADDRESS),
            rooms.invite_owner(somebody, company.house.acme, "grace@example.com", ADDRESS),
        ):
            with pytest.raises(Forbidden):
                await act
    assert (await company.identity("ben")).username == "ben"
    assert "hooli" not in await names(company)


async def test_nobody_disables_themselves_nor_somebody_who_is_not_there(company: Company) -> None:
    operator = await company.operator()
    with pytest.raises(Conflict):
        await company.organizations.disable_user(operator, operator.identity.user_id, ADDRESS)
    for act in (company.organizations.disable_user, company.organizations.enable_user):
        with pytest.raises(NotFound):
            await act(operator, "no such id", ADDRESS)
    assert await company.identity("root", "desk") == operator.identity


async def test_disabling_is_recorded_once_and_a_disabled_user_cannot_begin_a_session(company: Company) -> None:
    operator, ben = await company.operator(), await company.id_of("ben")
    for _ in range(2):
        await company.organizations.disable_user(operator, ben, ADDRESS)
    with pytest.raises(Exception, match="user name or the password"):
        await company.session("ben")
    for _ in range(2):
        await company.organizations.enable_user(operator, ben, ADDRESS)
    assert (await company.session("ben")).session_id
    events = [*await company.events("user:disable"), *await company.events("user:enable")]
    assert [(one.type, one.target, one.actor_id) for one in events] == [
        ("user:disable", ben, operator.identity.user_id),
        ("user:enable", ben, operator.identity.user_id),
    ]
    assert [json.loads(one.detail) for one in events] == [{}, {}]


async def test_an_operator_gets_a_link_with_which_a_user_chooses_a_new_password(company: Company) -> None:
    operator, ben = await company.operator(), await company.id_of("ben")
    link = await company.organizations.reset_link(operator, ben, ADDRESS)
    assert link.reveal().startswith(company.house.services.settings.public_url + "/")
    (event,) = await company.events("user:reset-link")
    assert (event.target, event.actor_id, event.address) == (ben, operator.identity.user_id, ADDRESS)
    assert link.reveal().rpartition("/")[2] not in event.detail
    with pytest.raises(NotFound):
        await company.organizations.reset_link(operator, "no such id", ADDRESS)
    await company.disable("ben")
    with pytest.raises(Conflict):
        await company.organizations.reset_link(operator, ben, ADDRESS)
