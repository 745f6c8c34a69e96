"""Nodes behind nginx are restarted one by one, or killed, under load: nothing that was acknowledged is lost (O8)."""

import threading
import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.scale.traffic import Traffic, begin
from tests.support.calls import Line, tell
from tests.support.cluster import Cluster
from tests.support.nginx import NginxProxy
from tests.support.processes import wait_for

CUT_SHORT: Final = frozenset({502, 0})
"""What comes of a request which must not be sent twice when a node dies with it: an answer of nginx, or half of one."""


@pytest.fixture
def proxy(new_nginx: Callable[..., NginxProxy]) -> NginxProxy:
    return new_nginx(["http://127.0.0.1:9"])  # its list comes when the nodes are there


@pytest.fixture
def nodes(proxy: NginxProxy, furnished_url: str, new_cluster: Callable[..., Cluster]) -> Cluster:
    """Give three nodes behind nginx."""
    settings = {"KEYSTEAD_PUBLIC_URL": proxy.url, "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    three = new_cluster(furnished_url, 3, settings)
    proxy.reload(three.urls)
    return three


@pytest.fixture
def traffic(proxy: NginxProxy, nodes: Cluster) -> Traffic:
    return begin(nodes, [proxy.url])


def test_a_rolling_restart_behind_nginx_fails_no_request_and_loses_nothing(
    nodes: Cluster, traffic: Traffic, proxy: NginxProxy
) -> None:
    with traffic.flowing():
        started = time.monotonic()
        for node in nodes.nodes:
            node.restart()
            traffic.await_more(20)
        took = time.monotonic() - started
    tell(f"three restarts in {took:.1f} s; {dict(traffic.met)}")
    assert traffic.met.keys() == {("check", 200), ("refresh", 200), ("sign in", 204), ("create", 200)}
    assert [traffic.lost(url) for url in nodes.urls] == [([], [], [])] * 3


def test_nodes_killed_amid_requests_behind_nginx_lose_nothing_that_was_acknowledged(
    nodes: Cluster, traffic: Traffic
) -> None:
    with traffic.flowing():
        for node in nodes.nodes:
            node.kill()
            traffic.await_more(20)
            node.start()
            traffic.await_more(20)
    tell(str(dict(traffic.met)))
    failed = {(what, status) for what, status in traffic.met if status not in {200, 204}}
    assert failed <= {(what, status) for what in ("refresh", "sign in", "create") for status in CUT_SHORT}
    assert [traffic.lost(url) for url in nodes.urls] == [([], [], [])] * 3


def test_a_node_that_stops_answers_what_still_comes_over_an_open_connection_and_closes_it_then(
    furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(furnished_url, 1)
    (tokens,) = nodes.sign_in()
    (node,) = nodes.nodes
    with Line(node.url) as idle, Line(node.url) as newcomer:
        before = idle.get("/healthz")
        stopping = threading.Thread(target=node.stop)
        stopping.start()
        wait_for(lambda: refuses(newcomer), "an end of listening")
        answer = idle.refresh(tokens.refresh_token)
        stopping.join()
    assert (before.status, "connection" in before.headers) == (200, False)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def refuses(line: Line) -> bool:
    """Tell whether nobody listens any more."""
    try:
        line.open()
    except ConnectionRefusedError:
        return True
    line.close()
    return False
