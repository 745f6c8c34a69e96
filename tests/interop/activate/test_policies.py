"""Policies of an organization and of the platform, as the SDK reads, sets and unsets them, and what they do."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import httpx
import pytest
from parallelworks_client.api.api_keys import create_apikey
from parallelworks_client.api.authentication import get_auth_session
from parallelworks_client.api.policies import (
    delete_organization_policy,
    delete_platform_policy,
    get_organization_policies,
    get_platform_policies,
    set_organization_disable_device_login_policy,
    set_organization_disable_password_login_policy,
    set_organization_enforce_mfa_policy,
    set_organization_enforce_webauthn_mfa_policy,
    set_organization_event_retention_days_policy,
    set_organization_max_api_key_ttl_policy,
    set_organization_no_root_access_policy,
    set_platform_disable_device_login_policy,
    set_platform_disable_password_login_policy,
    set_platform_max_api_key_ttl_policy,
    set_platform_no_root_access_policy,
)
from parallelworks_client.models.create_api_key_input_body import CreateAPIKeyInputBody
from parallelworks_client.models.set_organization_enforce_webauthn_mfa_policy_body import (
    SetOrganizationEnforceWebauthnMfaPolicyBody,
)
from sqlalchemy import delete, update

from keystead.db import Command
from keystead.db.tables import NO_POLICIES, organization, platform_policy, user
from keystead.services import Services
from keystead.sessions.models import SignedIn, Visit
from tests.factors.authenticator import Authenticator
from tests.gate.serving import in_process
from tests.interop.activate import sdk
from tests.interop.activate.entering import add_person, run
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.device import DeviceClient, OAuthError
from tests.support.server import ADA, BOB, KeysteadServer, Person

PASSWORD_LOGIN: Final = "disable-password-login"
DEVICE_LOGIN: Final = "disable-device-login"
TTL: Final = "max-api-key-ttl"
MFA: Final = "enforce-mfa"
OF_ACME: Final = "/api/organizations/acme/policies"
OF_PLATFORM: Final = "/api/platform/policies"
_NO_PLATFORM: Final = Command(delete(platform_policy))
_NO_POLICIES: Final = Command(update(organization).values(**NO_POLICIES))
_OPERATOR: Final = Command(update(user).where(user.c.username == "otto").values(platform_admin=1))


@dataclass(frozen=True)
class Keyholder:
    """Somebody with a passkey, and the SDK in a session that it began."""

    person: Person
    sdk: Sdk


@pytest.fixture(autouse=True)
def unset(server: KeysteadServer) -> Iterator[None]:
    """Leave no policy behind."""
    yield
    run(server, _NO_PLATFORM)
    run(server, _NO_POLICIES)


def enter(server: KeysteadServer, person: Person) -> str:
    """Give somebody a passkey, sign in with it alone, and return the session's cookie."""
    phone = Authenticator(server.url)

    async def work(services: Services) -> str:
        found = await services.accounts.user_by_name(person.username)
        if found is None:
            raise LookupError(person.username)
        options = services.factors.registration_options(found.id, person.username, [])
        await services.factors.add_passkey(found.id, phone.create(options.json), options.challenge, "phone")
        question = services.sessions.steps.passkey_alone("a browser")
        answer = phone.get(question.options)
        begun = await services.sessions.steps.sign_in_with_passkey(
            answer, question.token, "a browser", Visit(address="127.0.0.1")
        )
        if not isinstance(begun, SignedIn):
            raise LookupError(person.username)
        return begun.secret.reveal()

    cookie = in_process(server.data, server.url, work)
    issued.note(cookie)
    return cookie


@pytest.fixture(scope="module")
def olga(server: KeysteadServer) -> Iterator[Keyholder]:
    """Give an owner of acme with a passkey."""
    person = add_person(server, "olga", role="owner")
    one = Keyholder(person, sdk.with_session(server.url, enter(server, person)))
    with sdk.closing(one.sdk):
        yield one


@pytest.fixture(scope="module")
def otto(server: KeysteadServer) -> Iterator[Keyholder]:
    """Give an operator with a passkey."""
    person = add_person(server, "otto", organization="operators", role="owner")
    run(server, _OPERATOR)
    one = Keyholder(person, sdk.with_session(server.url, enter(server, person)))
    with sdk.closing(one.sdk):
        yield one


def shown(found: Any) -> dict[str, tuple[str, Any]]:
    """Return the level and the value of each policy of a map, by name."""
    policies = found.additional_properties
    assert all(policy.name == name for name, policy in policies.items())
    return {name: (policy.level, policy.value) for name, policy in policies.items()}


