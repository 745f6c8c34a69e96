"""GET /api/auth/token, as the SDK asks for it with each kind of credential."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from parallelworks_client.api.api_keys import create_apikey, delete_apikey, get_apikeys
from parallelworks_client.api.authentication import get_auth_session, get_auth_token, get_keys
from parallelworks_client.auth import extract_platform_host
from parallelworks_client.models.create_api_key_input_body import CreateAPIKeyInputBody

from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.browser import Browser
from tests.support.device import DeviceClient
from tests.support.server import BOB, KeysteadServer

HOUR: Final = 3_600


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def token_of(client: Sdk, **options: Any) -> str:
    found: str = sdk.good(get_auth_token, client, **options)
    issued.note(found)
    return found


def access_token(server: KeysteadServer, scope: str) -> str:
    """Sign a device of bob's in."""
    with Browser(server.url) as browser, DeviceClient(server.url) as device:
        browser.sign_in(BOB.username, BOB.password)
        device.register()
        authorization = device.device_code(scope)
        browser.approve(authorization.verification_uri_complete)
        return device.poll_until_decided(authorization).access_token


@pytest.fixture
def bobs_key(server: KeysteadServer, bob: Sdk) -> Iterator[tuple[str, Sdk]]:
    """Give the id of a fresh key of bob's that can do all that such a key can, and the SDK with it."""
    made = sdk.good(create_apikey, bob, body=CreateAPIKeyInputBody())
    issued.note(made.key)
    client = sdk.with_key(server.url, made.key)
    with sdk.closing(client):
        yield made.id, client


def test_a_session_a_key_and_an_access_token_get_a_token_that_acts_as_the_same_person(
    server: KeysteadServer, bob: Sdk, bobs_key: tuple[str, Sdk]
) -> None:
    with_token = sdk.with_token(server.url, access_token(server, "keys:read tokens:create"))
    with sdk.closing(with_token):
        for client in (bob, bobs_key[1], with_token):
            token = token_of(client)
            fresh = sdk.with_token(server.url, token)
            with sdk.closing(fresh):
                assert sdk.good(get_auth_session, fresh).username == BOB.username
                assert sdk.good(get_apikeys, fresh)


def test_the_token_is_a_jwt_in_quotes_that_names_the_server_and_verifies_with_the_platforms_keys(
    server: KeysteadServer, ada: Sdk, nobody: Sdk
) -> None:
    answer = ada.get_httpx_client().get("/api/auth/token?ttl=24")
    token = answer.json()
    issued.note(token)
    assert answer.text == f'"{token}"'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert extract_platform_host(token) == server.url
    keys = KeySet.import_key_set(sdk.good(get_keys, nobody).to_dict())
    verified = jwt.decode(token, keys, algorithms=["RS256"])
    assert verified.claims["exp"] - verified.claims["iat"] == 24 * HOUR


@pytest.mark.parametrize(("options", "hours"), [({}, 24), ({"ttl": 1}, 1), ({"ttl": 7}, 7), ({"ttl": 24}, 24)])
def test_the_token_is_valid_for_as_many_hours_as_were_asked_for(ada: Sdk, options: dict[str, Any], hours: int) -> None:
    claims = claims_of(token_of(ada, **options))
    assert claims["exp"] - claims["iat"] == hours * HOUR


@pytest.mark.parametrize("ttl", ["0", "25", "-1", "x", "1e1", "٣", " 7", "7 ", "7.0", "1_0", "9" * 400])
def test_a_life_that_is_no_number_of_hours_in_a_day_is_refused_by_name(ada: Sdk, ttl: str) -> None:
    answer = ada.get_httpx_client().get("/api/auth/token", params={"ttl": ttl})
    assert answer.status_code == 422
    assert [(one["in"], one["parameter"]) for one in answer.json()["errors"]] == [("query", "ttl")]
    if ttl.isascii() and ttl.strip("-").isdecimal() and len(ttl) < 5:
        assert "1 to 24" in sdk.bad(get_auth_token, ada, 422, ttl=int(ttl)).message


