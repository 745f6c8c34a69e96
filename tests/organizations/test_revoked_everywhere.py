"""What ends or narrows access is known to every process at once, however warm its memory is (promise V1)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import select

from keystead.accounts.models import Policies
from keystead.db import Query
from keystead.db.tables import revoked_token
from keystead.kernel.problems import InvalidGrant
from keystead.kernel.scopes import Role
from tests.organizations.company import ADDRESS, Company, Node, cookie, node
from tests.organizations.conftest import Open

REVOKED = Query(select(revoked_token.c.id), str)

Credentials = dict[str, dict[str, str]]


@pytest.fixture
async def nodes(opened: Open) -> AsyncIterator[tuple[Company, list[Node]]]:
    """Give a company and the two nodes that answer for it; what is done is done on the first one."""
    companies = [opened(), opened()]
    async with AsyncExitStack() as stack:
        yield companies[0], [await stack.enter_async_context(node(one)) for one in companies]


async def statuses(nodes: list[Node], credentials: Credentials) -> dict[str, list[int]]:
    return {kind: [await one.status(sent) for one in nodes] for kind, sent in credentials.items()}


async def warm(nodes: list[Node], credentials: Credentials) -> None:
    """Have every node know each credential, so that it need not ask the database again."""
    for _ in range(2):
        assert await statuses(nodes, credentials) == {kind: [200, 200] for kind in credentials}


async def test_nothing_of_a_removed_member_is_let_in_anywhere(nodes: tuple[Company, list[Node]]) -> None:
    company, both = nodes
    credentials = await company.everything("ben", await company.app())
    await warm(both, credentials)
    removed = await company.organizations.remove_member(
        await company.principal("ada"), await company.id_of("ben"), keys="delete", address=ADDRESS
    )
    assert await statuses(both, credentials) == {kind: [401, 401] for kind in credentials}
    assert (removed.keys, removed.sessions, removed.tokens, removed.grants) == (1, 1, 1, 1)
    assert len(await company.house.db.all(REVOKED, {})) == 1


async def test_what_anybody_may_do_follows_their_new_role_on_every_node(nodes: tuple[Company, list[Node]]) -> None:
    company, both = nodes
    credentials = await company.everything("alan", await company.app())
    await warm(both, credentials)
    for one in both:
        before = {kind: await one.scopes(sent) for kind, sent in credentials.items()}
        assert [kind for kind, scopes in before.items() if "balance:add" not in scopes] == []
    await company.organizations.change_role(
        await company.principal("amy"), await company.id_of("alan"), Role.MEMBER, ADDRESS
    )
    for one in both:
        found = {kind: await one.scopes(sent) for kind, sent in credentials.items()}
        assert [kind for kind, scopes in found.items() if "balance:add" in scopes or "keys:read" not in scopes] == []


async def test_nothing_of_a_disabled_user_is_let_in_anywhere_and_keys_and_devices_come_back_with_them(
    nodes: tuple[Company, list[Node]],
) -> None:
    company, both = nodes
    credentials = await company.everything("ben", await company.app())
    await warm(both, credentials)
    ben = await company.id_of("ben")
    await company.organizations.disable_user(await company.operator(), ben, ADDRESS)
    assert await statuses(both, credentials) == {kind: [401, 401] for kind in credentials}
    assert len(await company.house.db.all(REVOKED, {})) == 1
    await company.organizations.enable_user(await company.operator(), ben, ADDRESS)
    assert await statuses(both, credentials) == {
        "session": [401, 401],
        "key": [200, 200],
        "short-term token": [401, 401],
        "access token": [200, 200],
    }


async def test_sessions_without_a_second_factor_end_everywhere_when_the_organization_asks_for_one(
    nodes: tuple[Company, list[Node]],
) -> None:
    company, both = nodes
    proven = await company.session("ada", second_factor=True)
    strong = {"ada's": cookie(proven), "amy's": cookie(await company.session("amy", second_factor=True))}
    weak = {"olga's": cookie(await company.session("olga")), "ben's": cookie(await company.session("ben"))}
    elsewhere = {"eve's": cookie(await company.session("eve"))}
    key = {"ben's key": {"x-api-key": (await company.key(await company.app(), "ben")).secret.reveal()}}
    await warm(both, {**strong, **weak, **elsewhere, **key})
    ada = await company.principal("ada", credential_id=proven.session_id)
    await company.organizations.set_policies(ada, Policies(None, second_factor_required=True), ADDRESS)
    assert await statuses(both, weak) == {kind: [401, 401] for kind in weak}
    others = {**strong, **elsewhere, **key}
    assert await statuses(both, others) == {kind: [200, 200] for kind in others}


@pytest.mark.parametrize("act", ["remove", "disable"])
async def test_a_device_of_somebody_who_is_gone_cannot_be_refreshed(company: Company, act: str) -> None:
    _, refresh_token = await company.device("ben")
    ben = await company.id_of("ben")
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "remove": lambda: _remove(company, ben),
        "disable": lambda: _disable(company, ben),
    }
    await acts[act]()
    with pytest.raises(InvalidGrant):
        await company.house.refresh(refresh_token)
    assert (await company.events("grant:reuse")) == []


async def _remove(company: Company, user_id: str) -> None:
    await company.organizations.remove_member(await company.principal("ada"), user_id, keys="delete", address=ADDRESS)


async def _disable(company: Company, user_id: str) -> None:
    await company.organizations.disable_user(await company.operator(), user_id, ADDRESS)
