"""The primary database is killed under load and its standby takes over: a moment of 503, and nothing lost (R8, O8)."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from tests.scale.approval import approve_held_polls
from tests.scale.revoking import revoke
from tests.scale.traffic import begin
from tests.support.calls import Line, at_once, tell
from tests.support.cluster import Cluster, furnish, refused_start, through
from tests.support.postgres import NOT_DURABLE, PostgresServer, database_of
from tests.support.processes import wait_for
from tests.support.server import ADA

HEARD_WITHIN: Final = 1.0
READ_ONLY = 'ALTER DATABASE "{}" SET default_transaction_read_only = on'
WRITABLE = 'ALTER DATABASE "{}" RESET default_transaction_read_only'
DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
FEED_GOES_BACK = "DELETE FROM revocation; ALTER SEQUENCE revocation_seq_seq RESTART WITH 1"
FOLLOWING = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


def test_a_primary_killed_under_load_is_followed_by_its_standby_with_a_moment_of_503_and_nothing_lost(
    new_postgres: Callable[..., PostgresServer], new_cluster: Callable[..., Cluster], node_directory: Path
) -> None:
    primary = new_postgres(NOT_DURABLE)
    url = primary.create_database()
    furnish(node_directory, url)
    with primary.standby() as standby:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        wait_for(lambda: primary.fetch(FOLLOWING) == [("1",)], "a standby for which commits wait")
        both = through(url, primary.port, standby.port) + "?target_session_attrs=read-write"
        nodes = new_cluster(both)
        traffic = begin(nodes, nodes.urls)
        with traffic.flowing():
            primary.kill()
            killed = time.monotonic()
            traffic.await_faults(5)
            standby.promote()
            promoted = time.monotonic()
            traffic.await_more(1)
            works = time.monotonic()
        lost = [traffic.lost(node) for node in nodes.urls]
    tell(
        f"promoted {promoted - killed:.2f} s after the kill, and everything works {works - promoted:.2f} s later; "
        f"{dict(traffic.met)}"
    )
    assert {status for _, status in traffic.met} == {200, 204, 503}
    assert traffic.careless == []
    assert lost == [([], [], [])] * 3


def test_while_no_database_takes_writes_every_node_says_try_again_and_all_of_them_go_on_once_one_does(
    postgres_server: PostgresServer, furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(furnished_url + "?target_session_attrs=read-write", 2)
    database = database_of(furnished_url)
    tokens = nodes.sign_in(2)
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(url)) for url in nodes.urls]
        calls = [partial(line.refresh, one.refresh_token) for line, one in zip(lines, tokens, strict=True)]
        postgres_server.execute(READ_ONLY.format(database))
        try:
            postgres_server.execute(DISCONNECT.format(database))
            away = at_once(calls)
        finally:
            postgres_server.execute(WRITABLE.format(database))
        back = at_once(calls)
    heard_after = approve_held_polls(nodes, 1)
    assert [answer.status for answer in away] == [503, 503], away[0].text
    assert [answer.status for answer in back] == [200, 200]
    assert heard_after[0] < HEARD_WITHIN


def test_after_a_failover_that_lost_the_end_of_the_feed_a_revocation_is_heard_all_the_same(
    postgres_server: PostgresServer, furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(furnished_url, 2)
    key, *others = nodes.new_keys(str(number) for number in range(9))
    token = nodes.admin("create-token", "--user", ADA.username)
    for other in others:
        revoke(nodes.urls[0], token, other)  # which the other node hears of
    with Line(nodes.urls[1]) as line:
        postgres_server.execute(FEED_GOES_BACK, furnished_url)
        postgres_server.execute(DISCONNECT.format(database_of(furnished_url)))
        wait_for(lambda: line.check(key.text).status == 200, "an answer after the failover")
        approve_held_polls(nodes, 1)  # so that the node trusts what it remembers again
        before = [line.check(key.text).status for _ in range(3)]
        revoked = revoke(nodes.urls[0], token, key)
        wait_for(lambda: line.check(key.text).status == 401, "a refusal", 5)
        took = time.monotonic() - revoked
    assert before == [200] * 3
    assert took < HEARD_WITHIN


def test_a_node_that_finds_no_database_which_takes_writes_ends_with_one_sentence(
    postgres_server: PostgresServer, furnished_url: str, tmp_path: Path
) -> None:
    postgres_server.execute(READ_ONLY.format(database_of(furnished_url)))
    ended = refused_start(tmp_path, {"KEYSTEAD_DATABASE_URL": furnished_url + "?target_session_attrs=read-write"})
    assert ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "takes writes" in ended.stderr
