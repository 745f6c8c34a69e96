"""Who a credential is, as the SDK asks it, whichever credential it has."""

from base64 import b64encode

import httpx
import pytest
from parallelworks_client import Client as HandWritten
from parallelworks_client.api.authentication import get_auth_session
from parallelworks_client.auth import extract_platform_host
from parallelworks_client.problem import ProblemError, raise_for_problem

from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support.server import ADA, KeysteadServer


def test_every_kind_of_credential_is_told_who_it_is(
    server: KeysteadServer, ada: Sdk, adas_key: str, adas_token: str
) -> None:
    clients = (ada, sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token))
    with sdk.closing(*clients):
        told = [sdk.good(get_auth_session, client) for client in clients]
    assert {one.username for one in told} == {ADA.username}
    assert {one.organization for one in told} == {"acme"}


def test_a_key_and_a_token_name_their_host_and_the_sdk_finds_this_server_by_them(
    server: KeysteadServer, adas_key: str, adas_token: str
) -> None:
    for credential in (adas_key, adas_token):
        assert extract_platform_host(credential) == server.url
        with HandWritten.from_credential(credential).sync() as client:
            assert client.get("/api/auth/session").json()["username"] == ADA.username


def test_a_refusal_is_read_by_both_parsers_and_its_type_is_a_page(server: KeysteadServer, adas_token: str) -> None:
    with HandWritten.with_credential(server.url, adas_token + "x").sync() as client:
        answer = client.get("/api/auth/session")
        with pytest.raises(ProblemError) as raised:
            raise_for_problem(answer)
        problem = raised.value
        assert (problem.status, problem.code, problem.language) == (401, "unauthenticated", "en")
        assert client.get(problem.type_url(server.url)).status_code == 200


def test_a_key_is_the_user_name_of_basic_authentication_and_its_password_is_empty(
    server: KeysteadServer, adas_key: str
) -> None:
    address = server.url + "/api/auth/session"
    assert httpx.get(address, auth=(adas_key, ""), trust_env=False).json()["username"] == ADA.username
    refused = httpx.get(address, auth=(adas_key, "a password"), trust_env=False)
    assert refused.status_code == 401
    assert sdk.check_refusal(refused).code == "unauthenticated"


def test_two_methods_in_one_request_are_refused_as_one_too_many(
    server: KeysteadServer, adas_key: str, adas_token: str
) -> None:
    address, cookie = server.url + "/api/auth/session", f"cloud.sso={sdk.sign_in(server.url, ADA)}"
    basic = "Basic " + b64encode(f"{adas_key}:".encode()).decode()
    for several in (
        [("Authorization", f"Bearer {adas_token}"), ("Authorization", basic)],
        [("Authorization", f"Bearer {adas_token}"), ("Cookie", cookie)],
        [("Authorization", basic), ("Cookie", cookie)],
    ):
        refused = httpx.get(address, headers=several, trust_env=False)
        assert refused.status_code == 400
        problem = sdk.check_refusal(refused)
        assert problem.code == "two_credentials"
        assert "only one" in problem.detail


def test_what_is_wrong_with_a_value_is_read_with_the_place_where_it_stands(
    server: KeysteadServer, adas_key: str
) -> None:
    with HandWritten.from_credential(adas_key).sync() as client:
        in_the_query = client.get("/api/auth/token", params={"ttl": "25"})
        in_the_body = client.post("/api/sso/password/login", json={"username": "ada"})
    for answer, path in ((in_the_query, "ttl"), (in_the_body, "password")):
        with pytest.raises(ProblemError) as raised:
            raise_for_problem(answer)
        problem = raised.value
        assert (problem.status, problem.code) == (422, "invalid_parameters")
        assert [one.path for one in problem.errors] == [path]
        assert f"{path}: " in str(problem)
