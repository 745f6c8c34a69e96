"""Nothing that was issued or typed appears in a log, and what nobody foresaw leaves a trace to follow (promise W9)."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from keystead.db.installation import DATABASE_FILE
from tests.gate.serving import Furnished, furnished_server, new_key, new_token, open_database
from tests.support.browser import Browser
from tests.support.device import DEVICE_GRANT, DeviceClient
from tests.support.server import ADA, BOB, KeysteadServer
from tests.wire.shapes import check_refusal

DEBUG = {"KEYSTEAD_LOG_LEVEL": "DEBUG", "KEYSTEAD_DEVICE_POLL_HOLD": "0"}
TYPED = ("correct horse battery staple", "hunter2-but-much-longer", "kss_typed_into_the_wrong_field_0123456789")


@dataclass(frozen=True, slots=True)
class Run:
    """What a run through everything left behind: the secrets that were handed out or typed, the log and the metrics."""

    secrets: frozenset[str]
    log: str
    metrics: str
    answers_to_misuse: tuple[str, ...]


def windows(secret: str) -> set[str]:
    """Return every twelve characters of a secret, or all of a shorter one."""
    return {secret[at : at + 12] for at in range(max(1, len(secret) - 11))}


def misuse(server: KeysteadServer, secrets: set[str]) -> Iterator[httpx.Response]:
    """Send secrets to where they do not belong, as people and programs do."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for secret in sorted(secrets):
            query = {"access_token": secret, "api_key": secret, "user_code": secret, "scope": "x"}
            yield client.get("/api/auth/session", params=query)
            yield client.get("/account/service/v1/apps", params=query, headers={"Authorization": f"Bearer {secret}x"})
            yield client.get("/verify", headers={"Authorization": secret, "User-Agent": secret, "Referer": secret})
            yield client.get("/verify", headers={"x-api-key": secret, "Cookie": f"cloud.sso={secret}"})
            yield client.post("/account/service/v1/apps", json={"app_name": [secret]}, headers={"X-Secret": secret})
            yield client.post(
                "/getServiceKeys/token", data={"grant_type": "refresh_token", "refresh_token": secret + "x"}
            )
            yield client.post("/getServiceKeys/token", data={"grant_type": secret, "client_id": "parallel-cli"})
            yield client.post("/getServiceKeys/device/code", data={"client_id": secret})
            yield client.post("/getServiceKeys/register", content=f'{{"client_name": "{secret}'.encode())
            yield client.post("/api/sso/password/login", json={"username": [secret], "password": {"a": secret}})


@pytest.fixture(scope="module")
def run(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with furnished_server(furnished, tmp_path_factory.mktemp("logs"), DEBUG) as server:
        secrets = {ADA.password, BOB.password, *TYPED}
        secrets |= {new_key(server.data, server.url, "ada")[1], new_token(server.data, server.url, "bob")}
        secrets |= _browse(server)
        secrets |= _sign_a_device_in(server)
        for secret in TYPED:
            httpx.post(f"{server.url}/sign-in", data={"username": secret, "password": "wrong"})
            httpx.post(f"{server.url}/sign-in", data={"username": "ada", "password": secret + " "})
        answers = tuple(f"{answer.headers}{answer.text}" for answer in misuse(server, secrets))
        metrics = httpx.get(f"{server.url}/metrics").text
        master = [file.read_text(encoding="utf-8").strip() for file in server.data.iterdir() if "secret" in file.name]
        server.stop()
        return Run(frozenset(secrets | set(master)), server.log_text(), metrics, answers)


def _browse(server: KeysteadServer) -> set[str]:
    with Browser(server.url) as browser:
        browser.sign_in(ADA.username, ADA.password)
        cookies = {morsel.value.rpartition(".")[2] for morsel in browser.cookies.values()}
        form_token = browser.get("/").form("form_token").values("form_token")[0]
        browser.get("/getServiceKeys/device?user_code=ZZZZ-ZZZZ")
        browser.sign_out()
        return cookies | {form_token.rpartition(".")[2]}


def _sign_a_device_in(server: KeysteadServer) -> set[str]:
    with Browser(server.url) as browser, DeviceClient(server.url) as device:
        browser.sign_in(BOB.username, BOB.password)
        device.register()
        asked, refused = device.device_code(), device.device_code()
        browser.deny(refused.verification_uri_complete)
        device.poll(refused)
        browser.approve(asked.verification_uri_complete)
        first = device.poll_until_decided(asked)
        second = device.refresh(first.refresh_token)
        apps = device.account("GET", "/v1/apps", second.access_token).json()["apps"]
        path = f"/v1/apps/{apps[0]['app_id']}/keys"
        key = device.account("POST", path, second.access_token, {"api_key_name": "logged"}).json()["raw_api_key"]
        httpx.get(f"{server.url}/verify", headers={"Authorization": f"Bearer {key}"})
        device.revoke(second.refresh_token)
        tokens = {first.access_token, first.refresh_token, second.access_token, second.refresh_token}
        return tokens | {key, asked.device_code, asked.user_code, refused.device_code, refused.user_code}


def test_the_run_went_through_everything_at_debug(run: Run) -> None:
    assert "Started server process" in run.log  # which uvicorn says at DEBUG alone
    assert run.log.count('"event": "request"') > 100
    assert len(run.secrets) > 15


def test_no_secret_nor_twelve_characters_of_one_is_in_the_log(run: Run) -> None:
    found = {part for secret in run.secrets for part in windows(secret) if part in run.log}
    assert found == set()


def test_no_secret_nor_twelve_characters_of_one_is_in_the_metrics(run: Run) -> None:
    found = {part for secret in run.secrets for part in windows(secret) if part in run.metrics}
    assert found == set()


def test_no_refusal_repeats_a_secret_that_was_sent_to_the_wrong_place(run: Run) -> None:
    repeated = {
        part
        for secret in run.secrets
        for part in windows(secret)
        if any(part in answer for answer in run.answers_to_misuse)
    }
    assert repeated == set()


def test_every_line_of_the_log_is_one_json_object(run: Run) -> None:
    for line in run.log.splitlines():
        entry = json.loads(line)
        assert {"event", "level", "timestamp"} <= set(entry), line


def test_no_query_string_no_body_and_no_header_is_logged(run: Run) -> None:
    for said in ("user_code=", "access_token=", "next=", "grant_type", "client_name", "Bearer ", "cloud.sso", "ZZZZ"):
        assert said not in run.log, said


# What nobody foresaw


@pytest.fixture
def broken(furnished: Furnished, tmp_path: Path) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path, DEBUG) as server:
        yield server


