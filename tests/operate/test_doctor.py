"""The doctor names what is wrong and what to do, changes nothing, and says with its exit code whether all is well."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import KeysteadServer

WELL = {"KEYSTEAD_PUBLIC_URL": "https://auth.example.com", "KEYSTEAD_TRUSTED_PROXIES": "10.0.0.0/8"}


def keystead(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``keystead`` with these settings and no others."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    return subprocess.run(
        [sys.executable, "-m", "keystead", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**ours, **variables},
    )


def doctor(data: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, str]]:
    """Run the doctor and return its exit code and, for each check, what is wrong."""
    found = keystead("doctor", "--data", str(data), *arguments, **{**WELL, **variables})
    assert found.stderr == ""
    lines = {}
    for line in found.stdout.splitlines():
        state, _, rest = line.partition(" ")
        name, _, problem = rest.strip().partition(": ")
        lines[name] = problem
        assert (state == "ok") is (problem == "")
    return found.returncode, lines


@pytest.fixture(scope="session")
def _healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("healthy") / "data"
    assert keystead("admin", "create-org", "--data", str(directory), "--name", "acme").returncode == 0
    return directory


@pytest.fixture
def data(tmp_path: Path, _healthy: Path) -> Path:
    """Give the data directory of an installation in good health."""
    return shutil.copytree(_healthy, tmp_path / "data")


def test_all_is_well_with_a_fresh_installation(data: Path) -> None:
    before = sorted((path.name, path.stat().st_size) for path in data.iterdir())
    code, found = doctor(data)
    assert (code, set(found.values())) == (0, {""})
    assert {"settings", "public address", "database", "database version", "clock", "master secret"} <= set(found)
    assert sorted((path.name, path.stat().st_size) for path in data.iterdir()) == before


def test_where_nothing_is_nothing_is_made(tmp_path: Path) -> None:
    code, found = doctor(tmp_path / "nowhere")
    assert code == 1
    assert "does not exist" in found["data directory"]
    (tmp_path / "empty").mkdir(mode=0o700)
    code, found = doctor(tmp_path / "empty")
    assert (code, "There is no database" in found["database"]) == (1, True)
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]


def test_every_mistake_in_the_settings_is_named_at_once(data: Path) -> None:
    wrong = {"KEYSTEAD_SESSION_TTL": "soon", "KEYSTEAD_PUBLIK_URL": "x"}
    found = keystead("doctor", "--data", str(data), **wrong)
    assert found.returncode == 1
    assert "did you mean KEYSTEAD_PUBLIC_URL?" in found.stdout
    assert "problem  settings: KEYSTEAD_SESSION_TTL" in found.stdout
    assert "ok       database\n" in found.stdout


@pytest.mark.parametrize(
    ("settings", "check", "says"),
    [
        ({"KEYSTEAD_PUBLIC_URL": ""}, "public address", "set KEYSTEAD_PUBLIC_URL"),
        ({"KEYSTEAD_PUBLIC_URL": "http://localhost:8080"}, "public address", "is for development"),
        ({"KEYSTEAD_TRUSTED_PROXIES": ""}, "trusted proxies", "list your proxy's address"),
        ({"KEYSTEAD_TRUSTED_PROXIES": "0.0.0.0/0"}, "trusted proxies", "list only your proxies"),
        ({"KEYSTEAD_TLS_CERTIFICATE": "cert.pem"}, "TLS files", "Set both"),
        ({"KEYSTEAD_TLS_CERTIFICATE": "c.pem", "KEYSTEAD_TLS_KEY": "k.pem"}, "TLS files", "cannot be used together"),
        ({"KEYSTEAD_MASTER_SECRET": "w" * 40}, "master secret", "is not the one"),
    ],
)
def test_a_setting_that_does_not_work_is_named_with_what_to_do(
    data: Path, settings: dict[str, str], check: str, says: str
) -> None:
    code, found = doctor(data, **settings)
    assert code == 1
    assert says in found[check]


def test_files_that_others_can_read_are_named_with_the_command_that_mends_it(data: Path) -> None:
    (data / "master-secret").chmod(0o644)
    data.chmod(0o755)
    code, found = doctor(data)
    assert code == 1
    assert f"chmod 700 {data}; chmod 600 {data / 'master-secret'}" in found["file modes"]


def test_a_missing_master_secret_is_told_and_not_replaced(data: Path) -> None:
    (data / "master-secret").unlink()
    code, found = doctor(data)
    assert (code, "The master secret is missing" in found["master secret"]) == (1, True)
    assert not (data / "master-secret").exists()


def test_a_damaged_database_is_told(data: Path) -> None:
    content = bytearray((data / "keystead.db").read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xff" * 4096 * 17
    (data / "keystead.db").write_bytes(content)
    code, found = doctor(data)
    assert code == 1
    assert "put a backup back" in found["database"].lower()


def test_a_running_server_is_asked_at_its_address(server: KeysteadServer) -> None:
    _, found = doctor(server.data, "--url", server.url)
    assert (found["server"], found["X-Forwarded-Proto"]) == ("", "")
    url = server.url
    server.stop()
    code, found = doctor(server.data, "--url", url)
    assert (code, "cannot be reached" in found["server"]) == (1, True)


def test_an_address_that_is_none_is_a_wrong_option(data: Path) -> None:
    found = keystead("doctor", "--data", str(data), "--url", "ftp://example.com", **WELL)
    assert (found.returncode, "give an address" in found.stderr) == (2, True)
