"""Setting a member's password: who may, at which moment it is asked, and what ends with it, on every node."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from typing import Any

import pytest
from sqlalchemy import update

from keystead.db import Command
from keystead.db.tables import user
from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound, RateLimited
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.sessions.models import SignedIn, Visit
from tests.organizations.company import ADDRESS, Company, Node, node
from tests.organizations.conftest import Open
from tests.support.hashing import HeldHashing
from tests.support.mail import PostOffice

PASSWORD = Secret("A heron, standing in 3 rains")
_NOBODY_OPERATES = Command(update(user).values(platform_admin=0))


async def set_password(
    company: Company, actor: str, name: str, *, at: str = "acme", of: str = "acme", password: Secret = PASSWORD
) -> None:
    """Let somebody, who is in the organization ``at``, set the password of somebody in ``of``."""
    acting = await company.principal(actor, at)
    await company.organizations.set_password(acting, of, name, password, address=ADDRESS)


@asynccontextmanager
async def hashing(
    monkeypatch: pytest.MonkeyPatch, work: Coroutine[Any, Any, None]
) -> AsyncIterator[asyncio.Task[None]]:
    """Begin something that asks before and after a password is hashed, and let others act while it is."""
    held, begun = HeldHashing(monkeypatch), asyncio.create_task(work)
    await held.begun.wait()
    try:
        yield begun
    finally:
        held.go_on.set()


async def signs_in(company: Company, name: str, password: Secret = PASSWORD) -> bool:
    """Tell whether somebody has this password."""
    found = await company.house.services.accounts.user_by_name(name)
    return await company.house.services.accounts.password_is_right(found, password)


@pytest.fixture
async def nodes(opened: Open) -> AsyncIterator[tuple[Company, list[Node]]]:
    """Give a company and the two nodes that answer for it; what is done is done on the first one."""
    companies = [opened(), opened()]
    async with AsyncExitStack() as stack:
        yield companies[0], [await stack.enter_async_context(node(one)) for one in companies]


async def test_with_another_password_every_session_ends_on_every_node_and_other_credentials_go_on(
    nodes: tuple[Company, list[Node]],
) -> None:
    company, both = nodes
    credentials = await company.everything("ben", await company.app())
    for _ in range(2):
        assert [await one.status(sent) for one, sent in product(both, credentials.values())] == [200] * 8
    await set_password(company, "ada", "ben")
    found = {kind: [await one.status(sent) for one in both] for kind, sent in credentials.items()}
    assert found == {kind: [401, 401] if kind == "session" else [200, 200] for kind in credentials}
    begun = await company.house.services.sessions.sign_in_by_steps("ben", PASSWORD, Visit(address=ADDRESS))
    assert isinstance(begun, SignedIn)


@pytest.mark.parametrize(
    ("actor", "name", "outcome"),
    [
        ("ada", "ben", None),
        ("ada", "alan", None),
        ("ada", "olga", None),
        ("alan", "ben", None),
        ("alan", "amy", None),
        ("alan", "ada", Forbidden),
        ("ben", "amy", Forbidden),
        ("ben", "nobody", Forbidden),
        ("ada", "bob", Forbidden),  # of evil as well
        ("ada", "ada", Conflict),
        ("ada", "eve", NotFound),
        ("ada", "nobody", NotFound),
    ],
)
async def test_who_may_set_whose_password(
    company: Company, actor: str, name: str, outcome: type[Exception] | None
) -> None:
    if outcome is None:
        await set_password(company, actor, name.upper())
        assert await signs_in(company, name)
    else:
        with pytest.raises(outcome):
            await set_password(company, actor, name)
        assert not await signs_in(company, name)
        assert await company.events("user:set-password") == []


async def test_an_operator_may_set_anybodys_but_is_asked_again_whether_they_operate(company: Company) -> None:
    await set_password(company, "root", "bob", at="desk")
    await set_password(company, "root", "eve", at="desk", of="evil")
    assert await signs_in(company, "bob")
    assert await signs_in(company, "eve")
    stale = await company.operator()
    await company.house.run(_NOBODY_OPERATES, {})
    with pytest.raises(NotFound):
        await company.organizations.set_password(stale, "acme", "ben", PASSWORD)
    assert not await signs_in(company, "ben")


async def test_somebody_who_joins_another_organization_meanwhile_keeps_their_password(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = company.house.services.accounts
    evil = await accounts.organization_by_name("evil")
    async with hashing(monkeypatch, set_password(company, "ada", "ben")) as setting:
        await accounts.add_membership(await company.id_of("ben"), evil.id, Role.MEMBER)
    with pytest.raises(Forbidden, match="another organization"):
        await setting
    assert not await signs_in(company, "ben")


async def test_an_admin_who_was_made_a_member_meanwhile_sets_nothing(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, alan = await company.principal("ada"), await company.id_of("alan")
    async with hashing(monkeypatch, set_password(company, "alan", "ben")) as setting:
        await company.organizations.change_role(owner, alan, Role.MEMBER)
    with pytest.raises(Forbidden):
        await setting
    assert not await signs_in(company, "ben")


async def test_a_password_that_may_not_be_set_and_a_disabled_person_are_refused(company: Company) -> None:
    for bad in ("short", "password", "ben@example.com"):
        with pytest.raises(InvalidParameters) as refusal:
            await set_password(company, "ada", "ben", password=Secret(bad))
        assert [one.name for one in refusal.value.fields] == ["password"]
    await company.disable("ben")
    with pytest.raises(Conflict, match="disabled"):
        await set_password(company, "ada", "ben")
    assert await company.events("user:set-password") == []


async def test_it_is_recorded_for_the_organization_and_the_person_gets_a_letter_without_the_password(
    opened: Open,
) -> None:
    with PostOffice() as post:
        company = opened(**post.settings)
        with pytest.raises(NotFound):
            await set_password(company, "eve", "ben", at="evil")
        await set_password(company, "alan", "ben")
        letter = await post.arrived("ben@example.com")
        await company.house.services.mailer.aclose()
    (event,) = await company.events("user:set-password")
    assert (event.actor_id, event.target) == (await company.id_of("alan"), await company.id_of("ben"))
    assert (event.organization_id, event.address) == (company.house.acme, ADDRESS)
    assert "Acme" in letter.subject + letter.text
    assert letter.link.endswith("/sign-in/forgot")
    assert PASSWORD.reveal() not in letter.text
    assert len(post.all_letters) == 1


async def test_one_person_sets_so_many_passwords_in_a_minute(opened: Open) -> None:
    company = opened(limit_sign_in="1/minute")
    for _ in range(3):
        await set_password(company, "ada", "ben")
    with pytest.raises(RateLimited):
        await set_password(company, "ada", "ben")
    await set_password(company, "alan", "amy")
    assert await signs_in(company, "amy")
