"""Passwords by the SDK: changed, forgotten, and set by those who look after an organization."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from parallelworks_client.api.authentication import (
    patch_password,
    post_password_login,
    post_password_reset_email,
    post_password_reset_verify,
    put_organization_user_password,
)
from parallelworks_client.models.admin_password_reset_input_body import AdminPasswordResetInputBody
from parallelworks_client.models.password_change_input_body import PasswordChangeInputBody
from parallelworks_client.models.password_login_input_body import PasswordLoginInputBody
from parallelworks_client.models.password_reset_email_input_body import PasswordResetEmailInputBody
from parallelworks_client.models.password_reset_verify_input_body import PasswordResetVerifyInputBody
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import user
from tests.gate.serving import ask
from tests.interop.activate import sdk
from tests.interop.activate.entering import NEW_PASSWORD, PASSWORD, Keeper, add_person, add_secured, join, run
from tests.interop.activate.sdk import Sdk
from tests.support.mail import PostOffice
from tests.support.server import ADA, KeysteadServer, Person, add_acme

TOO_EASY: Final = (
    "Short 1 pass.",
    "a long one with 1 digit.",
    "A LONG ONE WITH 1 DIGIT.",
    "A long one without digits.",
    "Along1withoutanythingelse",
)
_DISABLE: Final = Command(update(user).where(user.c.username == bindparam("called")).values(disabled_at=1))
_OPERATES: Final = Command(update(user).where(user.c.username == bindparam("called")).values(platform_admin=1))


@pytest.fixture(scope="module")
def post() -> Iterator[PostOffice]:
    with PostOffice() as office:
        yield office


@pytest.fixture(scope="module")
def posted(tmp_path_factory: pytest.TempPathFactory, post: PostOffice) -> Iterator[KeysteadServer]:
    """Give a server that sends e-mail."""
    with KeysteadServer(tmp_path_factory.mktemp("posted"), post.environment) as one:
        add_acme(one)
        one.admin("create-org", "--name", "globex")
        yield one


@pytest.fixture
def alone(posted: KeysteadServer) -> Iterator[Sdk]:
    """Give the SDK without a credential."""
    one = sdk.anonymous(posted.url)
    with sdk.closing(one):
        yield one


@pytest.fixture
def adas(posted: KeysteadServer) -> Iterator[Sdk]:
    """Give the SDK with a session of ada's, who owns acme."""
    one = sdk.with_session(posted.url, sdk.sign_in(posted.url, ADA))
    with sdk.closing(one):
        yield one


def change(old: str, new: str) -> PasswordChangeInputBody:
    return PasswordChangeInputBody(old_password=old, new_password=new)


def chosen(token: str, new: str = NEW_PASSWORD) -> PasswordResetVerifyInputBody:
    return PasswordResetVerifyInputBody(token=token, new_password=new)


def forgot(name: str) -> PasswordResetEmailInputBody:
    return PasswordResetEmailInputBody(username=name)


def setting(new: str = NEW_PASSWORD, again: str = "") -> AdminPasswordResetInputBody:
    return AdminPasswordResetInputBody(new_password=new, confirm_password=again or new)


def field_of(client: Sdk, method: str, path: str, content: Any) -> list[tuple[str, str]]:
    """Return which members of a body are refused, and with which code."""
    answer = client.get_httpx_client().request(method, path, json=content)
    assert answer.status_code == 422, answer.text
    return [(one["pointer"], one["code"]) for one in answer.json()["errors"]]


def signs_in(server: KeysteadServer, person: Person, password: str) -> bool:
    body = {"username": person.username, "password": password}
    return httpx.post(f"{server.url}/api/sso/password/login", json=body, trust_env=False).status_code == 204


def session_of(server: KeysteadServer, person: Person) -> Sdk:
    return sdk.with_session(server.url, sdk.sign_in(server.url, person))


def status(client: Sdk) -> int:
    return int(client.get_httpx_client().get("/api/auth/session").status_code)


# One's own


