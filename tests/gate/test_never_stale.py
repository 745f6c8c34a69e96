"""Revoked means revoked: what another process ended is refused at the next request, caches warm or not (V1)."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.gate.serving import Furnished, Serving, ask, furnished_server, in_process, new_key, new_token
from tests.support.browser import Browser
from tests.support.server import ADA, BOB, KeysteadServer

ROUNDS = 25
"""Requests enough for each of two workers to have a credential in its cache."""


@pytest.fixture(scope="module")
def server(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("stale")) as one:
        yield one


@pytest.fixture(scope="module")
def workers(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    directory = tmp_path_factory.mktemp("workers")
    with Serving(directory, furnished, "--dev", "--workers", "2", settings={}) as two:
        yield two


def checks(address: str, headers: dict[str, str], times: int) -> set[int]:
    """Return the statuses of so many checks, each over a connection of its own, so that any worker may get it."""
    return {httpx.get(f"{address}/verify", headers=headers).status_code for _ in range(times)}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_key_that_the_operator_revokes_is_refused_at_the_next_request(server: KeysteadServer) -> None:
    key_id, key = new_key(server.data, server.url, "ada")
    assert checks(server.url, bearer(key), 3) == {200}
    server.admin("revoke-key", "--id", key_id)
    assert checks(server.url, bearer(key), 1) == {401}


def test_a_key_that_its_owner_deletes_is_refused_at_the_next_request(server: KeysteadServer) -> None:
    key_id, key = new_key(server.data, server.url, "ada")
    token = new_token(server.data, server.url, "ada")
    app_id = ask(server.data, "SELECT app_id FROM api_key WHERE id = ?", key_id)[0]
    assert checks(server.url, bearer(key), 2) == {200}
    address = f"{server.url}/account/service/v1/apps/{app_id}/keys/{key_id}"
    assert httpx.delete(address, headers=bearer(token)).json() == {"deleted": True}
    assert checks(server.url, bearer(key), 1) == {401}


def test_every_key_of_a_deleted_app_is_refused_at_the_next_request(server: KeysteadServer) -> None:
    token = new_token(server.data, server.url, "ada")
    apps = f"{server.url}/account/service/v1/apps"
    app_id = httpx.post(apps, json={"app_name": "Short-lived"}, headers=bearer(token)).json()["app_id"]
    keys = [
        httpx.post(f"{apps}/{app_id}/keys", json={"api_key_name": str(n)}, headers=bearer(token)).json()["raw_api_key"]
        for n in range(3)
    ]
    assert [checks(server.url, bearer(key), 1) for key in keys] == [{200}] * 3
    assert httpx.delete(f"{apps}/{app_id}", headers=bearer(token)).status_code == 200
    assert [checks(server.url, bearer(key), 1) for key in keys] == [{401}] * 3


def test_a_token_taken_back_is_refused_at_the_next_request(server: KeysteadServer) -> None:
    token = new_token(server.data, server.url, "ada")
    assert checks(server.url, bearer(token), 2) == {200}

    async def revoke(services: Services) -> None:
        identity = await services.accounts.first_identity("ada")
        newest = (await services.tokens.list_short_term(identity))[0]
        await services.tokens.revoke_short_term(newest.id, identity)

    in_process(server.data, server.url, revoke)
    assert checks(server.url, bearer(token), 1) == {401}


def test_a_session_that_was_signed_out_is_refused_at_the_next_request(server: KeysteadServer) -> None:
    with Browser(server.url) as browser:
        browser.sign_in(BOB.username, BOB.password)
        cookie = {"Cookie": f"cloud.sso={browser.cookies['cloud.sso'].value}"}
        assert checks(server.url, cookie, 2) == {200}
        browser.sign_out()
    assert checks(server.url, cookie, 1) == {401}


def test_a_new_password_ends_every_session_at_once_and_lets_keys_live(server: KeysteadServer) -> None:
    _, key = new_key(server.data, server.url, "bob")
    with Browser(server.url) as one, Browser(server.url) as other:
        cookies = []
        for browser in (one, other):
            browser.sign_in(BOB.username, BOB.password)
            cookies.append({"Cookie": f"cloud.sso={browser.cookies['cloud.sso'].value}"})
        assert [checks(server.url, cookie, 2) for cookie in cookies] == [{200}] * 2
        server.admin("set-password", "--user", "bob", "--password-stdin", stdin=BOB.password)
        assert [checks(server.url, cookie, 1) for cookie in cookies] == [{401}] * 2
        assert one.get("/").path == "/sign-in"
    assert checks(server.url, bearer(key), 1) == {200}


def ended_by(work: Callable[[Services], Any], address: str, data: Any, headers: dict[str, str]) -> list[set[int]]:
    """Return the statuses before and after somebody else's process did its work."""
    before = checks(address, headers, ROUNDS)
    in_process(data, address, work)
    return [before, checks(address, headers, ROUNDS)]


