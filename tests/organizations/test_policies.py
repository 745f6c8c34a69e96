"""What an organization asks of its members and of their keys (promises K8, V1, W2)."""

import asyncio
import json

import pytest

from keystead.accounts.models import Policies
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound
from keystead.kernel.scopes import Role
from keystead.organizations.models import DAY, LONGEST_POLICY_DAYS
from keystead.sessions.models import SignedIn, StepNeeded, Visit
from tests.organizations.company import ADDRESS, Company
from tests.organizations.conftest import Open

NONE = Policies(None, second_factor_required=False)
NINETY = Policies(90 * DAY, second_factor_required=False)
FACTOR = Policies(None, second_factor_required=True)


async def policies(company: Company) -> Policies:
    return await company.organizations.policies(company.house.acme)


async def proven(company: Company, name: str) -> Principal:
    """Return somebody in a session that was begun with a second factor."""
    session = await company.session(name, second_factor=True)
    return await company.principal(name, credential_id=session.session_id)


@pytest.mark.parametrize("name", ["ada", "alan"])
async def test_owners_and_admins_set_policies_and_it_is_recorded_once(company: Company, name: str) -> None:
    assert await policies(company) == NONE
    for _ in range(2):
        await company.organizations.set_policies(await company.principal(name), NINETY, ADDRESS)
    assert await policies(company) == NINETY
    (event,) = await company.events("organization:set-policies")
    assert json.loads(event.detail) == {
        "longest_key_life": 90 * DAY,
        "second_factor_required": False,
        "password_sign_in_off": False,
        "device_sign_in_off": False,
        "sessions_ended": 0,
    }
    await company.organizations.set_policies(await company.principal(name), NONE, ADDRESS)
    assert await policies(company) == NONE


@pytest.mark.parametrize("life", [0, -DAY, 1, DAY - 1, DAY + 1, (LONGEST_POLICY_DAYS + 1) * DAY, 10**18])
async def test_the_longest_life_of_a_key_is_whole_days_up_to_ten_years(company: Company, life: int) -> None:
    with pytest.raises(InvalidParameters) as told:
        await company.organizations.set_policies(
            await company.principal("ada"), Policies(life, second_factor_required=False), ADDRESS
        )
    assert [field.name for field in told.value.fields] == ["longest_key_life"]
    assert await policies(company) == NONE


async def test_the_policies_of_an_organization_that_is_not_there_are_not_found(company: Company) -> None:
    with pytest.raises(NotFound):
        await company.organizations.policies("no such id")
    assert await company.organizations.policies((await company.identity("eve", "evil")).organization_id) == NONE


async def test_nobody_asks_for_a_second_factor_who_has_not_shown_one(company: Company) -> None:
    plain = await company.session("ada")
    ben = await company.session("ben")
    for credential_id in (plain.session_id, "no session", ben.session_id):
        with pytest.raises(Forbidden, match="second factor yourself first"):
            await company.organizations.set_policies(
                await company.principal("ada", credential_id=credential_id), FACTOR, ADDRESS
            )
    assert await policies(company) == NONE
    assert await company.house.services.sessions.find(ben.secret.reveal()) is not None


async def test_who_asks_for_a_second_factor_ends_the_sessions_of_all_who_have_not_shown_one(company: Company) -> None:
    weak = [await company.session(name) for name in ("ben", "olga", "ben")]
    strong = await company.session("amy", second_factor=True)
    bob_elsewhere = await company.session("eve")
    ada = await proven(company, "ada")
    await company.organizations.set_policies(ada, FACTOR, ADDRESS)
    find = company.house.services.sessions.find
    assert [await find(one.secret.reveal()) for one in weak] == [None] * 3
    assert await find(strong.secret.reveal()) is not None
    assert await find(bob_elsewhere.secret.reveal()) is not None
    (event,) = await company.events("organization:set-policies")
    assert json.loads(event.detail)["sessions_ended"] == 3


async def test_a_second_factor_that_is_asked_for_already_ends_no_sessions_again(company: Company) -> None:
    ada = await proven(company, "ada")
    await company.organizations.set_policies(ada, FACTOR, ADDRESS)
    alan = await company.principal("alan")
    await company.organizations.set_policies(alan, Policies(30 * DAY, second_factor_required=True), ADDRESS)
    assert await policies(company) == Policies(30 * DAY, second_factor_required=True)
    await company.organizations.set_policies(alan, NONE, ADDRESS)
    assert await policies(company) == NONE


async def test_no_session_slips_in_while_a_second_factor_begins_to_be_asked_for(opened: Open) -> None:
    company, other = opened(), opened()
    ada, ben = await proven(company, "ada"), await company.id_of("ben")
    begin = other.house.services.sessions.begin_for
    *begun, _ = await asyncio.gather(
        *(begin(ben, Visit(address=ADDRESS)) for _ in range(4)),
        company.organizations.set_policies(ada, FACTOR, ADDRESS),
    )
    find = other.house.services.sessions.find
    sessions = [one for one in begun if isinstance(one, SignedIn)]
    assert [await find(one.secret.reveal()) for one in sessions] == [None] * len(sessions)
    assert isinstance(await begin(ben, Visit(address=ADDRESS)), StepNeeded)


async def test_two_who_set_policies_at_once_leave_what_one_of_them_wanted(opened: Open) -> None:
    company, other = opened(), opened()
    month = Policies(30 * DAY, second_factor_required=False)
    await asyncio.gather(
        company.organizations.set_policies(await company.principal("ada"), NINETY, ADDRESS),
        other.organizations.set_policies(await other.principal("alan"), month, ADDRESS),
    )
    assert await policies(company) in {NINETY, month}
    assert len(await company.events("organization:set-policies")) == 2


async def test_a_demoted_admin_sets_no_policies_any_more(company: Company) -> None:
    alan = await company.principal("alan")
    await company.organizations.change_role(
        await company.principal("ada"), await company.id_of("alan"), Role.MEMBER, ADDRESS
    )
    with pytest.raises(Forbidden):
        await company.organizations.set_policies(alan, NINETY, ADDRESS)
    assert await policies(company) == NONE


async def test_two_who_were_shown_the_same_and_change_different_policies_at_once_both_get_theirs(opened: Open) -> None:
    company, other = opened(), opened()
    for set_by in (company.organizations.set_policies, company.organizations.set_platform_policies):
        own = set_by == company.organizations.set_policies
        ada = await (company.principal("ada") if own else company.operator())
        alan = await (other.principal("alan") if own else other.operator())
        theirs = other.organizations.set_policies if own else other.organizations.set_platform_policies
        await asyncio.gather(
            set_by(ada, NINETY, ADDRESS, shown=NONE),
            theirs(alan, Policies(device_sign_in_off=True), ADDRESS, shown=NONE),
        )
        found = await (policies(company) if own else company.organizations.platform_policies())
        assert found == Policies(90 * DAY, device_sign_in_off=True)


async def test_of_two_who_change_the_same_policy_at_once_the_second_is_told(opened: Open) -> None:
    company, other = opened(), opened()
    month = Policies(30 * DAY, device_sign_in_off=True)
    done = await asyncio.gather(
        company.organizations.set_policies(await company.principal("ada"), NINETY, ADDRESS, shown=NONE),
        other.organizations.set_policies(await other.principal("alan"), month, ADDRESS, shown=NONE),
        return_exceptions=True,
    )
    (told,) = [one for one in done if one is not None]
    assert isinstance(told, Conflict)
    assert [field.name for field in told.fields] == ["longest_key_life"]
    assert await policies(company) in {NINETY, month}
    assert len(await company.events("organization:set-policies")) == 1
