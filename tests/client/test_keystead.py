"""The client itself: any request, who one is, where a credential comes from, and how it is closed."""

import gc
import multiprocessing
import threading
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from keystead import AsyncKeystead, Keystead
from keystead.client import (
    Forbidden,
    InsecureAddress,
    NetworkError,
    NotFound,
    RetryPolicy,
    ServerUnavailable,
    SignInRequired,
    TokenSet,
    UsageError,
)
from keystead.client._credentials import BearerCredential
from keystead.kernel.secrets import Secret
from tests.client.answering import Answering, Lost, Told
from tests.client.test_auth import NEW, OLD, Renewing, renewing_server
from tests.support.server import ADA, BOB, Acme, KeysteadServer


def test_any_request_is_signed_in_and_its_response_is_there_whatever_its_status(client: Keystead) -> None:
    answer = client.request("get", "/account/service/v1/apps")
    assert answer.is_success
    assert isinstance(answer.json()["apps"], list)
    assert answer.raise_for_status() is answer
    missing = client.request("GET", "/account/service/v1/nothing")
    assert missing.status == 404
    with pytest.raises(NotFound):
        missing.raise_for_status()
    made = client.request("POST", "/account/service/v1/apps", json={"app_name": "by request"})
    assert made.headers["content-type"] == "application/json"
    deleted = client.request("DELETE", f"{client.server}/account/service/v1/apps/{made.json()['app_id']}")
    assert deleted.json() == {"deleted": True}
    with pytest.raises(ServerUnavailable, match="does not speak as Keystead"):
        client.request("GET", "/problems", headers={"Accept": "text/html"}).json()


def test_a_request_goes_to_the_clients_own_server_only(client: Keystead) -> None:
    with pytest.raises(InsecureAddress):
        client.request("GET", "https://auth.example.com/account/service/v1/apps")
    with pytest.raises(UsageError):
        client.request("GET", "account/service/v1/apps")
    with pytest.raises(UsageError):
        client.request("GET /\r\n", "/")
    with pytest.raises(UsageError):
        client.request("POST", "/", json={}, content=b"")
    assert client.request("GET", "//auth.example.com/x").status == 404


def test_a_request_carries_the_given_headers_and_parameters_but_no_other_credential() -> None:
    with Answering(Told(200, {})) as server, Keystead(Renewing(server.url)) as client:
        client.request("PUT", "/a?b=c", params={"d": "e f"}, json=[1], headers={"X-Y": "z", "authorization": "mine"})
        (asked,) = server.asked
    assert asked.path == "/a?b=c&d=e+f"
    assert asked.headers["x-y"] == "z"
    assert asked.headers["authorization"] == OLD
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == b"[1]"


@pytest.mark.parametrize(("method", "times"), [("GET", 4), ("PUT", 4), ("DELETE", 4), ("POST", 1), ("PATCH", 1)])
def test_a_request_is_repeated_as_its_method_allows(method: str, times: int, quick: RetryPolicy) -> None:
    with Answering(Lost()) as server, Keystead(Renewing(server.url), policy=quick) as client:
        with pytest.raises(NetworkError):
            client.request(method, "/")
        assert len(server.asked) == times


def test_a_token_that_was_refused_is_renewed_once_even_for_a_creation() -> None:
    with Answering(renewing_server) as server, Keystead(Renewing(server.url)) as client:
        assert client.request("POST", "/", content=b"x").status == 200
        assert [asked.headers["authorization"] for asked in server.asked] == [OLD, NEW]


def test_who_am_i(client: Keystead) -> None:
    me = client.whoami()
    assert (me.username, me.email, me.organization) == (ADA.username, ADA.email, "acme")
    assert "org:owner" in me.roles


async def test_a_task_asks_who_it_is_and_sends_requests(client: Keystead, tokens: TokenSet, anyio_backend: str) -> None:
    async with AsyncKeystead(BearerCredential(client.server, tokens.access_token)) as program:
        assert await program.whoami() == client.whoami()
        assert (await program.request("GET", "/account/service/v1/balance")).is_success


