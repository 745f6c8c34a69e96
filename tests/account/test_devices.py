"""Everybody sees what they signed in, and signs it out as the revoke endpoint does (promises R7, R12, V1)."""

import asyncio

import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.scopes import Role, format_scopes, grantable, parse_scopes
from keystead.oauth.models import TokenSet
from tests.account.nodes import Node
from tests.support.installation import ADDRESS, EVERY_SCOPE

SCOPE = "devices:read devices:delete"
DAY = 86_400


async def ids(node: Node, token: str) -> list[str]:
    """Return the ids of the devices that somebody sees."""
    return [one["device_id"] for one in (await node.call("GET", "/devices", token)).json()["devices"]]


async def refreshed(node: Node, tokens: TokenSet) -> str:
    """Return how a refresh is answered: "ok" or an error."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.reveal()}
    answer = await node.http.post("/getServiceKeys/token", data=form)
    return "ok" if answer.status_code == 200 else str(answer.json()["error"])


async def test_a_device_is_shown_with_what_it_is_may_do_and_since_when(here: Node) -> None:
    house = here.house
    began = house.clock.now()
    tokens = await house.sign_in(scope=EVERY_SCOPE)
    house.clock.advance(1_000)
    renewed = await house.refresh(tokens.refresh_token.reveal())
    answer = await here.call("GET", "/devices", renewed.access_token.reveal())
    (device,) = answer.json()["devices"]
    assert device.pop("device_id")
    assert device == {
        "client_name": "parallel-cli",
        "platform": "Linux x86_64",
        "address": ADDRESS,
        "org_name": "Acme",
        "scopes": EVERY_SCOPE.split(),
        "created_at": began,
        "last_used_at": began + 1_000,
        "expires_at": began + 1_000 + 7 * DAY,
        "current": True,
    }


async def test_the_device_that_asks_is_marked_and_no_other(here: Node) -> None:
    signed_in = [await here.house.sign_in(scope=SCOPE) for _ in range(3)]
    marked = []
    for tokens in signed_in:
        answer = await here.call("GET", "/devices", tokens.access_token.reveal())
        marked.append([device["current"] for device in answer.json()["devices"]])
    assert marked == [[True, False, False], [False, True, False], [False, False, True]]


async def test_to_a_short_term_token_no_device_is_the_one_that_asks(here: Node) -> None:
    _, token = await here.short_term_token(await here.access_token("devices:read tokens:create"))
    answer = await here.call("GET", "/devices", token)
    assert [device["current"] for device in answer.json()["devices"]] == [False]


async def test_a_device_that_is_signed_out_cannot_refresh_on_any_node_and_the_others_can(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    doomed, other = await here.house.sign_in(scope=SCOPE), await here.house.sign_in(scope=SCOPE)
    token = other.access_token.reveal()
    first, second = await ids(there, token)
    assert (await there.call("DELETE", f"/devices/{first}", token)).json() == {"deleted": True}
    assert [await refreshed(node, doomed) for node in nodes] == ["invalid_grant"] * 2
    assert await refreshed(here, other) == "ok"
    assert await ids(here, token) == [second]
    assert (await here.call("DELETE", f"/devices/{first}", token)).status_code == 404
    (event,) = await here.house.events("grant:revoke")
    assert (event.actor_id, event.target) == (here.house.ada.id, first)


async def test_signing_oneself_out_works_and_the_access_token_lives_on_until_it_expires(here: Node) -> None:
    tokens = await here.house.sign_in(scope=SCOPE)
    token = tokens.access_token.reveal()
    (mine,) = await ids(here, token)
    assert (await here.call("DELETE", f"/devices/{mine}", token)).status_code == 200
    assert await ids(here, token) == []
    assert await refreshed(here, tokens) == "invalid_grant"
    here.house.clock.advance(600)
    assert await here.check(token) == 401


async def test_signing_a_device_out_beats_a_refresh_that_is_under_way(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    operator = await here.access_token(SCOPE)
    for _ in range(5):
        doomed = await here.house.sign_in(scope=SCOPE)
        device_id = (await ids(here, operator))[-1]
        ending = asyncio.create_task(there.call("DELETE", f"/devices/{device_id}", operator))
        answers = await asyncio.gather(*(refreshed(node, doomed) for node in nodes for _ in range(4)))
        assert set(answers) <= {"ok", "invalid_grant"}
        assert (await ending).json() == {"deleted": True}
        assert [await refreshed(node, doomed) for node in nodes] == ["invalid_grant"] * 2


async def test_everybody_sees_and_ends_their_own_devices_and_no_others(here: Node) -> None:
    ada, bob = await here.house.sign_in(scope=SCOPE), await here.house.sign_in(person=here.house.bob, scope=SCOPE)
    (adas,), (bobs,) = [await ids(here, tokens.access_token.reveal()) for tokens in (ada, bob)]
    assert adas != bobs
    strange = [await here.call("DELETE", f"/devices/{one}", ada.access_token.reveal()) for one in (bobs, new_id())]
    assert [(one.status_code, one.json()) for one in strange] == [
        (404, {"detail": "You have no device with this id that is signed in."})
    ] * 2
    assert await refreshed(here, bob) == "ok"
    assert await here.house.events("grant:revoke") == []


async def test_a_device_of_ones_own_in_another_organization_is_out_of_reach(here: Node) -> None:
    strange = (await here.house.services.tokens.issue_short_term(await here.elsewhere())).token.reveal()
    tokens = await here.house.sign_in(scope=SCOPE)
    (mine,) = await ids(here, tokens.access_token.reveal())
    assert await ids(here, strange) == []
    assert (await here.call("DELETE", f"/devices/{mine}", strange)).status_code == 404
    assert await refreshed(here, tokens) == "ok"


async def test_what_has_ended_or_expired_is_not_shown_and_not_ended_again(here: Node) -> None:
    house = here.house
    tokens = await house.sign_in(scope=SCOPE)
    (mine,) = await ids(here, tokens.access_token.reveal())
    house.clock.advance(7 * DAY)  # nothing was renewed meanwhile
    token = await here.access_token(SCOPE)
    assert mine not in await ids(here, token)
    assert (await here.call("DELETE", f"/devices/{mine}", token)).status_code == 404


async def test_the_scopes_that_are_shown_are_those_that_the_owners_role_leaves(here: Node) -> None:
    token = await here.access_token(EVERY_SCOPE)
    await here.house.set_role(here.house.ada, Role.MEMBER)
    (device,) = (await here.call("GET", "/devices", token)).json()["devices"]
    assert device["scopes"] == format_scopes(grantable(parse_scopes(EVERY_SCOPE), Role.MEMBER)).split()


async def test_signing_a_device_out_touches_as_many_rows_after_a_hundred_refreshes_as_after_one(here: Node) -> None:
    operator = await here.access_token(SCOPE)
    touched = []
    for refreshes in (1, 100):
        tokens = await here.house.sign_in(scope=SCOPE)
        for _ in range(refreshes):
            tokens = await here.house.refresh(tokens.refresh_token.reveal())
        device_id = (await ids(here, operator))[-1]
        before = here.house.db.rows_changed
        assert (await here.call("DELETE", f"/devices/{device_id}", operator)).status_code == 200
        touched.append(here.house.db.rows_changed - before)
    assert touched == [3, 3]  # the grant, an audit event, a line in the feed


@pytest.mark.parametrize(("method", "scope"), [("GET", "devices:delete"), ("DELETE", "devices:read")])
async def test_seeing_and_signing_out_are_two_scopes(here: Node, method: str, scope: str) -> None:
    tokens = await here.house.sign_in(scope=SCOPE)
    (mine,) = await ids(here, tokens.access_token.reveal())
    path = "/devices" if method == "GET" else f"/devices/{mine}"
    assert (await here.call(method, path, await here.access_token(scope))).status_code == 403
    assert await refreshed(here, tokens) == "ok"