def own(client: Sdk) -> dict[str, tuple[str, Any]]:
    return shown(sdk.good(get_organization_policies, client, "acme"))


def of_platform(client: Sdk) -> dict[str, tuple[str, Any]]:
    return shown(sdk.good(get_platform_policies, client))


def send(client: Sdk, method: str, path: str, content: bytes, media: str = "application/json") -> httpx.Response:
    """Send any bytes with the credential of an SDK."""
    http: httpx.Client = client.get_httpx_client()
    return http.request(method, path, content=content, headers={"Content-Type": media})


OF_ORGANIZATION_SET: Final = (
    (set_organization_max_api_key_ttl_policy, TTL, 90),
    (set_organization_enforce_mfa_policy, MFA, True),
    (set_organization_disable_password_login_policy, PASSWORD_LOGIN, True),
    (set_organization_disable_device_login_policy, DEVICE_LOGIN, True),
)
OF_PLATFORM_SET: Final = (
    (set_platform_max_api_key_ttl_policy, TTL, 30),
    (set_platform_disable_password_login_policy, PASSWORD_LOGIN, True),
    (set_platform_disable_device_login_policy, DEVICE_LOGIN, True),
)


@pytest.mark.parametrize(("function", "name", "value"), OF_ORGANIZATION_SET)
def test_an_owner_sets_reads_and_unsets_a_policy_of_the_organization(
    olga: Keyholder, function: ModuleType, name: str, value: int
) -> None:
    assert own(olga.sdk) == {}
    assert shown(sdk.good(function, olga.sdk, "acme", body=value)) == {name: ("organization", value)}
    assert own(olga.sdk) == {name: ("organization", value)}
    assert sdk.good(delete_organization_policy, olga.sdk, "acme", name) is None
    assert own(olga.sdk) == {}
    assert sdk.good(delete_organization_policy, olga.sdk, "acme", name) is None


@pytest.mark.parametrize(("function", "name", "value"), OF_PLATFORM_SET)
def test_an_operator_sets_reads_and_unsets_a_policy_of_the_platform(
    otto: Keyholder, function: ModuleType, name: str, value: int
) -> None:
    assert of_platform(otto.sdk) == {}
    assert shown(sdk.good(function, otto.sdk, body=value)) == {name: ("platform", value)}
    assert of_platform(otto.sdk) == {name: ("platform", value)}
    assert sdk.good(delete_platform_policy, otto.sdk, name) is None
    assert of_platform(otto.sdk) == {}


