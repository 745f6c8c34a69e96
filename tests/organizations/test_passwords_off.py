"""Where nobody signs in with a password, none leads in, whichever way is tried; what is signed in goes on (W7)."""

import asyncio

import pytest
from sqlalchemy import delete, select

from keystead.accounts.models import Policies
from keystead.db import Command, Query
from keystead.db.tables import device_authorization, membership, user
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Forbidden, WrongSignIn
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.oauth.models import Decision, DeviceState
from keystead.sessions.models import SignedIn, StepNeeded, Visit
from tests.organizations.company import ADDRESS, Company
from tests.organizations.conftest import Open

PASSWORD = Secret("a quiet lake before the morning")
OTHER = Secret("a loud lake after the evening")
VISIT = Visit(address=ADDRESS)
NO_PASSWORDS = Policies(password_sign_in_off=True)
REFUSED = r"lets nobody sign in with a password\. Sign in with a passkey"
_STATES = Query(select(device_authorization.c.state), str)
_NEW = Query(select(user.c.username).where((user.c.username == "newcomer") | (user.c.username == "founder")), str)
_LEAVE_EVERYTHING = Command(delete(membership))


async def turn_off(company: Company, organization: str | None = "acme") -> None:
    await company.organizations.set_policy_from_host(organization, "disable-password-login", 1)


async def begun_in(company: Company, begun: SignedIn | StepNeeded) -> str:
    """Return the name of the organization of a session."""
    assert isinstance(begun, SignedIn)
    found = await company.house.services.sessions.find(begun.secret.reveal())
    assert found is not None
    return found.identity.organization


async def found(company: Company, begun: SignedIn) -> Principal:
    principal = await company.house.services.sessions.find(begun.secret.reveal())
    assert principal is not None
    return principal


@pytest.mark.parametrize("organization", ["acme", None])
async def test_a_right_password_is_told_what_lets_one_in_and_begins_nothing(
    company: Company, organization: str | None
) -> None:
    sessions = company.house.services.sessions
    await sessions.set_password("ben", PASSWORD)
    await turn_off(company, organization)
    with pytest.raises(Forbidden, match="Acme " + REFUSED):
        await sessions.sign_in("ben", PASSWORD, address=ADDRESS)
    with pytest.raises(Forbidden, match="Acme " + REFUSED):
        await sessions.sign_in_by_steps("ben", PASSWORD, VISIT)
    with pytest.raises(Forbidden, match="Acme " + REFUSED):
        await sessions.begin_for(await company.id_of("ben"), VISIT)
    assert await sessions.list_everywhere(await company.id_of("ben")) == []


async def test_a_wrong_password_learns_nothing_of_it(company: Company) -> None:
    await company.house.services.sessions.set_password("ben", PASSWORD)
    await turn_off(company)
    told = []
    for name in ("ben", "nobody"):
        with pytest.raises(WrongSignIn) as refused:
            await company.house.services.sessions.sign_in_by_steps(name, OTHER, VISIT)
        told.append(refused.value.detail)
    assert told[0] == told[1]


async def test_who_belongs_to_another_organization_as_well_is_signed_in_there(company: Company) -> None:
    sessions = company.house.services.sessions
    await sessions.set_password("bob", PASSWORD)
    assert await begun_in(company, await sessions.sign_in_by_steps("bob", PASSWORD, VISIT)) == "acme"
    await turn_off(company)
    assert await begun_in(company, await sessions.sign_in_by_steps("bob", PASSWORD, VISIT)) == "evil"
    await turn_off(company, "evil")
    with pytest.raises(Forbidden, match="Acme " + REFUSED):
        await sessions.sign_in_by_steps("bob", PASSWORD, VISIT)


async def test_the_second_factor_that_counts_is_that_of_the_organization_signed_in_to(company: Company) -> None:
    sessions = company.house.services.sessions
    await sessions.set_password("bob", PASSWORD)
    await company.organizations.set_policy_from_host("evil", "enforce-mfa", 1)
    assert await begun_in(company, await sessions.sign_in_by_steps("bob", PASSWORD, VISIT)) == "acme"
    await turn_off(company)
    step = await sessions.sign_in_by_steps("bob", PASSWORD, VISIT)
    assert isinstance(step, StepNeeded)
    assert step.enrol
    open_step = await sessions.steps.look(step.step.reveal())
    assert open_step is not None
    assert open_step.enrol


async def test_a_session_that_was_begun_with_a_password_goes_on_and_cannot_be_taken_there(company: Company) -> None:
    evil = (await company.identity("eve", "evil")).organization_id
    sessions, begun = company.house.services.sessions, await company.session("bob")
    stays = await company.session("eve")
    await turn_off(company, "evil")
    assert await sessions.find(stays.secret.reveal()) is not None
    with pytest.raises(Forbidden, match="evil " + REFUSED):
        await sessions.switch(await found(company, begun), evil, ADDRESS)
    assert await sessions.find(begun.secret.reveal()) is not None


async def test_a_session_that_was_begun_with_a_passkey_goes_everywhere(company: Company) -> None:
    evil = (await company.identity("eve", "evil")).organization_id
    begun = await company.session("bob", passkey=True)
    await turn_off(company, "evil")
    after = await company.house.services.sessions.switch(await found(company, begun), evil, ADDRESS)
    assert await begun_in(company, after) == "evil"
    assert await approve(company, after.session_id, evil)