def test_a_change_renews_the_session_ends_the_others_and_is_told_by_letter(
    posted: KeysteadServer, post: PostOffice
) -> None:
    hana = add_person(posted, "hana")
    here, elsewhere = session_of(posted, hana), session_of(posted, hana)
    with sdk.closing(here, elsewhere):
        answer = patch_password.sync_detailed(client=here, body=change(PASSWORD, NEW_PASSWORD))
        assert answer.status_code == 204
        keeper = Keeper(posted.url)
        keeper.keep(answer)
        assert (status(here), status(elsewhere), keeper.whoami()) == (401, 401, 200)
    assert not signs_in(posted, hana, PASSWORD)
    assert signs_in(posted, hana, NEW_PASSWORD)
    assert "was changed" in post.wait_for(hana.email).subject


def test_a_wrong_old_password_and_a_new_one_that_will_not_do_are_told_of_their_fields(server: KeysteadServer) -> None:
    ivan = add_person(server, "ivan-the-first-of-his-name")
    client = session_of(server, ivan)
    path = "/api/sso/password"
    with sdk.closing(client):
        wrong = {"oldPassword": "not the old one", "newPassword": NEW_PASSWORD}
        assert field_of(client, "PATCH", path, wrong) == [("#/oldPassword", "wrong")]
        for easy in TOO_EASY:
            short = {"oldPassword": PASSWORD, "newPassword": easy}
            assert field_of(client, "PATCH", path, short) == [("#/newPassword", "too_easy")]
        assert field_of(client, "PATCH", path, {"oldPassword": PASSWORD}) == [("#/newPassword", "missing")]
        assert sdk.bad(patch_password, client, 422, body=change(PASSWORD, "x" * 1_100)).code == "invalid_parameters"
        assert status(client) == 200
    assert signs_in(server, ivan, PASSWORD)


def test_the_rule_of_the_house_names_the_field_of_this_surface(server: KeysteadServer) -> None:
    personal = "Jill.1@Example.com"
    client = session_of(server, add_person(server, "jill", email=personal.lower()))
    with sdk.closing(client):
        sent = {"oldPassword": PASSWORD, "newPassword": personal}
        assert field_of(client, "PATCH", "/api/sso/password", sent) == [("#/newPassword", "personal")]


def test_keys_and_tokens_change_no_password(server: KeysteadServer, adas_key: str, adas_token: str) -> None:
    clients = (sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token))
    with sdk.closing(*clients):
        for client in clients:
            refused = sdk.bad(patch_password, client, 403, body=change(ADA.password, NEW_PASSWORD))
            assert refused.code == "credential_not_allowed"
            also = sdk.bad(put_organization_user_password, client, 403, "acme", "bob", body=setting())
            assert also.code == "credential_not_allowed"


# Forgotten


@pytest.mark.parametrize("by", ["username", "email"])
def test_a_letter_leads_to_a_new_password_whichever_name_was_typed(
    posted: KeysteadServer, post: PostOffice, alone: Sdk, by: str
) -> None:
    kim = add_person(posted, f"kim-{by}")
    session = session_of(posted, kim)
    name = f" {getattr(kim, by).upper()} "
    answer = post_password_reset_email.sync_detailed(client=alone, body=forgot(name))
    assert (answer.status_code, answer.content) == (204, b"")
    token = post.wait_for(kim.email).link.rpartition("/")[2]
    assert sdk.bad(post_password_reset_verify, alone, 422, body=chosen(token, "too short")).code == "invalid_parameters"
    assert post_password_reset_verify.sync_detailed(client=alone, body=chosen(token)).status_code == 204
    with sdk.closing(session):
        assert status(session) == 401
    assert signs_in(posted, kim, NEW_PASSWORD)
    assert "was changed" in post.wait_for(kim.email, 2).subject
    sent = {"token": token, "newPassword": NEW_PASSWORD}
    assert field_of(alone, "POST", "/api/sso/password/reset/verify", sent) == [("#/token", "over")]


def test_a_letter_changes_nothing_where_no_password_lets_the_person_in(
    posted: KeysteadServer, post: PostOffice, alone: Sdk
) -> None:
    kim = add_person(posted, "kim-by-passkey")
    session = session_of(posted, kim)
    assert post_password_reset_email.sync_detailed(client=alone, body=forgot(kim.username)).status_code == 204
    token = post.wait_for(kim.email).link.rpartition("/")[2]
    posted.admin("policy", "--org", "acme", "disable-password-login", "on")
    try:
        refused = sdk.bad(post_password_reset_verify, alone, 403, body=chosen(token))
    finally:
        posted.admin("policy", "--org", "acme", "disable-password-login", "off")
    assert "lets nobody sign in with a password" in refused.message
    with sdk.closing(session):
        assert status(session) == 200
    assert post_password_reset_verify.sync_detailed(client=alone, body=chosen(token)).status_code == 204


