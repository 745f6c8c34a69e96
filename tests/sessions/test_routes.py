"""Signing in and out over JSON, at a real server."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.server import ADA, Acme, KeysteadServer

LOGIN = "/api/sso/password/login"
LOGOUT = "/api/sso/logout"
RIGHT = {"username": ADA.username, "password": ADA.password}


@pytest.fixture
def http(shared_server: KeysteadServer, acme: Acme) -> Iterator[httpx.Client]:
    """Give an HTTP client; it keeps no cookies, because they are all Secure."""
    assert acme.ada
    with httpx.Client(base_url=shared_server.url) as client:
        yield client


def cookies_of(response: httpx.Response) -> dict[str, tuple[str, set[str]]]:
    """Return the cookies that a response sets: value and attributes by name."""
    found = {}
    for field in response.headers.get_list("set-cookie"):
        pair, *attributes = [part.strip() for part in field.split(";")]
        name, _, value = pair.partition("=")
        found[name] = (value, {attribute.lower() for attribute in attributes})
    return found


def sign_in(http: httpx.Client, **headers: str) -> str:
    """Sign in and return the session cookie as it is sent back."""
    response = http.post(LOGIN, json=RIGHT, headers=headers)
    assert response.status_code == 204, response.text
    return f"cloud.sso={cookies_of(response)['cloud.sso'][0]}"


def status_with(http: httpx.Client, cookie: str) -> int:
    """Return how a request with this cookie is answered."""
    return http.get("/api/auth/session", headers={"Cookie": cookie}).status_code


def test_a_sign_in_answers_204_and_sets_cookies_that_no_script_and_no_plain_http_sees(http: httpx.Client) -> None:
    response = http.post(LOGIN, json=RIGHT)
    assert (response.status_code, response.content, response.headers["cache-control"]) == (204, b"", "no-store")
    cookies = cookies_of(response)
    assert set(cookies) == {"cloud.sso", "keystead.device"}
    for _, attributes in cookies.values():
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
        assert not any(attribute.startswith("domain") for attribute in attributes)
    assert status_with(http, f"cloud.sso={cookies['cloud.sso'][0]}") == 200


def test_cookies_are_secure_whatever_a_proxy_says(http: httpx.Client) -> None:
    response = http.post(LOGIN, json=RIGHT, headers={"X-Forwarded-Proto": "http"})
    for _, attributes in cookies_of(response).values():
        assert "secure" in attributes
    assert response.status_code == 204


def test_the_email_address_is_as_good_as_the_user_name(http: httpx.Client) -> None:
    response = http.post(LOGIN, json={"username": ADA.email.upper(), "password": ADA.password, "extra": 1})
    assert response.status_code == 204


def test_a_sign_in_on_top_of_a_session_ends_that_session(http: httpx.Client) -> None:
    first = sign_in(http)
    assert status_with(http, first) == 200
    second = sign_in(http, Cookie=first)
    assert (status_with(http, first), status_with(http, second)) == (401, 200)


@pytest.mark.parametrize("body", [{**RIGHT, "password": "a wrong password"}, {**RIGHT, "username": "nobody"}])
def test_a_wrong_password_and_an_unknown_user_are_the_same_401(http: httpx.Client, body: dict[str, str]) -> None:
    response = http.post(LOGIN, json=body)
    assert response.status_code == 401
    found = response.json()
    assert (found["code"], found["error"]) == ("wrong_sign_in", True)
    assert found["detail"] == "The user name or the password is not right. Check both and try again."
    assert cookies_of(response) == {}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("", 400, "invalid_request"),
        ("{", 400, "invalid_request"),
        ('{"username": "\\ud800", "password": "x"}', 400, "invalid_request"),
        ("[]", 422, "invalid_parameters"),
        ("{}", 422, "invalid_parameters"),
        ('{"username": 7, "password": "hunter2-hunter2"}', 422, "invalid_parameters"),
        ('{"username": "ada", "password": ["hunter2-hunter2"]}', 422, "invalid_parameters"),
        ('{"username": "ada", "password": ""}', 422, "invalid_parameters"),
        (json.dumps({"username": "ada", "password": "hunter2-hunter2" * 100}), 422, "invalid_parameters"),
        (json.dumps({"username": "a" * 321, "password": "hunter2-hunter2"}), 422, "invalid_parameters"),
        (json.dumps({"username": "ada", "password": "hunter2-hunter2" * 9_000}), 413, "body_too_large"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_without_repeating_what_it_held(
    http: httpx.Client, content: str, status: int, code: str
) -> None:
    response = http.post(LOGIN, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in response.text


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_media_type_is_refused_with_415(http: httpx.Client, media: str) -> None:
    response = http.post(LOGIN, content=json.dumps(RIGHT), headers={"Content-Type": media})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_can_sign_nobody_in_or_out(http: httpx.Client, headers: dict[str, str]) -> None:
    refused = http.post(LOGIN, json=RIGHT, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
    cookie = sign_in(http)
    refused = http.post(LOGOUT, headers={**headers, "Cookie": cookie})
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
    assert status_with(http, cookie) == 200


def test_our_own_pages_and_programs_can_sign_in(http: httpx.Client, shared_server: KeysteadServer) -> None:
    ours: list[dict[str, str]] = [
        {},
        {"Origin": shared_server.url},
        {"Origin": shared_server.url, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ]
    assert [http.post(LOGIN, json=RIGHT, headers=headers).status_code for headers in ours] == [204] * 4


def test_a_sign_out_ends_the_session_and_takes_the_cookie_away(http: httpx.Client) -> None:
    cookie = sign_in(http)
    response = http.post(LOGOUT, headers={"Cookie": cookie})
    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["cache-control"] == "no-store"
    value, attributes = cookies_of(response)["cloud.sso"]
    assert value.strip('"') == ""
    assert {"max-age=0", "secure", "httponly", "samesite=lax", "path=/"} <= attributes
    assert status_with(http, cookie) == 401


def test_only_a_session_can_be_signed_out(http: httpx.Client, shared_server: KeysteadServer) -> None:
    nobody = http.post(LOGOUT)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    key = shared_server.admin("create-key", "--user", ADA.username, "--title", "sign-out")
    refused = http.post(LOGOUT, auth=(key, ""))
    assert (refused.status_code, refused.json()["code"]) == (403, "credential_not_allowed")


def test_a_new_password_from_another_process_ends_the_session_at_once(server: KeysteadServer) -> None:
    server.admin("create-org", "--name", "acme")
    server.admin(
        *("create-user", "--username", ADA.username, "--email", ADA.email, "--org", "acme", "--password-stdin"),
        stdin=ADA.password,
    )
    with httpx.Client(base_url=server.url) as http:
        cookie = sign_in(http)
        assert status_with(http, cookie) == 200
        server.admin("set-password", "--user", ADA.username, "--password-stdin", stdin="a quiet lake at dawn")
        assert status_with(http, cookie) == 401
        assert http.post(LOGIN, json=RIGHT).status_code == 401


def test_the_log_holds_no_password_and_no_cookie(http: httpx.Client, shared_server: KeysteadServer) -> None:
    cookie = sign_in(http)
    assert http.post(LOGIN, json={**RIGHT, "password": "hunter2-hunter2"}).status_code == 401
    log = shared_server.log_text()
    assert log
    for secret in (cookie.partition("=")[2], ADA.password, "hunter2-hunter2"):
        assert secret not in log


def test_openapi_names_every_answer_of_both_endpoints(http: httpx.Client) -> None:
    document: dict[str, Any] = http.get("/openapi.json").json()
    login, logout = document["paths"][LOGIN]["post"], document["paths"][LOGOUT]["post"]
    assert {"204", "400", "401", "403", "413", "415", "422", "429", "503"} <= set(login["responses"])
    assert {"200", "401", "403", "429", "503"} <= set(logout["responses"])
    schema = login["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["username", "password"]
    assert (schema["properties"]["username"]["maxLength"], schema["properties"]["password"]["maxLength"]) == (320, 1024)
    assert "200" not in login["responses"]
    (scheme,) = [name for alternative in logout["security"] for name in alternative]
    assert document["components"]["securitySchemes"][scheme]["name"] == "cloud.sso"
    assert not login.get("security")