def spoil(data: Path, sql: str) -> None:
    """Put something into the database that the server never writes."""
    with closing(open_database(data)) as database:
        database.execute(sql)


def logged(server: KeysteadServer, request_id: str) -> list[dict[str, Any]]:
    """Return the entries of the log that belong to a request."""
    entries = [json.loads(line) for line in server.log_text().splitlines()]
    return [entry for entry in entries if entry.get("request_id") == request_id]


@pytest.mark.sqlite
def test_what_nobody_foresaw_is_a_500_with_an_incident_that_the_log_has_too(broken: KeysteadServer) -> None:
    token = new_token(broken.data, broken.url, "ada")
    sign_in = {"username": ADA.username, "password": ADA.password}
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=broken.url) as client:
        session = client.post("/api/sso/password/login", json=sign_in).cookies["cloud.sso"]
        code = client.post("/getServiceKeys/device/code", data={"client_id": "parallel-cli"}).json()["device_code"]
        made = client.post("/account/service/v1/apps", json={"app_name": "Spoiled"}, headers=bearer)
        assert made.status_code == 200
        spoil(broken.data, "UPDATE session SET expires_at = 'never'")
        spoil(broken.data, "UPDATE app SET name = x'ff'")
        spoil(broken.data, "UPDATE device_authorization SET expires_at = 'never'")
        cookie = {"Cookie": f"cloud.sso={session}"}
        form = {"grant_type": DEVICE_GRANT, "device_code": code, "client_id": "parallel-cli"}
        answers = {
            "union": client.get("/api/auth/session", headers=cookie),
            "page": client.get("/", headers={**cookie, "Accept": "text/html"}),
            "account": client.get("/account/service/v1/apps", headers=bearer),
            "oauth": client.post("/getServiceKeys/token", data=form),
        }
    broken.stop()  # so that its last lines are there
    for surface, answer in answers.items():
        assert answer.status_code == 500, (surface, answer.text)
        check_refusal(answer)
        request_id = answer.headers["x-request-id"]
        assert request_id in answer.text, surface
        for private in ("TypeError", "Traceback", "sqlite", ".py", "never", "SELECT"):
            assert private not in answer.text, (surface, private)
        entries = logged(broken, request_id)
        assert [entry["event"] for entry in entries if entry["level"] == "error"] == ["incident"], surface
        assert any("Traceback" in entry.get("exception", "") for entry in entries), surface
        # The two hottest answers are counted and not logged.
        told = {entry["status"] for entry in entries if entry["event"] == "request"}
        assert told == (set() if surface == "union" else {500})
    for secret in (session, token, code):
        assert not any(part in broken.log_text() for part in windows(secret))


@pytest.mark.sqlite
def test_a_table_that_is_gone_is_a_503_without_details_and_the_log_says_why(broken: KeysteadServer) -> None:
    _, key = new_key(broken.data, broken.url, "ada")
    spoil(broken.data, "PRAGMA foreign_keys = OFF")
    spoil(broken.data, 'DROP TABLE "api_key"')
    answer = httpx.get(f"{broken.url}/api/auth/session", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 503
    check_refusal(answer)
    assert not any(private in answer.text for private in ("table", "api_key", "sqlite", "SELECT"))
    assert "no such table: api_key" in broken.log_text()
    assert not any(part in broken.log_text() for part in windows(key))
    assert httpx.get(f"{broken.url}/sign-in").status_code == 200


def test_a_database_file_that_is_garbage_is_a_503_and_the_server_lives_on(broken: KeysteadServer) -> None:
    _, key = new_key(broken.data, broken.url, "ada")
    with closing(open_database(broken.data)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = broken.data / DATABASE_FILE
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    headers = {"Authorization": f"Bearer {key}"}
    statuses = {httpx.get(f"{broken.url}/verify", headers=headers).status_code for _ in range(3)}
    assert statuses <= {200, 503}
    assert httpx.get(f"{broken.url}/healthz").status_code == 200
    file.write_bytes(content)
