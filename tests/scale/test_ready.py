"""What a node says of itself on /readyz when something that the nodes share is away."""

from collections.abc import Callable
from pathlib import Path

import requests

from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for
from tests.support.server import KeysteadServer
from tests.support.valkey import ValkeyServer


def ready(node: KeysteadServer) -> tuple[int, dict[str, str]]:
    """Return the status of a node and what it says of each part."""
    answer = requests.get(f"{node.url}/readyz", timeout=10)
    return answer.status_code, answer.json()["checks"]


def test_a_node_names_what_is_away_and_is_ready_without_its_shared_limits_but_not_without_its_database(
    tmp_path: Path, new_postgres: Callable[..., PostgresServer], new_valkey: Callable[..., ValkeyServer]
) -> None:
    database, valkey = new_postgres(), new_valkey()
    settings = {
        "KEYSTEAD_DATABASE_URL": database.create_database(),
        "KEYSTEAD_MASTER_SECRET": "x" * 40,
        "KEYSTEAD_VALKEY_URL": valkey.url,
    }
    with KeysteadServer(tmp_path, settings) as node:
        well = {"database": "ok", "changes": "heard", "signing_keys": "ok", "limits": "shared", "stopping": "no"}
        wait_for(lambda: ready(node) == (200, well), "the node to be ready")
        valkey.kill()
        wait_for(lambda: ready(node) == (200, well | {"limits": "away"}), "the node to miss its limits")
        database.kill()
        status, checks = ready(node)
        assert (status, checks["database"], checks["changes"], checks["limits"]) == (503, "away", "behind", "away")
        database.start()
        valkey.start()
        wait_for(lambda: ready(node) == (200, well), "the node to be ready again")
        assert ready(node) == (200, well)
