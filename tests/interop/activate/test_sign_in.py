"""Signing in over JSON with one step and with two, as the SDK does it and as an attacker would."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, Final

import pytest
from parallelworks_client.api.authentication import post_logout, post_password_login, post_webauthn_auth_options
from parallelworks_client.models.error import Error
from parallelworks_client.models.password_login_input_body import PasswordLoginInputBody
from parallelworks_client.types import File, Response
from sqlalchemy import bindparam, delete, update

from keystead.db import Command
from keystead.db.tables import membership, organization
from tests.gate.serving import ask
from tests.interop.activate import sdk
from tests.interop.activate.calls import function, second_factor
from tests.interop.activate.entering import Keeper, Secured, add_secured, run
from tests.interop.activate.sdk import Sdk
from tests.support.server import ADA, BOB, KeysteadServer, add_acme

post_mfa_login: Final = function("authentication.post_mfa_login")
STEP: Final = "/api/sso/mfa/login"


@pytest.fixture(scope="module")
def carl(server: KeysteadServer) -> Secured:
    """Give somebody with an authenticator app."""
    return add_secured(server, "carl")


@pytest.fixture(scope="module")
def petra(server: KeysteadServer) -> Secured:
    """Give somebody with a passkey and no app."""
    return add_secured(server, "petra", app=False, passkey=True)


@pytest.fixture
def keeper(server: KeysteadServer) -> Keeper:
    return Keeper(server.url)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give a server whose organization asks its members for a second factor."""
    with KeysteadServer(tmp_path_factory.mktemp("strict")) as one:
        add_acme(one)
        run(one, Command(update(organization).values(second_factor_required=1)))
        yield one


def body(username: str, password: str) -> PasswordLoginInputBody:
    return PasswordLoginInputBody(username=username, password=password)


def at_the_step(server: KeysteadServer, person: Secured) -> Keeper:
    """Return a program that has shown the right password."""
    one = Keeper(server.url)
    assert one.password(person.person).status_code == 403
    return one


def step(keeper: Keeper, **options: Any) -> Response[Any]:
    """Show a second factor by the SDK."""
    return keeper.call(post_mfa_login, STEP, **options)


def refusal(keeper: Keeper, function: ModuleType, status: int, **options: Any) -> Error:
    """Call a function of the SDK that is refused at the step, and return the refusal."""
    with keeper.sdk(STEP) as client:
        return sdk.bad(function, client, status, **options)


# With a password


def test_a_password_begins_a_session_and_signing_out_ends_it(server: KeysteadServer, nobody: Sdk) -> None:
    keeper = Keeper(server.url)
    answer = post_password_login.sync_detailed(client=nobody, body=body(ADA.email, ADA.password))
    keeper.keep(answer)
    assert answer.status_code == 204
    assert keeper.whoami() == 200
    with keeper.sdk() as client:
        signed_out = sdk.good(post_logout, client)
    assert signed_out.to_dict() == {}
    assert keeper.whoami() == 401


def test_a_wrong_password_an_unknown_name_and_a_body_that_does_not_fit_are_told_so(nobody: Sdk) -> None:
    wrong = sdk.bad(post_password_login, nobody, 401, body=body(ADA.username, "not her password"))
    unknown = sdk.bad(post_password_login, nobody, 401, body=body("nobody-of-this-name", "not her password"))
    assert (wrong.code, wrong.message) == (unknown.code, unknown.message)
    assert wrong.code == "wrong_sign_in"
    assert sdk.bad(post_password_login, nobody, 422, body=body("", "x")).code == "invalid_parameters"


def test_a_token_does_not_sign_a_browser_out(server: KeysteadServer, adas_token: str) -> None:
    client = sdk.with_token(server.url, adas_token)
    with sdk.closing(client):
        assert sdk.bad(post_logout, client, 403).code == "credential_not_allowed"


# With a second step


def test_an_app_is_asked_for_with_a_cookie_that_only_the_second_step_gets(
    server: KeysteadServer, nobody: Sdk, carl: Secured
) -> None:
    keeper = Keeper(server.url)
    answer = post_password_login.sync_detailed(client=nobody, body=body("carl", carl.person.password))
    keeper.keep(answer)
    assert (answer.status_code, answer.parsed.code) == (403, "second_factor_required")
    assert "/api/sso/mfa/login" in answer.parsed.message
    assert list(keeper.cookies) == ["cloud.mfa"]
    (cookie,) = [line for name, line in answer.headers.items() if name == "set-cookie"]
    attributes = {one.strip().lower() for one in cookie.split(";")[1:]}
    assert attributes >= {"secure", "httponly", "samesite=lax", "path=/api/sso/mfa", "max-age=600"}
    assert keeper.header("/sign-in/second-factor") == keeper.header("/api/sso/password/login") == {}


