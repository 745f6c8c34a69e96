"""Every limit, told in headers and in each dialect, by addresses that only listed proxies may tell (K3, W10)."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gate.serving import Furnished, Serving, furnished_server, new_key, new_token
from tests.support.browser import Browser
from tests.support.device import DEVICE_GRANT
from tests.support.server import ADA, KeysteadServer
from tests.wire.shapes import check_refusal

STRICT = {
    "KEYSTEAD_LIMIT_API": "5/hour",
    "KEYSTEAD_LIMIT_TOKEN": "5/hour",
    "KEYSTEAD_LIMIT_DEVICE_CODE": "5/hour",
    "KEYSTEAD_LIMIT_REGISTRATION": "5/hour",
    "KEYSTEAD_LIMIT_SIGN_IN": "2/hour",
    "KEYSTEAD_DEVICE_POLL_HOLD": "0",
}


@pytest.fixture(scope="module")
def strict(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give a server that lets five requests through in an hour."""
    with furnished_server(furnished, tmp_path_factory.mktemp("strict"), STRICT) as server:
        yield server


@pytest.fixture(scope="module")
def behind(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a client of the same server behind a proxy that it trusts: this machine."""
    more = {"KEYSTEAD_PUBLIC_URL": "https://auth.example.com", "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    with (
        Serving(tmp_path_factory.mktemp("behind"), furnished, settings={**STRICT, **more}) as server,
        httpx.Client(base_url=server.address, headers={"X-Forwarded-Proto": "https"}, trust_env=False) as client,
    ):
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def from_address(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def check_over(answer: httpx.Response, name: str, most: int = 5) -> None:
    """Assert that an answer refuses for the limit of this name, and says so to people and programs."""
    assert answer.status_code == 429
    wait = answer.headers["retry-after"]
    assert re.fullmatch(r"[1-9][0-9]{0,3}", wait)
    assert answer.headers["ratelimit-policy"] == f'"{name}";q={most};w=3600'
    assert answer.headers["ratelimit"] == f'"{name}";r=0;t={wait}'
    check_refusal(answer)


def test_each_answer_says_what_is_left_and_the_refusal_says_when_to_come_back(strict: KeysteadServer) -> None:
    _, key = new_key(strict.data, strict.url, "ada")
    answers = [httpx.get(f"{strict.url}/api/auth/session", headers=bearer(key)) for _ in range(6)]
    left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers]
    assert left == [f'"api";r={number}' for number in (4, 3, 2, 1, 0, 0)]
    check_over(answers[-1], "api")


def test_a_refused_request_does_nothing(strict: KeysteadServer) -> None:
    token, other = new_token(strict.data, strict.url, "ada"), new_token(strict.data, strict.url, "ada")
    apps = f"{strict.url}/account/service/v1/apps"
    made = [httpx.post(apps, json={"app_name": f"Limited {n}"}, headers=bearer(token)) for n in range(7)]
    assert [answer.status_code for answer in made] == [200] * 5 + [429] * 2
    check_over(made[-1], "api")
    names = [app["app_name"] for app in httpx.get(apps, headers=bearer(other)).json()["apps"]]
    assert sorted(name for name in names if name.startswith("Limited")) == [f"Limited {n}" for n in range(5)]


def test_two_credentials_at_once_spend_neither_budget(strict: KeysteadServer) -> None:
    keys = [new_key(strict.data, strict.url, "ada")[1] for _ in range(2)]
    both = [("Authorization", f"Bearer {keys[0]}"), ("x-api-key", keys[1])]
    with httpx.Client(base_url=strict.url) as client:
        assert {client.get("/api/auth/session", headers=both).status_code for _ in range(8)} == {400}
        answers = [client.get("/api/auth/session", headers=bearer(key)) for key in keys]
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == ['"api";r=4'] * 2


def test_a_poll_over_the_limit_is_told_to_slow_down_in_the_words_of_its_protocol(behind: httpx.Client) -> None:
    form = {"grant_type": DEVICE_GRANT, "device_code": "pwd_unknown", "client_id": "parallel-cli"}
    answers = [behind.post("/getServiceKeys/token", data=form, headers=from_address("203.0.113.1")) for _ in range(6)]
    assert [answer.json()["error"] for answer in answers] == ["invalid_grant"] * 5 + ["slow_down"]
    assert re.fullmatch(r"[1-9][0-9]*", answers[-1].headers["retry-after"])
    check_refusal(answers[-1])


@pytest.mark.parametrize("path", ["/getServiceKeys/token", "/getServiceKeys/token/revoke"])
def test_other_token_requests_over_the_limit_are_429_and_no_invalid_grant(behind: httpx.Client, path: str) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "pwr_unknown"}
    address = from_address(f"203.0.113.{20 + len(path)}")
    answers = [behind.post(path, data=form, headers=address) for _ in range(6)]
    assert {answer.status_code for answer in answers[:5]} <= {200, 400}
    assert answers[-1].json()["error"] in {"slow_down", "temporarily_unavailable"}
    check_over(answers[-1], "token")


@pytest.mark.parametrize(
    ("path", "name"), [("/getServiceKeys/device/code", "device_code"), ("/getServiceKeys/register", "registration")]
)
def test_asking_for_codes_and_registering_are_limited_by_address(behind: httpx.Client, path: str, name: str) -> None:
    body = {"json": {"client_name": "x"}} if name == "registration" else {"data": {"client_id": "parallel-cli"}}
    answers = [
        behind.request("POST", path, headers=from_address("203.0.113.3"), **body)  # type: ignore[arg-type]
        for _ in range(6)
    ]
    assert all(answer.is_success for answer in answers[:5])
    check_over(answers[-1], name)


def test_behind_a_listed_proxy_each_forwarded_address_has_a_budget_of_its_own(behind: httpx.Client) -> None:
    def statuses(forwarded: str, times: int) -> list[int]:
        form = {"client_id": "parallel-cli"}
        return [
            behind.post("/getServiceKeys/device/code", data=form, headers=from_address(forwarded)).status_code
            for _ in range(times)
        ]

    assert statuses("203.0.113.10", 6) == [200] * 5 + [429]
    assert statuses("203.0.113.11", 6) == [200] * 5 + [429]
    # What a client puts in front of what the proxy adds buys it nothing.
    assert statuses("198.51.100.1, 203.0.113.10", 1) == [429]
    assert statuses("198.51.100.2, 203.0.113.11, 127.0.0.1", 1) == [429]


def test_without_a_listed_proxy_forwarded_addresses_buy_nothing(strict: KeysteadServer) -> None:
    form = {"client_id": "parallel-cli"}
    statuses = [
        httpx.post(
            f"{strict.url}/getServiceKeys/device/code", data=form, headers=from_address(f"203.0.113.{number}")
        ).status_code
        for number in range(8)
    ]
    assert statuses == [200] * 5 + [429] * 3


def test_too_many_sign_ins_are_429_with_a_page_that_says_how_long_and_a_known_device_still_gets_in(
    furnished: Furnished, tmp_path: Path
) -> None:
    wrong = {"username": ADA.username, "password": "wrong"}
    with furnished_server(furnished, tmp_path, STRICT) as server, Browser(server.url) as known:
        known.sign_in(ADA.username, ADA.password)
        with httpx.Client(base_url=server.url) as stranger:
            pages = [stranger.post("/sign-in", data=wrong) for _ in range(3)]
            scripted = stranger.post("/api/sso/password/login", json=wrong)
        assert [page.status_code for page in pages] == [401, 429, 429]
        assert "too many tries" in pages[-1].text
        assert re.fullmatch(r"[1-9][0-9]*", pages[-1].headers["retry-after"])
        check_over(scripted, "sign_in", 2)
        assert known.sign_in(ADA.username, ADA.password).status == 200
