"""Nodes behind nginx are killed one by one under load: nothing that was acknowledged is lost (O8)."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.scale.traffic import Traffic, begin
from tests.support.calls import tell
from tests.support.cluster import Cluster
from tests.support.nginx import NginxProxy

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
