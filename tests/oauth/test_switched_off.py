"""A client that an operator has switched off: nobody signs in with it, and what is signed in goes on."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from keystead.db.tables import client as client_table
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import Forbidden, NotFound, UnauthorizedClient
from keystead.kernel.scopes import ALL_SCOPES
from keystead.oauth.models import DeviceCodes
from keystead.oauth.switching import ListedClient
from tests.oauth.conftest import Open
from tests.support.installation import ADDRESS, Installation

BUILT_IN = "parallel-cli"
PW = "pw-cli"


async def operator(house: Installation, *, platform_admin: int = 1) -> Principal:
    identity = await house.services.accounts.identity(house.ada.id, house.acme)
    assert identity is not None
    return Principal(replace(identity, platform_admin=platform_admin), Method.SESSION, ALL_SCOPES, "a session", None)


async def switch(house: Installation, client: str, *, off: bool) -> None:
    clients = house.services.oauth.clients
    await (clients.switch_off if off else clients.switch_on)(client, await operator(house), ADDRESS)


async def listed(house: Installation) -> dict[str, ListedClient]:
    return {one.id: one for one in await house.services.oauth.clients.all_clients(await operator(house))}


@pytest.mark.parametrize("built_in", [True, False])
async def test_a_client_that_is_switched_off_gets_no_device_code_until_it_is_switched_on(
    house: Installation, web: httpx.AsyncClient, built_in: bool
) -> None:
    client = BUILT_IN if built_in else await house.register()
    other = await house.register("another")
    asked = {"client_id": client, "scope": "keys:read"}
    await switch(house, client, off=True)
    refused = await web.post("/getServiceKeys/device/code", data=asked)
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert (await web.post("/getServiceKeys/device/code", data={**asked, "client_id": other})).status_code == 200
    await switch(house, client, off=False)
    assert (await web.post("/getServiceKeys/device/code", data=asked)).status_code == 200


async def test_a_pending_sign_in_of_a_client_that_is_switched_off_cannot_be_approved_but_refused(
    house: Installation,
) -> None:
    client = await house.register()
    codes, others = await house.issue(client), await house.issue(client)
    await switch(house, client, off=True)
    with pytest.raises(UnauthorizedClient):
        await house.approve(codes)
    view = await house.look_up(others.user_code.reveal())
    assert view is not None
    assert await house.decide(view, approve=False)
    assert await house.rows(client_table) == {"client": 0}
    await switch(house, client, off=False)
    assert await house.approve(codes)


async def test_what_is_signed_in_with_a_client_goes_on_when_it_is_switched_off(house: Installation) -> None:
    client = await house.register()
    tokens = await house.sign_in(client)
    approved = await house.issue(client)
    await house.approve(approved)
    await switch(house, client, off=True)
    assert (await house.refresh(tokens.refresh_token.reveal())).organization_id == house.acme
    assert (await house.poll(approved, client)).organization_id == house.acme


async def test_of_an_approval_and_a_switch_at_once_no_later_approval_gets_through(opened: Open) -> None:
    house, other = opened(), opened()
    client = await house.register()
    pending = [await house.issue(client) for _ in range(6)]
    views = [await other.look_up(codes.user_code.reveal()) for codes in pending]
    outcomes = await asyncio.gather(
        *(other.decide(view) for view in views[:4] if view), switch(house, client, off=True), return_exceptions=True
    )
    assert {type(one) for one in outcomes} <= {bool, UnauthorizedClient, type(None)}
    for view in views[4:]:
        assert view is not None
        with pytest.raises(UnauthorizedClient):
            await other.decide(view)


@pytest.mark.sqlite
async def test_whether_a_client_is_switched_off_is_asked_in_the_statement_that_stores_the_code(
    house: Installation,
) -> None:
    client = await house.register()
    with house.db.traced() as statements:
        assert isinstance(await house.issue(client), DeviceCodes)
    (stored,) = [statement for statement in statements if not statement.startswith("DELETE")]  # which cleans up
    assert "switched_off_client" in stored


async def test_operators_see_what_is_built_in_approved_or_switched_off_with_its_live_sign_ins(
    house: Installation,
) -> None:
    told = [(one.id, one.built_in, one.grants) for one in (await listed(house)).values()]
    assert told == [(BUILT_IN, True, 0), (PW, True, 0)]
    used, off, unseen = await house.register("used"), await house.register("off"), await house.register("unseen")
    for _ in range(2):
        await house.sign_in(used)
    gone = await house.sign_in(used)
    await house.revoke(gone.refresh_token.reveal())
    house.clock.advance(60)
    await house.sign_in(BUILT_IN)
    await switch(house, off, off=True)
    await switch(house, BUILT_IN, off=True)
    found = await listed(house)
    assert list(found) == [BUILT_IN, PW, used, off]
    assert unseen not in found
    assert found.pop(PW).grants == 0
    assert [(one.name, one.platform, one.grants) for one in found.values()] == [
        ("parallel-cli", "", 1),
        ("used", "Linux x86_64", 2),
        ("off", "Linux x86_64", 0),
    ]
    now = house.clock.now()
    assert [(one.switched_off_at, one.switched_off_by) for one in found.values()] == [
        (now, "ada"),
        (None, None),
        (now, "ada"),
    ]
    assert [one.first_approved_at for one in found.values()] == [now, now - 60, None]


async def test_switching_is_recorded_once(house: Installation) -> None:
    for _ in range(2):
        await switch(house, BUILT_IN, off=True)
    for _ in range(2):
        await switch(house, BUILT_IN, off=False)
    for kind in ("client:switch-off", "client:switch-on"):
        (event,) = await house.events(kind)
        assert (event.actor_id, event.target, event.address) == (house.ada.id, BUILT_IN, ADDRESS)


async def test_nobody_but_an_operator_switches_and_nothing_that_is_not_ours_is_switched(house: Installation) -> None:
    clients = house.services.oauth.clients
    somebody, root = await operator(house, platform_admin=0), await operator(house)
    for act in (clients.switch_off, clients.switch_on):
        with pytest.raises(Forbidden):
            await act(BUILT_IN, somebody, ADDRESS)
        for unknown in ("kc_unknown", "", "kc_\x00", "nobody"):
            with pytest.raises(NotFound):
                await act(unknown, root, ADDRESS)
    assert (await listed(house))[BUILT_IN].switched_off_at is None


async def test_nobody_but_an_operator_lists_the_clients(house: Installation) -> None:
    clients = house.services.oauth.clients
    with pytest.raises(Forbidden):
        await clients.all_clients(await operator(house, platform_admin=0))
    assert BUILT_IN in [one.id for one in await clients.all_clients(await operator(house))]
