"""The OpenID provider, with the ACTIVATE SDK: device sign-in from the first request to the last token.

The SDK sends the OAuth forms empty and no other way (contract B3), so those are sent by hand here, as ``pw`` does.
"""

import itertools
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from parallelworks_client.api.authentication import (
    decide_oidc_device_request,
    get_auth_session,
    get_oidc_authorize,
    get_oidc_configuration,
    get_oidc_end_session,
    get_oidc_userinfo,
    list_oidc_connected_apps,
    lookup_oidc_device_request,
    post_oidc_device_authorization,
    post_oidc_introspect,
    post_oidc_revoke,
    post_oidc_token,
    post_oidc_userinfo,
    sign_out_oidc_connected_device,
)
from parallelworks_client.models.decide_device_request_input_body import DecideDeviceRequestInputBody
from parallelworks_client.models.device_code_body import DeviceCodeBody

from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.device import DEVICE_GRANT
from tests.support.server import ADA, KeysteadServer, Person

PW: Final = "pw-cli"
SCOPE: Final = "openid profile email offline_access keys:read"
DORA: Final = Person("dora", "a lantern above nine steps", "dora@example.com", "member")
LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"


def post(server: KeysteadServer, path: str, status: int = 200, **form: str) -> dict[str, Any]:
    """Send a form, hold the answer as those of the SDK are held, and return it."""
    answer = httpx.post(f"{server.url}/api/oidc/{path}", data=form, trust_env=False, timeout=30)
    sdk.check_answer(answer)
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    issued.note(
        *(found[name] for name in ("device_code", "user_code", "access_token", "refresh_token") if name in found)
    )
    return found


def start(server: KeysteadServer, **form: str) -> dict[str, Any]:
    """Ask for codes."""
    return post(server, "device_authorization", 200, **{"client_id": PW, "scope": SCOPE, **form})


def redeem(server: KeysteadServer, codes: dict[str, Any], status: int = 200) -> dict[str, Any]:
    """Poll once."""
    return post(server, "token", status, grant_type=DEVICE_GRANT, client_id=PW, device_code=codes["device_code"])


def decision(codes: dict[str, Any], *, approve: bool = True) -> dict[str, DecideDeviceRequestInputBody]:
    return {"body": DecideDeviceRequestInputBody(approve=approve, user_code=codes["user_code"])}


def code(text: str) -> dict[str, DeviceCodeBody]:
    return {"body": DeviceCodeBody(user_code=text)}


def signed_in(server: KeysteadServer, person: Sdk, **form: str) -> dict[str, Any]:
    """Go the whole way and return the tokens."""
    codes = start(server, **form)
    assert sdk.good(decide_oidc_device_request, person, **decision(codes)).approved
    return redeem(server, codes)


# Where everything is


def test_the_configuration_names_endpoints_that_are_there_and_says_what_is_true(
    server: KeysteadServer, nobody: Sdk
) -> None:
    found = sdk.good(get_oidc_configuration, nobody).to_dict()
    assert found["issuer"] == server.url
    assert found["grant_types_supported"] == [DEVICE_GRANT, "refresh_token"]
    assert (found["response_types_supported"], found["response_modes_supported"]) == ([], [])
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
    assert found["introspection_endpoint_auth_methods_supported"] == ["Bearer"]
    assert set(SCOPE.split()) < set(found["scopes_supported"])
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        for path in ("/.well-known/openid-configuration", "/api/oidc/.well-known/openid-configuration"):
            told = http.get(path)
            assert told.json() == found
            assert told.headers["cache-control"] == "public, max-age=3600"
        for name, address in found.items():
            if name.endswith(("_endpoint", "_uri")) and name not in {"authorization_endpoint", "end_session_endpoint"}:
                assert address.startswith(server.url)
                assert http.request("POST" if name[0] in "tdri" else "GET", urlsplit(address).path).status_code != 404
        kids = {key["kid"] for key in http.get(urlsplit(found["jwks_uri"]).path).json()["keys"]}
    assert kids


