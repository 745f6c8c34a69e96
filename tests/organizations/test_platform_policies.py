"""What the operators ask of every organization, and that nobody else asks it (promises V1, W2, W7)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from sqlalchemy import bindparam, update

from keystead.accounts.models import Policies
from keystead.accounts.policies import effective
from keystead.db import Command
from keystead.db.tables import user
from keystead.kernel.principal import Method
from keystead.kernel.problems import CredentialNotAllowed, Forbidden, InvalidParameters, NotFound, SecondFactorRequired
from keystead.kernel.secrets import Secret
from keystead.organizations.models import DAY, LONGEST_POLICY_DAYS, POLICY_NAMES
from keystead.sessions.models import SignedIn, StepNeeded, Visit
from tests.organizations.company import ADDRESS, Company, Node, cookie, node
from tests.organizations.conftest import Open

FACTOR = Policies(second_factor_required=True)
MONTH = Policies(30 * DAY)
PASSWORD = Secret("a quiet lake before the morning")
_DEMOTE = Command(update(user).where(user.c.username == bindparam("named")).values(platform_admin=0))


@pytest.fixture
async def nodes(opened: Open) -> AsyncIterator[tuple[Company, list[Node]]]:
    """Give a company and the two nodes that answer for it; what is done is done on the first one."""
    companies = [opened(), opened()]
    async with AsyncExitStack() as stack:
        yield companies[0], [await stack.enter_async_context(node(one)) for one in companies]


async def test_an_operator_sets_the_policies_of_the_platform_and_it_is_recorded_once(company: Company) -> None:
    assert await company.organizations.platform_policies() == Policies()
    for _ in range(2):
        await company.organizations.set_platform_policies(await company.operator(), MONTH, ADDRESS)
    assert await company.organizations.platform_policies() == MONTH
    (event,) = await company.events("platform:set-policies")
    assert (event.actor_id, event.organization_id, event.target, event.address) == (
        await company.id_of("root"), None, "platform", ADDRESS,
    )  # fmt: skip
    assert json.loads(event.detail)["longest_key_life"] == 30 * DAY
    await company.organizations.set_platform_policies(await company.operator(), Policies(), ADDRESS)
    assert await company.organizations.platform_policies() == Policies()


async def test_what_counts_in_an_organization_is_the_stricter_of_its_own_and_the_platforms(company: Company) -> None:
    organizations, acme = company.organizations, company.house.acme
    await organizations.set_platform_policies(await company.operator(), MONTH)
    await organizations.set_policies(await company.principal("ada"), Policies(7 * DAY, device_sign_in_off=True))
    assert await organizations.policies(acme) == Policies(7 * DAY, device_sign_in_off=True)
    assert await effective(company.house.db, acme) == Policies(7 * DAY, device_sign_in_off=True)
    evil = (await company.identity("eve", "evil")).organization_id
    assert (await organizations.policies(evil), await effective(company.house.db, evil)) == (Policies(), MONTH)
    own, platform = await organizations.policies_for(await company.principal("alan"))
    assert (own, platform) == (Policies(7 * DAY, device_sign_in_off=True), MONTH)


async def test_nobody_but_an_operator_in_a_session_sets_them(company: Company) -> None:
    for name, organization in (("ada", "acme"), ("eve", "evil"), ("ben", "acme")):
        person = await company.principal(name, organization)
        with pytest.raises(Forbidden):
            await company.organizations.set_platform_policies(person, MONTH)
        with pytest.raises(Forbidden):
            await company.organizations.change_platform_policy(person, "max-api-key-ttl", 1)
        with pytest.raises(Forbidden):
            await company.organizations.platform_policies_for(person)
    for method in set(Method) - {Method.SESSION}:
        with pytest.raises(CredentialNotAllowed):
            await company.organizations.set_platform_policies(replace(await company.operator(), method=method), MONTH)
    assert await company.organizations.platform_policies() == Policies()


@pytest.mark.parametrize("end", ["demoted", "disabled"])
async def test_who_was_an_operator_a_moment_ago_sets_nothing(company: Company, end: str) -> None:
    root = await company.operator()
    await (company.disable("root") if end == "disabled" else company.house.run(_DEMOTE, {"named": "root"}))
    with pytest.raises(Forbidden, match="no longer an operator"):
        await company.organizations.set_platform_policies(root, MONTH)
    with pytest.raises(Forbidden):
        await company.organizations.change_platform_policy(root, "disable-device-login", 1)
    assert await company.organizations.platform_policies() == Policies()


@pytest.mark.parametrize("life", [0, 1, DAY + 1, (LONGEST_POLICY_DAYS + 1) * DAY])
async def test_the_longest_life_is_whole_days_here_too(company: Company, life: int) -> None:
    with pytest.raises(InvalidParameters):
        await company.organizations.set_platform_policies(await company.operator(), Policies(life))
    assert await company.organizations.platform_policies() == Policies()


async def test_an_operator_without_a_second_factor_asks_nobody_for_one(company: Company) -> None:
    plain = await company.session("root")
    with pytest.raises(Forbidden, match="second factor yourself first"):
        await company.organizations.set_platform_policies(await company.operator(plain.session_id), FACTOR)
    with pytest.raises(Forbidden):
        await company.organizations.set_platform_policies(await company.operator("no session"), FACTOR)
    assert await company.organizations.platform_policies() == Policies()
    assert await company.house.services.sessions.find(plain.secret.reveal()) is not None


async def test_once_the_platform_asks_for_it_every_session_without_it_has_ended_on_every_node(
    nodes: tuple[Company, list[Node]],
) -> None:
    company, both = nodes
    weak = [cookie(await company.session(name)) for name in ("ben", "ada", "eve", "bob")]
    root = await company.session("root", second_factor=True)
    strong = [cookie(await company.session("olga", second_factor=True)), cookie(root)]
    for credential in (*weak, *strong):
        assert [await one.status(credential) for one in both] == [200, 200]
    await company.organizations.set_platform_policies(await company.operator(root.session_id), FACTOR, ADDRESS)
    for one in both:
        assert [await one.status(credential) for credential in weak] == [401] * len(weak)
        assert [await one.status(credential) for credential in strong] == [200, 200]
    (event,) = await company.events("platform:set-policies")
    assert json.loads(event.detail)["sessions_ended"] == len(weak)


async def test_what_the_platform_asks_nobody_signs_in_without_in_any_organization(company: Company) -> None:
    root = await company.session("root", second_factor=True)
    await company.organizations.set_platform_policies(await company.operator(root.session_id), FACTOR)
    for name in ("ben", "eve"):
        await company.house.services.sessions.set_password(name, PASSWORD)
        begun = await company.house.services.sessions.sign_in_by_steps(name, PASSWORD, Visit(address=ADDRESS))
        assert isinstance(begun, StepNeeded)
        assert begun.enrol
        with pytest.raises(SecondFactorRequired):
            await company.house.services.sessions.sign_in(name, PASSWORD, address=ADDRESS)


async def test_no_session_slips_in_while_the_platform_begins_to_ask(opened: Open) -> None:
    company, other = opened(), opened()
    root = await company.session("root", second_factor=True)
    people = [await company.id_of(name) for name in ("ben", "eve", "amy", "alan")]
    begin = other.house.services.sessions.begin_for
    *begun, _ = await asyncio.gather(
        *(begin(one, Visit(address=ADDRESS)) for one in people),
        company.organizations.set_platform_policies(await company.operator(root.session_id), FACTOR),
    )
    find = other.house.services.sessions.find
    sessions = [one for one in begun if isinstance(one, SignedIn)]
    assert [await find(one.secret.reveal()) for one in sessions] == [None] * len(sessions)
    assert isinstance(await begin(people[0], Visit(address=ADDRESS)), StepNeeded)


async def test_two_who_change_different_policies_at_once_both_have_their_way(opened: Open) -> None:
    company, other = opened(), opened()
    root, ada, alan = await company.operator(), await company.principal("ada"), await company.principal("alan")
    await asyncio.gather(
        company.organizations.change_platform_policy(root, "max-api-key-ttl", 30),
        other.organizations.change_platform_policy(root, "disable-device-login", 1),
        company.organizations.change_policy(ada, "max-api-key-ttl", 7),
        other.organizations.change_policy(alan, "disable-device-login", 1),
    )
    assert await company.organizations.platform_policies() == Policies(30 * DAY, device_sign_in_off=True)
    assert await company.organizations.policies(company.house.acme) == Policies(7 * DAY, device_sign_in_off=True)


async def test_the_host_sets_every_policy_and_nothing_has_to_be_shown_there(company: Company) -> None:
    for name in POLICY_NAMES:
        await company.organizations.set_policy_from_host(None, name, 1)
        await company.organizations.set_policy_from_host("acme", name, 1)
    everything = Policies(DAY, second_factor_required=True, password_sign_in_off=True, device_sign_in_off=True)
    assert await company.organizations.policies_from_host(None) == (Policies(), everything)
    assert await company.organizations.policies_from_host("acme") == (everything, everything)
    for name in POLICY_NAMES:
        await company.organizations.set_policy_from_host(None, name, 0)
        await company.organizations.set_policy_from_host("acme", name, 0)
    assert await company.organizations.policies_from_host("acme") == (Policies(), Policies())
    events = await company.events("platform:set-policies") + await company.events("organization:set-policies")
    assert [event.actor_id for event in events] == [None] * 4 * len(POLICY_NAMES)


async def test_the_host_names_an_organization_and_a_policy_that_there_are(company: Company) -> None:
    for organization, name in (("no-such", "enforce-mfa"), ("acme", "no-such"), (None, "no-such")):
        with pytest.raises(NotFound):
            await company.organizations.set_policy_from_host(organization, name, 1)
    with pytest.raises(NotFound):
        await company.organizations.policies_from_host("no-such")
    with pytest.raises(InvalidParameters):
        await company.organizations.set_policy_from_host(None, "max-api-key-ttl", LONGEST_POLICY_DAYS + 1)
    assert await company.organizations.policies_from_host("acme") == (Policies(), Policies())