async def test_a_new_password_prolongs_no_session_that_rests_on_the_old_one(company: Company) -> None:
    sessions, clock = company.house.services.sessions, company.house.clock
    await sessions.set_password("ben", PASSWORD)
    begun = await sessions.sign_in("ben", PASSWORD, address=ADDRESS)
    ends = clock.now() + sessions.lifetime
    await turn_off(company)
    clock.advance(3_600)
    changed = await sessions.change_password(await found(company, begun), PASSWORD, OTHER, ADDRESS)
    clock.advance(ends - clock.now() - 1)
    await sessions.record_use([(changed.session_id, clock.now(), ADDRESS)])
    assert await sessions.find(changed.secret.reveal()) is not None
    clock.advance(1)
    assert await sessions.find(changed.secret.reveal()) is None


async def approve(company: Company, session_id: str, organization_id: str) -> bool:
    """Approve a device for bob in a session, past the page."""
    house = company.house
    codes = await house.issue(await house.register())
    view = await house.look_up(codes.user_code.reveal(), house.bob)
    assert view is not None
    decision = Decision(True, organization_id, house.bob.id, session_id, ADDRESS)
    return await house.services.oauth.devices.decide(view, decision, Role.MEMBER, "Acme")


@pytest.mark.parametrize("organization", ["acme", None])
async def test_a_session_that_rests_on_a_password_approves_no_device_there(
    company: Company, organization: str | None
) -> None:
    begun = await company.session("bob")
    await turn_off(company, organization)
    with pytest.raises(Forbidden, match="Acme " + REFUSED):
        await approve(company, begun.session_id, company.house.acme)
    assert await company.house.db.all(_STATES, {}) == [DeviceState.PENDING.value]


async def test_nobody_turns_passwords_off_who_has_not_signed_in_with_a_passkey(company: Company) -> None:
    plain, strong = await company.session("ada"), await company.session("ada", second_factor=True)
    ben = await company.session("ben", passkey=True)
    await company.house.services.sessions.sign_out(ben.session_id)
    for session_id in (plain.session_id, strong.session_id, ben.session_id, "no session"):
        with pytest.raises(Forbidden, match="Sign in with a passkey yourself first"):
            await company.organizations.set_policies(await company.principal("ada", "acme", session_id), NO_PASSWORDS)
    with pytest.raises(Forbidden, match="Sign in with a passkey yourself first"):
        await company.organizations.set_platform_policies(
            await company.operator((await company.session("root", second_factor=True)).session_id), NO_PASSWORDS
        )
    assert await company.organizations.policies_from_host("acme") == (Policies(), Policies())


async def test_who_has_signed_in_with_a_passkey_turns_them_off_and_anybody_who_may_on_again(company: Company) -> None:
    root = await company.operator((await company.session("root", passkey=True)).session_id)
    password = await company.principal("alan", "acme", (await company.session("alan")).session_id)
    await company.organizations.set_policies(await company.keyholder("ada"), NO_PASSWORDS)
    await company.organizations.set_platform_policies(root, NO_PASSWORDS)
    assert await company.organizations.policies_from_host("acme") == (NO_PASSWORDS, NO_PASSWORDS)
    await company.organizations.set_policies(password, Policies())
    await company.organizations.set_platform_policies(await company.operator(), Policies())
    assert await company.organizations.policies_from_host("acme") == (Policies(), Policies())


async def test_no_session_begins_with_a_password_once_it_was_said_that_none_does(opened: Open) -> None:
    company, other = opened(), opened()
    ada, people = await company.keyholder("ada"), [await company.id_of(name) for name in ("ben", "amy", "olga")]
    begin = other.house.services.sessions.begin_for
    await asyncio.gather(
        *(begin(one, VISIT) for one in people),
        company.organizations.set_policies(ada, NO_PASSWORDS),
        return_exceptions=True,
    )
    assert await company.organizations.policies(company.house.acme) == NO_PASSWORDS
    with pytest.raises(Forbidden, match=REFUSED):
        await begin(people[0], VISIT)


async def test_no_account_is_made_with_a_password_that_would_never_let_it_in(company: Company) -> None:
    invited = await company.organizations.invite(
        await company.principal("ada"), "new@example.com", Role.MEMBER, ADDRESS
    )
    link = invited.url.reveal().rpartition("/")[2]
    await turn_off(company)
    with pytest.raises(Forbidden, match="No account can be made with a password"):
        await company.organizations.accept_as_new(link, "newcomer", None, PASSWORD, ADDRESS)
    await turn_off(company, None)
    with pytest.raises(Forbidden, match="No account can be made with a password"):
        await company.house.services.accounts.sign_up(
            email="founder@example.com", username="founder", name="F", password=PASSWORD, organization="Founders"
        )
    assert await company.house.db.all(_NEW, {}) == []
    for organization in ("acme", None):
        await company.organizations.set_policy_from_host(organization, "disable-password-login", 0)
    assert await company.organizations.accept_as_new(link, "newcomer", None, PASSWORD, ADDRESS)
    assert await company.house.db.all(_NEW, {}) == ["newcomer"]


async def test_who_belongs_nowhere_is_told_that_and_nothing_of_passwords(company: Company) -> None:
    await company.house.services.sessions.set_password("ben", PASSWORD)
    await turn_off(company, None)
    await company.house.run(_LEAVE_EVERYTHING, {})
    with pytest.raises(Forbidden, match="do not belong to an organization"):
        await company.house.services.sessions.sign_in_by_steps("ben", PASSWORD, VISIT)
    assert await company.roles() == {}