def test_a_code_of_the_app_finishes_the_sign_in_and_the_step_is_over(server: KeysteadServer, carl: Secured) -> None:
    keeper = at_the_step(server, carl)
    used = keeper.header(STEP)
    assert step(keeper, body=second_factor("otp", code=carl.code())).status_code == 204
    assert set(keeper.cookies) == {"cloud.sso", "keystead.device"}
    assert keeper.whoami() == 200
    again = Keeper(server.url).post(STEP, {"mfaMethod": "otp", "values": {"code": carl.code(1)}}, headers=used)
    assert (again.status_code, again.json()["code"]) == (401, "sign_in_over")
    assert "Begin again" in again.json()["detail"]


def test_a_recovery_code_finishes_the_sign_in_once_and_may_come_as_octets(
    server: KeysteadServer, carl: Secured
) -> None:
    keeper = at_the_step(server, carl)
    payload = json.dumps({"mfaMethod": "recovery", "values": {"code": carl.recovery_codes[0].lower()}}).encode()
    assert step(keeper, body=File(payload=payload)).status_code == 204
    assert keeper.whoami() == 200
    another = at_the_step(server, carl)
    assert refusal(another, post_mfa_login, 401, body=second_factor("recovery", code=carl.recovery_codes[0])).code == (
        "wrong_sign_in"
    )


def test_a_wrong_code_may_be_followed_by_the_right_one(server: KeysteadServer, carl: Secured) -> None:
    keeper = at_the_step(server, carl)
    refused = refusal(keeper, post_mfa_login, 401, body=second_factor("otp", code="wrong"))
    assert refused.code == "wrong_sign_in"
    assert "code is not right" in refused.message
    assert keeper.show("recovery", code=carl.recovery_codes[1]).status_code == 204


