"""What is public is public on purpose, and who acts comes from the credential alone (promise K5)."""

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest

from keystead.kernel.ids import new_id
from keystead.wire.forms import FORM
from tests.gate.conftest import Ring
from tests.gate.endpoints import JSON, Endpoint, endpoints, values_of
from tests.gate.serving import Furnished, ask, dump, furnished_server, new_key, new_token
from tests.support.browser import Browser
from tests.support.device import CLI_SCOPE, DeviceClient
from tests.support.server import ADA, KeysteadServer
from tests.wire.shapes import check_refusal

PUBLIC = {
    "GET /": "sends to the sign-in page",
    "GET /sign-in": "the form",
    "POST /sign-in": "is how one becomes somebody",
    "POST /sign-out": "of nobody changes nothing; with a session it needs the form's token",
    "POST /api/sso/password/login": "is how one becomes somebody",
    "POST /api/sso/mfa/login": "is how one becomes somebody",
    "POST /api/sso/mfa/webauthn/authenticate": "asks for the passkeys of somebody whose password was right",
    "POST /api/sso/password/reset": "sends a letter to the address of the account, and says the same of every name",
    "POST /api/sso/password/reset/verify": "the token in the letter is the credential",
    "GET /getServiceKeys/device": "sends to the sign-in page",
    "POST /getServiceKeys/device": "sends to the sign-in page; with a session it needs the form's token",
    "POST /getServiceKeys/register": "stores nothing",
    "POST /getServiceKeys/device/code": "stores a request that only a person can approve",
    "POST /getServiceKeys/token": "the code or token in the body is the credential",
    "POST /getServiceKeys/token/revoke": "the token in the body is the credential",
    "GET /sign-in/second-factor": "asks for the code of somebody whose password was right",
    "POST /sign-in/second-factor": "is how one becomes somebody",
    "GET /sign-in/enrol": "shows a new secret to somebody whose password was right",
    "POST /sign-in/enrol": "is how one becomes somebody",
    "GET /sign-in/passkey": "the question for a passkey",
    "POST /sign-in/passkey": "is how one becomes somebody",
    "GET /sign-in/forgot": "the form",
    "POST /sign-in/forgot": "sends a letter to the address that the account has, and says the same of every address",
    "GET /sign-in/reset/{token}": "the link in the letter is the credential",
    "POST /sign-in/reset/{token}": "the link in the letter is the credential",
    "GET /sign-up": "the form",
    "POST /sign-up": "sends a letter, where the operator lets people sign up",
    "GET /sign-up/{link}": "the link in the letter is the credential",
    "POST /sign-up/{link}": "the link in the letter is the credential",
    "GET /invitation": "the invitation that the browser's cookie holds",
    "GET /invitation/{link}": "the link in the letter is the credential",
    "POST /invitation/{link}/accept": "the link is the credential; with a session it needs the form's token",
    "POST /invitation/{link}/join": "the link in the letter is the credential",
    "GET /problems": "documentation",
    "GET /problems/{code}": "documentation",
    "GET /static/{name}": "files of the pages",
    "GET /favicon.ico": "a file of the pages",
    "GET /.well-known/jwks.json": "public keys",
    "GET /.well-known/oauth-authorization-server": "the addresses of the endpoints",
    "GET /.well-known/openid-configuration": "the addresses of the endpoints",
    "GET /api/oidc/.well-known/openid-configuration": "the addresses of the endpoints",
    "GET /api/oidc/authorize": "says that it is not offered",
    "POST /api/oidc/authorize": "says that it is not offered",
    "GET /api/oidc/end_session": "says that it is not offered",
    "POST /api/oidc/end_session": "says that it is not offered",
    "POST /api/oidc/device_authorization": "stores a request that only a person can approve",
    "POST /api/oidc/token": "the code or token in the body is the credential",
    "POST /api/oidc/revoke": "the token in the body is the credential",
    "GET /api/platform/keys": "public keys",
    "GET /.well-known/revocations": "ids of tokens that were taken back, for whoever verifies them",
    "GET /openapi.json": "documentation",
    "GET /account/service/openapi.json": "documentation",
    "GET /healthz": "a probe",
    "GET /healthzz": "a probe",
    "GET /readyz": "a probe",
    "GET /metrics": "only from the networks that the operator names",
}
"""Every address that answers without a permission, and why it may."""


