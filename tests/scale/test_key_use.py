"""How often a key was used is exact, over three nodes that count and write at the same moment (promise K2)."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.calls import Line, at_once
from tests.support.cluster import Cluster
from tests.support.postgres import PostgresServer

CLIENTS = 6
CHECKS = 100


def test_three_nodes_that_stop_at_one_moment_have_counted_each_check_once(
    new_database: Callable[[], str], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database = new_database()

    def check(nodes: Cluster, number: int, key: str) -> Counter[int]:
        with Line(nodes.urls[number % 3]) as line:
            return Counter(line.check(key).status for _ in range(CHECKS))

    with Cluster(tmp_path, database) as nodes:
        keys = nodes.new_keys(["first", "second"])
        calls = [
            lambda number=number, key=key: check(nodes, number, key.text) for number in range(CLIENTS) for key in keys
        ]
        answers = sum(at_once(calls), Counter())
    assert answers == {200: 2 * CLIENTS * CHECKS}
    counted = postgres_server.fetch("SELECT api_key_id, sum(uses) FROM key_use GROUP BY api_key_id", database)
    assert {row[0]: int(row[1]) for row in counted} == {key.id: CLIENTS * CHECKS for key in keys}
