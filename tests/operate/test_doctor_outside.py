"""The doctor asks a server as people reach it, and names the header that a proxy leaves out (promise W1)."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate.serving import Furnished, Serving, environment, furnish

PUBLIC = {"KEYSTEAD_PUBLIC_URL": "https://auth.example.com"}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


def findings(server: Serving, settings: dict[str, str]) -> dict[str, str]:
    """Return what the doctor says about a server at the address where it listens, by check."""
    asked = subprocess.run(
        [sys.executable, "-m", "keystead", "doctor", "--data", str(server.data), "--url", server.address],
        capture_output=True,
        text=True,
        env=environment(settings),
        timeout=60,
        check=False,
    )
    lines = [line.split(maxsplit=1)[1].partition(": ") for line in asked.stdout.splitlines()]
    assert asked.returncode == (1 if any(problem for _, _, problem in lines) else 0)
    return {name: problem for name, _, problem in lines}


@pytest.fixture
def behind(furnished: Furnished, tmp_path: Path) -> Iterator[Serving]:
    """Give a server whose proxy is on its list and yet does not say that people came over https."""
    settings = {**PUBLIC, "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    with Serving(tmp_path, furnished, settings=settings) as server:
        yield server


def test_a_proxy_that_does_not_say_https_is_told_by_the_name_of_the_header(behind: Serving) -> None:
    found = findings(behind, {**PUBLIC, "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"})
    assert "let the proxy send X-Forwarded-Proto: https" in found["X-Forwarded-Proto"]
    assert (found["server"], found["public address"], found["trusted proxies"]) == ("", "", "")
