"""Acting as somebody else, as the ACTIVATE SDK asks for it."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import httpx
import pytest
from parallelworks_client.api.api_keys import create_apikey
from parallelworks_client.api.authentication import delete_impersonate, get_auth_session, post_impersonate, post_logout
from parallelworks_client.models.create_api_key_input_body import CreateAPIKeyInputBody
from parallelworks_client.models.post_impersonate_input_body import PostImpersonateInputBody

from tests.interop.activate import sdk
from tests.interop.activate.conftest import ROOT
from tests.interop.activate.sdk import SESSION_COOKIE, Sdk
from tests.support.server import ADA, KeysteadServer

Follow: TypeAlias = Callable[[Sdk, str], Sdk]
REASON = "request 4711"


def body(username: str = "ada", reason: str = REASON) -> PostImpersonateInputBody:
    return PostImpersonateInputBody(reason=reason, username=username)


@pytest.fixture
def follow(server: KeysteadServer) -> Iterator[Follow]:
    """Give a function that asks as the SDK does, and returns the SDK with the cookie that it was given."""
    opened: list[Sdk] = []

    def go(client: Sdk, method: str) -> Sdk:
        sent = body().to_dict() if method == "POST" else None
        answer = client.get_httpx_client().request(method, "/api/sso/impersonate", json=sent)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
        opened.append(sdk.with_session(server.url, answer.cookies[SESSION_COOKIE]))
        return opened[-1]

    yield go
    with sdk.closing(*opened):
        pass


@pytest.fixture
def acting(follow: Follow, root: Sdk) -> Sdk:
    """Give the SDK with a session in which root acts as ada."""
    return follow(root, "POST")


def test_an_operator_acts_as_somebody_and_stops(follow: Follow, root: Sdk) -> None:
    acting = follow(root, "POST")
    told = sdk.good(get_auth_session, acting)
    assert (told.username, told.impersonated_by) == (ADA.username, ROOT.username)
    sdk.bad(get_auth_session, root, 401)
    renewed = follow(acting, "DELETE")
    told = sdk.good(get_auth_session, renewed)
    assert told.username == ROOT.username
    assert not told.impersonated_by
    sdk.bad(get_auth_session, acting, 401)


def test_the_sdk_reads_the_answer_to_a_beginning(root: Sdk) -> None:
    assert sdk.good(post_impersonate, root, body=body()) is None


def test_the_sdk_reads_the_answer_to_an_end(acting: Sdk) -> None:
    assert sdk.good(delete_impersonate, acting) is None


def test_while_acting_nothing_is_made_and_the_refusal_says_why(acting: Sdk) -> None:
    refusal = sdk.bad(create_apikey, acting, 403, body=CreateAPIKeyInputBody(title="hers"))
    assert refusal.code == "impersonating"
    assert "Stop acting" in refusal.message


def test_who_acts_already_is_told_so(acting: Sdk) -> None:
    assert "already" in sdk.bad(post_impersonate, acting, 409, body=body("bob")).message


def test_who_acts_as_nobody_has_nothing_to_stop(root: Sdk, ada: Sdk) -> None:
    for client in (root, ada):
        assert "nothing to stop" in sdk.bad(delete_impersonate, client, 409).message


def test_only_operators_act_as_somebody(ada: Sdk, bob: Sdk) -> None:
    for client in (ada, bob):
        assert sdk.bad(post_impersonate, client, 403, body=body("bob")).code == "forbidden"


def test_keys_and_tokens_neither_begin_nor_stop(server: KeysteadServer, adas_key: str, adas_token: str) -> None:
    for client in (sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token)):
        with sdk.closing(client):
            assert sdk.bad(post_impersonate, client, 403, body=body("bob")).code == "credential_not_allowed"
            assert sdk.bad(delete_impersonate, client, 403).code == "credential_not_allowed"


def test_an_unknown_name_is_not_found(root: Sdk) -> None:
    assert sdk.bad(post_impersonate, root, 404, body=body("nobody")).code == "not_found"


def test_nobody_acts_as_themselves(root: Sdk) -> None:
    assert sdk.bad(post_impersonate, root, 409, body=body(ROOT.username)).code == "conflict"


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "a" * 201])
def test_a_reason_that_does_not_do_is_refused_on_its_field(root: Sdk, reason: str) -> None:
    refusal = sdk.bad(post_impersonate, root, 422, body=body(reason=reason))
    assert refusal.code == "invalid_parameters"
    answer = root.get_httpx_client().post("/api/sso/impersonate", json={"username": "ada", "reason": reason})
    assert [one["pointer"] for one in answer.json()["errors"]] == ["#/reason"]


@pytest.mark.parametrize("sent", [{}, {"username": "ada"}, {"reason": REASON}, {"username": 1, "reason": REASON}, []])
def test_a_body_without_both_is_refused(root: Sdk, sent: object) -> None:
    assert root.get_httpx_client().post("/api/sso/impersonate", json=sent).status_code == 422


def test_nobody_who_is_not_signed_in_acts_as_somebody(nobody: Sdk) -> None:
    assert sdk.bad(post_impersonate, nobody, 401, body=body()).code == "unauthenticated"
    assert sdk.bad(delete_impersonate, nobody, 401).code == "unauthenticated"


def test_signing_out_while_acting_signs_the_operator_out(follow: Follow, root: Sdk) -> None:
    acting = follow(root, "POST")
    sdk.good(post_logout, acting)
    refusals = [sdk.bad(get_auth_session, client, 401).code for client in (acting, root)]
    assert refusals == ["unauthenticated", "unauthenticated"]


def test_the_answer_is_not_kept_and_its_cookie_is_guarded(root: Sdk) -> None:
    answer: httpx.Response = root.get_httpx_client().post("/api/sso/impersonate", json=body().to_dict())
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert all(guard in cookie for guard in ("Secure", "HttpOnly", "SameSite=lax", "Max-Age=3600"))
