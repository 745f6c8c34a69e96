"""A copy to PostgreSQL holds all that worked before, however often it was interrupted, and nothing starts over half."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from keystead.db.copying import open_source
from tests.operate.both_sides import ADD_EVENT, copy, events, execute, fetch, furnished, rows_in, rows_of
from tests.operate.copies import SECONDS, environment
from tests.support.browser import Browser
from tests.support.device import DeviceClient
from tests.support.postgres import PostgresServer
from tests.support.server import ADA, KeysteadServer, add_acme


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an installation with an organization, people and events."""
    return furnished(tmp_path_factory.mktemp("template") / "data")


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """Give the data directory of that installation."""
    return shutil.copytree(template, tmp_path / "data")


def move(server: KeysteadServer, url: str) -> None:
    """Stop a server, copy its database, and start it over the copy."""
    server.stop()
    found = copy(server.data, url)
    assert found.returncode == 0, found.stderr
    assert rows_in(url) == rows_of(server.data)
    server.settings["KEYSTEAD_DATABASE_URL"] = url
    server.start()


def test_what_worked_before_works_after_the_copy(server: KeysteadServer, postgres_url: str) -> None:
    acme = add_acme(server)
    key, old_key = (server.admin("create-key", "--user", ADA.username, "--title", title) for title in ("new", "old"))
    token = server.admin("create-token", "--user", ADA.username)
    path = f"{server.url}/account/service/v1"
    session = f"{server.url}/api/auth/session"
    with Browser(server.url) as ada, DeviceClient(server.url) as device, httpx.Client(trust_env=False) as http:
        ada.sign_in(ADA.username, ADA.password)
        device.register()
        approved = device.device_code()
        ada.approve(approved.verification_uri_complete)
        tokens = device.poll_until_decided(approved)
        pending = device.device_code()
        bearer = {"Authorization": f"Bearer {token}"}
        amount = {"amount_cents": 500, "idempotency_key": "a-payment-of-ours-1"}
        assert http.post(f"{path}/balance/add", json=amount, headers=bearer).status_code == 200
        (revoked,) = [
            line.split()[0]
            for line in server.admin("list-keys", "--user", ADA.username).splitlines()
            if line.endswith("old")
        ]
        server.admin("revoke-key", "--id", revoked)

        who = http.get(session, auth=(key, "")).json()

        move(server, postgres_url)

        found = http.get(session, auth=(key, ""))
        assert (found.status_code, found.json(), acme.ada in found.text) == (200, who, True)
        assert http.get(session, auth=(old_key, "")).status_code == 401
        for one in (token, tokens.access_token):
            assert http.get(session, headers={"Authorization": f"Bearer {one}"}).status_code == 200
        assert http.get(f"{path}/balance", headers=bearer).json()["credit_balance_cents"] == 500
        assert http.post(f"{path}/balance/add", json=amount, headers=bearer).status_code == 200
        assert http.get(f"{path}/balance", headers=bearer).json()["credit_balance_cents"] == 500
        assert ada.get("/").status == 200
        ada.approve(pending.verification_uri_complete)
        assert device.poll_until_decided(pending).access_token
        assert device.refresh(tokens.refresh_token).access_token
        assert device.device_code().user_code
    kinds = {row[0] for row in fetch(postgres_url, "SELECT type FROM audit_event")}
    assert {"user:create", "key:create", "key:revoke", "device:approve"} <= kinds


def test_a_server_beside_the_copy_answers_and_changes_nothing(server: KeysteadServer) -> None:
    add_acme(server)
    key = server.admin("create-key", "--user", ADA.username, "--title", "t")
    token = {"Authorization": f"Bearer {server.admin('create-token', '--user', ADA.username)}"}
    path = f"{server.url}/account/service/v1/apps"
    with httpx.Client(trust_env=False) as http:
        app = http.get(path, headers=token).json()["apps"][0]["app_id"]
        source, _ = open_source(server.data, None)
        with closing(source):
            assert http.get(f"{server.url}/api/auth/session", auth=(key, "")).status_code == 200
            refused = http.post(f"{path}/{app}/keys", json={"api_key_name": "new"}, headers=token, timeout=SECONDS)
            assert refused.status_code == 503
        made_after = http.post(f"{path}/{app}/keys", json={"api_key_name": "new"}, headers=token)
    assert made_after.status_code == 200


def test_what_is_next_is_told_and_no_password_is(data: Path, postgres_url: str) -> None:
    found = copy(data, postgres_url)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(f"The copy in {postgres_url.rpartition('@')[2]} is whole: ")
    assert f"KEYSTEAD_MASTER_SECRET on every node to what is in {data / 'master-secret'}" in found.stdout
    assert "Better stop it now." in found.stderr
    secrets = (
        postgres_url.split(":")[2].partition("@")[0],
        (data / "master-secret").read_text(encoding="utf-8").strip(),
    )
    assert not [secret for secret in secrets if secret in found.stdout + found.stderr]
    given = copy(data, postgres_url, "--replace", KEYSTEAD_MASTER_SECRET=secrets[1])
    assert "KEYSTEAD_MASTER_SECRET on every node to the same KEYSTEAD_MASTER_SECRET as here" in given.stdout


# Interruptions


