"""``/getServiceKeys/*`` by hand: what clients of the device grant rely on and the real ones seldom show."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.browser import Browser
from tests.support.device import (
    DEVICE_GRANT,
    DeviceAuthorization,
    DeviceClient,
    OAuthError,
    Tokens,
    error_of,
)
from tests.support.server import Acme, KeysteadServer

BASE = "/getServiceKeys"
INTERVAL = {"KEYSTEAD_DEVICE_POLL_INTERVAL": "4"}
"""Long enough for two polls of which the second is too early, on a busy machine too."""


@pytest.fixture
def client(shared_server: KeysteadServer) -> Iterator[DeviceClient]:
    with DeviceClient(shared_server.url) as stock:
        stock.register()
        yield stock


@pytest.fixture(scope="module")
def prompt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give a server that holds no poll, so that what it answers is what it thinks at once."""
    with KeysteadServer(tmp_path_factory.mktemp("prompt"), {"KEYSTEAD_DEVICE_POLL_HOLD": "0", **INTERVAL}) as prompt:
        yield prompt


@pytest.fixture
def prompt_client(prompt_server: KeysteadServer) -> Iterator[DeviceClient]:
    with DeviceClient(prompt_server.url) as stock:
        stock.register()
        yield stock


def sign_in(client: DeviceClient, person: Browser) -> Tokens:
    """Sign the client in as ``person``."""
    authorization = client.device_code()
    person.approve(authorization.verification_uri_complete)
    return client.poll_until_decided(authorization)


@pytest.fixture
def patient_client(tmp_path: Path) -> Iterator[DeviceClient]:
    """Give a client of a server that holds polls and asks for some seconds between two."""
    with KeysteadServer(tmp_path / "patient", INTERVAL) as patient, DeviceClient(patient.url) as stock:
        stock.register()
        yield stock


@contextmanager
def held_poll(client: DeviceClient, authorization: DeviceAuthorization) -> Iterator[Future[httpx.Response]]:
    """Send a poll and give its answer to come, once the server has had time to hold it: nobody can see that it does."""
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(client.poll, authorization)
        time.sleep(0.3)
        assert not poll.done(), poll.result().text
        yield poll


# Polling (RFC 8628, section 3.5)


def test_the_first_poll_may_come_at_once_and_is_told_to_wait(client: DeviceClient) -> None:
    response = client.poll(client.device_code())
    assert (response.status_code, error_of(response)[0]) == (400, "authorization_pending")
    assert response.elapsed.total_seconds() < 5


def test_a_poll_that_comes_while_another_is_held_is_told_to_slow_down(patient_client: DeviceClient) -> None:
    authorization = patient_client.device_code()
    with held_poll(patient_client, authorization) as held:
        hasty = patient_client.poll(authorization)
        assert not held.done()
    assert (hasty.status_code, error_of(hasty)[0]) == (400, "slow_down")
    assert (held.result().status_code, error_of(held.result())[0]) == (400, "authorization_pending")


def test_a_poll_sooner_than_the_interval_is_told_to_slow_down(prompt_client: DeviceClient) -> None:
    authorization = prompt_client.device_code()
    errors = [error_of(prompt_client.poll(authorization))[0] for _ in range(2)]
    assert errors == ["authorization_pending", "slow_down"]


def test_each_slow_down_makes_the_interval_five_seconds_longer(prompt_client: DeviceClient) -> None:
    authorization = prompt_client.device_code()
    errors = [error_of(prompt_client.poll(authorization))[0] for _ in range(2)]
    time.sleep(authorization.interval + 0.5)
    errors.append(error_of(prompt_client.poll(authorization))[0])
    assert errors == ["authorization_pending", "slow_down", "slow_down"]


def test_a_client_that_keeps_to_the_interval_is_never_told_to_slow_down(prompt_client: DeviceClient) -> None:
    authorization = prompt_client.device_code()
    errors = []
    for _ in range(3):
        errors.append(error_of(prompt_client.poll(authorization))[0])
        time.sleep(authorization.interval)
    assert errors == ["authorization_pending"] * 3


