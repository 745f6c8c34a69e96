"""A key that is rotated through one node ends on every node to the second, however warm their caches (promise K7)."""

import asyncio
from typing import Any

import pytest

from tests.account.nodes import Node

SCOPE = "apps:create keys:read keys:create keys:update keys:rotate keys:delete"


async def new_key(node: Node, token: str, **wishes: Any) -> tuple[str, dict[str, Any]]:
    """Make an app with a key in it; return the path of the app's keys, and the key."""
    app = (await node.call("POST", "/apps", token, {"app_name": "Reports"})).json()
    keys = f"/apps/{app['app_id']}/keys"
    made = await node.call("POST", keys, token, {"api_key_name": "laptop", **wishes})
    assert made.status_code == 200, made.text
    return keys, made.json()


async def checks(nodes: tuple[Node, Node], *keys: str) -> list[list[int]]:
    """Return what each node says of each key; a second look is at what it remembers."""
    return [[await node.check(key) for key in keys] for node in nodes for _ in range(2)]


async def test_with_warm_caches_a_rotated_key_ends_on_every_node_to_the_second(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    token = await here.access_token(SCOPE)
    keys, old = await new_key(here, token)
    assert await checks(nodes, old["raw_api_key"]) == [[200]] * 4
    answer = await here.call("POST", f"{keys}/{old['api_key_id']}/rotate", token, {"overlap_seconds": 90})
    new = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert new["predecessor_expires_at"] == here.house.clock.now() + 90
    both = (old["raw_api_key"], new["raw_api_key"])
    assert await checks(nodes, *both) == [[200, 200]] * 4
    here.house.clock.advance(89)
    assert await checks(nodes, *both) == [[200, 200]] * 4
    here.house.clock.advance(1)
    assert await checks(nodes, *both) == [[401, 200]] * 4


async def test_without_an_overlap_the_old_key_is_refused_at_once_on_every_node(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    token = await here.access_token(SCOPE)
    keys, old = await new_key(here, token)
    assert await checks(nodes, old["raw_api_key"]) == [[200]] * 4
    new = (await here.call("POST", f"{keys}/{old['api_key_id']}/rotate", token, {"overlap_seconds": 0})).json()
    assert await checks(nodes, old["raw_api_key"], new["raw_api_key"]) == [[401, 200]] * 4


async def test_a_key_that_would_have_expired_within_the_overlap_still_does_and_so_does_its_successor(
    nodes: tuple[Node, Node],
) -> None:
    here, _ = nodes
    token = await here.access_token(SCOPE)
    keys, old = await new_key(here, token, expires_in=60)
    assert await checks(nodes, old["raw_api_key"]) == [[200]] * 4
    new = (await here.call("POST", f"{keys}/{old['api_key_id']}/rotate", token, {"overlap_seconds": 86_400})).json()
    assert new["predecessor_expires_at"] == new["expires_at"] == old["expires_at"]
    here.house.clock.advance(59)
    assert await checks(nodes, old["raw_api_key"], new["raw_api_key"]) == [[200, 200]] * 4
    here.house.clock.advance(1)
    assert await checks(nodes, old["raw_api_key"], new["raw_api_key"]) == [[401, 401]] * 4


async def test_two_nodes_that_rotate_a_key_at_once_make_one_successor(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    token = await here.access_token(SCOPE)
    keys, old = await new_key(here, token)
    path = f"{keys}/{old['api_key_id']}/rotate"
    answers = await asyncio.gather(
        *(node.call("POST", path, token, {"overlap_seconds": 60}) for node in nodes for _ in range(4))
    )
    (done,) = [answer for answer in answers if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert await checks(nodes, old["raw_api_key"], done.json()["raw_api_key"]) == [[200, 200]] * 4
    listed = (await here.call("GET", "/keys", token)).json()["keys"]
    assert [(key["api_key_id"], key["successor_id"]) for key in listed] == [
        (old["api_key_id"], done.json()["api_key_id"]),
        (done.json()["api_key_id"], None),
    ]


async def test_a_renamed_key_shows_its_new_title_and_goes_on_working(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    token = await here.access_token(SCOPE)
    keys, key = await new_key(here, token)
    renamed = await here.call("PATCH", f"{keys}/{key['api_key_id']}", token, {"api_key_name": "server"})
    assert renamed.json()["api_key_name"] == "server"
    assert (await there.call("GET", keys, token)).json()["keys"] == [renamed.json()]
    assert (await there.call("GET", "/keys", token)).json()["keys"] == [renamed.json()]
    assert await checks(nodes, key["raw_api_key"]) == [[200]] * 4


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"overlap_seconds": None}, 422),
        ({"overlap_seconds": "60"}, 422),
        ({"overlap_seconds": True}, 422),
        ({"overlap_seconds": 0.5}, 422),
        ({"overlap_seconds": -1}, 422),
        ({"overlap_seconds": 2_592_001}, 422),
        ({"overlap_seconds": 10**400}, 422),
        ({"overlap_seconds": 60.0}, 200),
        ({"overlap_seconds": 2_592_000}, 200),
    ],
    ids=str,
)
async def test_an_overlap_is_a_whole_number_of_seconds_up_to_30_days(
    here: Node, body: dict[str, Any], status: int
) -> None:
    token = await here.access_token(SCOPE)
    keys, key = await new_key(here, token)
    answer = await here.call("POST", f"{keys}/{key['api_key_id']}/rotate", token, body)
    assert answer.status_code == status
    assert len((await here.call("GET", keys, token)).json()["keys"]) == (2 if status == 200 else 1)


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        (59, 422),
        (0, 422),
        (-60, 422),
        (315_360_001, 422),
        ("60", 422),
        (True, 422),
        (60.5, 422),
        (60, 200),
        (None, 200),
    ],
)
async def test_a_life_is_a_whole_number_of_seconds_from_a_minute_to_ten_years(
    here: Node, wish: Any, status: int
) -> None:
    token = await here.access_token(SCOPE)
    app = (await here.call("POST", "/apps", token, {"app_name": "Reports"})).json()
    body = {"api_key_name": "laptop", "expires_in": wish}
    answer = await here.call("POST", f"/apps/{app['app_id']}/keys", token, body)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["expires_at"] == (None if wish is None else here.house.clock.now() + wish)
