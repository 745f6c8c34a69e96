"""Plain HTTP carries no credential, and forwarded headers are believed from listed proxies only (W1, W3, W10)."""

import base64
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.gate.transport import Arrival, Transport, address_within, is_loopback, was_forwarded
from tests.gate.serving import Furnished, Serving, ask, dump, new_key, new_token, raw, status_of
from tests.support.server import ADA

PUBLIC = "https://auth.example.com"


def judged(
    trusted: list[str], peer: str | None, headers: dict[str, str] | None = None, scheme: str = "http"
) -> Arrival:
    scope: dict[str, Any] = {
        "client": None if peer is None else (peer, 1234),
        "scheme": scheme,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
    }
    return Transport([ip_network(network) for network in trusted]).judge(scope)


# Judging, without a server


def test_without_a_listed_proxy_no_forwarded_header_is_believed() -> None:
    claims = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1", "Forwarded": "proto=https;for=127.0.0.1"}
    assert judged([], "203.0.113.9", claims) == Arrival(secure=False, loopback=False, address="203.0.113.9")


def test_a_proxy_that_is_not_listed_is_an_ordinary_client() -> None:
    claims = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"}
    assert judged(["10.0.0.0/8"], "203.0.113.9", claims) == Arrival(False, False, "203.0.113.9")


def test_a_listed_proxy_says_whether_it_was_https_and_who_asked() -> None:
    claims = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    assert judged(["10.0.0.0/8"], "10.1.2.3", claims) == Arrival(True, False, "203.0.113.9")


@pytest.mark.parametrize("said", ["http", "", "https,http", "wss", "https://"])
def test_a_listed_proxy_that_does_not_say_https_last_did_not_have_it(said: str) -> None:
    assert not judged(["10.0.0.0/8"], "10.1.2.3", {"X-Forwarded-Proto": said}, scheme="https").secure


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.7, 10.0.0.8", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("2001:db8::9", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.8", "10.1.2.3"),
        ("203.0.113.9, unknown", "10.1.2.3"),
        ("203.0.113.9, ", "203.0.113.9"),
        ("", "10.1.2.3"),
        ("10.0.0.7, 10.0.0.8", "10.1.2.3"),
        ("_hidden", "10.1.2.3"),
    ],
)
def test_the_caller_is_the_first_stranger_from_the_right(chain: str, address: str) -> None:
    assert judged(["10.0.0.0/8"], "10.1.2.3", {"X-Forwarded-For": chain}).address == address


def test_a_repeated_header_is_one_list_in_its_order() -> None:
    scope = {
        "client": ("10.1.2.3", 1),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", b"203.0.113.9, 10.0.0.8")],
    }
    assert Transport([ip_network("10.0.0.0/8")]).judge(scope).address == "203.0.113.9"


def test_a_forwarded_loopback_address_is_not_this_machine_unless_a_listed_proxy_says_so() -> None:
    assert judged(["10.0.0.0/8"], "10.1.2.3", {"X-Forwarded-For": "127.0.0.1"}).loopback
    assert not judged([], "203.0.113.9", {"X-Forwarded-For": "127.0.0.1"}).loopback


@given(
    chain=st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=12)), max_size=5),
    peer=st.ip_addresses().map(str),
)
def test_whatever_an_unlisted_peer_claims_its_own_address_stays(chain: list[str], peer: str) -> None:
    claimed = ", ".join(chain).encode("utf-8", "replace").decode("latin-1")
    trusted = ["192.0.2.0/30"]
    if not address_within(peer, [ip_network(network) for network in trusted]):
        assert judged(trusted, peer, {"X-Forwarded-For": claimed}).address == peer


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=12)), max_size=5))
def test_behind_a_listed_proxy_the_caller_is_always_an_address(chain: list[str]) -> None:
    claimed = ", ".join(chain).encode("utf-8", "replace").decode("latin-1")
    address = judged(["192.0.2.0/30"], "192.0.2.1", {"X-Forwarded-For": claimed}).address
    assert str(ip_address(address)) == address


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_this_machine_in_every_spelling(text: str) -> None:
    assert is_loopback(text)


