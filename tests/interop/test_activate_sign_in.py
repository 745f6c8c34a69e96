"""The ACTIVATE SDK, unchanged, gets its tokens from our command line as it does from ``pw``, and renews them (C17)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from parallelworks_client import Client
from parallelworks_client.auth import SignInExpiredError, SyncClient

from tests.cli.machine import COMMAND, Machine
from tests.client.store.refreshing import OffsetClock
from tests.support.browser import Browser
from tests.support.server import ADA, KeysteadServer

SESSION: Final = "/api/auth/session"
TTL: Final = 600
MARGIN: Final = 60
"""The SDK asks for another token so many seconds before the end of the one it has."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> OffsetClock:
    """Give the clock that the SDK looks at from now on."""
    one = OffsetClock()
    monkeypatch.setattr("parallelworks_client.auth.time", SimpleNamespace(time=one.now))
    return one


@pytest.fixture
def machine(tmp_path: Path, shared_server: KeysteadServer, ada: Browser, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine on which ada is signed in, for pw too; the SDK runs on it in this process."""
    one = Machine(tmp_path / "home", shared_server.url)
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


def let_pass(machine: Machine, clock: OffsetClock, seconds: int) -> None:
    """Let the stored token grow older, and the SDK's clock go on."""
    content = machine.stored()
    (context,) = content["contexts"].values()
    for moment in ("access_token_issued_at", "access_token_expires_at"):
        context[moment] -= seconds
    machine.store(content)
    clock.offset += seconds


def test_the_sdk_finds_our_sign_in_and_gets_its_tokens_through_our_command(
    machine: Machine, clock: OffsetClock
) -> None:
    with Client.from_credential_config(cli_command=str(COMMAND)).sync() as client:
        first = token_of(client)
        let_pass(machine, clock, TTL - 2 * MARGIN - 1)
        assert token_of(client) == first == machine.the_context()["access_token"]


def test_the_sdk_that_asks_for_another_token_a_minute_before_the_end_gets_another(
    machine: Machine, clock: OffsetClock
) -> None:
    with Client.from_credential_config(cli_command=str(COMMAND)).sync() as client:
        tokens = [token_of(client)]
        for _ in range(6):  # again and again, because our own programs renew at moments that are a matter of chance
            let_pass(machine, clock, TTL - MARGIN)
            tokens.append(token_of(client))
            assert tokens[-1] == machine.the_context()["access_token"]
    assert len(set(tokens)) == 7


def test_another_context_is_asked_for_by_its_name(machine: Machine, ada: Browser) -> None:
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
