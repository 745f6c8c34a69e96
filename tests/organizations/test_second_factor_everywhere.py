"""Where an organization asks for a second factor, a password alone leads nowhere in it, whichever way is tried."""

import pytest
from sqlalchemy import bindparam, select, update

from keystead.db import Command, Query
from keystead.db.tables import device_authorization, organization, session
from keystead.kernel.problems import Forbidden, SecondFactorRequired, Unauthenticated
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.oauth.models import Decision, DeviceState
from keystead.sessions.models import SignedIn, StepNeeded, Visit
from tests.organizations.company import ADDRESS, Company

PASSWORD = Secret("a quiet lake before the morning")
VISIT = Visit(address=ADDRESS)
_REQUIRE = Command(
    update(organization).where(organization.c.name == bindparam("named")).values(second_factor_required=1)
)
_PROVEN = Command(update(session).where(session.c.id == bindparam("session_id")).values(second_factor=1))
_STATES = Query(select(device_authorization.c.state), str)


async def require(company: Company, name: str = "evil") -> str:
    """Let an organization ask for a second factor, and return its id."""
    await company.house.run(_REQUIRE, {"named": name})
    return (await company.house.services.accounts.organization_by_name(name)).id


async def approve(company: Company, session_id: str, organization_id: str) -> bool:
    """Approve a device for bob in a session, past the page."""
    house = company.house
    codes = await house.issue(await house.register())
    view = await house.look_up(codes.user_code.reveal(), house.bob)
    assert view is not None
    decision = Decision(True, organization_id, house.bob.id, session_id, ADDRESS)
    return await house.services.oauth.devices.decide(view, decision, Role.MEMBER, "Evil")


async def test_a_session_of_one_organization_approves_no_device_for_another_that_asks_for_more(
    company: Company,
) -> None:
    evil, begun = await require(company), await company.session("bob")
    with pytest.raises(Forbidden, match=r"asks its members for a second factor\. Set one up"):
        await approve(company, begun.session_id, evil)
    assert await company.house.db.all(_STATES, {}) == [DeviceState.PENDING.value]
    assert await approve(company, begun.session_id, company.house.acme)
    await company.house.run(_PROVEN, {"session_id": begun.session_id})
    assert await approve(company, begun.session_id, evil)


async def test_a_session_that_has_ended_proves_nothing_for_a_device(company: Company) -> None:
    evil, begun = await require(company), await company.session("bob", second_factor=True)
    await company.house.services.sessions.sign_out(begun.session_id)
    with pytest.raises(Forbidden):
        await approve(company, begun.session_id, evil)


async def test_nobody_switches_into_it_with_a_password_alone_and_the_session_lives_on(company: Company) -> None:
    evil, begun = await require(company), await company.session("bob")
    sessions = company.house.services.sessions
    principal = await sessions.find(begun.secret.reveal())
    assert principal is not None
    with pytest.raises(Forbidden, match="asks its members for a second factor"):
        await sessions.switch(principal, evil, ADDRESS)
    assert await sessions.find(begun.secret.reveal()) is not None


async def test_an_invitation_into_it_makes_a_member_and_opens_no_door(company: Company) -> None:
    evil, begun = await require(company), await company.session("ben")
    invited = await company.organizations.invite(
        await company.principal("eve", "evil"), "ben@example.com", Role.MEMBER, ADDRESS
    )
    link = invited.url.reveal().rpartition("/")[2]
    await company.organizations.accept(await company.id_of("ben"), link, ADDRESS)
    assert "ben" in await company.roles("evil")
    sessions = company.house.services.sessions
    principal = await sessions.find(begun.secret.reveal())
    assert principal is not None
    assert principal.identity.organization == "acme"
    with pytest.raises(Forbidden):
        await sessions.switch(principal, evil, ADDRESS)


async def test_somebody_new_who_is_invited_into_it_sets_up_a_factor_before_any_session(company: Company) -> None:
    await require(company)
    invited = await company.organizations.invite(
        await company.principal("eve", "evil"), "new@example.com", Role.MEMBER, ADDRESS
    )
    link = invited.url.reveal().rpartition("/")[2]
    made = await company.organizations.accept_as_new(link, "newcomer", None, PASSWORD, ADDRESS)
    begun = await company.house.services.sessions.begin_for(made, VISIT)
    assert isinstance(begun, StepNeeded)
    assert begun.enrol


async def test_a_new_password_ends_the_session_and_the_next_begins_with_a_second_factor(company: Company) -> None:
    sessions = company.house.services.sessions
    begun = await company.session("ben")
    principal = await sessions.find(begun.secret.reveal())
    assert principal is not None
    await require(company, "acme")
    await sessions.set_password("ben", PASSWORD)
    assert await sessions.find(begun.secret.reveal()) is None
    with pytest.raises(Unauthenticated):
        await sessions.change_password(principal, PASSWORD, Secret("a loud lake before the evening"), ADDRESS)
    after = await sessions.sign_in_by_steps("ben", PASSWORD, VISIT)
    assert isinstance(after, StepNeeded)
    with pytest.raises(SecondFactorRequired):
        await sessions.sign_in("ben", PASSWORD, address=ADDRESS)


async def test_who_joined_another_organization_first_signs_in_there_and_nowhere_else(company: Company) -> None:
    evil, sessions = await require(company), company.house.services.sessions
    await sessions.set_password("bob", PASSWORD)
    begun = await sessions.sign_in_by_steps("bob", PASSWORD, VISIT)
    assert isinstance(begun, SignedIn)
    principal = await sessions.find(begun.secret.reveal())
    assert principal is not None
    assert principal.identity.organization == "acme"
    with pytest.raises(Forbidden):
        await sessions.switch(principal, evil, ADDRESS)
    with pytest.raises(Forbidden):
        await approve(company, begun.session_id, evil)
