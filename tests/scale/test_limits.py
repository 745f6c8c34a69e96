"""Limits over three real nodes: exact in a flood, within 5 % when a node is gone, and never in the way (W10, K4)."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.support.calls import Line, Reply
from tests.support.cluster import Cluster
from tests.support.processes import wait_for
from tests.support.server import ADA
from tests.support.valkey import ValkeyServer

API, FEW = 300, 6
SETTINGS = {
    "KEYSTEAD_LIMIT_API": f"{API}/hour",
    "KEYSTEAD_LIMIT_TOKEN": f"{API}/hour",
    "KEYSTEAD_LIMIT_DEVICE_CODE": f"{FEW}/hour",
    "KEYSTEAD_LIMIT_REGISTRATION": f"{FEW}/hour",
    "KEYSTEAD_LIMIT_SIGN_IN": f"{FEW}/hour",
    "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1",
    "KEYSTEAD_LOG_LEVEL": "INFO",
}
SLOW_SECONDS = 2.0
"""Far more than the quarter of a second that a request may wait, far less than if all waited one after the other."""
Call = Callable[[Line, int], Reply]

_addresses = count(1)


@pytest.fixture(scope="module")
def nodes(
    new_database: Callable[[], str], valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    settings = {**SETTINGS, "KEYSTEAD_VALKEY_URL": valkey_server.url.replace("redis:", "valkey:")}
    with Cluster(tmp_path_factory.mktemp("cluster"), new_database(), settings=settings) as three:
        yield three


def somebody() -> dict[str, str]:
    """Return the headers by which a listed proxy tells of a visitor whom no test has seen."""
    return {"X-Forwarded-Proto": "https", "X-Forwarded-For": f"203.0.113.{next(_addresses)}"}


def with_key(nodes: Cluster) -> dict[str, str]:
    """Return the headers of a request with a fresh API key."""
    (key,) = nodes.new_keys([f"limited {next(_addresses)}"])
    return {**somebody(), "Authorization": f"Bearer {key.text}"}


def flood(urls: list[str], times: int, call: Call, clients: int = 12) -> list[Reply]:
    """Make so many calls by several clients at the same time, each client at the next node."""
    replies: list[Reply] = []
    turns = iter(range(times))
    lock = threading.Lock()

    def client(url: str) -> None:
        with Line(url) as line:
            while True:
                with lock:
                    turn = next(turns, None)
                if turn is None:
                    return
                replies.append(call(line, turn))

    threads = [threading.Thread(target=client, args=(urls[number % len(urls)],)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == times, "a call was not answered"
    return replies


def check_over(replies: list[Reply], name: str, *limits: int) -> None:
    """Assert that all these refuse for a limit of this name, in the same words on every node."""
    for reply in replies:
        assert re.fullmatch(r"3[56][0-9]{2}", reply.headers["retry-after"])
        assert reply.headers["ratelimit-policy"] in [f'"{name}";q={limit};w=3600' for limit in limits]
        assert reply.headers["ratelimit"].startswith(f'"{name}";r=0;t=3')


def test_ten_times_the_limit_of_a_key_over_three_nodes_is_exactly_the_limit_of_answers(nodes: Cluster) -> None:
    headers = with_key(nodes)
    replies = flood(nodes.urls, 10 * API, lambda line, _: line.get("/api/auth/session", headers))
    assert Counter(reply.status for reply in replies) == {200: API, 429: 9 * API}
    check_over([reply for reply in replies if reply.status == 429], "api", API)


def test_ten_times_the_limit_of_an_address_at_the_token_endpoint_is_exactly_the_limit_of_answers(
    nodes: Cluster,
) -> None:
    form, headers = {"grant_type": "refresh_token", "refresh_token": "pwr_unknown"}, somebody()
    replies = flood(
        nodes.urls, 10 * API, lambda line, _: line.ask("POST", "/getServiceKeys/token", form=form, headers=headers)
    )
    assert Counter(reply.status for reply in replies) == {400: API, 429: 9 * API}
    check_over([reply for reply in replies if reply.status == 429], "token", API)


@pytest.mark.parametrize("name", ["registration", "device_code", "sign_in"])
def test_what_is_rare_is_counted_exactly_over_three_nodes(nodes: Cluster, name: str) -> None:
    calls: dict[str, tuple[str, dict[str, object], int]] = {
        "registration": ("/getServiceKeys/register", {"body": {"client_name": "x"}}, 201),
        "device_code": ("/getServiceKeys/device/code", {"form": {"client_id": "parallel-cli"}}, 200),
        "sign_in": ("/api/sso/password/login", {"body": {"username": ADA.username, "password": "wrong"}}, 401),
    }
    path, content, usual = calls[name]
    headers = somebody()
    replies = flood(
        nodes.urls,
        10 * FEW,
        lambda line, _: line.ask("POST", path, headers=headers, **content),  # type: ignore[arg-type]
        clients=3,
    )
    assert Counter(reply.status for reply in replies) == {usual: FEW, 429: 9 * FEW}
    check_over(
        [reply for reply in replies if reply.status == 429], name, FEW, 3 * FEW
    )  # an address may try thrice as often


def test_a_node_that_is_gone_keeps_less_than_5_percent_of_a_limit_from_the_others(
    new_cluster: Callable[..., Cluster], furnished_url: str, valkey_url: str
) -> None:
    three = new_cluster(furnished_url, 3, {**SETTINGS, "KEYSTEAD_VALKEY_URL": valkey_url})
    headers = with_key(three)

    def ask(line: Line, _: int) -> Reply:
        return line.get("/api/auth/session", headers)

    first = flood(three.urls, 50, ask)
    assert {reply.status for reply in first} == {200}
    three.nodes[0].kill()
    later = flood(three.urls[1:], 2 * API, ask)
    granted = len(first) + sum(reply.status == 200 for reply in later)
    assert 0.95 * API <= granted <= API


def test_a_storage_that_hangs_in_mid_flood_is_in_nobodys_way_and_the_nodes_share_again_when_it_is_back(
    new_cluster: Callable[..., Cluster], new_valkey: Callable[..., ValkeyServer], furnished_url: str
) -> None:
    storage = new_valkey()
    three = new_cluster(furnished_url, 3, {**SETTINGS, "KEYSTEAD_VALKEY_URL": storage.url})
    keys, slowest = [with_key(three) for _ in range(40)], 0.0

    def ask(line: Line, turn: int) -> Reply:
        nonlocal slowest
        if turn == 600:
            storage.pause()
        begin = time.monotonic()
        reply = line.get("/api/auth/session", keys[turn % len(keys)])
        slowest = max(slowest, time.monotonic() - begin)
        return reply

    assert Counter(reply.status for reply in flood(three.urls, 3_000, ask)) == {200: 3_000}
    assert slowest < SLOW_SECONDS
    with ExitStack() as stack:
        ready = [stack.enter_context(Line(url)).get("/readyz").status for url in three.urls]
    assert ready == [200] * 3
    storage.restart()
    wait_for(lambda: all("the rate limits are shared again" in node.log_text() for node in three.nodes), "a return")
    assert [node.log_text().count("each node counts by itself") for node in three.nodes] == [1] * 3
    headers = with_key(three)
    replies = flood(three.urls, 3 * API, lambda line, _: line.get("/api/auth/session", headers))
    assert Counter(reply.status for reply in replies) == {200: API, 429: 2 * API}