@pytest.mark.sqlite
def test_amid_load_a_revoked_key_is_refused_at_the_next_request(server: KeysteadServer) -> None:
    """Requests that arrive together share a look at the feed; the one that is sent after the revoke has a new one."""
    _, busy = new_key(server.data, server.url, "ada")
    doomed = [new_key(server.data, server.url, "ada") for _ in range(40)]
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=server.url, headers=bearer(busy)) as client:
            while not stop.is_set():
                client.get("/verify")

    async def revoke_each(services: Services) -> list[tuple[int, int]]:
        statuses = []
        async with httpx.AsyncClient(base_url=server.url) as client:
            for key_id, key in doomed:
                before = await client.get("/verify", headers=bearer(key))
                await services.keys.revoke_key(key_id)
                after = await client.get("/verify", headers=bearer(key))
                statuses.append((before.status_code, after.status_code))
        return statuses

    loads = [threading.Thread(target=load) for _ in range(6)]
    for thread in loads:
        thread.start()
    try:
        statuses = in_process(server.data, server.url, revoke_each)
    finally:
        stop.set()
        for thread in loads:
            thread.join()
    assert statuses == [(200, 401)] * len(doomed)


def test_with_two_workers_a_revoked_key_is_refused_by_both(workers: Serving) -> None:
    key_id, key = new_key(workers.data, workers.address, "ada")

    async def revoke(services: Services) -> None:
        await services.keys.revoke_key(key_id)

    assert ended_by(revoke, workers.address, workers.data, bearer(key)) == [{200}, {401}]


def test_with_two_workers_a_key_that_was_rotated_without_an_overlap_is_refused_by_both(workers: Serving) -> None:
    key_id, key = new_key(workers.data, workers.address, "ada")
    app_id = ask(workers.data, "SELECT app_id FROM api_key WHERE id = ?", key_id)[0]
    successors: list[str] = []

    async def rotate(services: Services) -> None:
        ada = await services.tokens.find(new)
        assert ada is not None
        successors.append((await services.keys.changes.rotate(ada, app_id, key_id, 0)).made.secret.reveal())

    new = new_token(workers.data, workers.address, "ada")
    assert ended_by(rotate, workers.address, workers.data, bearer(key)) == [{200}, {401}]
    assert checks(workers.address, bearer(successors[0]), ROUNDS) == {200}


def test_with_two_workers_a_new_password_ends_the_sessions_of_both(workers: Serving) -> None:
    sign_in = {"username": ADA.username, "password": ADA.password}
    answer = httpx.post(f"{workers.address}/api/sso/password/login", json=sign_in)
    cookie = {"Cookie": f"cloud.sso={answer.cookies['cloud.sso']}"}

    async def new_password(services: Services) -> None:
        await services.sessions.set_password("ada", Secret(ADA.password))

    assert ended_by(new_password, workers.address, workers.data, cookie) == [{200}, {401}]


def test_two_workers_announce_one_server_and_both_answer(workers: Serving) -> None:
    seen = set()
    for _ in range(200):
        metrics = httpx.get(f"{workers.address}/metrics")
        assert metrics.status_code == 200
        seen |= {line for line in metrics.text.splitlines() if line.startswith("keystead_requests_total")}
        if len(seen) > 2:
            break
    assert seen