def test_nobody_learns_whether_somebody_has_a_name(posted: KeysteadServer, post: PostOffice, alone: Sdk) -> None:
    lena = add_person(posted, "lena")
    add_person(posted, "gone")
    run(posted, _DISABLE, called="gone")
    asked = ("lena", "gone", "nobody-of-this-name", "nobody@example.com", "no name at all", "@", "\N{GRINNING FACE}")
    answers = [post_password_reset_email.sync_detailed(client=alone, body=forgot(name)) for name in asked]
    told = {(one.status_code, one.content, tuple(sorted(set(one.headers) - {"x-request-id"}))) for one in answers}
    assert len(told) == 1
    assert {one.status_code for one in answers} == {204}
    assert post.wait_for(lena.email).link
    assert not post.letters_to("gone@example.com")


def test_letters_are_counted_by_the_address_whichever_name_was_typed(
    posted: KeysteadServer, post: PostOffice, alone: Sdk
) -> None:
    nora, otto = add_person(posted, "nora"), add_person(posted, "otto")
    for number in range(8):
        name = nora.username if number % 2 else nora.email
        assert post_password_reset_email.sync_detailed(client=alone, body=forgot(name)).status_code == 204
    post_password_reset_email.sync_detailed(client=alone, body=forgot(otto.username))
    assert post.wait_for(otto.email).link  # letters are sent in the order in which they were written
    assert len(post.letters_to(nora.email)) == 5


def test_without_a_mail_server_the_answer_is_the_same_and_the_log_names_nobody(
    server: KeysteadServer, nobody: Sdk
) -> None:
    add_person(server, "pia-who-forgot")
    for name in ("pia-who-forgot", "nobody-of-this-name"):
        assert post_password_reset_email.sync_detailed(client=nobody, body=forgot(name)).status_code == 204
    assert "no mail server is set" in server.log_text()
    assert "pia-who-forgot" not in server.log_text()


def test_a_token_that_is_none_and_an_empty_name_are_422(nobody: Sdk) -> None:
    for token in ("", "x", "x" * 1_000, "00000000-0000-0000-0000-000000000000.9999999999." + "a" * 43, "\N{SNOWMAN}"):
        assert sdk.bad(post_password_reset_verify, nobody, 422, body=chosen(token)).code == "invalid_parameters"
    assert sdk.bad(post_password_reset_email, nobody, 422, body=forgot("")).code == "invalid_parameters"


def test_another_site_asks_for_no_letter_and_chooses_no_password(server: KeysteadServer) -> None:
    foreign = {"Origin": "https://evil.example"}
    for path, body in (("reset", {"username": "ada"}), ("reset/verify", {"token": "x", "newPassword": "x"})):
        answer = Keeper(server.url).post(f"/api/sso/password/{path}", body, headers=foreign)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


# Somebody else's


def test_an_owner_sets_a_members_password_ends_all_sessions_and_steps_and_the_person_is_written_to(
    posted: KeysteadServer, post: PostOffice, adas: Sdk
) -> None:
    rosa = add_secured(posted, "rosa")
    keeper, waiting = Keeper(posted.url), Keeper(posted.url)
    keeper.password(rosa.person)
    assert keeper.show("otp", code=rosa.code()).status_code == 204
    assert waiting.password(rosa.person).status_code == 403
    answer = put_organization_user_password.sync_detailed("acme", "rosa", client=adas, body=setting())
    assert answer.status_code == 204, answer.content
    assert keeper.whoami() == 401
    assert waiting.show("otp", code=rosa.code(1)).json()["code"] == "sign_in_over"
    again = Keeper(posted.url).post("/api/sso/password/login", {"username": "rosa", "password": NEW_PASSWORD})
    assert again.json()["code"] == "second_factor_required"
    letter = post.wait_for(rosa.person.email)
    assert "acme" in letter.text
    assert NEW_PASSWORD not in letter.text
    recorded = ask(posted.data, "SELECT COUNT(*) FROM audit_event WHERE type = 'user:set-password' AND "
                   "organization_id = (SELECT id FROM organization WHERE name = 'acme') AND "
                   "target = (SELECT id FROM \"user\" WHERE username = 'rosa')")  # fmt: skip
    assert recorded == [1]