async def test_many_tasks_renew_in_few_threads_and_hold_nobody_up(anyio_backend: str) -> None:
    @dataclass
    class Slow(Renewing):
        most: int = 0
        now: int = 0

        def authorization(self) -> Secret:
            with lock:
                self.now += 1
                self.most = max(self.most, self.now)
            gate.wait(10)
            with lock:
                self.now -= 1
            return super().authorization()

    lock, gate = threading.Lock(), threading.Event()
    with Answering(Told(200, {})) as server:
        credential = Slow(server.url, at_hand=False)
        async with AsyncKeystead(credential) as program, anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(program.request, "GET", "/")
            with anyio.fail_after(5):
                await anyio.to_thread.run_sync(gate.set)  # a thread that is not ours is free
        assert len(server.asked) == 20
        assert 1 <= credential.most <= 4


def test_a_client_is_used_by_many_threads(client: Keystead) -> None:
    found: list[str] = []

    def ask() -> None:
        found.append(client.whoami().username)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ADA.username] * 8


def _ask_in_child(client: Keystead, answers: "multiprocessing.SimpleQueue[str]") -> None:
    answers.put(client.whoami().username)


def test_a_forked_process_opens_connections_of_its_own(client: Keystead) -> None:
    assert client.whoami().username == ADA.username
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    children = [context.Process(target=_ask_in_child, args=(client, answers)) for _ in range(2)]
    for child in children:
        child.start()
    assert client.whoami().username == ADA.username
    for child in children:
        child.join(20)
    assert [answers.get() for _ in children] == [ADA.username] * 2


def test_a_closed_client_opens_again_and_nothing_is_left_open(client: Keystead) -> None:
    client.whoami()
    client.close()
    client.close()
    assert client.whoami().username == ADA.username
    client.close()
    gc.collect()


@pytest.mark.parametrize("variable", ["KEYSTEAD_TOKEN", "KEYSTEAD_API_KEY", "PW_API_KEY"])
def test_a_credential_is_found_in_the_environment_with_its_server(
    variable: str, shared_server: KeysteadServer, acme: Acme, tmp_path: Path
) -> None:
    if variable == "KEYSTEAD_TOKEN":
        text = shared_server.admin("create-token", "--user", ADA.username)
    else:
        text = shared_server.admin("create-key", "--user", ADA.username, "--title", "t")
    environ = {variable: text, "KEYSTEAD_CONFIG_DIR": str(tmp_path)}
    with Keystead.from_env_or_store(environ=environ) as program:
        assert program.server == shared_server.url
        assert program.whoami().username == ADA.username
        assert text not in repr(program) + repr(vars(program)) + repr(program.manner)


def test_without_any_credential_a_sign_in_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SignInRequired) as needed:
        Keystead.from_env_or_store(environ={"KEYSTEAD_CONFIG_DIR": str(tmp_path / "none")})
    assert "keystead login" in needed.value.hint
    with pytest.raises(SignInRequired):
        AsyncKeystead.from_env_or_store(environ={"KEYSTEAD_CONFIG_DIR": str(tmp_path / "none")})


def test_a_given_token_comes_before_everything_else(client: Keystead, tokens: TokenSet, tmp_path: Path) -> None:
    environ = {"KEYSTEAD_TOKEN": "another", "KEYSTEAD_CONFIG_DIR": str(tmp_path)}
    with Keystead.from_env_or_store(token=tokens.access_token, server=client.server, environ=environ) as program:
        assert program.whoami().username == ADA.username


def test_what_is_not_allowed_is_forbidden(shared_server: KeysteadServer, acme: Acme) -> None:
    token = shared_server.admin("create-token", "--user", BOB.username)
    with Keystead.from_env_or_store(token=token, environ={}) as program, pytest.raises(Forbidden) as refused:
        program.account.apps.create("not bob's")
    assert refused.value.status == 403
