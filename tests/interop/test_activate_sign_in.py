"""The ACTIVATE SDK, unchanged, gets its tokens from our command line as it does from ``pw``, and renews them (C17)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from parallelworks_client import Client
from parallelworks_client.auth import SignInExpiredError, SyncClient

from tests.cli.machine import COMMAND, Machine
from tests.support.browser import Browser
from tests.support.processes import wait_for
from tests.support.server import ADA, KeysteadServer, add_acme

SESSION: Final = "/api/auth/session"
TTL: Final = {"KEYSTEAD_ACCESS_TOKEN_TTL": "61"}
"""The SDK asks for another token 60 seconds before the end of the one it has: so soon after it got this one."""


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with KeysteadServer(tmp_path_factory.mktemp("hasty"), TTL) as server:
        add_acme(server)
        yield server


@pytest.fixture
def machine(tmp_path: Path, hasty: KeysteadServer, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine on which ada is signed in, for pw too; the SDK runs on it in this process."""
    one = Machine(tmp_path / "home", hasty.url)
    with Browser(hasty.url) as ada:
        ada.sign_in(ADA.username, ADA.password)
        one.sign_in(ada, "--also", "pw")
    for name in ("PW_API_KEY", "PW_CONTEXT", "PW_PLATFORM_HOST", "PW_CREDENTIALS_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    return one


def token_of(client: SyncClient) -> str:
    """Ask who it is, and return the token that went with the question."""
    answer = client.get(SESSION)
    assert (answer.status_code, answer.json()["username"]) == (200, ADA.username)
    return str(answer.request.headers["authorization"]).removeprefix("Bearer ")


def test_the_sdk_finds_our_sign_in_and_gets_its_tokens_through_our_command_and_renews_them(machine: Machine) -> None:
    with Client.from_credential_config(cli_command=str(COMMAND)).sync() as client:
        first = token_of(client)
        content = machine.stored()
        (context,) = content["contexts"].values()
        context["access_token_expires_at"] = 1
        machine.store(content)
        wait_for(lambda: token_of(client) != first, "another token")
        second = machine.the_context()["access_token"]
        assert token_of(client) == second != first


def test_another_context_is_asked_for_by_its_name(machine: Machine, hasty: KeysteadServer) -> None:
    with Browser(hasty.url) as ada:
        ada.sign_in(ADA.username, ADA.password)
        machine.sign_in(ada, "--also", "pw", "--context", "second")
    tokens = {name: context["access_token"] for name, context in machine.stored()["contexts"].items()}
    assert len(set(tokens.values())) == 2
    for name, token in tokens.items():
        with Client.from_credential_config(context=name, cli_command=str(COMMAND)).sync() as client:
            assert token_of(client) == token


def test_after_signing_out_the_sdk_is_told_to_sign_in(machine: Machine) -> None:
    with Client.from_credential_config(cli_command=str(COMMAND)).sync() as client:
        assert machine.run("logout").code == 0
        with pytest.raises(SignInExpiredError, match="keystead login"):
            token_of(client)
    assert machine.url not in (machine.home / ".config/pw/credentials").read_text(encoding="utf-8")