@pytest.mark.parametrize("query", ["ttl=1&ttl=2", "ttl=%FF", "ttl=1%00"])
def test_a_query_that_cannot_be_read_is_refused(ada: Sdk, query: str) -> None:
    answer = ada.get_httpx_client().get(f"/api/auth/token?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_without_a_life_it_is_a_day(ada: Sdk) -> None:
    for query in ("", "?ttl="):
        token = ada.get_httpx_client().get(f"/api/auth/token{query}").json()
        issued.note(token)
        assert claims_of(token)["exp"] - claims_of(token)["iat"] == 24 * HOUR


def test_a_token_makes_no_other_one_and_says_what_does(server: KeysteadServer, adas_token: str) -> None:
    client = sdk.with_token(server.url, adas_token)
    with sdk.closing(client):
        refusal = sdk.bad(get_auth_token, client, 403)
        assert refusal.code == "credential_not_allowed"
        assert "API key" in refusal.message
        assert sdk.bad(get_auth_token, client, 403, ttl=25).code == "credential_not_allowed"


def test_an_access_token_needs_the_scope_to_make_one(server: KeysteadServer) -> None:
    client = sdk.with_token(server.url, access_token(server, "keys:read"))
    with sdk.closing(client):
        assert sdk.bad(get_auth_token, client, 403).code == "insufficient_scope"


def test_a_token_can_do_no_more_than_the_key_and_a_key_that_can_do_nothing_makes_one_that_can_do_nothing(
    server: KeysteadServer, bob: Sdk, bobs_key: tuple[str, Sdk]
) -> None:
    plain = sdk.with_key(server.url, server.admin("create-key", "--user", BOB.username, "--title", "does nothing"))
    of_plain, of_able = token_of(plain), token_of(bobs_key[1])
    with_nothing, with_some = sdk.with_token(server.url, of_plain), sdk.with_token(server.url, of_able)
    with sdk.closing(plain, with_nothing, with_some):
        assert claims_of(of_plain)["scope"] == ""
        assert claims_of(of_able)["scope"] == "keys:read keys:delete sessions:read devices:read devices:delete"
        assert sdk.good(get_auth_session, with_nothing).username == BOB.username
        assert sdk.bad(get_apikeys, with_nothing, 403).code == "insufficient_scope"
        assert sdk.bad(delete_apikey, with_nothing, 403, "does nothing").code == "insufficient_scope"
        base = f"{server.url}/account/service/v1"
        for path in ("/keys", "/apps", "/tokens", "/balance"):
            answer = httpx.get(base + path, headers={"Authorization": f"Bearer {of_plain}"}, trust_env=False)
            assert answer.status_code == 403, path
        sdk.good(delete_apikey, with_some, "does nothing")
        sdk.bad(get_auth_session, with_nothing, 401)
        sdk.bad(get_auth_session, plain, 401)


def test_with_its_key_a_token_ends_at_once_whoever_asked_a_moment_before(
    server: KeysteadServer, bob: Sdk, bobs_key: tuple[str, Sdk]
) -> None:
    key_id, with_key = bobs_key
    tokens = [sdk.with_token(server.url, token_of(with_key)) for _ in range(3)]
    with sdk.closing(*tokens):
        for token in tokens:
            assert sdk.good(get_auth_session, token).username == BOB.username
        sdk.good(delete_apikey, bob, key_id)
        for token in tokens:
            sdk.bad(get_auth_session, token, 401)
        sdk.bad(get_auth_token, with_key, 401)


def test_a_token_does_not_outlive_its_key(server: KeysteadServer, bob: Sdk) -> None:
    made = sdk.good(create_apikey, bob, body=CreateAPIKeyInputBody(expires_in=900))
    issued.note(made.key)
    with_key = sdk.with_key(server.url, made.key)
    with sdk.closing(with_key):
        assert claims_of(token_of(with_key))["exp"] == made.expiration.timestamp()


def test_a_page_of_another_site_gets_no_token_out_of_a_browser(ada: Sdk) -> None:
    for site in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        answer = ada.get_httpx_client().get("/api/auth/token", headers=site)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


def test_an_operator_who_acts_as_somebody_else_gets_no_token(server: KeysteadServer, root: Sdk) -> None:
    said = {"username": BOB.username, "reason": "he asked why it fails"}
    begun = root.get_httpx_client().post("/api/sso/impersonate", json=said)
    cookie = re.search(rf"{sdk.SESSION_COOKIE}=([^;]+)", begun.headers["set-cookie"])
    assert cookie
    acting = sdk.with_session(server.url, cookie[1])
    with sdk.closing(acting):
        assert sdk.good(get_auth_session, acting).username == BOB.username
        assert sdk.bad(get_auth_token, acting, 403).code == "impersonating"