def kills(how: str, data: Path, step: int, urls: list[str]) -> list[dict[str, Any]]:
    """Run the program that kills copies, and return what it found after each."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.operate.interrupted_copying", how, str(data), str(step), *urls],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment(),
    )
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_a_copy_that_is_killed_anywhere_is_gone_on_with_and_no_server_starts_before(
    data: Path, postgres_server: PostgresServer
) -> None:
    urls = [postgres_server.create_database() for _ in range(12)]
    attempts = kills("all", data, 120, urls)
    marked = [attempt for attempt in attempts if attempt["marked"]]
    assert len({attempt["held"] for attempt in marked}) >= 4
    assert all("run keystead db copy again" in attempt["refusal"] for attempt in marked)
    assert all(attempt["held"] == 0 or attempt["marked"] or attempt["done"] for attempt in attempts)
    assert {attempt["after"] for attempt in attempts} == {""}
    source = rows_of(data)
    assert [url for url in urls if rows_in(url) != source] == []
    for url in urls:
        postgres_server.drop_database(url)


def test_a_copy_that_is_killed_again_and_again_gets_on(data: Path, postgres_url: str) -> None:
    attempts = kills("again", data, 150, [postgres_url])
    held = [attempt["held"] for attempt in attempts]
    assert held == sorted(held)
    assert len(set(held)) >= 4
    assert [attempt["marked"] for attempt in attempts if attempt["held"]].count(False) == 1
    assert rows_in(postgres_url) == rows_of(data)


def test_ctrl_c_is_answered_with_a_sentence_and_130(data: Path, postgres_url: str) -> None:
    execute(data, ADD_EVENT, *events(*("x" * 100 for _ in range(100_000)))[100:])
    command = [sys.executable, "-m", "keystead", "db", "copy", "--data", str(data)]
    variables = environment(KEYSTEAD_DATABASE_URL=postgres_url)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as running:
        stderr, stdout = running.stderr, running.stdout
        assert stderr is not None
        assert stdout is not None
        while not stderr.readline().startswith("Copying"):
            pass
        running.send_signal(signal.SIGINT)
        told, answer = stderr.read(), stdout.read()
    assert (running.returncode, answer) == (130, "")
    assert told.splitlines()[-1] == "Interrupted. Start the copy again: it goes on where it was."
    assert "Traceback" not in told
    assert copy(data, postgres_url).returncode == 0
    assert rows_in(postgres_url) == rows_of(data)


def test_a_lost_connection_is_told_and_gone_on_after(data: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    execute(data, ADD_EVENT, *events(*("x" * 100 for _ in range(100_000)))[100:])
    command = [sys.executable, "-m", "keystead", "db", "copy", "--data", str(data)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(KEYSTEAD_DATABASE_URL=url)
    ) as running:
        stderr = running.stderr
        assert stderr is not None
        while not stderr.readline().startswith("Copying"):
            pass
        postgres_server.drop_database(url)
        told = stderr.read()
    assert running.returncode == 1
    assert "Start the copy again: it goes on where it was." in told.splitlines()[-1]
    assert "Traceback" not in told


# Values


def test_values_at_the_edge_arrive_as_they_are(data: Path, postgres_url: str) -> None:
    unicode = [chr(number) for number in range(1, 0x110000) if not 0xD800 <= number < 0xE000]
    texts = ["".join(unicode[start : start + 5_000]) for start in range(0, len(unicode), 5_000)]
    execute(data, "DELETE FROM audit_event")
    execute(data, ADD_EVENT, *events("", " ", "\\N", "\\", "\t\r\n", "NULL", "x" * 1_000_000, *texts))
    numbers = [0, 1, -1, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63)]
    execute(data, "INSERT INTO client_generation VALUES (?, ?)", *((f"number {n}", n) for n in numbers))
    blobs = [b"", b"\x00", bytes(range(256)), b"\xff" * 1_000]
    execute(
        data,
        "INSERT INTO signing_key VALUES (?, 'ES256', '', ?, 0, 0, 0, 0)",
        *((f"key-{number}", blob) for number, blob in enumerate(blobs)),
    )
    found = copy(data, postgres_url)
    assert found.returncode == 0, found.stderr
    assert rows_in(postgres_url) == rows_of(data)
    assert fetch(postgres_url, "SELECT count(*) FROM audit_event WHERE actor_id IS NULL AND address = ''") != [(0,)]


def test_text_that_postgresql_cannot_store_is_named_before_anything_is_changed(data: Path, postgres_url: str) -> None:
    execute(data, ADD_EVENT, ("event-nul", 1, "a\0b", None, None, None, None, "\0"))
    found = copy(data, postgres_url)
    assert (found.returncode, found.stdout) == (1, "")
    assert "The column type of the row of audit_event with id 'event-nul' holds a NUL character." in found.stderr
    assert "The column detail of the row of audit_event with id 'event-nul' holds a NUL character." in found.stderr
    assert fetch(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_value_of_another_kind_is_named_before_anything_is_changed(data: Path, postgres_url: str) -> None:
    execute(data, "INSERT INTO client_generation VALUES ('half', 1.5)")
    execute(data, "INSERT INTO client_generation VALUES ('bytes', x'00')")
    found = copy(data, postgres_url)
    assert (found.returncode, found.stdout) == (1, "")
    assert (
        "The column generation of the row of client_generation with fingerprint 'half' holds a float." in found.stderr
    )
    assert "with fingerprint 'bytes' holds a bytes." in found.stderr


def test_rows_that_are_made_afterwards_have_numbers_of_their_own(data: Path, postgres_url: str) -> None:
    execute(data, "INSERT INTO revocation (subject, at) VALUES (?, 1)", *((f"user:{n}",) for n in range(30)))
    execute(data, "DELETE FROM revocation")
    assert copy(data, postgres_url).returncode == 0
    assert fetch(postgres_url, "INSERT INTO revocation (subject, at) VALUES ('user:a', 1) RETURNING seq") == [(31,)]