def test_two_different_passwords_and_one_that_will_not_do_are_told_of_their_fields(ada: Sdk) -> None:
    path = "/api/organizations/acme/users/bob/password"
    different = {"newPassword": NEW_PASSWORD, "confirmPassword": NEW_PASSWORD + "!"}
    assert field_of(ada, "PUT", path, different) == [("#/confirmPassword", "different")]
    for easy in TOO_EASY:
        sent = {"newPassword": easy, "confirmPassword": easy}
        assert field_of(ada, "PUT", path, sent) == [("#/newPassword", "too_easy")]
    assert sdk.bad(put_organization_user_password, ada, 422, "acme", "bob", body=setting("x")).message


def test_nobody_sets_a_password_who_may_not(posted: KeysteadServer, adas: Sdk) -> None:
    sofa = add_person(posted, "sofa", role="admin")
    both, boss = add_person(posted, "both"), add_person(posted, "boss")
    join(posted, both.username, "globex")
    run(posted, _OPERATES, called=boss.username)
    admins, members = session_of(posted, sofa), session_of(posted, add_person(posted, "tom"))
    with sdk.closing(admins, members):
        for client, name in ((members, "sofa"), (admins, "ada"), (admins, "both"), (adas, "both"), (adas, "boss")):
            refused = sdk.bad(put_organization_user_password, client, 403, "acme", name, body=setting())
            assert refused.code == "forbidden", name
        assert (
            "another organization"
            in sdk.bad(put_organization_user_password, adas, 403, "acme", "both", body=setting()).message
        )
        for client, organization, name in (
            (adas, "acme", "nobody-of-this-name"),
            (adas, "globex", "both"),
            (adas, "no-such-organization", "bob"),
            (members, "globex", "both"),
            (adas, "acme", "x\x00y"),
            (adas, "acme", "\N{GRINNING FACE}" * 100),
        ):
            missing = sdk.bad(put_organization_user_password, client, 404, organization, name, body=setting())
            assert missing.code == "not_found", (organization, name)
        oneself = sdk.bad(put_organization_user_password, adas, 409, "acme", "ada", body=setting())
        assert oneself.code == "conflict"
        assert (
            put_organization_user_password.sync_detailed("acme", "tom", client=admins, body=setting()).status_code
            == 204
        )
        assert status(members) == 401
    assert all(signs_in(posted, one, PASSWORD) for one in (both, boss, sofa))


def test_an_operator_sets_the_password_of_somebody_in_two_organizations_and_of_another_operator(
    server: KeysteadServer, root: Sdk
) -> None:
    server.admin("create-org", "--name", "initech")
    both, boss = add_person(server, "in-both"), add_person(server, "another-boss", role="owner")
    join(server, both.username, "initech")
    run(server, _OPERATES, called=boss.username)
    for person in (both, boss):
        answer = put_organization_user_password.sync_detailed("acme", person.username, client=root, body=setting())
        assert answer.status_code == 204
        assert signs_in(server, person, NEW_PASSWORD)
    assert sdk.bad(put_organization_user_password, root, 409, "operators", "root", body=setting()).message
    assert sdk.bad(put_organization_user_password, root, 404, "operators", "bob", body=setting()).message


def test_a_disabled_person_gets_no_password(server: KeysteadServer, ada: Sdk) -> None:
    uma = add_person(server, "uma")
    run(server, _DISABLE, called=uma.username)
    refused = sdk.bad(put_organization_user_password, ada, 409, "acme", "uma", body=setting())
    assert "disabled" in refused.message


def test_a_sign_in_with_the_old_password_is_refused_at_once_after_each_way_of_changing_it(
    server: KeysteadServer, ada: Sdk, nobody: Sdk
) -> None:
    vera = add_person(server, "vera")
    assert signs_in(server, vera, PASSWORD)
    sdk.good(put_organization_user_password, ada, "acme", "vera", body=setting())
    wrong = PasswordLoginInputBody(username="vera", password=PASSWORD)
    assert sdk.bad(post_password_login, nobody, 401, body=wrong).code == "wrong_sign_in"