@pytest.fixture(scope="module")
def site(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("routes")) as server:
        yield server


@pytest.fixture(scope="module")
def everything(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, ...]:
    return endpoints(furnished.data, tmp_path_factory.mktemp("endpoints") / "data")


@pytest.fixture(scope="module")
def ids(site: KeysteadServer, everything: tuple[Endpoint, ...]) -> dict[str, str]:
    """Give an app and a key of acme, and a short-term token, a session and a device of ada's."""
    key_id, _ = new_key(site.data, site.url, "ada")
    new_token(site.data, site.url, "ada")
    with Browser(site.url) as browser, DeviceClient(site.url) as device:
        browser.sign_in(ADA.username, ADA.password)
        device.register()
        authorization = device.device_code(CLI_SCOPE)
        browser.approve(authorization.verification_uri_complete)
        device.poll_until_decided(authorization)
    found = {"api_key_id": key_id, "code": "internal", "name": "keystead.css"}
    found["app_id"] = ask(site.data, "SELECT app_id FROM api_key WHERE id = ?", key_id)[0]
    for name, table in (("token_id", "short_term_token"), ("session_id", "session"), ("device_id", "oauth_grant")):
        found[name] = ask(site.data, f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")[0]  # noqa: S608
    return values_of(everything, found)


def claims(furnished: Furnished) -> dict[str, str | int]:
    """Return everything with which a body might try to say who is acting."""
    return {
        "user_id": furnished.ada,
        "userId": furnished.ada,
        "username": "ada",
        "user": "ada",
        "actor_id": furnished.ada,
        "created_by": furnished.ada,
        "org_id": furnished.acme,
        "organization_id": furnished.acme,
        "organization": furnished.acme,
        "role": "owner",
        "admin": 1,
        "scopes": "balance:add",
        "scope": "keys:read",
        "app_name": f"Claimed {new_id()}",
        "api_key_name": "claimed",
        "amount_cents": 500,
        "idempotency_key": new_id(),
        "client_name": "claimed",
        "client_id": "no-client",
        "decision": "approve",
        "user_code": "BCDF-GHJK",
        "token": "pwr_x",
        "grant_type": "refresh_token",
        "refresh_token": "pwr_x",
        "overlap_seconds": 0,
    }


def test_every_address_asks_for_a_permission_or_is_public_on_purpose(everything: tuple[Endpoint, ...]) -> None:
    unguarded = {str(one) for one in everything if not one.guarded and not asks_to_sign_in(one)}
    assert unguarded - set(PUBLIC) == set(), "an address is public that nobody meant to be"
    assert set(PUBLIC) - {str(one) for one in everything} == set(), "the list names an address that is gone"


def asks_to_sign_in(one: Endpoint) -> bool:
    """Tell whether an address is a page of settings, which the next test asks."""
    return one.page and one.path.startswith("/settings")


def test_every_page_of_settings_sends_to_the_sign_in_page_whoever_is_not_signed_in(
    site: KeysteadServer, everything: tuple[Endpoint, ...], ids: dict[str, str], furnished: Furnished
) -> None:
    tried = 0
    for one in everything:
        if asks_to_sign_in(one):
            for cookie in ({}, {"Cookie": "cloud.sso=x"}, {"Cookie": "cloud.sso=kss_" + "a" * 45}):
                body = claims(furnished) if one.reads else None
                answer = httpx.request(one.method, site.url + one.at(ids), data=body, headers=cookie)
                assert answer.status_code == 303, str(one)
                assert answer.headers["location"].startswith("/sign-in?next=%2Fsettings"), str(one)
                tried += 1
    assert tried > 200


def test_every_address_that_asks_for_a_permission_is_401_without_a_credential(
    site: KeysteadServer, everything: tuple[Endpoint, ...], ids: dict[str, str], furnished: Furnished
) -> None:
    guarded = [one for one in everything if one.guarded]
    for one in guarded:
        for body in ({}, claims(furnished)):
            answer = httpx.request(one.method, site.url + one.at(ids), json=body if one.reads else None)
            assert answer.status_code == 401, str(one)
            assert answer.headers["www-authenticate"], str(one)
            check_refusal(answer)
    assert len(guarded) >= 10


def test_whatever_is_sent_without_a_credential_changes_nothing(
    site: KeysteadServer, everything: tuple[Endpoint, ...], ids: dict[str, str], furnished: Furnished
) -> None:
    said = claims(furnished)
    attempts = (
        ({"Content-Type": JSON}, json.dumps(said)),
        ({"Content-Type": FORM}, urlencode(said)),
        ({"Authorization": "Bearer x", "Content-Type": JSON, "X-HTTP-Method-Override": "DELETE"}, "{}"),
        ({"Cookie": "cloud.sso=x", "X-Keystead-User": "ada", "Content-Type": JSON}, json.dumps(said)),
    )
    before = dump(site.data)
    with httpx.Client(base_url=site.url, trust_env=False) as nobody:
        for one in everything:
            for method in {one.method, "POST", "PUT", "PATCH", "DELETE"}:
                for headers, content in attempts:
                    address = f"{one.at(ids)}?{urlencode(said)}"
                    answer = nobody.request(method, address, headers=headers, content=content)
                    assert answer.status_code < 500, (method, str(one), answer.text)
    assert dump(site.data) == before


def test_the_acting_person_and_organization_come_from_the_credential_and_never_from_the_body(
    site: KeysteadServer, furnished: Furnished
) -> None:
    eve = {"Authorization": f"Bearer {new_token(site.data, site.url, 'eve')}", "X-Organization": furnished.acme}
    said = claims(furnished)
    base = f"{site.url}/account/service/v1"
    made = httpx.post(f"{base}/apps?org_id={furnished.acme}", json=said, headers=eve).json()["app_id"]
    key = httpx.post(f"{base}/apps/{made}/keys", json=said, headers=eve).json()
    added = httpx.post(f"{base}/balance/add", json=said, headers=eve).json()
    assert ask(site.data, "SELECT organization_id FROM app WHERE id = ?", made) == [furnished.globex]
    assert ask(site.data, "SELECT created_by FROM app WHERE id = ?", made) == [furnished.eve]
    assert key["created_by_user_id"] == furnished.eve
    assert added["org_id"] == furnished.globex
    assert ask(site.data, "SELECT COUNT(*) FROM ledger_entry WHERE organization_id = ?", furnished.acme) == [0]


def test_what_is_another_organizations_or_somebody_elses_is_404_and_stays_as_it_is(
    site: KeysteadServer, furnished: Furnished, everything: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    eve = {"Authorization": f"Bearer {new_token(site.data, site.url, 'eve')}"}
    before = dump(site.data)
    tried = 0
    for one in everything:
        if one.path.startswith("/account/") and one.parameters:
            body = claims(furnished) if one.reads else None
            answer = httpx.request(one.method, site.url + one.at(ids), json=body, headers=eve)
            assert answer.status_code == 404, str(one)
            tried += 1
    assert tried >= 9
    assert dump(site.data) == before


@pytest.mark.parametrize("kind", ["api_key", "session"])
def test_the_account_api_takes_bearer_tokens_and_no_other_credential(
    http: httpx.Client, ring: Ring, everything: tuple[Endpoint, ...], furnished: Furnished, kind: str
) -> None:
    sent = {"Cookie": f"cloud.sso={ring.session}"} if kind == "session" else {"x-api-key": ring.api_key}
    values = {name: new_id() for one in everything for name in one.parameters}
    for one in everything:
        if one.guarded and one.path.startswith("/account/"):
            body = claims(furnished) if one.reads else None
            answer = http.request(one.method, one.at(values), json=body, headers=sent)
            assert answer.status_code == 403, str(one)
            assert answer.json() == {
                "detail": "This kind of credential cannot be used here. "
                "Use the kind of credential that the endpoint's documentation names."
            }


def test_a_member_reads_but_does_not_spend_or_delete_for_everybody(
    site: KeysteadServer, ids: dict[str, str], furnished: Furnished
) -> None:
    bob = {"Authorization": f"Bearer {new_token(site.data, site.url, 'bob')}"}
    base = f"{site.url}/account/service/v1"
    before = dump(site.data)
    refused = [
        httpx.post(f"{base}/apps", json=claims(furnished), headers=bob),
        httpx.delete(f"{base}/apps/{ids['app_id']}", headers=bob),
        httpx.post(f"{base}/balance/add", json=claims(furnished), headers=bob),
        httpx.delete(f"{base}/apps/{ids['app_id']}/keys/{ids['api_key_id']}", headers=bob),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4
    assert httpx.get(f"{base}/apps", headers=bob).status_code == 200
    assert dump(site.data) == before