def test_a_second_factor_can_be_asked_of_the_whole_platform_though_the_sdk_has_no_function_for_it(
    server: KeysteadServer, otto: Keyholder, bob: Sdk
) -> None:
    assert sdk.good(get_auth_session, bob).username == BOB.username
    answer = send(otto.sdk, "POST", f"{OF_PLATFORM}/{MFA}", b"true")
    assert answer.json() == {MFA: {"level": "platform", "name": MFA, "value": True}}
    assert sdk.bad(get_auth_session, bob, 401)
    assert sdk.good(get_auth_session, otto.sdk).username == "otto"
    refused = httpx.post(
        f"{server.url}/api/sso/password/login",
        json={"username": BOB.username, "password": BOB.password},
        trust_env=False,
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")


def test_0_and_false_unset_a_policy_and_the_answer_says_so(olga: Keyholder) -> None:
    for function, name, value in OF_ORGANIZATION_SET:
        sdk.good(function, olga.sdk, "acme", body=value)
        off = type(value)(0)
        assert shown(sdk.good(function, olga.sdk, "acme", body=off)) == {name: ("organization", off)}
    assert own(olga.sdk) == {}


def test_the_stricter_of_both_is_shown_with_who_asks_for_it(olga: Keyholder, otto: Keyholder) -> None:
    sdk.good(set_platform_max_api_key_ttl_policy, otto.sdk, body=30)
    assert own(olga.sdk) == {TTL: ("platform", 30)}
    answered = sdk.good(set_organization_max_api_key_ttl_policy, olga.sdk, "acme", body=90)
    assert shown(answered) == {TTL: ("platform", 30)}
    answered = sdk.good(set_organization_max_api_key_ttl_policy, olga.sdk, "acme", body=7)
    assert shown(answered) == {TTL: ("organization", 7)}
    sdk.good(set_platform_disable_device_login_policy, otto.sdk, body=True)
    answered = sdk.good(set_organization_disable_device_login_policy, olga.sdk, "acme", body=False)
    assert shown(answered) == {DEVICE_LOGIN: ("platform", True)}
    assert own(olga.sdk) == {TTL: ("organization", 7), DEVICE_LOGIN: ("platform", True)}
    assert of_platform(otto.sdk) == {TTL: ("platform", 30), DEVICE_LOGIN: ("platform", True)}


def test_a_key_lives_no_longer_than_either_allows(ada: Sdk, olga: Keyholder, otto: Keyholder) -> None:
    sdk.good(set_organization_max_api_key_ttl_policy, olga.sdk, "acme", body=90)
    sdk.good(set_platform_max_api_key_ttl_policy, otto.sdk, body=30)
    sdk.bad(create_apikey, ada, 422, body=CreateAPIKeyInputBody(title="two months", duration="60"))
    made = sdk.good(create_apikey, ada, body=CreateAPIKeyInputBody(title="a month", duration="30"))
    assert made.title == "a month"


WRONG: Final = (b"true", b"false", b'"90"', b"90.5", b"1e400", b"-1", b"3651", b"{}", b"[90]", b"null")


@pytest.mark.parametrize("content", [*WRONG, b"1" * 4_000])
def test_days_are_a_whole_number_and_nothing_else(olga: Keyholder, content: bytes) -> None:
    answer = send(olga.sdk, "POST", f"{OF_ACME}/{TTL}", content)
    assert answer.status_code == 422
    assert "from 0 to 3650" in answer.json()["message"]
    assert own(olga.sdk) == {}


@pytest.mark.parametrize("content", [b"90", b"90.0", b"9e1", b" 90 "])
def test_days_may_be_written_in_every_way_that_json_has_for_them(olga: Keyholder, content: bytes) -> None:
    answer = send(olga.sdk, "POST", f"{OF_ACME}/{TTL}", content)
    assert answer.content == b'{"max-api-key-ttl":{"level":"organization","name":"max-api-key-ttl","value":90}}'


@pytest.mark.parametrize("content", [b"1", b"0", b'"true"', b"{}", b"[]", b"null", b"1.0"])
def test_a_policy_that_is_on_or_off_is_true_or_false_and_nothing_else(olga: Keyholder, content: bytes) -> None:
    for name in (MFA, PASSWORD_LOGIN, DEVICE_LOGIN):
        answer = send(olga.sdk, "POST", f"{OF_ACME}/{name}", content)
        assert answer.status_code == 422
        assert "true or false" in answer.json()["message"]
    assert own(olga.sdk) == {}


def test_what_is_no_json_is_refused_before_anything_is_set(olga: Keyholder) -> None:
    for content in (b"", b"tru", b"\xff", b"9 0"):
        assert send(olga.sdk, "POST", f"{OF_ACME}/{TTL}", content).status_code == 400
    assert send(olga.sdk, "POST", f"{OF_ACME}/{TTL}", b"90", "text/plain").status_code == 415
    assert own(olga.sdk) == {}


@pytest.mark.parametrize(
    ("function", "arguments", "body"),
    [
        (set_organization_event_retention_days_policy, ("acme",), 30),
        (set_organization_no_root_access_policy, ("acme",), True),
        (set_organization_enforce_webauthn_mfa_policy, ("acme",), SetOrganizationEnforceWebauthnMfaPolicyBody.HARDWARE),
        (set_platform_no_root_access_policy, (), True),
    ],
)
def test_a_policy_that_this_server_does_not_have_is_not_found_and_it_says_which_there_are(
    olga: Keyholder, otto: Keyholder, function: ModuleType, arguments: tuple[str, ...], body: Any
) -> None:
    client = olga.sdk if arguments else otto.sdk
    assert "max-api-key-ttl, enforce-mfa" in sdk.bad(function, client, 404, *arguments, body=body).message
    assert own(olga.sdk) == {}


def test_an_unknown_name_is_not_found_when_it_is_unset(olga: Keyholder, otto: Keyholder) -> None:
    assert "no policy of this name" in sdk.bad(delete_organization_policy, olga.sdk, 404, "acme", "no-such").message
    assert "no policy of this name" in sdk.bad(delete_platform_policy, otto.sdk, 404, "no-such").message


def test_another_organization_is_not_found_whoever_asks(olga: Keyholder, otto: Keyholder) -> None:
    for client, name in ((olga.sdk, "operators"), (otto.sdk, "acme"), (olga.sdk, "no-such")):
        assert sdk.bad(get_organization_policies, client, 404, name)
        assert sdk.bad(set_organization_max_api_key_ttl_policy, client, 404, name, body=90)
        assert sdk.bad(delete_organization_policy, client, 404, name, TTL)
    assert own(olga.sdk) == {}


def test_a_member_neither_reads_nor_sets_policies(bob: Sdk, olga: Keyholder) -> None:
    sdk.bad(get_organization_policies, bob, 403, "acme")
    for function, _, value in OF_ORGANIZATION_SET:
        sdk.bad(function, bob, 403, "acme", body=value)
    sdk.bad(delete_organization_policy, bob, 403, "acme", TTL)
    assert own(olga.sdk) == {}


def test_an_owner_of_an_organization_has_nothing_to_say_about_the_platform(olga: Keyholder, otto: Keyholder) -> None:
    sdk.bad(get_platform_policies, olga.sdk, 403)
    for function, _, value in OF_PLATFORM_SET:
        sdk.bad(function, olga.sdk, 403, body=value)
    sdk.bad(delete_platform_policy, olga.sdk, 403, TTL)
    assert of_platform(otto.sdk) == {}


def test_keys_and_tokens_of_an_owner_read_policies_and_set_none(
    server: KeysteadServer, adas_key: str, adas_token: str, olga: Keyholder
) -> None:
    sdk.good(set_organization_max_api_key_ttl_policy, olga.sdk, "acme", body=90)
    clients = (sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token))
    with sdk.closing(*clients):
        for client in clients:
            assert own(client) == {TTL: ("organization", 90)}
            sdk.bad(set_organization_max_api_key_ttl_policy, client, 403, "acme", body=0)
            sdk.bad(delete_organization_policy, client, 403, "acme", TTL)
    assert own(olga.sdk) == {TTL: ("organization", 90)}


