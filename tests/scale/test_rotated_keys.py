"""A key that is rotated through one of several real nodes: one successor, and an end that all of them keep (K7)."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from keystead.kernel.scopes import ALL_SCOPES, format_scopes
from tests.support.browser import Browser
from tests.support.calls import Line, Reply, at_once
from tests.support.cluster import Cluster, Key, page_of
from tests.support.device import DeviceClient
from tests.support.processes import wait_for
from tests.support.server import ADA

HEARD_WITHIN = 1.0
"""Seconds after which every node knows of a change (promise V1)."""


@pytest.fixture(scope="module")
def nodes(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give three nodes over one database."""
    with Cluster(tmp_path_factory.mktemp("cluster"), new_database()) as three:
        yield three


@pytest.fixture(scope="module")
def token(nodes: Cluster) -> str:
    """Give an access token of ada's with every scope."""
    with DeviceClient(nodes.urls[0]) as device, Browser(nodes.urls[0]) as ada:
        device.register()
        ada.sign_in(ADA.username, ADA.password)
        authorization = device.device_code(format_scopes(ALL_SCOPES))
        ada.approve(page_of(authorization))
        return device.poll_until_decided(authorization).access_token


@pytest.fixture
def lines(nodes: Cluster) -> Iterator[list[Line]]:
    """Give a connection to each node."""
    with ExitStack() as stack:
        yield [stack.enter_context(Line(url)) for url in nodes.urls]


def rotate(line: Line, token: str, key: Key, overlap: int) -> Reply:
    """Rotate a key through a node."""
    path = f"/account/service/v1/apps/{key.app_id}/keys/{key.id}/rotate"
    return line.ask("POST", path, body={"overlap_seconds": overlap}, headers={"Authorization": f"Bearer {token}"})


def all_refuse(lines: list[Line], credential: dict[str, str]) -> bool:
    """Tell whether every node refuses a credential."""
    return all(line.get("/verify", credential).status == 401 for line in lines)


def warm(lines: list[Line], key: str) -> None:
    """Let each node remember a key."""
    assert [line.check(key).status for line in lines for _ in range(5)] == [200] * 15


def test_with_warm_caches_every_node_ends_a_rotated_key_when_its_overlap_ends_to_the_second(
    nodes: Cluster, lines: list[Line], token: str
) -> None:
    (key,) = nodes.new_keys(["overlapping"])
    warm(lines, key.text)
    answer = rotate(lines[0], token, key, 3)
    made = answer.json()
    ends = made["predecessor_expires_at"]
    time_left = ends - time.time()
    assert answer.status == 200
    assert 1 < time_left <= 3
    warm(lines, made["raw_api_key"])
    seen = set()
    while (sent := time.time()) < ends + 0.2:
        statuses = {line.check(key.text).status for line in lines}
        if (sent < ends) == (time.time() < ends):  # not while the last second ended
            seen.add((sent < ends, *sorted(statuses)))
    assert seen == {(True, 200), (False, 401)}
    assert [line.check(key.text).status for line in lines] == [401] * 3
    assert [line.check(made["raw_api_key"]).status for line in lines] == [200] * 3


def test_without_an_overlap_a_key_is_refused_where_it_was_rotated_at_once_and_elsewhere_within_a_second(
    nodes: Cluster, lines: list[Line], token: str
) -> None:
    for key in nodes.new_keys(f"replaced {number}" for number in range(5)):
        warm(lines, key.text)
        made = rotate(lines[1], token, key, 0).json()
        answered = time.monotonic()
        assert lines[1].check(key.text).status == 401
        wait_for(partial(all_refuse, lines, {"Authorization": f"Bearer {key.text}"}), "the old key to be refused")
        assert time.monotonic() - answered < HEARD_WITHIN
        assert [line.check(made["raw_api_key"]).status for line in lines] == [200] * 3


def test_of_many_rotations_at_one_moment_over_three_nodes_one_succeeds_and_both_keys_work(
    nodes: Cluster, lines: list[Line], token: str
) -> None:
    for key in nodes.new_keys(f"contended {number}" for number in range(3)):
        warm(lines, key.text)
        with ExitStack() as stack:
            many = [stack.enter_context(Line(url)) for url in nodes.urls for _ in range(4)]
            for line in many:
                line.open()
            answers = at_once([partial(rotate, line, token, key, 60) for line in many])
        assert sorted(answer.status for answer in answers) == [200] + [409] * 11
        (made,) = [answer.json()["raw_api_key"] for answer in answers if answer.status == 200]
        assert [line.check(text).status for line in lines for text in (key.text, made)] == [200] * 6


def test_a_token_ends_with_its_sign_in_on_every_node_and_a_session_when_its_owner_says_so(
    nodes: Cluster, lines: list[Line], token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    short_term = lines[0].ask("POST", "/account/service/v1/tokens", headers=headers).json()["raw_token"]
    warm(lines, short_term)
    with Browser(nodes.urls[2]) as browser:
        browser.sign_in(ADA.username, ADA.password)
        cookie = {"Cookie": f"cloud.sso={browser.cookies['cloud.sso'].value}"}
    assert [line.get("/verify", cookie).status for line in lines for _ in range(5)] == [200] * 15
    newest = lines[0].get("/account/service/v1/sessions", headers).json()["sessions"][-1]["session_id"]
    devices = lines[1].get("/account/service/v1/devices", headers).json()["devices"]
    (mine,) = [device["device_id"] for device in devices if device["current"]]
    began = time.monotonic()
    for kind, one in (("sessions", newest), ("devices", mine)):
        assert lines[1].ask("DELETE", f"/account/service/v1/{kind}/{one}", headers=headers).status == 200
    assert (lines[1].check(short_term).status, lines[1].get("/verify", cookie).status) == (401, 401)
    wait_for(partial(all_refuse, lines, {"Authorization": f"Bearer {short_term}"}), "the token to be refused")
    wait_for(partial(all_refuse, lines, cookie), "the session to be refused")
    assert time.monotonic() - began < 2 * HEARD_WITHIN