@pytest.mark.parametrize("text", ["", "localhost", "128.0.0.1", "0.0.0.0", "::", "127.0.0.1.example", "0177.0.0.1"])
def test_what_only_looks_like_loopback_is_not(text: str) -> None:
    assert not is_loopback(text)


def test_a_peer_without_an_address_is_nobody() -> None:
    assert judged(["0.0.0.0/0"], None) == Arrival(secure=False, loopback=False, address="")


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"])
def test_any_forwarded_header_shows_that_somebody_stands_between(name: bytes) -> None:
    assert was_forwarded({"headers": [(name, b"x")]})
    assert not was_forwarded({"headers": [(b"x-forward", b"x"), (b"host", b"x")]})


# A server for https://auth.example.com that is reached over plain HTTP


@pytest.fixture(scope="module")
def plain(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give a server with a public address, without any proxy that it trusts."""
    with Serving(tmp_path_factory.mktemp("plain"), furnished, settings={"KEYSTEAD_PUBLIC_URL": PUBLIC}) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give the same server behind a proxy that it trusts: this machine. Exposed keys are revoked."""
    settings = {
        "KEYSTEAD_PUBLIC_URL": PUBLIC,
        "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.0/8",
        "KEYSTEAD_REVOKE_EXPOSED_KEYS": "true",
    }
    with Serving(tmp_path_factory.mktemp("proxied"), furnished, settings=settings) as server:
        yield server


HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
PATHS = (
    "/",
    "/sign-in",
    "/api/auth/session",
    "/verify",
    "/account/service/v1/apps",
    "/nothing",
    "/static/keystead.css",
)


def test_plain_http_is_refused_with_403_and_never_redirected(plain: Serving) -> None:
    for path in PATHS:
        answer = httpx.get(plain.address + path)
        assert answer.status_code == 403, path
        assert "location" not in answer.headers
        assert "https" in answer.text
        assert "strict-transport-security" not in answer.headers


def test_the_refusal_of_plain_http_is_told_in_the_dialect_of_each_surface(plain: Serving) -> None:
    oauth = httpx.post(plain.address + "/getServiceKeys/token", data={"grant_type": "refresh_token"})
    account = httpx.get(plain.address + "/account/service/v1/apps")
    union = httpx.get(plain.address + "/api/auth/session")
    page = httpx.get(plain.address + "/sign-in", headers={"Accept": "text/html"})
    assert oauth.json()["error"] == "invalid_request"
    assert "https" in oauth.json()["error_description"]
    assert list(account.json()) == ["detail"]
    assert union.json()["code"] == "https_required"
    assert page.headers["content-type"].startswith("text/html")
    assert {oauth.status_code, account.status_code, union.status_code, page.status_code} == {403}


def test_claims_of_a_proxy_that_is_not_listed_do_not_make_plain_http_secure(plain: Serving) -> None:
    claims = {**HTTPS, "Forwarded": "proto=https", "X-Forwarded-Ssl": "on", "X-Forwarded-For": "127.0.0.1"}
    assert httpx.get(plain.address + "/api/auth/session", headers=claims).json()["code"] == "https_required"


@pytest.mark.parametrize("form", ["bearer", "basic", "x-api-key"])
def test_an_api_key_over_plain_http_is_refused_and_flagged_exposed_in_the_database(plain: Serving, form: str) -> None:
    key_id, key = new_key(plain.data, PUBLIC, "ada")
    header = {
        "bearer": ("Authorization", f"Bearer {key}"),
        "basic": ("Authorization", "Basic " + base64.b64encode(f"{key}:".encode()).decode()),
        "x-api-key": ("x-api-key", key),
    }[form]
    assert httpx.get(plain.address + "/account/service/v1/apps", headers=[header]).status_code == 403
    assert ask(plain.data, "SELECT exposed_at FROM api_key WHERE id = ?", key_id) != [None]
    assert ask(plain.data, "SELECT type FROM audit_event WHERE target = ? AND type LIKE 'key:e%'", key_id) == [
        "key:exposed"
    ]


def test_nothing_else_over_plain_http_changes_anything(plain: Serving) -> None:
    token = new_token(plain.data, PUBLIC, "ada")
    before = dump(plain.data)
    wrong = "pwt_aHR0.0123456789012345678901234567890123456789012345678"
    sign_in = {"username": ADA.username, "password": ADA.password}
    answers = [
        httpx.get(plain.address + "/verify", headers={"Authorization": f"Bearer {token}"}),
        httpx.get(plain.address + "/verify", headers={"Authorization": f"Bearer {wrong}"}),
        httpx.post(plain.address + "/api/sso/password/login", json=sign_in),
        httpx.post(plain.address + "/sign-in", data=sign_in),
        httpx.post(plain.address + "/getServiceKeys/device/code", data={"client_id": "parallel-cli"}),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert dump(plain.data) == before


def test_probes_are_answered_over_plain_http_because_they_carry_nothing(plain: Serving) -> None:
    assert httpx.get(plain.address + "/healthz").json() == {"status": "ok"}
    assert httpx.get(plain.address + "/readyz").json()["status"] == "ready"


def test_the_word_of_a_listed_proxy_makes_a_request_secure(proxied: Serving) -> None:
    _, key = new_key(proxied.data, PUBLIC, "ada")
    headers = {**HTTPS, "Authorization": f"Bearer {key}"}
    answer = httpx.get(proxied.address + "/api/auth/session", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_an_exposed_key_works_no_more_where_the_operator_chose_so(proxied: Serving) -> None:
    key_id, key = new_key(proxied.data, PUBLIC, "ada")
    credential = {"Authorization": f"Bearer {key}"}
    assert httpx.get(proxied.address + "/verify", headers={**HTTPS, **credential}).status_code == 200
    plain_http = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.9"}
    assert httpx.get(proxied.address + "/verify", headers={**plain_http, **credential}).status_code == 403
    assert httpx.get(proxied.address + "/verify", headers={**HTTPS, **credential}).status_code == 401
    assert ask(proxied.data, "SELECT id FROM api_key WHERE id = ?", key_id) == []


@pytest.mark.parametrize("said", [{}, {"X-Forwarded-Proto": "http"}, {"X-Forwarded-Proto": "https, http"}])
def test_a_listed_proxy_that_had_plain_http_is_refused(proxied: Serving, said: dict[str, str]) -> None:
    assert httpx.get(proxied.address + "/verify", headers=said).json()["code"] == "https_required"


def test_the_address_that_is_kept_is_the_first_stranger_from_the_right(proxied: Serving) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1, 198.51.100.7, 203.0.113.77, 127.0.0.1"}
    form = {"client_id": "parallel-cli"}
    answer = httpx.post(proxied.address + "/getServiceKeys/device/code", data=form, headers=headers)
    assert answer.status_code == 200
    assert ask(proxied.data, "SELECT address FROM device_authorization ORDER BY id DESC LIMIT 1") == ["203.0.113.77"]


def test_cookies_are_secure_behind_a_proxy_whatever_it_reports(proxied: Serving) -> None:
    sign_in = {"username": ADA.username, "password": ADA.password}
    answer = httpx.post(proxied.address + "/api/sso/password/login", json=sign_in, headers=HTTPS)
    assert answer.status_code == 204
    for cookie in answer.headers.get_list("set-cookie"):
        assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


def test_metrics_are_not_told_through_a_proxy(proxied: Serving) -> None:
    assert httpx.get(proxied.address + "/metrics", headers=HTTPS).status_code == 404
    assert httpx.get(proxied.address + "/metrics").status_code == 200


def test_a_trailer_is_not_what_a_proxy_said(proxied: Serving) -> None:
    request = (
        b"GET /sign-in HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nX-Forwarded-Proto: https\r\n\r\n"
    )
    assert status_of(raw(proxied.address, request)) == 403