def test_a_client_with_a_ticker_is_not_punished_for_the_time_its_poll_was_held(client: DeviceClient) -> None:
    authorization = client.device_code()
    held = client.poll(authorization)
    assert held.elapsed.total_seconds() > authorization.interval
    assert error_of(held)[0] == "authorization_pending"
    assert error_of(client.poll(authorization))[0] == "authorization_pending"


def test_a_held_poll_is_answered_the_moment_the_person_approves(client: DeviceClient, ada: Browser) -> None:
    authorization = client.device_code()
    with held_poll(client, authorization) as held:
        ada.approve(authorization.verification_uri_complete)
        decided = time.monotonic()
        answer = held.result(timeout=30)
        waited = time.monotonic() - decided
    assert answer.status_code == 200, answer.text
    assert waited < 2


def test_an_approved_code_is_answered_with_tokens_however_early_the_poll_comes(
    client: DeviceClient, ada: Browser, acme: Acme
) -> None:
    authorization = client.device_code()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(client.poll, [authorization, authorization]))
    ada.approve(authorization.verification_uri_complete, acme.organization)
    response = client.poll(authorization)
    assert response.status_code == 200, response.text
    assert response.json()["org_id"] == acme.organization
    assert "no-store" in response.headers["cache-control"]


def test_a_code_is_worth_one_set_of_tokens(client: DeviceClient, ada: Browser) -> None:
    authorization = client.device_code()
    ada.approve(authorization.verification_uri_complete)
    first, second = client.poll(authorization), client.poll(authorization)
    assert first.status_code == 200
    assert (second.status_code, error_of(second)[0]) == (400, "invalid_grant")


def test_a_code_is_worth_nothing_to_another_client(
    shared_server: KeysteadServer, client: DeviceClient, ada: Browser
) -> None:
    authorization = client.device_code()
    ada.approve(authorization.verification_uri_complete)
    with DeviceClient(shared_server.url) as other:
        other.register("another-client", {"system": "Darwin", "machine": "arm64"})
        form = {"grant_type": DEVICE_GRANT, "device_code": authorization.device_code}
        stolen = httpx.post(f"{other.base_url}{BASE}/token", data={**form, "client_id": other.client_id})
    assert other.client_id != client.client_id
    assert (stolen.status_code, error_of(stolen)[0]) == (400, "invalid_grant")
    assert client.poll(authorization).status_code == 200


def test_a_denied_code_is_answered_access_denied(client: DeviceClient, ada: Browser) -> None:
    authorization = client.device_code()
    ada.deny(authorization.verification_uri_complete)
    with pytest.raises(OAuthError) as refused:
        client.poll_until_decided(authorization)
    assert (refused.value.status, refused.value.error) == (400, "access_denied")


def test_a_code_that_nobody_decides_is_answered_expired_token(tmp_path: Path) -> None:
    with (
        KeysteadServer(tmp_path / "keystead", {"KEYSTEAD_DEVICE_CODE_TTL": "2"}) as brief,
        DeviceClient(brief.url) as client,
    ):
        client.register()
        authorization = client.device_code()
        assert authorization.expires_in == 2
        first = client.poll(authorization)
        assert first.elapsed.total_seconds() < 5
        time.sleep(authorization.interval)
        last = client.poll(authorization)
    assert error_of(first)[0] in {"authorization_pending", "expired_token"}
    assert (last.status_code, error_of(last)[0]) == (400, "expired_token")


def test_the_verification_page_does_not_mind_parameters_it_does_not_know(client: DeviceClient, ada: Browser) -> None:
    authorization = client.device_code()
    extras = "&onboard_variant=agent&login_hint=login%3Demail%2Ce%3Dada%40example.com&utm=1"
    ada.approve(authorization.verification_uri_complete + extras)
    assert client.poll(authorization).status_code == 200


