"""There are three answers: yes, no, cannot know. A fault of ours is 503 and never a refusal (promise V5)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from tests.gate.serving import Furnished, furnished_server, new_key, new_token, open_database
from tests.support.device import DEVICE_GRANT
from tests.support.server import ADA, KeysteadServer


@pytest.fixture(scope="module")
def server(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("faults")) as one:
        yield one


@contextmanager
def without(server: KeysteadServer, table: str) -> Iterator[None]:
    """Take a table away while the server runs, and bring it back."""
    with closing(open_database(server.data)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")  # the names in other tables stay as they are
        database.execute(f'ALTER TABLE "{table}" RENAME TO "away"')
        try:
            yield
        finally:
            database.execute(f'ALTER TABLE "away" RENAME TO "{table}"')


@contextmanager
def locked(server: KeysteadServer) -> Iterator[sqlite3.Connection]:
    """Hold the database's write lock."""
    with closing(open_database(server.data)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("ROLLBACK")


def check_cannot_know(answer: httpx.Response) -> None:
    """Assert that an answer is a 503 that says when to come back."""
    assert answer.status_code == 503
    assert answer.headers["retry-after"].isdigit()
    assert int(answer.headers["retry-after"]) >= 1
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify", "/account/service/v1/apps"])
def test_a_credential_that_cannot_be_looked_up_is_503_and_never_401(server: KeysteadServer, path: str) -> None:
    _, key = new_key(server.data, server.url, "ada")
    token = new_token(server.data, server.url, "ada")
    read_for = {key: ["api_key"], token: ["user", "membership"]}
    credentials = [key, token] if "account" not in path else [token]
    for one in credentials:
        for table in read_for[one]:
            with without(server, table):
                check_cannot_know(httpx.get(server.url + path, headers={"Authorization": f"Bearer {one}"}))
    after = [httpx.get(server.url + path, headers={"Authorization": f"Bearer {one}"}) for one in credentials]
    assert [answer.status_code for answer in after] == [200] * len(credentials)


def test_a_key_of_somebody_who_cannot_be_looked_up_is_503(server: KeysteadServer) -> None:
    _, key = new_key(server.data, server.url, "bob")  # of whom nothing is remembered
    headers = {"Authorization": f"Bearer {key}"}
    for table in ("user", "membership", "organization"):
        with without(server, table):
            check_cannot_know(httpx.get(f"{server.url}/verify", headers=headers))
    assert httpx.get(f"{server.url}/verify", headers=headers).status_code == 200


def test_a_remembered_credential_is_not_trusted_while_the_feed_cannot_be_read(server: KeysteadServer) -> None:
    _, key = new_key(server.data, server.url, "ada")
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{server.url}/verify", headers=headers).status_code == 200
    with without(server, "revocation"):
        check_cannot_know(httpx.get(f"{server.url}/verify", headers=headers))
    assert httpx.get(f"{server.url}/verify", headers=headers).status_code == 200


def test_garbage_is_refused_without_the_database(server: KeysteadServer) -> None:
    with without(server, "user"):
        answer = httpx.get(f"{server.url}/verify", headers={"x-api-key": "pwt_garbage"})
    assert answer.status_code == 401


def test_a_page_that_cannot_know_who_is_looking_says_so_and_does_not_ask_for_a_password(
    server: KeysteadServer,
) -> None:
    sign_in = {"username": ADA.username, "password": ADA.password}
    answer = httpx.post(f"{server.url}/api/sso/password/login", json=sign_in)
    headers = {"Cookie": f"cloud.sso={answer.cookies['cloud.sso']}", "Accept": "text/html"}
    with without(server, "session"):
        page = httpx.get(f"{server.url}/settings", headers=headers)
    check_cannot_know(page)
    assert page.headers["content-type"].startswith("text/html")
    assert httpx.get(f"{server.url}/settings", headers=headers).status_code == 200


def test_a_fault_at_the_token_endpoint_is_told_in_its_own_dialect_and_is_no_invalid_grant(
    server: KeysteadServer,
) -> None:
    codes = httpx.post(f"{server.url}/getServiceKeys/device/code", data={"client_id": "parallel-cli"}).json()
    form = {"grant_type": DEVICE_GRANT, "device_code": codes["device_code"], "client_id": "parallel-cli"}
    with without(server, "device_authorization"):
        answer = httpx.post(f"{server.url}/getServiceKeys/token", data=form)
    check_cannot_know(answer)
    assert answer.json()["error"] == "temporarily_unavailable"


def test_reading_goes_on_while_another_process_holds_the_write_lock(server: KeysteadServer) -> None:
    _, key = new_key(server.data, server.url, "ada")
    with locked(server):
        answer = httpx.get(f"{server.url}/verify", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200


def test_writing_that_has_to_wait_too_long_is_503(server: KeysteadServer) -> None:
    with locked(server):
        answer = httpx.post(f"{server.url}/getServiceKeys/device/code", data={"client_id": "parallel-cli"}, timeout=30)
    check_cannot_know(answer)
    assert answer.json()["error"] == "temporarily_unavailable"


def test_readiness_says_that_the_database_is_away(server: KeysteadServer) -> None:
    with without(server, "revocation"):
        answer = httpx.get(f"{server.url}/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "away")
    assert httpx.get(f"{server.url}/readyz").status_code == 200
