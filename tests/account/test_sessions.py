"""Everybody sees the browsers in which they are signed in, and signs them out, at once and on every node (V1, W2)."""

import pytest

from keystead.kernel.ids import new_id
from tests.account.nodes import Node, open_node
from tests.oauth.conftest import Open
from tests.support.installation import ADDRESS

SCOPE = "sessions:read sessions:delete"


async def ids(node: Node, token: str) -> list[str]:
    """Return the ids of the sessions that somebody sees."""
    return [one["session_id"] for one in (await node.call("GET", "/sessions", token)).json()["sessions"]]


async def test_a_session_is_shown_with_its_browser_its_address_and_its_times(opened: Open) -> None:
    async with open_node(opened(session_idle_ttl=600, session_ttl=3_600)) as node:
        began = node.house.clock.now()
        session_id, _ = await node.session()
        node.house.clock.advance(100)
        await node.house.services.sessions.record_use([(session_id, node.house.clock.now(), ADDRESS)])
        answer = await node.call("GET", "/sessions", await node.access_token(SCOPE))
    assert answer.json() == {
        "sessions": [
            {
                "session_id": session_id,
                "created_at": began,
                "last_used_at": began + 100,
                "expires_at": began + 700,
                "address": ADDRESS,
                "user_agent": "Test/1.0",
            }
        ]
    }


async def test_a_session_that_is_ended_is_refused_at_once_on_every_node_and_the_others_stay(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    token = await here.access_token(SCOPE)
    (first, cookie), (second, other) = await here.session(), await here.session()
    assert [await node.check_session(one) for node in nodes for one in (cookie, other)] == [200] * 4
    assert await ids(there, token) == [first, second]
    assert (await there.call("DELETE", f"/sessions/{first}", token)).json() == {"deleted": True}
    assert [await node.check_session(one) for node in nodes for one in (cookie, other)] == [401, 200] * 2
    assert await ids(here, token) == [second]
    assert (await here.call("DELETE", f"/sessions/{first}", token)).status_code == 404
    (event,) = await here.house.events("session:delete")
    assert (event.actor_id, event.target) == (here.house.ada.id, first)


async def test_a_session_that_ended_by_itself_is_not_shown(opened: Open) -> None:
    async with open_node(opened(session_idle_ttl=600, session_ttl=3_600)) as node:
        await node.session()
        node.house.clock.advance(599)
        token = await node.access_token(SCOPE)
        assert len(await ids(node, token)) == 1
        node.house.clock.advance(1)
        assert await ids(node, token) == []


async def test_everybody_sees_and_ends_their_own_sessions_and_no_others(here: Node) -> None:
    (adas, adas_cookie), (bobs, _) = await here.session("ada"), await here.session("bob")
    bob = await here.access_token(SCOPE, here.house.bob)
    ada = await here.access_token(SCOPE)
    assert (await ids(here, ada), await ids(here, bob)) == ([adas], [bobs])
    strange = [await here.call("DELETE", f"/sessions/{one}", bob) for one in (adas, new_id())]
    assert [(one.status_code, one.json()) for one in strange] == [
        (404, {"detail": "You have no session with this id."})
    ] * 2
    assert await here.check_session(adas_cookie) == 200
    assert await here.house.events("session:delete") == []


async def test_a_session_of_ones_own_in_another_organization_is_out_of_reach(here: Node) -> None:
    session_id, cookie = await here.session()
    token = (await here.house.services.tokens.issue_short_term(await here.elsewhere())).token.reveal()
    assert await ids(here, token) == []
    assert (await here.call("DELETE", f"/sessions/{session_id}", token)).status_code == 404
    assert await here.check_session(cookie) == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"), [("GET", "", "sessions:delete"), ("DELETE", "/x", "sessions:read")]
)
async def test_seeing_and_ending_sessions_are_two_scopes(here: Node, method: str, path: str, scope: str) -> None:
    session_id, cookie = await here.session()
    answer = await here.call(method, f"/sessions{path.replace('x', session_id)}", await here.access_token(scope))
    assert answer.status_code == 403
    assert await here.check_session(cookie) == 200