def test_the_configuration_is_public_and_a_bad_credential_does_not_matter(server: KeysteadServer) -> None:
    broken = sdk.with_token(server.url, "not a token")
    with sdk.closing(broken):
        assert sdk.good(get_oidc_configuration, broken).issuer == server.url


@pytest.mark.parametrize("function", [get_oidc_authorize, get_oidc_end_session])
def test_what_is_not_offered_says_what_is(nobody: Sdk, ada: Sdk, function: Any) -> None:
    for client in (nobody, ada):
        refused = sdk.bad(function, client, 404)
        assert refused.message == "The authorization-code flow is not offered here. Use device sign-in."


def test_ending_a_session_from_elsewhere_is_not_offered_either(server: KeysteadServer) -> None:
    for path in ("authorize", "end_session"):
        assert "device sign-in" in httpx.post(f"{server.url}/api/oidc/{path}", trust_env=False).json()["detail"]


# From the first request to the last token


def test_a_program_signs_in_is_told_who_that_is_renews_and_signs_out(server: KeysteadServer, ada: Sdk) -> None:
    codes = start(server, device_name="ada's laptop")
    assert codes["verification_uri"] == f"{server.url}/getServiceKeys/device"
    assert redeem(server, codes, 400)["error"] == "authorization_pending"
    assert sdk.good(lookup_oidc_device_request, ada, **code(codes["user_code"])).client_name == "pw CLI"
    assert sdk.good(decide_oidc_device_request, ada, **decision(codes)).approved is True
    tokens = redeem(server, codes)
    assert tokens["scope"] == SCOPE
    client = sdk.with_token(server.url, tokens["access_token"])
    with sdk.closing(client):
        told, again = (sdk.good(function, client).to_dict() for function in (get_oidc_userinfo, post_oidc_userinfo))
        assert told == again
        assert (told["preferred_username"], told["email"]) == (ADA.username, ADA.email)
        assert told["organization"] == "acme"
        assert sdk.good(get_auth_session, client).id == told["sub"]
        renewed = post(server, "token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert "id_token" not in renewed
        assert post(server, "revoke", token=renewed["refresh_token"]) == {}
        assert sdk.bad(get_oidc_userinfo, client, 401)
    refused = post(server, "token", 400, grant_type="refresh_token", refresh_token=renewed["refresh_token"])
    assert refused["error"] == "invalid_grant"


def test_the_id_token_is_verified_as_the_configuration_says_and_is_no_credential(
    server: KeysteadServer, ada: Sdk
) -> None:
    tokens = signed_in(server, ada)
    with httpx.Client(trust_env=False) as http:
        found = http.get(f"{server.url}/.well-known/openid-configuration").json()
        keys = KeySet.import_key_set(http.get(found["jwks_uri"]).json())
        sent = {"Authorization": f"Bearer {tokens['id_token']}"}
        for path in ("/api/auth/session", "/verify", "/api/oidc/userinfo", "/account/service/v1/apps"):
            assert http.get(server.url + path, headers=sent).status_code == 401
    told = jwt.decode(tokens["id_token"], keys, algorithms=found["id_token_signing_alg_values_supported"])
    assert set(told.claims) <= set(found["claims_supported"])
    assert (told.claims["iss"], told.claims["aud"]) == (found["issuer"], PW)
    assert told.claims["preferred_username"] == ADA.username


def test_an_opaque_token_is_taken_wherever_an_access_token_is(server: KeysteadServer, ada: Sdk) -> None:
    tokens = signed_in(server, ada, scope="apps:read")
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {tokens['access_token']}"}, trust_env=False
    ) as http:
        assert http.get("/verify").headers["x-keystead-scopes"] == "apps:read"
        assert http.get("/account/service/v1/apps").status_code == 200
        assert http.get("/account/service/v1/balance").status_code == 403


