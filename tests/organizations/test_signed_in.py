"""Where people are signed in: who sees it, who ends it, and that what was ended is over everywhere (promise V1)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from sqlalchemy import select

from keystead.db import Query
from keystead.db.tables import revocation
from keystead.kernel.principal import Principal
from keystead.kernel.problems import AccessDenied, Forbidden, InvalidGrant, NotFound, Problem
from keystead.kernel.scopes import Role
from keystead.oauth.models import DeviceCodes
from keystead.organizations.signed_in import SignIn
from keystead.sessions.models import SignedIn, Visit
from tests.organizations.company import ADDRESS, Company, Node, bearer, cookie, node
from tests.organizations.conftest import Open
from tests.support.installation import Person

_WAKING = Query(select(revocation.c.subject).where(revocation.c.subject.like("device:%")), str)


async def sign_ins(company: Company, actor: str, target: str, organization: str = "acme") -> list[SignIn]:
    """Return what somebody is told of somebody."""
    return await company.organizations.sign_ins(await asking(company, actor), organization, target)


async def end_all(company: Company, actor: str, target: str, organization: str = "acme") -> None:
    await company.organizations.end_sign_ins(await asking(company, actor), organization, target, ADDRESS)


async def asking(company: Company, name: str) -> Principal:
    """Return somebody in a session of the organization that is theirs."""
    return await company.principal(name, {"eve": "evil", "root": "desk"}.get(name, "acme"))


async def begin(company: Company, name: str, times: int = 1) -> list[SignedIn]:
    return [await company.session(name) for _ in range(times)]


async def let_in(company: Company, begun: Sequence[SignedIn]) -> list[bool]:
    """Return of each session whether it is one."""
    return [await company.house.services.sessions.find(one.secret.reveal()) is not None for one in begun]


async def refreshes(company: Company, token: str) -> bool:
    try:
        await company.house.refresh(token)
    except InvalidGrant:
        return False
    return True


# Seeing


async def test_ones_own_sessions_come_with_addresses_and_without_devices(company: Company) -> None:
    first, second = await begin(company, "ben", 2)
    await company.device("ben")
    principal = replace(await company.principal("ben"), credential_id=second.session_id)
    seen = await company.organizations.sign_ins(principal, "acme", " Ben ")
    assert [(one.id, one.current, one.address) for one in seen] == [
        (first.session_id, False, ADDRESS),
        (second.session_id, True, ADDRESS),
    ]
    assert {(one.client_id, one.device_name) for one in seen} == {("", "")}


async def test_somebody_elses_come_with_devices_and_without_addresses_in_the_order_in_which_they_began(
    company: Company,
) -> None:
    clock = company.house.clock
    await begin(company, "ben")
    clock.advance(10)
    await company.device("ben")
    clock.advance(10)
    await begin(company, "ben")
    seen = await sign_ins(company, "alan", "ben")
    assert [one.device_name for one in seen] == ["", "parallel-cli on Linux x86_64", ""]
    assert {one.address for one in seen} == {""}
    assert [one.created_at - seen[0].created_at for one in seen] == [0, 10, 20]
    assert seen == await sign_ins(company, "ada", "ben") == await sign_ins(company, "root", "ben")


async def test_sessions_of_another_organization_are_not_told_here(company: Company) -> None:
    bob = await company.principal("bob")
    await begin(company, "bob")
    evil = (await company.identity("bob", "evil")).organization_id
    await company.house.services.sessions.switch(
        replace(bob, credential_id=(await begin(company, "bob"))[0].session_id), evil, ADDRESS
    )
    assert len(await sign_ins(company, "ada", "bob")) == 1
    assert len(await sign_ins(company, "eve", "bob", "evil")) == 1
    assert len(await sign_ins(company, "root", "bob", "evil")) == 1


async def test_what_has_expired_is_not_told(company: Company) -> None:
    await begin(company, "ben")
    await company.device("ben")
    company.house.clock.advance(8 * 86_400)
    assert await sign_ins(company, "ada", "ben") == []


@pytest.mark.parametrize(
    ("actor", "target", "organization", "refusals"),
    [
        ("ada", "olga", "acme", (None, None)),
        ("ada", "alan", "acme", (None, None)),
        ("ada", "ben", "acme", (None, None)),
        ("alan", "ada", "acme", (None, Forbidden)),
        ("alan", "amy", "acme", (None, None)),
        ("alan", "ben", "acme", (None, None)),
        ("bob", "ben", "acme", (Forbidden, Forbidden)),
        ("bob", "nobody", "acme", (Forbidden, Forbidden)),
        ("root", "ada", "acme", (None, None)),
        ("root", "ben", "acme", (None, None)),
        ("root", "eve", "evil", (None, None)),
        ("root", "root", "acme", (NotFound, NotFound)),
        ("ada", "eve", "acme", (NotFound, NotFound)),
        ("ada", "eve", "evil", (NotFound, NotFound)),
        ("ada", "ada", "evil", (NotFound, NotFound)),
        ("alan", "bob", "evil", (NotFound, NotFound)),
        ("bob", "bob", "evil", (NotFound, NotFound)),
        ("eve", "ben", "acme", (NotFound, NotFound)),
        ("eve", "ada", "evil", (NotFound, NotFound)),
        ("root", "ada", "nowhere", (NotFound, NotFound)),
    ],
)
async def test_each_role_sees_and_ends_whose_it_may(
    company: Company,
    actor: str,
    target: str,
    organization: str,
    refusals: tuple[type[Problem] | None, type[Problem] | None],
) -> None:
    sees, ends = refusals
    begun = [one for name in ("ada", "alan", "amy", "ben", "olga", "eve") for one in await begin(company, name)]
    principal = await asking(company, actor)
    here = company.organizations
    if sees is None:
        (shown,) = await here.sign_ins(principal, organization, target)
        one = shown.id
    else:
        with pytest.raises(sees):
            await here.sign_ins(principal, organization, target)
        one = begun[3].session_id
    if ends is None:
        await here.end_sign_in(principal, organization, target, one, ADDRESS)
        await begin(company, target)
        await here.end_sign_ins(principal, organization, target, ADDRESS)
        assert await here.sign_ins(principal, organization, target) == []
        return
    with pytest.raises(ends):
        await here.end_sign_in(principal, organization, target, one, ADDRESS)
    with pytest.raises(ends):
        await here.end_sign_ins(principal, organization, target, ADDRESS)
    assert all(await let_in(company, begun))
    assert await company.events("session:delete") + await company.events("membership:sign-out") == []


async def test_what_somebody_was_a_moment_ago_does_not_count(company: Company) -> None:
    alan, root = await asking(company, "alan"), await asking(company, "root")
    begun = await begin(company, "ben")
    await company.house.set_role(Person(await company.id_of("alan"), Role.ADMIN), Role.MEMBER)
    await company.disable("root")
    for principal in (alan, root):
        for act in (
            company.organizations.sign_ins(principal, "acme", "ben"),
            company.organizations.end_sign_ins(principal, "acme", "ben"),
            company.organizations.end_sign_in(principal, "acme", "ben", begun[0].session_id),
        ):
            with pytest.raises(Forbidden):
                await act
    assert await let_in(company, begun) == [True]


# Ending


async def test_ending_ones_own_leaves_the_one_that_asks_ones_devices_and_other_organizations(
    company: Company,
) -> None:
    begun = await begin(company, "bob", 3)
    elsewhere = await company.house.services.sessions.switch(
        replace(await company.principal("bob"), credential_id=begun[0].session_id),
        (await company.identity("bob", "evil")).organization_id,
        ADDRESS,
    )
    _, refresh_token = await company.device("bob")
    principal = replace(await company.principal("bob"), credential_id=begun[1].session_id)
    await company.organizations.end_sign_ins(principal, "acme", "bob", ADDRESS)
    assert await let_in(company, [*begun, elsewhere]) == [False, True, False, True]
    assert await refreshes(company, refresh_token)
    (event,) = await company.events("session:delete-others")
    assert (event.actor_id, event.target, event.address) == (principal.identity.user_id, begun[1].session_id, ADDRESS)
    assert json.loads(event.detail) == {"ended": 1}


async def test_a_sign_in_that_is_not_finished_ends_with_the_sessions(company: Company) -> None:
    house, ben = company.house, await company.id_of("ben")
    steps = house.services.sessions.steps
    for actor in ("ada", "ben"):
        step = steps.fresh()
        await house.db.write(lambda tx, step=step: steps.keep(tx, step, ben))  # type: ignore[misc]
        assert (await house.rows())["sign_in_step"] == 1
        await end_all(company, actor, "ben")
        assert (await house.rows())["sign_in_step"] == 0


async def test_whoever_leads_ends_sessions_devices_and_the_tokens_that_were_made_under_them(company: Company) -> None:
    begun = await begin(company, "ben", 2)
    _, refresh_token = await company.device("ben")
    _, olgas = await company.device("olga")
    await end_all(company, "alan", "ben")
    assert await let_in(company, begun) == [False, False]
    assert (await refreshes(company, refresh_token), await refreshes(company, olgas)) == (False, True)
    (event,) = await company.events("membership:sign-out")
    told = (event.actor_id, event.target, event.organization_id, event.address)
    assert told == (await company.id_of("alan"), await company.id_of("ben"), company.house.acme, ADDRESS)
    assert json.loads(event.detail) == {"devices": 1, "sessions": 2, "tokens": 0}


async def approve(company: Company, name: str) -> tuple[DeviceCodes, str]:
    """Let somebody approve a device in acme that has not come for its tokens yet; return its codes and its client."""
    client_id = await company.house.register()
    codes, identity = await company.house.issue(client_id), await company.identity(name)
    assert await company.house.approve(codes, Person(identity.user_id, Role(identity.role)))
    return codes, client_id


async def test_what_somebody_approved_and_no_device_came_for_is_taken_back(company: Company) -> None:
    bens, olgas = await approve(company, "ben"), await approve(company, "olga")
    await end_all(company, "ben", "ben")  # one's own devices stay
    later = await approve(company, "ben")
    assert (await company.house.poll(*later)).access_token.reveal()
    await end_all(company, "alan", "ben")
    with pytest.raises(AccessDenied):
        await company.house.poll(*bens)
    assert (await company.house.poll(*olgas)).access_token.reveal()
    (event,) = await company.events("membership:sign-out")
    assert json.loads(event.detail) == {"devices": 1, "sessions": 0, "tokens": 0, "approved": 1}


async def test_who_holds_a_poll_is_woken_when_what_was_approved_is_taken_back(company: Company) -> None:
    await approve(company, "ben")
    heard = len(await company.house.db.all(_WAKING, {}))
    await end_all(company, "alan", "ben")
    assert len(await company.house.db.all(_WAKING, {})) == heard + 1


async def test_what_a_removed_member_approved_becomes_no_grant_even_when_they_come_back(company: Company) -> None:
    bens = await approve(company, "ben")
    ada, ben = await asking(company, "ada"), await company.id_of("ben")
    await company.organizations.remove_member(ada, ben, keys="delete", address=ADDRESS)
    with pytest.raises(AccessDenied):
        await company.house.poll(*bens)
    await company.house.services.accounts.add_membership(ben, company.house.acme, Role.MEMBER)
    with pytest.raises(AccessDenied):
        await company.house.poll(*bens)


async def test_what_a_disabled_person_approved_becomes_no_grant(company: Company) -> None:
    bens = await approve(company, "ben")
    await company.disable("ben")
    with pytest.raises(AccessDenied):
        await company.house.poll(*bens)


async def test_ending_nothing_is_no_mistake_and_is_not_told(company: Company) -> None:
    await end_all(company, "ada", "ben")
    await end_all(company, "ben", "ben")
    assert await company.events("membership:sign-out") + await company.events("session:delete-others") == []


async def test_one_session_or_device_that_somebody_else_ended_is_told_with_whose_it_was(company: Company) -> None:
    (begun,) = await begin(company, "ben")
    await company.device("ben")
    ada, ben = await asking(company, "ada"), await company.id_of("ben")
    for one in await sign_ins(company, "ada", "ben"):
        await company.organizations.end_sign_in(ada, "acme", "ben", one.id, ADDRESS)
    (session,), (device,) = await company.events("session:delete"), await company.events("grant:revoke")
    assert (session.actor_id, session.target, session.address) == (ada.identity.user_id, begun.session_id, ADDRESS)
    assert json.loads(session.detail) == {"user_id": ben}
    assert (device.actor_id, device.organization_id) == (ada.identity.user_id, company.house.acme)
    assert json.loads(device.detail)["user_id"] == ben


async def test_the_session_that_asks_can_be_ended_by_its_id(company: Company) -> None:
    (begun,) = await begin(company, "ben")
    principal = replace(await company.principal("ben"), credential_id=begun.session_id)
    await company.organizations.end_sign_in(principal, "acme", "ben", begun.session_id, ADDRESS)
    assert await let_in(company, [begun]) == [False]
    (event,) = await company.events("session:delete")
    assert (event.actor_id, json.loads(event.detail)) == (principal.identity.user_id, {})


@pytest.mark.parametrize("wrong", ["", "x", "a\x00b", "\ud800", "NOT-AN-ID", "01a200b5-5d83-7239-b7db-b88f879b13b1"])
async def test_any_other_id_is_not_found(company: Company, wrong: str) -> None:
    begun = await begin(company, "ben")
    for actor in ("ada", "ben"):
        with pytest.raises(NotFound):
            await company.organizations.end_sign_in(await asking(company, actor), "acme", "ben", wrong, ADDRESS)
    assert await let_in(company, begun) == [True]


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 10_000, "%", "ada\n"])
async def test_a_name_that_nobody_can_have_is_not_found(company: Company, name: str) -> None:
    for organization, user in ((name, "ben"), ("acme", name)):
        if user.strip() != "ada":
            with pytest.raises(NotFound):
                await sign_ins(company, "root", user, organization)
    assert await sign_ins(company, "root", "ben") == []


# Everywhere, and at once


@pytest.fixture
async def nodes(opened: Open) -> AsyncIterator[tuple[Company, list[Node]]]:
    """Give a company and the two nodes that answer for it; what is done is done on the first one."""
    companies = [opened(), opened()]
    async with AsyncExitStack() as stack:
        yield companies[0], [await stack.enter_async_context(node(one)) for one in companies]


async def test_what_was_ended_is_let_in_nowhere_however_warm_the_memories_are(
    nodes: tuple[Company, list[Node]],
) -> None:
    company, both = nodes
    first, second, third = await begin(company, "ben", 3)
    access, _ = await company.device("ben")
    tokens = company.house.services.tokens
    maker = await tokens.find(access)
    assert maker is not None
    under = bearer((await tokens.issue_derived(maker, address=ADDRESS)).token.reveal())
    doomed = [cookie(first), cookie(second), under]
    for one in both:
        assert [await one.status(sent) for sent in (*doomed, cookie(third), *doomed)] == [200] * 7
    ada = await asking(company, "ada")
    await company.organizations.end_sign_in(ada, "acme", "ben", first.session_id, ADDRESS)
    for one in both:
        assert [await one.status(sent) for sent in (*doomed, cookie(third))] == [401, 200, 200, 200]
    await end_all(company, "ada", "ben")
    for one in both:
        assert [await one.status(sent) for sent in (*doomed, cookie(third))] == [401] * 4


async def test_two_who_sign_somebody_out_at_once_both_succeed(company: Company) -> None:
    begun = await begin(company, "ben", 4)
    await company.device("ben")
    await asyncio.gather(*(end_all(company, actor, "ben") for actor in ("ada", "alan", "root", "olga")))
    assert await let_in(company, begun) == [False] * 4
    told = await company.events("membership:sign-out")
    assert [json.loads(event.detail) for event in told] == [{"devices": 1, "sessions": 4, "tokens": 0}]


async def test_a_session_that_begins_afterwards_is_not_touched(company: Company) -> None:
    await begin(company, "ben")
    await end_all(company, "ada", "ben")
    begun = await company.house.services.sessions.begin_for(await company.id_of("ben"), Visit(address=ADDRESS))
    assert isinstance(begun, SignedIn)
    assert await let_in(company, [begun]) == [True]