# Refresh and revocation


def test_a_refresh_token_is_worth_nothing_after_it_was_revoked(client: DeviceClient, ada: Browser) -> None:
    for name in ("refresh_token", "token"):
        tokens = sign_in(client, ada)
        renewed = client.refresh(tokens.refresh_token)
        revoked = client.revoke(renewed.refresh_token, name)
        assert (revoked.status_code, revoked.content) == (200, b""), name
        for spent in (renewed, tokens):
            with pytest.raises(OAuthError) as refused:
                client.refresh(spent.refresh_token)
            assert (refused.value.status, refused.value.error) == (400, "invalid_grant"), name
        assert client.account("GET", "/v1/balance", renewed.access_token).status_code == 200


def test_revoking_a_token_that_is_unknown_or_revoked_already_is_no_error(client: DeviceClient, ada: Browser) -> None:
    tokens = sign_in(client, ada)
    answers = [client.revoke(text) for text in (tokens.refresh_token, tokens.refresh_token, "no-such-token")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_a_repeated_refresh_gets_the_same_successor(client: DeviceClient, ada: Browser, acme: Acme) -> None:
    tokens = sign_in(client, ada)
    first, second = client.refresh(tokens.refresh_token), client.refresh(tokens.refresh_token)
    assert first.refresh_token == second.refresh_token != tokens.refresh_token
    assert first.body["org_id"] == second.body["org_id"] == acme.organization
    assert client.refresh(first.refresh_token).refresh_token not in {first.refresh_token, tokens.refresh_token}


# Errors: compact JSON, never stored, never a redirect


@dataclass(frozen=True, slots=True)
class Wrong:
    """A request that must be refused, and how."""

    path: str
    error: str
    form: Mapping[str, str] = field(default_factory=dict)
    status: int = 400
    method: str = "POST"
    body: str | None = None
    content_type: str = "application/x-www-form-urlencoded"


BUILT_IN = {"client_id": "parallel-cli"}
REFRESH = {"grant_type": "refresh_token"}
WRONG = {
    "registration without JSON": Wrong("/register", "", body="{", content_type="application/json"),
    "registration with a list": Wrong("/register", "", body="[]", content_type="application/json"),
    "a device code without a client": Wrong("/device/code", "", {"scope": "keys:read"}),
    "a device code for an unknown client": Wrong(
        "/device/code", "invalid_client", {"client_id": "nobody", "scope": "keys:read"}, 401
    ),
    "a device code for an unknown scope": Wrong(
        "/device/code", "invalid_scope", {**BUILT_IN, "scope": "keys:read everything"}
    ),
    "a token without a grant type": Wrong("/token", "invalid_request", BUILT_IN),
    "a token without anything": Wrong("/token", "invalid_request"),
    "a token for an unknown grant type": Wrong(
        "/token", "unsupported_grant_type", {**BUILT_IN, "grant_type": "password"}
    ),
    "a token for no device code": Wrong("/token", "invalid_request", {**BUILT_IN, "grant_type": DEVICE_GRANT}),
    "a token for an unknown device code": Wrong(
        "/token", "invalid_grant", {**BUILT_IN, "grant_type": DEVICE_GRANT, "device_code": "pwd_nothing"}
    ),
    "a token for an unknown client": Wrong(
        "/token",
        "invalid_client",
        {"client_id": "nobody", "grant_type": DEVICE_GRANT, "device_code": "pwd_nothing"},
        401,
    ),
    "a token for no refresh token": Wrong("/token", "invalid_request", REFRESH),
    "a token for an unknown refresh token": Wrong(
        "/token", "invalid_grant", {**REFRESH, "refresh_token": "pwr_nothing"}
    ),
    "a revocation of nothing": Wrong("/token/revoke", "invalid_request"),
    "a GET for a token": Wrong("/token", "", status=405, method="GET"),
    "a path that does not exist": Wrong("/nothing", "", status=404),
}


def assert_oauth_error(response: httpx.Response) -> None:
    """Check what both existing clients and RFC 6749, section 5.2 need of an error."""
    body = json.loads(response.content)
    compact = {json.dumps(body, separators=(",", ":"), ensure_ascii=plain) for plain in (True, False)}
    assert response.text in compact
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert "no-store" in response.headers["cache-control"]
    assert isinstance(body["error"], str)
    assert body["error"]
    assert isinstance(body["error_description"], str)
    assert body["error_description"]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_refusal_is_compact_oauth_json_that_no_cache_keeps(shared_server: KeysteadServer, wrong: Wrong) -> None:
    response = httpx.request(
        wrong.method,
        f"{shared_server.url}{BASE}{wrong.path}",
        content=wrong.body if wrong.body is not None else str(httpx.QueryParams(dict(wrong.form))),
        headers={"Content-Type": wrong.content_type},
    )
    assert response.status_code == wrong.status, response.text
    assert_oauth_error(response)
    assert wrong.error in {"", response.json()["error"]}


def test_an_unknown_client_is_refused_in_the_words_that_make_parallel_cli_register_again(
    shared_server: KeysteadServer,
) -> None:
    form = {"client_id": "cid_forgotten", "scope": "keys:read"}
    refusal = httpx.post(f"{shared_server.url}{BASE}/device/code", data=form)
    assert refusal.status_code == 401
    assert '"error":"invalid_client"' in refusal.text
    assert "Unknown client_id" in refusal.text


@pytest.mark.parametrize("path", ["/register", "/device/code", "/token", "/token/revoke"])
def test_no_post_is_ever_redirected(shared_server: KeysteadServer, path: str) -> None:
    answers = [httpx.post(f"{shared_server.url}{BASE}{path}{end}", content=b"") for end in ("", "/")]
    assert not any(answer.is_redirect for answer in answers)


def test_over_a_limit_the_answer_is_oauth_json_and_says_when_to_come_back(tmp_path: Path) -> None:
    limits = {"KEYSTEAD_LIMIT_REGISTRATION": "1/minute", "KEYSTEAD_LIMIT_DEVICE_CODE": "1/minute"}
    with KeysteadServer(tmp_path / "keystead", limits) as strict:
        registration = {"client_name": "stock-client", "platform": {}}
        registered = [httpx.post(f"{strict.url}{BASE}/register", json=registration) for _ in range(2)]
        form = {"client_id": "parallel-cli", "scope": "keys:read"}
        codes = [httpx.post(f"{strict.url}{BASE}/device/code", data=form) for _ in range(2)]
    for first, over in (registered, codes):
        assert first.is_success, first.text
        assert over.status_code == 429
        assert 1 <= int(over.headers["retry-after"]) <= 60
        assert_oauth_error(over)


def test_a_poll_over_the_limit_is_told_to_slow_down_and_anything_else_when_to_come_back(tmp_path: Path) -> None:
    limits = {"KEYSTEAD_LIMIT_TOKEN": "1/minute", "KEYSTEAD_DEVICE_POLL_HOLD": "0"}
    with (
        KeysteadServer(tmp_path / "keystead", limits) as strict,
        DeviceClient(strict.url, "parallel-cli") as client,
    ):
        polls = [client.poll(client.device_code()) for _ in range(3)]
        refreshes = [
            httpx.post(f"{strict.url}{BASE}/token", data={**REFRESH, "refresh_token": "pwr_nothing"}) for _ in range(3)
        ]
    assert error_of(polls[0])[0] == "authorization_pending"
    assert {error_of(poll)[0] for poll in polls[1:]} <= {"authorization_pending", "slow_down"}
    assert refreshes[-1].status_code == 429
    assert 1 <= int(refreshes[-1].headers["retry-after"]) <= 60
    for answer in (*polls, *refreshes):
        assert_oauth_error(answer)