def test_a_device_that_is_signed_out_is_refused_at_once(server: KeysteadServer, ada: Sdk) -> None:
    tokens = signed_in(server, ada, device_name="the lost one")
    client = sdk.with_token(server.url, tokens["access_token"])
    with sdk.closing(client):
        assert sdk.good(get_oidc_userinfo, client)
        apps = {app.client_id: app for app in sdk.good(list_oidc_connected_apps, ada).apps}
        device = next(one for one in apps[PW].devices if one.device_name == "the lost one")
        sdk.good(sign_out_oidc_connected_device, ada, PW, device.id)
        assert sdk.bad(get_oidc_userinfo, client, 401)


# Who is told what


def test_only_an_access_token_is_told_whose_it_is(
    server: KeysteadServer, ada: Sdk, nobody: Sdk, adas_key: str, adas_token: str
) -> None:
    clients = (sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token))
    with sdk.closing(*clients):
        for function in (get_oidc_userinfo, post_oidc_userinfo):
            assert [sdk.bad(function, client, 403).error for client in (ada, *clients)]
            assert sdk.bad(function, nobody, 401)


@pytest.mark.parametrize(
    ("sent", "status", "challenge"),
    [
        ({}, 401, 'Bearer realm="keystead"'),
        ({"Authorization": "Bearer pwoa_x"}, 401, 'Bearer realm="keystead", error="invalid_token"'),
        ({"Authorization": "Bearer x"}, 401, 'Bearer realm="keystead", error="invalid_token"'),
    ],
)
def test_a_refusal_says_which_credential_is_taken(
    server: KeysteadServer, sent: dict[str, str], status: int, challenge: str
) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{server.url}/api/oidc/userinfo", headers=sent, trust_env=False)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge)


def test_another_kind_of_credential_is_challenged_too(server: KeysteadServer, adas_key: str) -> None:
    answer = httpx.get(f"{server.url}/api/oidc/userinfo", headers={"x-api-key": adas_key}, trust_env=False)
    assert answer.status_code == 403
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_an_empty_form_which_is_all_that_the_sdk_can_send_is_refused_in_words_that_it_reads(
    server: KeysteadServer, ada: Sdk, nobody: Sdk, adas_key: str
) -> None:
    client = sdk.with_key(server.url, adas_key)
    with sdk.closing(client):
        for function in (post_oidc_token, post_oidc_revoke, post_oidc_device_authorization):
            assert sdk.bad(function, nobody, 400).error == "invalid_request"
        assert sdk.bad(post_oidc_introspect, client, 400).error == "invalid_request"
        assert sdk.bad(post_oidc_introspect, nobody, 401).error == "invalid_token"
        assert sdk.bad(post_oidc_introspect, ada, 403).error == "access_denied"


def test_a_key_is_told_about_the_tokens_of_its_organization(server: KeysteadServer, ada: Sdk, adas_key: str) -> None:
    tokens = signed_in(server, ada)
    with httpx.Client(base_url=server.url, auth=(adas_key, ""), trust_env=False) as http:
        told = http.post("/api/oidc/introspect", data={"token": tokens["access_token"]})
        sdk.check_answer(told)
        assert told.json()["active"] is True
        assert (told.json()["client_id"], told.json()["scope"]) == (PW, SCOPE)
        post(server, "revoke", token=tokens["access_token"])
        assert http.post("/api/oidc/introspect", data={"token": tokens["access_token"]}).json() == {"active": False}


# The person's side


def test_a_code_is_found_in_any_dress(server: KeysteadServer, ada: Sdk) -> None:
    letters = start(server)["user_code"].replace("-", "")
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in letters)
    dresses = (letters, letters.lower(), f" {letters[:4]} {letters[4:]} ", f"{letters[:4]}\u2013{letters[4:]}", wide)
    assert {sdk.good(lookup_oidc_device_request, ada, **code(dress)).client_name for dress in dresses} == {"pw CLI"}


