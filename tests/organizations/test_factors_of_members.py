"""Removing the second factors of somebody who lost them: who may, and what ends with it, on every node."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import product

import pyotp
import pytest

from keystead.db import Transaction
from keystead.factors.models import FactorSummary
from keystead.kernel.problems import Conflict, Forbidden, NotFound
from keystead.kernel.scopes import Role
from keystead.organizations.models import Account
from keystead.organizations.rules import check_may_reset
from keystead.sessions.models import Refused, StepNeeded, Visit
from tests.organizations.company import ADDRESS, Company, Node, cookie, node
from tests.organizations.conftest import Open
from tests.support.mail import PostOffice

VISIT = Visit(address=ADDRESS)


async def add_app(company: Company, name: str) -> str:
    """Give somebody an authenticator app and return its secret."""
    factors, user_id = company.house.services.factors, await company.id_of(name)
    new = factors.new_totp(user_id, name)
    await factors.add_totp(user_id, new.sealed, pyotp.TOTP(new.secret.reveal()).at(company.house.clock.now()))
    return new.secret.reveal()


async def summary(company: Company, name: str) -> FactorSummary:
    """Return somebody's second factors."""
    return await company.house.services.factors.summary(await company.id_of(name))


def account(role: Role, organizations: int = 1, platform_admin: int = 0) -> Account:
    """Return somebody's account."""
    return Account("id", "ben", "ben@example.com", role.value, "acme's id", "Acme", platform_admin, organizations)


@pytest.fixture
async def nodes(opened: Open) -> AsyncIterator[tuple[Company, list[Node]]]:
    """Give a company and the two nodes that answer for it; what is done is done on the first one."""
    companies = [opened(), opened()]
    async with AsyncExitStack() as stack:
        yield companies[0], [await stack.enter_async_context(node(one)) for one in companies]


async def test_with_lost_factors_every_session_ends_on_every_node_and_other_credentials_go_on(
    nodes: tuple[Company, list[Node]],
) -> None:
    company, both = nodes
    credentials = await company.everything("ben", await company.app())
    await add_app(company, "ben")
    for _ in range(2):
        assert [await one.status(sent) for one, sent in product(both, credentials.values())] == [200] * 8
    await company.organizations.remove_factors_of(await company.principal("ada"), "acme", "ben", ADDRESS)
    found = {kind: [await one.status(sent) for one in both] for kind, sent in credentials.items()}
    assert found == {kind: [401, 401] if kind == "session" else [200, 200] for kind in credentials}
    left = await summary(company, "ben")
    assert (left.any, left.recovery_codes_left) == (False, 0)


async def test_with_lost_factors_a_sign_in_that_is_not_finished_ends_as_well(company: Company) -> None:
    secret, sessions = await add_app(company, "ben"), company.house.services.sessions
    begun = await sessions.begin_for(await company.id_of("ben"), VISIT)
    assert isinstance(begun, StepNeeded)
    await company.organizations.remove_factors_of(await company.principal("ada"), "acme", "ben", ADDRESS)
    company.house.clock.advance(60)
    code = pyotp.TOTP(secret).at(company.house.clock.now())
    assert await sessions.steps.show_code(begun.step.reveal(), code, VISIT) is Refused.OVER
    assert cookie(await company.session("ben"))  # with the password alone


async def test_the_audit_log_names_who_removed_whose_factors_in_which_organization(company: Company) -> None:
    await add_app(company, "ben")
    await company.organizations.remove_factors_of(await company.principal("alan"), "acme", "ben", ADDRESS)
    (event,) = await company.events("second-factor:remove-all")
    assert (event.actor_id, event.target) == (await company.id_of("alan"), await company.id_of("ben"))
    assert (event.organization_id, event.address) == (company.house.acme, ADDRESS)


