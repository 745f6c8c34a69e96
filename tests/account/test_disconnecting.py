"""Letting a client in no more: all its devices of one person, at once and everywhere (promises R7, R12 and V1)."""

import asyncio
import json

import pytest

from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import AccessDenied, InvalidGrant, NotFound
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.oauth.models import TokenSet
from tests.account.nodes import Node
from tests.support.installation import ADDRESS, Installation, Person

APPS = "/api/oidc/connected-apps"
SCOPE = "devices:read devices:delete tokens:create"


async def in_a_session(node: Node, username: str = "ada") -> dict[str, str]:
    """Return the header of a fresh session."""
    _, value = await node.session(username)
    return {"Cookie": f"cloud.sso={value}", "Sec-Fetch-Site": "same-origin"}


async def refreshed(node: Node, tokens: TokenSet) -> str:
    """Return how a refresh is answered: "ok" or an error."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.reveal()}
    answer = await node.http.post("/getServiceKeys/token", data=form)
    return "ok" if answer.status_code == 200 else str(answer.json()["error"])


async def sign_in(house: Installation, name: str, person: Person | None = None) -> TokenSet:
    return await house.sign_in(await house.register(name), person, SCOPE)


def principal_of(identity: Identity, method: Method) -> Principal:
    return Principal(identity, method, ROLE_SCOPES[Role(identity.role)], "a credential", None)


async def test_all_devices_of_one_person_and_client_end_on_every_node_and_no_others(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    house = here.house
    doomed = [await sign_in(house, "lathe") for _ in range(3)]
    kept = [await sign_in(house, "mill"), await sign_in(house, "lathe", house.bob)]
    made = [(await here.short_term_token(one.access_token.reveal()))[1] for one in (*doomed, *kept)]
    for node in nodes:
        assert [await node.check(token) for token in made] == [200] * 5
    session = await in_a_session(here)
    client_id = await house.register("lathe")
    assert (await here.http.delete(f"{APPS}/{client_id}", headers=session)).status_code == 204
    for node in nodes:
        assert [await node.check(token) for token in made] == [401, 401, 401, 200, 200]
        assert [await refreshed(node, one) for one in doomed] == ["invalid_grant"] * 3
    assert [await refreshed(there, one) for one in kept] == ["ok", "ok"]
    (event,) = await house.events("grant:revoke-all")
    assert (event.actor_id, event.target, event.organization_id) == (house.ada.id, house.ada.id, house.acme)
    assert json.loads(event.detail) == {"client_id": client_id, "devices": 3, "tokens": 3}


async def test_a_session_reaches_all_organizations_of_a_person_and_a_token_its_own(here: Node) -> None:
    house = here.house
    client_id = await house.register("lathe")
    elsewhere = await here.elsewhere()
    at_acme = await house.sign_in(client_id)
    codes = await house.issue(client_id)
    view = await house.look_up(codes.user_code.reveal())
    assert view is not None
    await house.decide(view, organization=elsewhere.organization_id)
    at_globex = await house.poll(codes, client_id)
    connected = house.services.connected
    await connected.disconnect(principal_of(elsewhere, Method.ACCESS_TOKEN), client_id, address=ADDRESS)
    assert [await refreshed(here, one) for one in (at_acme, at_globex)] == ["ok", "invalid_grant"]
    with pytest.raises(NotFound):
        await connected.disconnect(principal_of(elsewhere, Method.API_KEY), client_id, address=ADDRESS)
    await connected.disconnect(principal_of(elsewhere, Method.SESSION), client_id, address=ADDRESS)
    assert await refreshed(here, at_acme) == "invalid_grant"
    told = [event.organization_id for event in await house.events("grant:revoke-all")]
    assert told == [elsewhere.organization_id, house.acme]


async def test_each_organization_is_told_of_its_own_devices(here: Node) -> None:
    house = here.house
    client_id = await house.register("lathe")
    elsewhere = await here.elsewhere()
    for _ in range(2):
        await house.sign_in(client_id)
    codes = await house.issue(client_id)
    view = await house.look_up(codes.user_code.reveal())
    assert view is not None
    await house.decide(view, organization=elsewhere.organization_id)
    await house.poll(codes, client_id)
    await house.services.connected.disconnect(principal_of(elsewhere, Method.SESSION), client_id)
    told = {event.organization_id: json.loads(event.detail) for event in await house.events("grant:revoke-all")}
    assert {place: detail["devices"] for place, detail in told.items()} == {
        house.acme: 2,
        elsewhere.organization_id: 1,
    }


async def test_two_who_disconnect_at_once_end_it_once_and_beat_a_refresh_that_is_under_way(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    sessions = [await in_a_session(node) for node in nodes]
    for _ in range(5):
        doomed = [await sign_in(here.house, "lathe") for _ in range(3)]
        address = f"{APPS}/{await here.house.register('lathe')}"
        ended = asyncio.gather(
            *(node.http.delete(address, headers=sent) for node, sent in zip(nodes, sessions, strict=True))
        )
        answers = await asyncio.gather(*(refreshed(node, one) for one in doomed for node in nodes))
        assert set(answers) <= {"ok", "invalid_grant"}
        assert sorted(answer.status_code for answer in await ended) == [204, 404]
        assert [await refreshed(there, one) for one in doomed] == ["invalid_grant"] * 3
    assert len(await here.house.events("grant:revoke-all")) == 5


async def test_thirty_devices_end_with_as_many_new_rows_as_two(here: Node) -> None:
    house = here.house
    session = await in_a_session(here)
    counted = []
    for number in (2, 30):
        for _ in range(number):
            await sign_in(house, "lathe")
        before = await house.rows()
        answer = await here.http.delete(f"{APPS}/{await house.register('lathe')}", headers=session)
        assert answer.status_code == 204
        after = await house.rows()
        assert before["oauth_grant"] - after["oauth_grant"] == number
        counted.append((after["audit_event"] - before["audit_event"], after["revocation"] - before["revocation"]))
    assert counted == [(1, 1), (1, 1)]


async def test_what_was_approved_and_not_redeemed_becomes_no_grant_of_a_disconnected_app(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    house = here.house
    lathe, mill = await house.register("lathe"), await house.register("mill")
    approved = {name: await house.issue(lathe) for name in ("of an app", "alone", "of bob", "waiting")}
    kept = await house.issue(mill)
    assert await house.approve(kept)
    assert await house.approve(approved["of bob"], house.bob)
    await sign_in(house, "lathe")
    session, address = await in_a_session(here), f"{APPS}/{lathe}"
    for name, node in (("of an app", here), ("alone", there)):  # beside a device, and where there is none
        assert await house.approve(approved[name])
        assert (await node.http.delete(address, headers=session)).status_code == 204
        with pytest.raises(AccessDenied):
            await house.poll(approved[name], lathe)
    assert (await here.http.delete(address, headers=session)).status_code == 404
    assert await house.approve(approved["waiting"])  # which was not decided yet
    for codes, client_id in ((approved["of bob"], lathe), (approved["waiting"], lathe), (kept, mill)):
        assert (await house.poll(codes, client_id)).access_token.reveal()
    told = [json.loads(event.detail) for event in await house.events("grant:revoke-all")]
    common = {"client_id": lathe, "tokens": 0, "approved": 1}
    assert told == [common | {"devices": 1}, common | {"devices": 0}]


async def test_a_token_takes_back_what_was_approved_for_its_own_organization_alone(here: Node) -> None:
    house = here.house
    client_id, elsewhere = await house.register("lathe"), await here.elsewhere()
    at_acme, at_globex = await house.issue(client_id), await house.issue(client_id)
    assert await house.approve(at_acme)
    view = await house.look_up(at_globex.user_code.reveal())
    assert view is not None
    await house.decide(view, organization=elsewhere.organization_id)
    await house.services.connected.disconnect(principal_of(elsewhere, Method.ACCESS_TOKEN), client_id)
    with pytest.raises(AccessDenied):
        await house.poll(at_globex, client_id)
    assert (await house.poll(at_acme, client_id)).access_token.reveal()


async def test_a_redemption_at_the_moment_of_disconnecting_leaves_no_grant_behind(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    house = here.house
    client_id = await house.register("lathe")
    principal = principal_of(await house.services.accounts.first_identity("ada"), Method.SESSION)
    for _ in range(8):
        codes = await house.issue(client_id)
        assert await house.approve(codes)
        answers = await asyncio.gather(
            there.house.poll(codes, client_id),
            house.services.connected.disconnect(principal, client_id),
            return_exceptions=True,
        )
        assert answers[1] is None
        if isinstance(answers[0], BaseException):
            assert isinstance(answers[0], AccessDenied | InvalidGrant)
        else:
            assert await refreshed(here, answers[0]) == "invalid_grant"