def test_nobody_asks_of_others_what_they_have_not_shown_themselves(ada: Sdk, root: Sdk) -> None:
    refused = sdk.bad(set_organization_enforce_mfa_policy, ada, 403, "acme", body=True)
    assert "second factor yourself first" in refused.message
    refused = sdk.bad(set_organization_disable_password_login_policy, ada, 403, "acme", body=True)
    assert "Sign in with a passkey yourself first" in refused.message
    refused = sdk.bad(set_platform_disable_password_login_policy, root, 403, body=True)
    assert "Sign in with a passkey yourself first" in refused.message
    assert (own(ada), of_platform(root)) == ({}, {})


def login(server: KeysteadServer, person: Person, password: str = "") -> httpx.Response:
    body = {"username": person.username, "password": password or person.password}
    answer = httpx.post(f"{server.url}/api/sso/password/login", json=body, trust_env=False)
    if answer.is_success:
        issued.note(answer.cookies[sdk.SESSION_COOKIE])
    return answer


def test_where_passwords_are_off_a_right_one_is_told_so_and_a_wrong_one_is_wrong(
    server: KeysteadServer, olga: Keyholder, ada: Sdk
) -> None:
    sdk.good(set_organization_disable_password_login_policy, olga.sdk, "acme", body=True)
    refused = login(server, ADA)
    assert refused.status_code == 403
    assert "acme lets nobody sign in with a password. Sign in with a passkey" in refused.json()["message"]
    assert sdk.SESSION_COOKIE not in refused.cookies
    wrong, unknown = login(server, ADA, "a wrong password"), login(server, Person("nobody", "x" * 15, "", ""))
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert sdk.good(get_auth_session, ada).username == ADA.username  # so that she can add a passkey
    sdk.good(delete_organization_policy, olga.sdk, "acme", PASSWORD_LOGIN)
    assert login(server, ADA).status_code == 204


def test_where_the_platform_has_passwords_off_the_host_lets_everybody_in_again(
    server: KeysteadServer, otto: Keyholder
) -> None:
    sdk.good(set_platform_disable_password_login_policy, otto.sdk, body=True)
    assert login(server, BOB).status_code == 403
    server.admin("policy", PASSWORD_LOGIN, "off")
    assert login(server, BOB).status_code == 204


def test_where_the_platform_connects_no_devices_no_code_is_given(server: KeysteadServer, otto: Keyholder) -> None:
    with DeviceClient(server.url) as device:
        device.register("laptop")
        assert device.device_code().user_code
        sdk.good(set_platform_disable_device_login_policy, otto.sdk, body=True)
        with pytest.raises(OAuthError) as refused:
            device.device_code()
        assert (refused.value.status, refused.value.error) == (400, "unauthorized_client")
        assert "lets nobody sign in a device any more" in refused.value.description
        sdk.good(delete_platform_policy, otto.sdk, DEVICE_LOGIN)
        assert device.device_code().user_code
