"""Where nobody signs in a device any more, nobody does; what is signed in stays so."""

import pytest
from sqlalchemy import select

from keystead.db import Query
from keystead.db.tables import device_authorization
from keystead.kernel.problems import Forbidden, UnauthorizedClient
from keystead.kernel.scopes import Role
from keystead.oauth.models import Decision, DeviceState, DeviceView
from tests.organizations.company import ADDRESS, Company, bearer, node
from tests.organizations.conftest import Open

_STATES = Query(select(device_authorization.c.state), str)


async def turn(company: Company, organization: str | None, *, off: bool) -> None:
    await company.organizations.set_policy_from_host(organization, "disable-device-login", int(off))


async def pending(company: Company) -> DeviceView:
    """Return a sign-in that bob was shown."""
    codes = await company.house.issue(await company.house.register())
    view = await company.house.look_up(codes.user_code.reveal(), company.house.bob)
    assert view is not None
    return view


async def decide(company: Company, view: DeviceView, organization_id: str, *, approve: bool = True) -> bool:
    begun = await company.session("bob")
    decision = Decision(approve, organization_id if approve else "", company.house.bob.id, begun.session_id, ADDRESS)
    return await company.house.services.oauth.devices.decide(view, decision, Role.MEMBER, "Acme")


async def test_where_the_platform_connects_no_devices_no_code_is_issued_and_nothing_stored(company: Company) -> None:
    client = await company.house.register()
    await turn(company, None, off=True)
    with pytest.raises(UnauthorizedClient, match="lets nobody sign in a device any more"):
        await company.house.issue(client)
    assert await company.house.db.all(_STATES, {}) == []
    await turn(company, None, off=False)
    await company.house.issue(client)
    assert await company.house.db.all(_STATES, {}) == [DeviceState.PENDING.value]


async def test_a_code_that_was_issued_before_is_approved_for_no_organization_and_can_be_refused(
    company: Company,
) -> None:
    one, another = await pending(company), await pending(company)
    evil = (await company.identity("eve", "evil")).organization_id
    await turn(company, None, off=True)
    for organization_id in (company.house.acme, evil):
        with pytest.raises(Forbidden, match="lets nobody sign in a device any more"):
            await decide(company, one, organization_id)
    assert await decide(company, another, "", approve=False)
    assert sorted(await company.house.db.all(_STATES, {})) == sorted([DeviceState.PENDING, DeviceState.DENIED])


async def test_an_organization_that_connects_no_devices_is_chosen_for_none_and_another_one_is(company: Company) -> None:
    view = await pending(company)
    evil = (await company.identity("eve", "evil")).organization_id
    await turn(company, "evil", off=True)
    with pytest.raises(Forbidden, match="evil lets nobody sign in a device any more"):
        await decide(company, view, evil)
    assert await company.house.db.all(_STATES, {}) == [DeviceState.PENDING.value]
    assert await decide(company, view, company.house.acme)


@pytest.mark.parametrize("organization", ["acme", None])
async def test_devices_that_are_connected_stay_so(opened: Open, organization: str | None) -> None:
    company = opened()
    access, refresh = await company.device("ben")
    await turn(company, organization, off=True)
    async with node(company) as one:
        assert await one.status(bearer(access)) == 200
    again = await company.house.refresh(refresh)
    assert again.access_token.reveal() != access