def test_without_a_step_or_with_a_wrong_one_one_begins_again(server: KeysteadServer, nobody: Sdk) -> None:
    refused = sdk.bad(post_mfa_login, nobody, 401, body=second_factor("otp", code="123456"))
    assert refused.code == "sign_in_over"
    assert sdk.bad(post_webauthn_auth_options, nobody, 401).code == "sign_in_over"
    for cookie in ("x", "kst_" + "a" * 45, ""):
        headers = {"Cookie": f"cloud.mfa={cookie}"}
        answer = Keeper(server.url).post(STEP, {"mfaMethod": "otp", "values": {"code": "123456"}}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_over")


@pytest.mark.parametrize(
    ("values", "status", "pointer"),
    [
        ({"mfaMethod": "sms", "values": {"code": "1"}}, 422, "#/mfaMethod"),
        ({"mfaMethod": "otp", "values": {}}, 422, "#/values/code"),
        ({"mfaMethod": "otp", "values": {"code": 123456}}, 422, "#/values/code"),
        ({"mfaMethod": "recovery", "values": {"code": ["x"]}}, 422, "#/values/code"),
        ({"mfaMethod": "otp", "values": "123456"}, 422, "#/values"),
        ({"values": {"code": "1"}}, 422, "#/mfaMethod"),
        ([], 422, ""),
    ],
)
def test_a_body_that_does_not_fit_is_422_and_costs_no_try(
    server: KeysteadServer, carl: Secured, values: Any, status: int, pointer: str
) -> None:
    keeper = at_the_step(server, carl)
    answer = keeper.post(STEP, values)
    assert answer.status_code == status
    assert (answer.json()["errors"][0].get("pointer") or "").rstrip("/#") == pointer.rstrip("/#")
    assert keeper.cookies.keys() == {"cloud.mfa"}


HOSTILE: Final[dict[str, tuple[bytes, str, int]]] = {
    "octets that are no JSON": (b"\xff\xfe\x00\x01", "application/octet-stream", 400),
    "nothing": (b"", "application/octet-stream", 400),
    "a member that comes twice, as octets": (
        b'{"mfaMethod": "otp", "mfaMethod": "recovery", "values": {}}', "application/octet-stream", 400,
    ),
    "a form": (b"mfaMethod=otp", "application/x-www-form-urlencoded", 415),
    "no type": (b"{}", "", 415),
    "a deep object": (
        b'{"mfaMethod": "webauthn", "values": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "application/json", 400,
    ),
    "too much": (
        b'{"mfaMethod": "webauthn", "values": {"a": "' + b"x" * 70_000 + b'"}}', "application/octet-stream", 413,
    ),
    "much, and no passkey's answer": (
        b'{"mfaMethod": "webauthn", "values": {"a": "' + b"x" * 60_000 + b'"}}', "application/json", 401,
    ),
    "half a character": (b'{"mfaMethod": "webauthn", "values": {"id": "\\ud800"}}', "application/json", 400),
    "numbers that are none": (b'{"mfaMethod": "webauthn", "values": {"id": NaN}}', "application/json", 401),
    "a number that is too long to write": (
        b'{"mfaMethod": "webauthn", "values": {"id": ' + b"9" * 5_000 + b"}}", "application/json", 400,
    ),
    "a code that is too long": (
        b'{"mfaMethod": "otp", "values": {"code": "' + b"1" * 60_000 + b'"}}', "application/json", 401,
    ),
    "a code with a NUL": (b'{"mfaMethod": "recovery", "values": {"code": "\\u0000"}}', "application/json", 401),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bodies_are_refused_and_the_step_goes_on(server: KeysteadServer, carl: Secured, what: str) -> None:
    content, kind, status = HOSTILE[what]
    keeper = at_the_step(server, carl)
    answer = keeper.post(STEP, content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status, answer.text
    assert keeper.show("otp", code="wrong").json()["code"] == "wrong_sign_in"


def test_members_that_nobody_asked_for_name_nobody_else(server: KeysteadServer, carl: Secured) -> None:
    keeper = at_the_step(server, carl)
    said = {"username": "ada", "user_id": "ada", "organization": "operators", "admin": True}
    answer = keeper.post(STEP, {"mfaMethod": "recovery", "values": {"code": carl.recovery_codes[2], **said}, **said})
    assert answer.status_code == 204
    session = keeper.post("/api/sso/mfa/webauthn/authenticate")
    assert session.status_code == 404
    with keeper.sdk() as client:
        assert client.get_httpx_client().get("/api/auth/session").json()["username"] == "carl"


def test_two_answers_at_once_begin_one_session(server: KeysteadServer, carl: Secured) -> None:
    keeper = at_the_step(server, carl)
    headers = keeper.header(STEP)
    count = """SELECT COUNT(*) FROM session WHERE user_id = (SELECT id FROM "user" WHERE username = 'carl')"""
    before = ask(server.data, count)[0]

    def show(code: str) -> int:
        asked = {"mfaMethod": "recovery", "values": {"code": code}}
        return Keeper(server.url).post(STEP, asked, headers=headers).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(show, carl.recovery_codes[3:7]))
    assert statuses == [204, 401, 401, 401]
    assert ask(server.data, count)[0] == before + 1


def test_after_ten_wrong_codes_the_sign_in_begins_anew(server: KeysteadServer) -> None:
    dora = add_secured(server, "dora")
    keeper = at_the_step(server, dora)
    codes = [keeper.show("otp", code="wrong").json()["code"] for _ in range(10)]
    assert codes == ["wrong_sign_in"] * 9 + ["sign_in_over"]
    assert keeper.show("otp", code=dora.code()).json()["code"] == "sign_in_over"


def test_another_site_shows_nothing_and_asks_for_nothing(server: KeysteadServer, carl: Secured) -> None:
    keeper = at_the_step(server, carl)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert keeper.post(STEP, {"mfaMethod": "otp", "values": {}}, headers=headers).json()["code"] == "cross_site"
        asked = keeper.post("/api/sso/mfa/webauthn/authenticate", headers=headers)
        assert asked.json()["code"] == "cross_site"
        person = {"username": "carl", "password": carl.person.password}
        assert keeper.post("/api/sso/password/login", person, headers=headers).json()["code"] == "cross_site"


def test_the_session_that_the_browser_had_is_dead_after_the_second_step_and_not_before(
    server: KeysteadServer, carl: Secured
) -> None:
    keeper = Keeper(server.url)
    assert keeper.password(BOB).status_code == 204
    bobs = Keeper(server.url)
    bobs.cookies = {"cloud.sso": keeper.cookies["cloud.sso"]}
    assert keeper.password(carl.person).status_code == 403
    assert bobs.whoami() == 200
    assert keeper.show("recovery", code=carl.recovery_codes[7]).status_code == 204
    assert bobs.whoami() == 401
    assert keeper.whoami() == 200
    assert keeper.value("cloud.sso") != bobs.value("cloud.sso")


def test_a_new_password_ends_the_steps_that_wait(server: KeysteadServer) -> None:
    emil = add_secured(server, "emil")
    keeper = at_the_step(server, emil)
    server.admin("set-password", "--user", "emil", "--password-stdin", stdin="Another 1 of those passwords\n")
    assert keeper.show("otp", code=emil.code()).json()["code"] == "sign_in_over"


# Somebody who must set up a factor first


def test_who_has_to_set_up_a_factor_is_sent_to_the_sign_in_page(strict: KeysteadServer) -> None:
    keeper = Keeper(strict.url)
    first = keeper.password(BOB)
    second = keeper.show("otp", code="123456")
    third = keeper.post("/api/sso/mfa/webauthn/authenticate")
    assert [one.status_code for one in (first, second, third)] == [403] * 3
    assert {one.json()["code"] for one in (first, second, third)} == {"second_factor_required"}
    assert "sets one up" in first.json()["detail"]
    assert first.json()["detail"] == second.json()["detail"] == third.json()["detail"]
    assert "cloud.sso" not in keeper.cookies


# Passkeys


def test_a_passkey_is_asked_for_and_finishes_the_sign_in(server: KeysteadServer, petra: Secured) -> None:
    keeper = at_the_step(server, petra)
    asked = keeper.call(post_webauthn_auth_options, STEP)
    question = asked.parsed.options.public_key
    assert (question.rp_id, question.user_verification) == ("localhost", "preferred")
    assert [one.type_ for one in question.allow_credentials] == ["public-key"]
    assert question.timeout > 0
    answer = json.loads(petra.phone.get(json.dumps(question.to_dict())))
    assert step(keeper, body=second_factor("webauthn", **answer)).status_code == 204
    assert set(keeper.cookies) == {"cloud.sso", "keystead.device"}
    assert keeper.whoami() == 200


def test_an_answer_without_its_question_or_to_another_ones_is_refused(server: KeysteadServer, petra: Secured) -> None:
    keeper, other = at_the_step(server, petra), at_the_step(server, petra)
    asked = keeper.post("/api/sso/mfa/webauthn/authenticate").json()["options"]["publicKey"]
    elsewhere = other.post("/api/sso/mfa/webauthn/authenticate").json()["options"]["publicKey"]
    answer = json.loads(petra.phone.get(json.dumps(elsewhere)))
    assert keeper.show("webauthn", **answer).json()["code"] == "wrong_sign_in"
    keeper.cookies["cloud.mfa.challenge"] = other.cookies["cloud.mfa.challenge"]
    assert keeper.show("webauthn", **answer).json()["code"] == "wrong_sign_in"
    del keeper.cookies["cloud.mfa.challenge"]
    mine = json.loads(petra.phone.get(json.dumps(asked)))
    assert keeper.show("webauthn", **mine).json()["code"] == "wrong_sign_in"
    assert "cloud.sso" not in keeper.cookies


def test_whoever_is_signed_in_is_asked_for_their_own_passkeys(server: KeysteadServer, petra: Secured, ada: Sdk) -> None:
    keeper = at_the_step(server, petra)
    question = keeper.post("/api/sso/mfa/webauthn/authenticate").json()["options"]["publicKey"]
    keeper.show("webauthn", **json.loads(petra.phone.get(json.dumps(question))))
    with keeper.sdk(STEP) as client:
        asked = sdk.good(post_webauthn_auth_options, client)
    assert [one.id for one in asked.options.public_key.allow_credentials] == [
        one["id"] for one in question["allowCredentials"]
    ]
    refused = sdk.bad(post_webauthn_auth_options, ada, 404)
    assert refused.code == "not_found"


def test_a_key_is_asked_for_no_passkey(server: KeysteadServer, adas_key: str) -> None:
    client = sdk.with_key(server.url, adas_key)
    with sdk.closing(client):
        assert sdk.bad(post_webauthn_auth_options, client, 403).code == "credential_not_allowed"


def test_who_has_an_app_and_no_passkey_is_told_so(server: KeysteadServer, carl: Secured) -> None:
    keeper = at_the_step(server, carl)
    refused = refusal(keeper, post_webauthn_auth_options, 404)
    assert "authenticator app" in refused.message


def test_nobody_without_an_organization_is_let_in_by_the_second_step(server: KeysteadServer) -> None:
    fred = add_secured(server, "fred")
    keeper = at_the_step(server, fred)
    (user_id,) = ask(server.data, 'SELECT id FROM "user" WHERE username = ?', "fred")
    run(server, Command(delete(membership).where(membership.c.user_id == bindparam("user_id"))), user_id=user_id)
    answer = step(keeper, body=second_factor("otp", code=fred.code()))
    assert (answer.status_code, answer.parsed.code) == (403, "forbidden")
