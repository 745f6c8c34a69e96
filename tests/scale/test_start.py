"""How nodes begin together, what stops a start, and who cleans up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.db.installation import Keys as InstallationKeys
from keystead.db.shared_installation import open_shared_installation
from keystead.kernel.clock import SystemClock
from keystead.kernel.secrets import Secret
from tests.support.calls import Line, at_once
from tests.support.cluster import MASTER_SECRET, Cluster, refused_start
from tests.support.postgres import PostgresServer
from tests.support.processes import free_port, wait_for
from tests.support.server import add_acme


def count(postgres: PostgresServer, url: str, table: str) -> int:
    """Return how many rows there are."""
    ((number,),) = postgres.fetch(f'SELECT count(*) FROM "{table}"', url)  # noqa: S608 - our own names
    return int(number)


def test_five_nodes_started_at_one_moment_on_an_empty_database_migrate_it_once_and_share_its_keys(
    postgres_server: PostgresServer, postgres_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(postgres_url, 5)
    key_sets = []
    for url in nodes.urls:
        with Line(url) as line:
            key_sets.append(sorted(key["kid"] for key in line.get("/.well-known/jwks.json").json()["keys"]))
            assert line.get("/readyz").status == 200
    assert count(postgres_server, postgres_url, "alembic_version") == 1
    assert count(postgres_server, postgres_url, "installation") == 1
    assert postgres_server.fetch("SELECT alg, count(*) FROM signing_key GROUP BY alg ORDER BY alg", postgres_url) == [
        ("ES256", "1"),
        ("RS256", "1"),
    ]
    assert key_sets == [key_sets[0]] * 5
    add_acme(nodes.nodes[4])
    (key,) = nodes.new_keys(["first"])
    statuses = []
    for url in nodes.urls:
        with Line(url) as line:
            statuses.append(line.check(key.text).status)
    assert statuses == [200] * 5


def test_eight_that_open_a_new_database_at_one_moment_get_one_root_key(
    postgres_server: PostgresServer, furnished_url: str, tmp_path: Path
) -> None:
    postgres_server.execute("DELETE FROM installation; DELETE FROM signing_key", furnished_url)

    def open_it() -> InstallationKeys:
        return open_shared_installation(tmp_path, Secret(MASTER_SECRET), SystemClock(), Secret(furnished_url))

    found = at_once([open_it] * 8)
    assert count(postgres_server, furnished_url, "installation") == 1
    assert {keys.credentials for keys in found} == {found[0].credentials}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"KEYSTEAD_MASTER_SECRET": "another secret than the other nodes were given"}, "master secret"),
        ({"KEYSTEAD_MASTER_SECRET": "short"}, "32"),
        ({"KEYSTEAD_MASTER_SECRET": ""}, "KEYSTEAD_MASTER_SECRET"),
        (
            {"KEYSTEAD_DATABASE_URL": "postgresql://keystead@127.0.0.1:{free}/keystead"},
            "The database cannot be reached",
        ),
        ({"KEYSTEAD_DATABASE_URL": "{url}_of_nobody"}, "no database of the name"),
    ],
    ids=["another secret", "a short one", "none", "no database server", "no such database"],
)
def test_a_node_that_cannot_join_ends_with_one_sentence(
    furnished_url: str, tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    changed = {name: value.format(free=free_port(), url=furnished_url) for name, value in change.items()}
    ended = refused_start(tmp_path, {"KEYSTEAD_DATABASE_URL": furnished_url, **changed})
    lines = ended.stderr.strip().splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(lines) == 1
    assert sentence in lines[0]
    assert furnished_url not in ended.stderr


WITNESS = """
CREATE TABLE witness (id INTEGER GENERATED ALWAYS AS IDENTITY, port INTEGER);
CREATE FUNCTION testify() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO witness (port) VALUES (inet_client_port()); RETURN NULL; END';
CREATE TRIGGER testify AFTER DELETE ON wrong_guess FOR EACH STATEMENT EXECUTE FUNCTION testify();
"""
"""Notes over which connection each clean-up of one table came."""
MINUTE_IS_OVER = "DELETE FROM witness; UPDATE errand SET until = 1"
OLD_GUESSES = "INSERT INTO wrong_guess SELECT 'account:' || n, 0, 1, 1 FROM generate_series(1, 2000) AS n"


def test_one_of_three_nodes_cleans_up_for_all_and_another_does_when_that_one_was_killed(
    postgres_server: PostgresServer, furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    def cleaned(rounds: int) -> list[int]:
        """Return which nodes cleaned up, one for each time, after they did so many times."""
        wait_for(lambda: count(postgres_server, furnished_url, "witness") >= rounds, f"{rounds} rounds of clean-up")
        rows = postgres_server.fetch("SELECT port FROM witness ORDER BY id", furnished_url)
        return [owner_of(int(port), nodes) for (port,) in rows]

    postgres_server.execute(WITNESS + OLD_GUESSES, furnished_url)
    nodes = new_cluster(furnished_url)
    before = cleaned(3)  # two of them are the first round's: a bite that was full, and one that was not
    assert count(postgres_server, furnished_url, "wrong_guess") == 0
    nodes.nodes[before[0]].kill()
    postgres_server.execute(MINUTE_IS_OVER, furnished_url)
    postgres_server.execute(OLD_GUESSES, furnished_url)
    after = cleaned(2)
    wait_for(lambda: count(postgres_server, furnished_url, "wrong_guess") == 0, "an end of the old rows")
    assert set(before) == {before[0]}
    assert set(after) == {after[0]}
    assert after[0] != before[0]


def owner_of(port: int, nodes: Cluster) -> int:
    """Return the number of the node whose end of a connection this port is."""
    for number, node in enumerate(nodes.nodes):
        if node.running and port in ports_of(node.pid):
            return number
    raise AssertionError(f"No node has a connection from port {port}.")


def ports_of(pid: int) -> set[int]:
    """Return the local ports of a process's connections over IPv4."""
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(file.readlink()))
        except FileNotFoundError:
            continue  # it was closed a moment ago
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}