def test_a_person_refuses_and_the_program_is_told(server: KeysteadServer, bob: Sdk) -> None:
    codes = start(server)
    assert sdk.good(decide_oidc_device_request, bob, **decision(codes, approve=False)).approved is False
    assert redeem(server, codes, 400)["error"] == "access_denied"


def test_what_was_decided_is_decided(server: KeysteadServer, ada: Sdk, bob: Sdk) -> None:
    for approve in (True, False):
        codes = start(server)
        sdk.good(decide_oidc_device_request, ada, **decision(codes, approve=approve))
        for client in (ada, bob):
            assert "Start again" in sdk.bad(lookup_oidc_device_request, client, 409, **code(codes["user_code"])).message
            sdk.bad(decide_oidc_device_request, client, 409, **decision(codes, approve=not approve))


def test_what_is_no_code_is_named_and_what_nobody_was_given_is_not_found(server: KeysteadServer, ada: Sdk) -> None:
    for text in ("", "BCDF", "BCDF-GHJA", "x" * 101, "BCDF-GHJ\u0000"):
        assert "eight letters" in sdk.bad(lookup_oidc_device_request, ada, 422, **code(text)).message
    unknown = next("".join(one) for one in itertools.permutations(LETTERS, 8))
    sdk.bad(lookup_oidc_device_request, ada, 404, **code(unknown))
    sdk.bad(decide_oidc_device_request, ada, 404, **decision({"user_code": unknown}))


def test_wrong_codes_count_wherever_they_are_tried_and_then_a_right_one_is_not_looked_at(
    server: KeysteadServer,
) -> None:
    server.admin(
        "create-user",
        *("--username", DORA.username, "--email", DORA.email, "--org", "acme", "--role", DORA.role),
        "--password-stdin",
        stdin=f"{DORA.password}\n",
    )
    dora, codes = sdk.with_session(server.url, sdk.sign_in(server.url, DORA)), start(server)
    wrong = itertools.islice(itertools.permutations(LETTERS[::-1], 8), 10)
    with sdk.closing(dora):
        for number, letters in enumerate(wrong):
            if number % 2:
                sdk.bad(lookup_oidc_device_request, dora, 404, **code("".join(letters)))
            else:
                sdk.bad(decide_oidc_device_request, dora, 404, **decision({"user_code": "".join(letters)}))
        sdk.bad(lookup_oidc_device_request, dora, 429, **code(codes["user_code"]))
        sdk.bad(decide_oidc_device_request, dora, 429, **decision(codes))
    assert redeem(server, codes, 400)["error"] == "authorization_pending"


def test_only_a_session_decides_and_no_page_of_another_site_makes_it(
    server: KeysteadServer, ada: Sdk, adas_key: str, adas_token: str
) -> None:
    codes, tokens = start(server), signed_in(server, ada)
    others = (adas_token, tokens["access_token"])
    clients = [sdk.with_key(server.url, adas_key), *(sdk.with_token(server.url, one) for one in others)]
    with sdk.closing(*clients):
        for client in clients:
            sdk.bad(lookup_oidc_device_request, client, 403, **code(codes["user_code"]))
            sdk.bad(decide_oidc_device_request, client, 403, **decision(codes))
    cookie = {"Cookie": f"{sdk.SESSION_COOKIE}={sdk.sign_in(server.url, ADA)}", "Origin": "https://evil.example"}
    body = {"approve": True, "userCode": codes["user_code"]}
    answer = httpx.post(f"{server.url}/api/oidc/device/decision", json=body, headers=cookie, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert redeem(server, codes, 400)["error"] == "authorization_pending"


def test_a_role_that_allows_nothing_of_what_is_asked_for_is_told_so(server: KeysteadServer, bob: Sdk) -> None:
    codes = start(server, scope="apps:delete balance:add")
    sdk.bad(decide_oidc_device_request, bob, 403, **decision(codes))
    assert redeem(server, codes, 400)["error"] == "authorization_pending"