async def test_the_person_is_told_by_letter_who_removed_their_factors(opened: Open) -> None:
    with PostOffice() as post:
        company = opened(**post.settings)
        await add_app(company, "ben")
        with pytest.raises(NotFound):
            await company.organizations.remove_factors_of(await company.principal("eve", "evil"), "acme", "ben")
        await company.organizations.remove_factors_of(await company.principal("ada"), "acme", "ben", ADDRESS)
        letter = await post.arrived("ben@example.com")
        told = " ".join(letter.text.split())
        await company.house.services.mailer.aclose()
    assert "were removed by an owner or an admin of Acme" in told
    assert ADDRESS not in told  # the admin's, which is not the person's business
    assert len(post.all_letters) == 1


async def test_an_account_that_opens_another_organization_is_for_operators_alone(company: Company) -> None:
    await add_app(company, "bob")  # of acme and evil
    for name, organization in (("ada", "acme"), ("alan", "acme"), ("eve", "evil")):
        with pytest.raises(Forbidden, match="another organization as well"):
            await company.organizations.remove_factors_of(
                await company.principal(name, organization), organization, "bob"
            )
    assert (await summary(company, "bob")).any
    await company.organizations.remove_factors_of(await company.operator(), "evil", "bob")
    assert not (await summary(company, "bob")).any


async def test_nobody_outside_an_organization_learns_who_is_in_it(company: Company) -> None:
    told = set()
    for organization, username in (("acme", "ben"), ("acme", "nobody"), ("nothing", "ben"), ("evil", "ben")):
        with pytest.raises(NotFound) as refusal:
            await company.organizations.remove_factors_of(
                await company.principal("eve", "evil"), organization, username
            )
        told.add(refusal.value.detail)
    assert len(told) == 1


async def test_who_lost_the_role_a_moment_ago_removes_nothing(company: Company) -> None:
    await add_app(company, "ben")
    alan, root = await company.principal("alan"), await company.operator()
    await company.organizations.change_role(await company.principal("ada"), alan.identity.user_id, Role.MEMBER)
    with pytest.raises(Forbidden):
        await company.organizations.remove_factors_of(alan, "acme", "ben")
    await company.disable("root")
    with pytest.raises(NotFound):
        await company.organizations.remove_factors_of(root, "acme", "ben")
    assert (await summary(company, "ben")).any


async def test_nobody_removes_their_own_factors_as_somebody_elses(company: Company) -> None:
    await add_app(company, "ada")
    with pytest.raises(Conflict, match="DELETE /api/sso/mfa"):
        await company.organizations.remove_factors_of(await company.principal("ada"), "acme", "ADA")
    assert (await summary(company, "ada")).any


@pytest.mark.parametrize("organizations", [1, 2])
@pytest.mark.parametrize("platform_admin", [0, 1])
@pytest.mark.parametrize("target", list(Role))
@pytest.mark.parametrize("actor", [*Role, None])
def test_only_who_may_set_an_account_anew_is_let_through(
    actor: Role | None, target: Role, platform_admin: int, organizations: int
) -> None:
    leads = actor is Role.OWNER or (actor is Role.ADMIN and target is not Role.OWNER)
    may = actor is None or (leads and not platform_admin and organizations == 1)
    try:
        check_may_reset(actor, account(target, organizations, platform_admin))
        let_through = True
    except Forbidden:
        let_through = False
    assert let_through is may


async def test_a_factor_that_is_added_by_a_session_that_just_ended_is_not_added(company: Company) -> None:
    services = company.house.services
    begun = await company.session("ben")
    thief = await company.principal("ben", credential_id=begun.session_id)
    new = services.factors.new_totp(thief.identity.user_id, "ben")
    code = pyotp.TOTP(new.secret.reveal()).at(company.house.clock.now())

    async def end(tx: Transaction) -> None:
        await services.sessions.end_all(tx, thief.identity.user_id)

    await company.house.db.write(end)
    with pytest.raises(Exception, match="This session has ended"):
        await services.second_factors.add_app(thief, new.sealed, code, ADDRESS)
    found = await summary(company, "ben")
    assert (found.any, found.recovery_codes_left) == (False, 0)
    assert not await company.events("totp:add")
