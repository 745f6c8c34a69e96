"""The real ``parallel-cli``, unchanged, against a real server. Only its base addresses are set.

A recording proxy stands between the two, so that a test can also say what went over the wire.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.browser import Browser
from tests.support.device import CLI_SCOPE, DEVICE_GRANT, DeviceClient, OAuthError
from tests.support.parallel_cli import ParallelCli
from tests.support.proxy import Answer, Ask, Exchange, RecordingProxy
from tests.support.server import ADA, Acme, KeysteadServer

REGISTER = "/getServiceKeys/register"
DEVICE_CODE = "/getServiceKeys/device/code"
TOKEN = "/getServiceKeys/token"
REVOKE = "/getServiceKeys/token/revoke"
KEY_MEMBERS = {
    *("api_key_id", "api_key_name", "app_id", "app_name", "created_at", "created_by_user_email"),
    *("created_by_user_id", "display_value", "raw_api_key"),
}


@pytest.fixture
def proxy(shared_server: KeysteadServer) -> Iterator[RecordingProxy]:
    with RecordingProxy(shared_server.url) as between:
        yield between


@pytest.fixture
def cli(proxy: RecordingProxy, tmp_path: Path) -> ParallelCli:
    return ParallelCli(tmp_path / "home", proxy.url)


def sign_in(cli: ParallelCli, person: Browser) -> str:
    """Sign in as ``person`` and return what the client wrote to standard error. Fails unless it succeeded."""
    with cli.login() as login:
        person.approve(login.event("device_code")["verification_uri_complete"])
        code = login.finish()
    assert (code, login.names()[-1]) == (0, "auth_success"), (login.events, login.stderr)
    return login.stderr


def key_exchanges(proxy: RecordingProxy) -> list[Exchange]:
    """Return the requests in which API keys were made."""
    return [seen for seen in proxy.exchanges if seen.method == "POST" and seen.path.endswith("/keys")]


def session_of(server: KeysteadServer, api_key: str) -> httpx.Response:
    """Ask the server who the API key is."""
    return httpx.get(f"{server.url}/api/auth/session", auth=(api_key, ""), trust_env=False)


def answered_tokens(proxy: RecordingProxy, grant_type: str) -> list[dict[str, Any]]:
    """Return the token responses to requests of this grant type."""
    exchanges = [seen for seen in proxy.seen("POST", TOKEN) if seen.form()["grant_type"] == grant_type]
    return [json.loads(seen.answer.body) for seen in exchanges if seen.answer.status == 200]


def assert_complete(tokens: dict[str, Any], organization: str) -> None:
    """Check the members without which parallel-cli counts a sign-in as expired."""
    assert (tokens["org_id"], tokens["org_name"], tokens["token_type"]) == (organization, "acme", "Bearer")
    assert len({tokens["access_token"], tokens["refresh_token"], ""}) == 3
    seconds = [tokens[name] for name in ("expires_in", "refresh_token_expires_in", "authorization_expires_in")]
    assert all(type(value) is int for value in seconds)
    assert 30 < seconds[0] <= 600 < seconds[1] <= 604_800 < seconds[2] <= 7_776_000
    assert set(tokens["scope"].split(" ")) == set(CLI_SCOPE.split(" "))


def test_a_person_signs_in_reads_the_balance_looks_at_the_status_and_signs_out(
    shared_server: KeysteadServer, acme: Acme, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    with cli.login() as login:
        shown = login.event("device_code")
        assert shown["verification_uri"] == f"{shared_server.url}/getServiceKeys/device"
        assert shown["verification_uri_complete"].startswith(shown["verification_uri"] + "?user_code=")
        assert "onboard_variant=agent" in shown["verification_uri_complete"]
        assert shown["expires_in"] == 600
        ada.approve(shown["verification_uri_complete"], acme.organization)
        assert login.finish() == 0, login.stderr
    assert login.names() == ["auth_start", "device_code", "auth_waiting", "auth_success"]
    assert login.stderr == ""
    (tokens,) = answered_tokens(proxy, DEVICE_GRANT)
    assert_complete(tokens, acme.organization)

    balance = cli.run("balance", "--json", "get")
    assert balance.returncode == 0, balance.stdout
    assert json.loads(balance.stdout)["org_id"] == acme.organization

    status = json.loads(cli.run("auth", "--json").stdout)
    assert (status["authenticated"], status["method"]) == (True, "oauth")
    assert (status["selected_org_id"], status["selected_org_name"]) == (acme.organization, "acme")
    assert status["has_control_api_tokens"] is True
    assert status["token_file"] == str(cli.auth_file)

    assert json.loads(cli.run("logout", "--json").stdout) == {"status": "logged_out"}
    assert json.loads(cli.run("auth", "--json").stdout)["authenticated"] is False
    assert [exchange.answer.status for exchange in proxy.seen("POST", REVOKE)] == [200]


def test_signing_in_leaves_an_api_key_in_the_app_for_command_line_users(
    shared_server: KeysteadServer, acme: Acme, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    (apps,) = proxy.seen("GET", "/account/service/v1/apps")
    listed = [app for app in json.loads(apps.answer.body)["apps"] if app["app_name"] == "parallel-cli Users"]
    assert len(listed) == 1
    assert set(listed[0]) >= {"app_id", "app_name", "org_id", "org_name"}
    assert listed[0]["org_id"] == acme.organization

    (made,) = key_exchanges(proxy)
    key = json.loads(made.answer.body)
    assert (made.answer.status, made.path) == (200, f"/account/service/v1/apps/{listed[0]['app_id']}/keys")
    assert set(key) >= KEY_MEMBERS
    assert type(key["created_at"]) is int
    assert abs(key["created_at"] - time.time()) < 120
    assert (key["created_by_user_id"], key["created_by_user_email"]) == (acme.ada, ADA.email)

    stored = cli.stored()["orgs"][acme.organization]["api_key"]
    assert stored == key["raw_api_key"]
    assert session_of(shared_server, stored).json()["username"] == "ada"
    altered = stored[:-1] + ("A" if stored[-1] != "A" else "B")
    assert session_of(shared_server, altered).status_code == 401


def test_a_browser_that_is_not_signed_in_keeps_the_code_through_sign_in(
    shared_server: KeysteadServer, acme: Acme, cli: ParallelCli
) -> None:
    with cli.login() as login, Browser(shared_server.url) as stranger:
        shown = login.event("device_code")
        asked = stranger.get(shown["verification_uri_complete"])
        assert asked.path == "/sign-in"
        answers = {"username": ADA.username, "password": ADA.password}
        consent = stranger.submit(asked, asked.form("username", "password"), answers)
        assert shown["user_code"] in consent.source
        stranger.submit(consent, consent.form("decision", "form_token"), {"decision": "approve"})
        assert login.finish() == 0, (login.events, login.stderr)
    assert cli.stored()["selected_org_id"] == acme.organization


def test_a_person_who_denies_is_told_so_and_the_client_ends_with_exit_code_3(ada: Browser, cli: ParallelCli) -> None:
    with cli.login() as login:
        ada.deny(login.event("device_code")["verification_uri_complete"])
        code = login.finish()
    assert code == 3
    assert login.events[-1]["event"] == "auth_error"
    assert login.events[-1]["error"]["message"] == "Authorization denied by user."


def test_a_code_that_nobody_decides_expires_and_the_client_ends_with_exit_code_3(tmp_path: Path) -> None:
    with KeysteadServer(tmp_path / "keystead", {"KEYSTEAD_DEVICE_CODE_TTL": "2"}) as brief:
        cli = ParallelCli(tmp_path / "home", brief.url)
        with cli.login() as login:
            assert login.event("device_code")["expires_in"] == 2
            code = login.finish()
    assert code == 3
    assert login.events[-1]["error"]["message"].startswith("Device code expired")


def test_a_client_that_the_server_forgot_registers_once_more_by_itself(
    shared_server: KeysteadServer, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    forgotten = cli.stored()["client_id"]
    shared_server.admin("delete-client", "--id", forgotten)
    proxy.exchanges.clear()
    assert sign_in(cli, ada) == ""
    assert cli.stored()["client_id"] not in {None, "", "parallel-cli"}
    begun = [seen for seen in proxy.paths() if seen[1] in {REGISTER, DEVICE_CODE}]
    assert [path for _, path, _ in begun] == [DEVICE_CODE, REGISTER, DEVICE_CODE]
    assert begun[0][2] == 401
    refusal = proxy.seen("POST", DEVICE_CODE)[0].answer.body.decode()
    assert '"error":"invalid_client"' in refusal
    assert "Unknown client_id" in refusal


def test_two_sign_ins_in_one_minute_give_two_working_keys_of_the_same_name(
    shared_server: KeysteadServer, acme: Acme, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    keys: list[str] = []
    names: list[str] = []
    # The name ends in the minute. At most one of three sign-ins in a row is the first of a new minute.
    while len(names) < 2 or (names[-1] != names[-2] and len(names) < 4):
        sign_in(cli, ada)
        keys.append(cli.stored()["orgs"][acme.organization]["api_key"])
        names.append(json.loads(key_exchanges(proxy)[-1].body)["api_key_name"])
    assert names[-1] == names[-2]
    assert len(set(keys)) == len(keys)
    assert {session_of(shared_server, key).status_code for key in keys} == {200}


def test_an_access_token_that_has_aged_is_refreshed_without_a_word(
    acme: Acme, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    before = cli.stored_tokens()
    cli.age_access_token()
    balance = cli.run("balance", "--json", "get")
    assert (balance.returncode, balance.stderr) == (0, ""), balance.stdout
    after = cli.stored_tokens()
    assert after["refresh_token"] != before["refresh_token"]
    assert after["access_token"] != before["access_token"]
    assert after["authorization_expires_at"] <= before["authorization_expires_at"] + 1
    (tokens,) = answered_tokens(proxy, "refresh_token")
    assert_complete(tokens, acme.organization)


def test_two_commands_that_refresh_with_the_same_token_at_once_both_succeed(
    acme: Acme, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    both_asked = threading.Barrier(2)

    def together(ask: Ask, body: bytes) -> Answer:
        both_asked.wait(60)
        return ask()

    cli.age_access_token()
    proxy.on("POST", TOKEN, together)
    running = [cli.start("balance", "--json", "get") for _ in range(2)]
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in running]
    proxy.rules.clear()

    assert [code for _, code in ended] == [0, 0], ended
    assert {json.loads(output)["org_id"] for output, _ in ended} == {acme.organization}
    sent = [seen.form().get("refresh_token") for seen in proxy.seen("POST", TOKEN)]
    assert sent[-1] == sent[-2]
    successors = {tokens["refresh_token"] for tokens in answered_tokens(proxy, "refresh_token")}
    assert successors == {cli.stored_tokens()["refresh_token"]}

    cli.age_access_token()
    assert cli.run("balance", "--json", "get").returncode == 0


def test_after_signing_out_the_old_refresh_token_is_worth_nothing(
    shared_server: KeysteadServer, ada: Browser, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    tokens = cli.stored_tokens()
    client_id = cli.stored()["client_id"]
    ended = cli.run("logout", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    with DeviceClient(shared_server.url, client_id) as by_hand:
        with pytest.raises(OAuthError) as refused:
            by_hand.refresh(tokens["refresh_token"])
        assert (refused.value.status, refused.value.error) == (400, "invalid_grant")
        assert by_hand.account("GET", "/v1/balance", tokens["access_token"]).status_code == 200


def test_sign_in_works_under_the_built_in_client_id_when_registration_is_down(
    acme: Acme, ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    def unavailable(ask: Ask, body: bytes) -> Answer:
        text = b'{"error":"temporarily_unavailable","error_description":"Try again later."}'
        return Answer(503, (("Content-Type", "application/json"), ("Retry-After", "1")), text)

    proxy.on("POST", REGISTER, unavailable)
    warning = sign_in(cli, ada)
    assert "using fallback client_id" in warning
    assert cli.stored()["client_id"] is None
    assert cli.stored()["selected_org_id"] == acme.organization
    clients = {exchange.form()["client_id"] for exchange in proxy.seen("POST", TOKEN)}
    assert clients == {"parallel-cli"}


def test_adding_the_same_amount_twice_in_five_minutes_is_one_charge(
    ada: Browser, proxy: RecordingProxy, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    begin = json.loads(cli.run("balance", "--json", "get").stdout)["credit_balance_cents"]
    keys: list[str] = []
    # The client's key changes every five minutes. At most one of three calls in a row is the first of a new key.
    while len(keys) < 2 or (keys[-1] != keys[-2] and len(keys) < 3):
        added = cli.run("balance", "--json", "add", "500")
        request = proxy.seen("POST", "/account/service/v1/balance/add")[-1]
        keys.append(json.loads(request.body)["idempotency_key"])
        assert (added.returncode, json.loads(added.stdout)["credit_balance_cents"]) == (
            0,
            begin + 500 * len(set(keys)),
        )
    assert keys[-1] == keys[-2]
    after = json.loads(cli.run("balance", "--json", "get").stdout)["credit_balance_cents"]
    assert after == begin + 500 * len(set(keys))


def test_the_stored_key_is_recognised_as_one_of_this_server(
    shared_server: KeysteadServer, acme: Acme, ada: Browser, cli: ParallelCli
) -> None:
    sign_in(cli, ada)
    key = str(cli.stored()["orgs"][acme.organization]["api_key"])
    host = key.removeprefix("pwt_").partition(".")[0]
    assert key.startswith("pwt_")
    assert base64.urlsafe_b64decode(host + "=" * (-len(host) % 4)).decode() == shared_server.url
