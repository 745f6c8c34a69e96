"""Second factors as the SDK adds, lists and removes them, and what somebody tries who should not be able to."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import httpx
import pyotp
import pytest
from parallelworks_client.api.authentication import (
    delete_mfa,
    delete_user_mfa,
    get_auth_session,
    get_mfa_settings,
    post_add_mfa_otp,
    post_add_mfa_webauthn,
    post_verify_otp,
    post_verify_webauthn,
)
from parallelworks_client.models.delete_mfa_input_body import DeleteMfaInputBody
from parallelworks_client.models.error import Error
from parallelworks_client.models.verify_otp_input_body import VerifyOtpInputBody
from parallelworks_client.models.web_authn_verify_input_body import WebAuthnVerifyInputBody

from keystead.kernel.scopes import Role
from keystead.services import Services
from keystead.sessions.second_factors import FRESH
from tests.factors.authenticator import Authenticator
from tests.gate.serving import in_process
from tests.interop.activate import sdk
from tests.interop.activate.newcomers import (
    PASSWORD,
    House,
    Somebody,
    begin_app,
    begin_passkey,
    confirm,
    cookie_of,
    show,
)
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.server import ADA, BOB, KeysteadServer, Person


@pytest.fixture
def house(server: KeysteadServer) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(server, stack)


@pytest.fixture
def phone(server: KeysteadServer) -> Authenticator:
    return Authenticator(server.url.replace("127.0.0.1", "localhost"))


def refusal(answer: Any, status: int) -> Error:
    """Return what an answer refuses, which is to have this status."""
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert isinstance(answer.parsed, Error)
    return answer.parsed


def pointers(answer: Any) -> list[str]:
    """Return which members of the body were refused."""
    return [one["pointer"] for one in json.loads(answer.content)["errors"]]


def kinds(client: Sdk) -> list[str]:
    """Return the kinds of second factors that there are."""
    return [str(one.type_) for one in sdk.good(get_mfa_settings, client).mfa_settings]


def remove(client: Sdk, **what: Any) -> Any:
    """Remove second factors."""
    return delete_mfa.sync_detailed(client=client, body=DeleteMfaInputBody(**what))


def test_an_authenticator_app_is_added_listed_asked_for_and_removed(house: House) -> None:
    carol = house.move_in()
    client = house.sdk(carol)
    before = sdk.good(get_mfa_settings, client)
    assert (before.enabled, before.mfa_settings) == (False, [])
    begun = post_add_mfa_otp.sync_detailed(client=client)
    issued.note(begun.parsed.secret)
    assert base64.b64decode(begun.parsed.qr_image).startswith(b"\x89PNG\r\n")
    assert begun.headers["cache-control"] == "no-store"
    given = cookie_of(begun, "cloud.app")
    assert (given["path"], given["secure"], given["httponly"], given["samesite"], given["max-age"]) == (
        *("/api/sso/mfa", True, True, "lax", "900"),
    )
    done = confirm(house.sdk(carol, cloud_app=given.value), pyotp.TOTP(begun.parsed.secret).now())
    codes = json.loads(done.content)["recoveryCodes"]
    for code in codes:
        issued.note(code)
    assert (done.status_code, done.headers["cache-control"], len(set(codes))) == (200, "no-store", 10)
    assert "shown this once" in done.parsed.message
    assert cookie_of(done, "cloud.app")["max-age"] == "0"
    (setting,) = sdk.good(get_mfa_settings, client).mfa_settings
    assert (setting.id, str(setting.type_), setting.enabled, setting.name) == ("otp", "otp", True, "Authenticator app")
    assert setting.created_at == setting.updated_at
    body = {"username": carol.name, "password": PASSWORD}
    asked = httpx.post(f"{house.server.url}/api/sso/password/login", json=body, trust_env=False)
    assert (asked.status_code, asked.json()["code"]) == (403, "second_factor_required")
    assert remove(client, mfa_method="otp").status_code == 204
    assert kinds(client) == []
    assert [event.type for event in house.events(carol)] == [
        *("user:create", "membership:create", "totp:add", "recovery-codes:make", "totp:remove"),
    ]


def test_a_wrong_code_adds_nothing_and_the_right_one_may_follow(house: House) -> None:
    carol = house.move_in()
    secret, cookie = begin_app(house.sdk(carol))
    client = house.sdk(carol, cloud_app=cookie)
    assert "six digits" in refusal(confirm(client, "12345x"), 422).message
    near = {pyotp.TOTP(secret).at(int(time.time()) + 30 * steps) for steps in range(-3, 4)}
    wrong = confirm(client, next(code for code in map("{:06}".format, range(8)) if code not in near))
    assert pointers(wrong) == ["#/code"]
    assert "not the code that the app shows now" in refusal(wrong, 422).message
    assert pointers(confirm(client, "")) == ["#/code"]
    assert kinds(client) == []
    assert confirm(client, pyotp.TOTP(secret).now()).status_code == 200


def test_without_the_cookie_of_its_own_beginning_no_app_is_added(house: House) -> None:
    carol, mallory = house.move_in(), house.move_in()
    secret, cookie = begin_app(house.sdk(mallory))
    code = pyotp.TOTP(secret).now()
    for client in (
        house.sdk(carol),
        house.sdk(carol, cloud_app="x"),
        house.sdk(carol, cloud_app="A" * 4_000),
        house.sdk(carol, cloud_app=cookie),  # mallory's, who would then know carol's codes
    ):
        assert "Begin again with POST /api/sso/mfa/otp" in refusal(confirm(client, code), 409).message
    assert kinds(house.sdk(carol)) == []


def test_there_is_one_app_and_neither_a_repeated_code_nor_another_beginning_adds_one_more(house: House) -> None:
    carol = house.move_in()
    (secret, cookie), (other_secret, other) = begin_app(house.sdk(carol)), begin_app(house.sdk(carol))
    code = pyotp.TOTP(secret).now()
    assert confirm(house.sdk(carol, cloud_app=cookie), code).status_code == 200
    for again, shown in ((cookie, code), (other, pyotp.TOTP(other_secret).now())):
        assert "an authenticator app already" in refusal(confirm(house.sdk(carol, cloud_app=again), shown), 409).message
    assert "Remove it before" in sdk.bad(post_add_mfa_otp, house.sdk(carol), 409).message


def test_of_many_confirmations_at_once_one_adds_the_app(house: House) -> None:
    carol = house.move_in()
    secret, cookie = begin_app(house.sdk(carol))
    code, clients = pyotp.TOTP(secret).now(), [house.sdk(carol, cloud_app=cookie) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: confirm(client, code), clients))
    assert sorted(one.status_code for one in answers) == [200] + [409] * 7
    assert [event.type for event in house.events(carol)].count("totp:add") == 1


def test_a_passkey_is_added_listed_and_removed_by_its_id(house: House, phone: Authenticator) -> None:
    carol = house.move_in()
    client = house.sdk(carol)
    begun = post_add_mfa_webauthn.sync_detailed(client=client)
    options = begun.parsed.options.public_key
    assert (options.rp.id, options.user.display_name) == ("localhost", f"{carol.name}@example.com")
    assert all(isinstance(one.alg, int) for one in options.pub_key_cred_params)
    given = cookie_of(begun, "cloud.passkey")
    assert (given["path"], given["secure"], given["httponly"], given["samesite"], given["max-age"]) == (
        *("/api/sso/mfa", True, True, "lax", "600"),
    )
    assert len(house.add_passkey(carol, phone, "Blue key")["recoveryCodes"]) == 10
    assert "recoveryCodes" not in house.add_passkey(carol, Authenticator(phone.origin))
    blue, other = sdk.good(get_mfa_settings, client).mfa_settings
    assert [(str(one.type_), one.name) for one in (blue, other)] == [("webauthn", "Blue key"), ("webauthn", "Passkey")]
    held = post_add_mfa_webauthn.sync_detailed(client=client).parsed.options.public_key.exclude_credentials
    assert len(held) == 2
    assert remove(client, mfa_method=blue.id).status_code == 204
    assert [one.name for one in sdk.good(get_mfa_settings, client).mfa_settings] == ["Passkey"]
    refusal(remove(client, mfa_method=blue.id), 404)


def test_an_answer_that_does_not_fit_adds_no_passkey(house: House, phone: Authenticator) -> None:
    carol = house.move_in()
    options, cookie = begin_passkey(house.sdk(carol))
    client = house.sdk(carol, cloud_passkey=cookie)
    elsewhere = json.loads(Authenticator("https://evil.example").create(json.dumps(options)))
    stale = json.loads(phone.create(json.dumps(options | {"challenge": "A" * 43})))
    right = json.loads(phone.create(json.dumps(options)))
    no_credentials: tuple[Any, ...] = (
        {},
        "",
        [],
        7,
        None,
        "[" * 30_000,
        {"id": "x", "response": {"clientDataJSON": 1}},
    )
    for response in (elsewhere, stale, *no_credentials):
        answer = show(client, response)
        refusal(answer, 422)
        assert pointers(answer) == ["#/response"], response
    assert pointers(show(client, right, "x" * 65)) == ["#/name"]
    assert kinds(client) == []
    assert show(client, json.dumps(right)).status_code == 200  # as a text, which programs also send
    assert "added already" in refusal(show(client, right), 409).message


def test_a_passkey_is_added_in_the_session_that_asked_for_it_alone(house: House, phone: Authenticator) -> None:
    carol, mallory = house.move_in(), house.move_in()
    options, cookie = begin_passkey(house.sdk(mallory))
    response = json.loads(phone.create(json.dumps(options)))
    again = Somebody(mallory.id, mallory.name, house.begin(mallory))
    for client in (
        house.sdk(carol, cloud_passkey=cookie),
        house.sdk(again, cloud_passkey=cookie),
        house.sdk(mallory),
        house.sdk(mallory, cloud_passkey="x"),
    ):
        assert "Begin again with POST /api/sso/mfa/webauthn" in refusal(show(client, response), 409).message
    assert kinds(house.sdk(carol)) == kinds(house.sdk(mallory)) == []


def test_adding_a_factor_ends_the_sessions_that_rest_on_a_password_alone_and_keeps_this_one(
    house: House, phone: Authenticator
) -> None:
    carol = house.move_in()
    other = Somebody(carol.id, carol.name, house.begin(carol))
    sdk.good(get_auth_session, house.sdk(other))
    house.add_passkey(carol, phone)
    sdk.bad(get_auth_session, house.sdk(other), 401)
    assert sdk.good(get_auth_session, house.sdk(carol)).username == carol.name


def test_removing_names_what_to_remove_and_finds_it(house: House, phone: Authenticator) -> None:
    carol, mallory = house.move_in(), house.move_in()
    client = house.sdk(carol)
    for what in ({}, {"remove_all": False}, {"mfa_method": ""}):
        answer = remove(client, **what)
        assert pointers(answer) == ["#/mfaMethod"], refusal(answer, 422)
    for what in ({"mfa_method": "otp"}, {"mfa_method": "webauthn"}, {"mfa_method": "x"}, {"remove_all": True}):
        refusal(remove(client, **what), 404)
    house.add_app(carol)
    for _ in range(2):
        house.add_passkey(carol, Authenticator(phone.origin))
    (_, passkey, _) = sdk.good(get_mfa_settings, client).mfa_settings
    refusal(remove(house.sdk(mallory), mfa_method=passkey.id), 404)
    assert remove(client, mfa_method="webauthn").status_code == 204
    assert kinds(client) == ["otp"]
    house.add_passkey(carol, Authenticator(phone.origin))
    assert remove(client, remove_all=True).status_code == 204
    assert sdk.good(get_mfa_settings, client).enabled is False
    assert sdk.sign_in(house.server.url, Person(carol.name, PASSWORD, "", "member"))


def test_who_could_not_sign_in_any_more_removes_neither_the_last_passkey_nor_all(
    house: House, phone: Authenticator, root: Sdk
) -> None:
    house.server.admin("create-org", "--name", "keyholders")
    carol, told = house.move_in(organizations=("keyholders",)), "lets nobody sign in with a password"
    client = house.sdk(carol)
    house.add_app(carol)
    house.add_passkey(carol, phone)
    passkey = next(one.id for one in sdk.good(get_mfa_settings, client).mfa_settings if str(one.type_) == "webauthn")
    house.passwords_off("keyholders")
    only = refusal(remove(client, mfa_method=passkey), 409)
    assert only.message.startswith(f"This is your only passkey, and keyholders {told}. Add another one first.")
    for what in ({"mfa_method": "webauthn"}, {"remove_all": True}):
        assert told in refusal(remove(client, **what), 409).message
    assert kinds(client) == ["otp", "webauthn"]
    assert remove(client, mfa_method="otp").status_code == 204
    house.add_passkey(carol, Authenticator(phone.origin))
    refusal(remove(client, mfa_method="webauthn"), 409)
    assert remove(client, mfa_method=passkey).status_code == 204
    assert kinds(client) == ["webauthn"]
    assert sdk.good(delete_user_mfa, root, "keyholders", carol.name) is None  # lost, says an operator
    sdk.bad(get_mfa_settings, client, 401)


def test_a_session_that_began_a_while_ago_changes_no_second_factor(house: House, phone: Authenticator) -> None:
    carol = house.move_in()
    secret, cookie = begin_app(house.sdk(carol))
    house.age(carol, FRESH + 60)
    client = house.sdk(carol, cloud_app=cookie)
    for answer in (
        post_add_mfa_otp.sync_detailed(client=client),
        post_add_mfa_webauthn.sync_detailed(client=client),
        confirm(client, pyotp.TOTP(secret).now()),
        remove(client, remove_all=True),
    ):
        assert refusal(answer, 403).code == "sign_in_again"
    assert sdk.good(get_mfa_settings, client).enabled is False
    fresh = Somebody(carol.id, carol.name, house.begin(carol))
    house.add_passkey(fresh, phone)
    assert kinds(house.sdk(fresh)) == ["webauthn"]


def test_a_key_or_a_token_neither_sees_nor_changes_second_factors(house: House, adas_key: str, adas_token: str) -> None:
    for client in (sdk.with_key(house.server.url, adas_key), sdk.with_token(house.server.url, adas_token)):
        with sdk.closing(client):
            for function in (get_mfa_settings, post_add_mfa_otp, post_add_mfa_webauthn):
                assert sdk.bad(function, client, 403).code == "credential_not_allowed"
            refused: tuple[tuple[ModuleType, Any], ...] = (
                (post_verify_otp, VerifyOtpInputBody(code="123456")),
                (post_verify_webauthn, WebAuthnVerifyInputBody(response={})),
                (delete_mfa, DeleteMfaInputBody(remove_all=True)),
            )
            for function, body in refused:
                assert sdk.bad(function, client, 403, body=body).code == "credential_not_allowed"
            assert sdk.bad(delete_user_mfa, client, 403, "acme", BOB.username).code == "credential_not_allowed"


def test_an_owner_removes_the_factors_of_a_member_who_lost_them_and_signs_them_out(house: House, ada: Sdk) -> None:
    carol = house.move_in()
    house.add_app(carol)
    client = house.sdk(carol)
    assert kinds(client) == ["otp"]
    assert sdk.good(delete_user_mfa, ada, "acme", carol.name) is None
    sdk.bad(get_mfa_settings, client, 401)
    assert kinds(house.sdk(Somebody(carol.id, carol.name, house.begin(carol)))) == []
    event = house.events(carol)[-1]
    assert (event.type, event.actor_id) == ("second-factor:remove-all", _id_of(house, ADA.username))
    assert sdk.good(delete_user_mfa, ada, "acme", carol.name) is None  # to have none is no mistake


def test_who_may_not_remove_the_factors_of_somebody(house: House, ada: Sdk, bob: Sdk, root: Sdk) -> None:
    house.server.admin("create-org", "--name", "evil")
    admin, owner = house.move_in(role=Role.ADMIN), house.move_in(role=Role.OWNER)
    carol, both = house.move_in(), house.move_in(organizations=("acme", "evil"))
    operator = house.move_in(platform_admin=True)
    stranger = house.move_in(organizations=("evil",))
    for somebody in (owner, both, carol, operator):
        house.add_app(somebody)
    leads = house.sdk(admin)
    sdk.bad(delete_user_mfa, bob, 403, "acme", carol.name)
    assert "Only an owner" in sdk.bad(delete_user_mfa, leads, 403, "acme", owner.name).message
    assert "another organization as well" in sdk.bad(delete_user_mfa, leads, 403, "acme", both.name).message
    assert "another organization as well" in sdk.bad(delete_user_mfa, ada, 403, "acme", both.name).message
    assert "an operator's account" in sdk.bad(delete_user_mfa, ada, 403, "acme", operator.name).message
    assert "DELETE /api/sso/mfa" in sdk.bad(delete_user_mfa, leads, 409, "acme", admin.name).message
    sdk.bad(delete_user_mfa, root, 409, "operators", "root")
    for client, organization, name in (
        *((leads, "acme", stranger.name), (leads, "evil", stranger.name), (leads, "evil", both.name)),
        *((leads, "acme", "nobody"), (leads, "acme", ""), (leads, "nothing", carol.name), (root, "acme", "nobody")),
    ):
        assert sdk.bad(delete_user_mfa, client, 404, organization, name).code == "not_found"
    for somebody in (owner, both, carol, operator):
        assert kinds(house.sdk(somebody)) == ["otp"]
    sdk.good(delete_user_mfa, leads, "acme", carol.name)
    for somebody in (owner, both, operator):
        sdk.good(delete_user_mfa, root, "acme", somebody.name)
        sdk.bad(get_mfa_settings, house.sdk(somebody), 401)


def _id_of(house: House, username: str) -> str:
    async def work(services: Services) -> str:
        return (await services.accounts.first_identity(username)).user_id

    return in_process(house.server.data, house.server.url, work)
