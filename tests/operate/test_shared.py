"""The operator's commands where nodes share a database: what they say, and that they never show its password."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.operate.test_doctor import WELL, keystead
from tests.support.postgres import PostgresServer, database_of
from tests.support.valkey import ValkeyServer

SECRET = "a master secret that is long enough for it"
OTHER_SECRET = "another master secret that is long enough"
COMMON = {**WELL, "KEYSTEAD_MASTER_SECRET": SECRET}


def node(data: Path, url: str, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the node whose data directory is ``data``."""
    return keystead(*command, "--data", str(data), **{**COMMON, "KEYSTEAD_DATABASE_URL": url, **variables})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def url(postgres_url: str, data: Path) -> str:
    """Give the address of a database that holds an installation."""
    assert node(data, postgres_url, "admin", "create-org", "--name", "acme").returncode == 0
    return postgres_url


def findings(found: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what the doctor said of each check."""
    assert found.stderr == ""
    lines = [line.partition(" ")[2].strip().partition(": ") for line in found.stdout.splitlines()]
    return {name: problem for name, _, problem in lines}


def test_all_is_well_with_a_fresh_shared_installation(
    data: Path, valkey_url: str, new_postgres: Callable[..., PostgresServer]
) -> None:
    url = new_postgres().create_database()
    assert node(data, url, "admin", "create-org", "--name", "acme").returncode == 0
    found = node(data, url, "doctor", KEYSTEAD_VALKEY_URL=valkey_url)
    told = findings(found)
    assert (found.returncode, set(told.values())) == (0, {""})
    shared = {"database", "database version", "durability", "connections", "clock", "master secret", "limits"}
    assert shared <= set(told)


def test_the_doctor_changes_nothing_in_an_empty_database(data: Path, postgres_url: str) -> None:
    data.mkdir(mode=0o700)
    found = node(data, postgres_url, "doctor")
    assert (found.returncode, "start a server" in findings(found)["database version"]) == (1, True)
    assert list(data.iterdir()) == []


def test_settings_that_could_lose_an_acknowledged_write_are_named(
    data: Path, url: str, postgres_server: PostgresServer
) -> None:
    postgres_server.execute(f"ALTER DATABASE {database_of(url)} SET synchronous_commit = off")
    assert "synchronous_commit is off" in findings(node(data, url, "doctor"))["durability"]


def test_more_connections_than_there_are_is_named(data: Path, url: str) -> None:
    told = findings(node(data, url, "doctor", KEYSTEAD_DATABASE_POOL="200"))
    assert "raise max_connections" in told["connections"]


def test_another_nodes_master_secret_is_named_and_nothing_is_made_over_it(data: Path, url: str) -> None:
    told = findings(node(data, url, "doctor", KEYSTEAD_MASTER_SECRET=OTHER_SECRET))
    assert "Nothing was changed" in told["master secret"]
    refused = node(data, url, "admin", "create-org", "--name", "globex", KEYSTEAD_MASTER_SECRET=OTHER_SECRET)
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (1, 1, "")
    assert node(data, url, "admin", "create-org", "--name", "globex").returncode == 0


def test_a_limit_store_that_does_not_answer_is_named(
    data: Path, url: str, new_valkey: Callable[..., ValkeyServer]
) -> None:
    server = new_valkey()
    server.kill()
    assert "each node counts by itself" in findings(node(data, url, "doctor", KEYSTEAD_VALKEY_URL=server.url))["limits"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("postgresql://keystead:hunter2@127.0.0.1:1/keystead", "nobody listens"),
        ("postgresql://keystead:hunter2@[/keystead", "postgresql://"),
        ("mysql://keystead:hunter2@127.0.0.1/keystead", "postgresql://"),
        ("postgresql://keystead:hunter2@127.0.0.1:port/keystead", "KEYSTEAD_DATABASE_URL"),
    ],
    ids=["nobody there", "unreadable", "another kind", "no number"],
)
def test_an_address_that_does_not_work_is_told_in_one_sentence_without_its_password(
    data: Path, address: str, why: str
) -> None:
    refused = node(data, address, "serve", "--port", "0")
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (1, 1, "")
    assert why in refused.stderr
    assert "hunter2" not in refused.stderr


def test_a_wrong_password_and_a_missing_database_are_told_apart(
    data: Path, new_postgres: Callable[..., PostgresServer]
) -> None:
    server = new_postgres(authentication="scram-sha-256")
    address = server.create_database()
    right = address.partition("://")[2].partition("@")[0].partition(":")[2]
    wrong = node(data, address.replace(right, "hunter2"), "admin", "create-org", "--name", "acme")
    missing = node(data, server.url("nowhere"), "admin", "create-org", "--name", "acme")
    assert "refuses the user or the password" in wrong.stderr
    assert "no database of the name" in missing.stderr
    assert right not in wrong.stderr + missing.stderr


def test_a_shared_database_is_never_given_a_secret_that_nobody_else_knows(data: Path, postgres_url: str) -> None:
    refused = node(data, postgres_url, "admin", "create-org", "--name", "acme", KEYSTEAD_MASTER_SECRET="")
    assert refused.returncode == 1
    assert "KEYSTEAD_MASTER_SECRET" in refused.stderr
    assert not (data / "master-secret").exists()


def test_the_master_secret_of_a_shared_installation_is_rotated_and_no_credential_changes(
    data: Path, url: str, tmp_path: Path
) -> None:
    def command(*words: str, secret: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["keystead", *words, "--data", str(data)],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **WELL, "KEYSTEAD_DATABASE_URL": url, "KEYSTEAD_MASTER_SECRET": secret},
        )

    not_given = command("admin", "rotate-master-secret", secret=SECRET)
    assert (not_given.returncode, "--new-secret-stdin" in not_given.stderr) == (1, True)
    rotate = ("admin", "rotate-master-secret", "--new-secret-stdin")
    assert "too short" in command(*rotate, secret=SECRET, given="short").stderr
    assert command(*rotate, secret=SECRET, given=OTHER_SECRET).returncode == 0
    assert "not the one" in command("admin", "create-org", "--name", "globex", secret=SECRET).stderr
    assert command("admin", "create-org", "--name", "globex", secret=OTHER_SECRET).returncode == 0
