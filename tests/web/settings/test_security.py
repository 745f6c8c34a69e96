"""Security: the password, passkeys, the authenticator app, recovery codes, and what a person did of late."""

import asyncio
import html
import re
from typing import Any

import pytest
from sqlalchemy import Table

from keystead.db.tables import organization, platform_policy
from keystead.web.settings.second_factors import PATH
from tests.account.nodes import PASSWORD, Node, open_node
from tests.factors.authenticator import Authenticator
from tests.oauth.conftest import Open
from tests.support.installation import PUBLIC_URL
from tests.support.mail import PostOffice
from tests.web.settings.securing import (
    CODE,
    NEW_APP,
    NEW_CODES,
    NEW_PASSKEY,
    PASSKEYS,
    REMOVE_APP,
    add_app,
    add_passkey,
    code_on,
    fill,
    options_in,
    proved,
    right_password,
    send_answer,
    summary,
    without_password,
)
from tests.web.settings.visiting import Visit, counted_reads, form_to, visit

NEXT_PASSWORD = "a lantern in the fog"


@pytest.fixture
def phone() -> Authenticator:
    """Give an authenticator that sees who uses it."""
    return Authenticator(PUBLIC_URL)


async def test_who_has_no_second_factor_is_told_what_to_do(here: Node) -> None:
    page = await (await visit(here)).get(PATH)
    assert page.status == 200
    assert "You have no second factor yet." in page.words
    assert "Add a passkey" in page.words
    assert "Set up an app" in page.words
    assert "You get ten of them with your first second factor." in page.words


async def test_a_passkey_is_added_and_the_recovery_codes_come_with_it(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    assert await proved(here, ada) == 0
    page = await add_passkey(ada, phone)
    assert len(set(CODE.findall(page.source))) == 10
    assert "They are shown this once." in page.words
    assert await proved(here, ada) == 1
    page = await ada.get(PATH)
    assert "This laptop Added just now · Not used yet" in page.words
    assert "10 codes left" in page.words
    assert "You have no second factor yet." not in page.words
    page = await add_passkey(ada, Authenticator(PUBLIC_URL), "Phone")
    assert CODE.findall(page.source) == []
    assert "The passkey was added. You can sign in with it from now on." in page.words


async def test_an_authenticator_app_is_set_up_with_its_code(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(NEW_APP)
    svg = page.source.partition('<div class="qr">')[2].partition("</div>")[0]
    assert svg.startswith("<svg")
    assert not re.search(r"style|script|http", svg)
    page = await add_app(ada)
    assert len(set(CODE.findall(page.source))) == 10
    page = await ada.get(PATH)
    assert "Your authenticator app Added just now" in page.words
    assert await proved(here, ada) == 1


async def test_a_wrong_code_is_told_at_its_field_and_the_key_stays(here: Node) -> None:
    ada = await visit(here)
    first = await ada.get(NEW_APP)
    again = await fill(ada, first, NEW_APP, code="000000")
    assert again.status == 422
    assert "This is not the code that the app shows now." in again.words
    now = here.house.clock.now()
    assert code_on(again, now) == code_on(first, now)
    page = await fill(ada, again, NEW_APP, code=code_on(again, now))
    assert len(CODE.findall(page.source)) == 10


async def test_every_change_asks_for_the_password(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    await add_passkey(ada, phone)
    await add_app(ada)
    passkey = f"{PASSKEYS}/{(await summary(here)).passkeys[0].id}/remove"
    before = await summary(here)
    for action in (NEW_PASSKEY, passkey, REMOVE_APP, NEW_CODES):
        for wrong in ("", "a wrong password"):
            page = await fill(ada, await ada.get(action), action, current_password=wrong, name="Other")
            assert page.status == 422, action
            assert "This is not your password." in page.words, action
        here.house.clock.advance(60)  # so that the limit on tries is not reached
    assert await summary(here) == before
    await fill(ada, await ada.get(REMOVE_APP), REMOVE_APP)
    page = await ada.get(NEW_APP)
    code = code_on(page, here.house.clock.now())
    page = await fill(ada, page, NEW_APP, code=code, current_password="a wrong password")
    assert (page.status, (await summary(here)).totp_since) == (422, None)


async def test_who_guesses_the_password_in_a_browser_that_was_left_open_is_stopped(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(NEW_PASSKEY)
    answers = [(await fill(ada, page, NEW_PASSKEY, name="x", current_password=f"guess {n}")).status for n in range(12)]
    assert answers == [422] * 10 + [429] * 2


async def test_the_browser_is_not_asked_before_the_password_was_right(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    page = await fill(ada, await ada.get(NEW_PASSKEY), NEW_PASSKEY, name="x", current_password="wrong")
    assert "data-passkey-create" not in page.source
    options = here.house.services.factors.registration_options(here.house.ada.id, "ada", ())
    answer = phone.create(options.json)
    form = {"form_token": ada.form_token, "name": "x", "answer": answer}
    for token in ("", here.house.services.factors.challenge_token("another session", options.challenge)):
        assert (await ada.post(PASSKEYS, {**form, "challenge": token})).status == 403
    assert not (await summary(here)).any


@pytest.mark.parametrize("answer", ["", "{", "[]", '{"id": "\\ud800"}', "x" * 20_000, "[" * 9_000])
async def test_a_hostile_answer_is_a_refusal_and_the_person_may_try_again(
    here: Node, phone: Authenticator, answer: str
) -> None:
    ada = await visit(here)
    page = await fill(ada, await ada.get(NEW_PASSKEY), NEW_PASSKEY, name="Phone")
    page = await send_answer(ada, page, answer)
    assert page.status == 422
    assert "The passkey could not be checked." in page.words
    page = await send_answer(ada, page, phone.create(options_in(page)))
    assert len(CODE.findall(page.source)) == 10


async def test_a_passkey_is_renamed_and_removed(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    await add_passkey(ada, phone)
    rename = f"{PASSKEYS}/{(await summary(here)).passkeys[0].id}/rename"
    remove = rename.replace("/rename", "/remove")
    page = await fill(ada, await ada.get(rename), rename, name="")
    assert page.status == 422
    assert "Give the passkey a name" in page.words
    page = await fill(ada, await ada.get(rename), rename, name="Blue key")
    assert "The passkey was renamed." in page.words
    asked = await ada.get(remove)
    assert "Remove the passkey “Blue key”?" in asked.words
    assert "from then on your password alone lets somebody in" in asked.words
    page = await fill(ada, asked, remove)
    assert "The passkey was removed." in page.words
    assert not (await summary(here)).any


@pytest.mark.parametrize("whose", [organization, platform_policy], ids=["organization", "installation"])
async def test_the_only_passkey_stays_where_no_password_is_let_in(
    here: Node, phone: Authenticator, whose: Table
) -> None:
    ada = await visit(here)
    await add_passkey(ada, phone)
    name = "acme" if whose is organization else None
    await here.house.services.organizations.set_policy_from_host(name, "disable-password-login", 1)
    remove = f"{PASSKEYS}/{(await summary(here)).passkeys[0].id}/remove"
    page = await fill(ada, await ada.get(remove), remove)
    assert page.status == 409
    refused = "This is your only passkey, and Acme lets nobody sign in with a password. Add another one first."
    assert refused in page.words
    assert 'href="/settings/security/passkeys/new"' in page.source
    assert (len((await summary(here)).passkeys), (await summary(here)).recovery_codes_left) == (1, 10)
    await add_passkey(ada, Authenticator(phone.origin), "Blue key")
    assert "The passkey was removed." in (await fill(ada, await ada.get(remove), remove)).words


async def test_of_two_passkeys_that_are_removed_at_once_one_stays_where_no_password_is_let_in(
    here: Node, phone: Authenticator
) -> None:
    ada = await visit(here)
    await add_passkey(ada, phone)
    await add_passkey(ada, Authenticator(phone.origin), "Blue key")
    await here.house.services.organizations.set_policy_from_host("acme", "disable-password-login", 1)
    addresses = [f"{PASSKEYS}/{one.id}/remove" for one in (await summary(here)).passkeys]
    asked = [await ada.get(address) for address in addresses]
    pages = await asyncio.gather(*(fill(ada, *pair) for pair in zip(asked, addresses, strict=True)))
    assert sorted(page.status for page in pages) == [200, 409]
    assert len((await summary(here)).passkeys) == 1


async def test_the_last_factor_is_named_as_such_and_not_another(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    await add_passkey(ada, phone)
    await add_app(ada)
    assert "last second factor" not in (await ada.get(REMOVE_APP)).words
    page = await fill(ada, await ada.get(REMOVE_APP), REMOVE_APP)
    assert "The authenticator app was removed." in page.words
    passkey = (await summary(here)).passkeys[0].id
    assert "It is your last second factor" in (await ada.get(f"{PASSKEYS}/{passkey}/remove")).words


async def test_new_recovery_codes_replace_the_old_ones(here: Node) -> None:
    ada = await visit(here)
    old = CODE.findall((await add_app(ada)).source)
    page = await fill(ada, await ada.get(NEW_CODES), NEW_CODES)
    new = CODE.findall(page.source)
    assert (len(new), set(new) & set(old)) == (10, set())
    assert page.response.headers["cache-control"] == "no-store"


async def test_few_codes_are_pointed_out(here: Node) -> None:
    ada = await visit(here)
    codes = CODE.findall((await add_app(ada)).source)
    factors = here.house.services.factors

    async def use(tx: Any) -> None:
        for code in codes[:9]:
            await factors.use_recovery_code(tx, here.house.ada.id, code)

    await here.house.db.write(use)
    page = await ada.get(PATH)
    assert "1 code left Make new ones" in page.words


async def test_a_new_password_ends_every_other_session_and_renews_this_one(here: Node) -> None:
    ada, other = await visit(here), await visit(here)
    form = dict(
        form_to(await ada.get(PATH), f"{PATH}/password").filled({"old_password": PASSWORD, "password": NEXT_PASSWORD})
    )
    answer = await here.http.post(
        f"{PATH}/password", data=form, headers={"Cookie": f"cloud.sso={ada.cookie}", "Accept": "text/html"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}?done=security-password")
    renewed = Visit(here, "", answer.cookies["cloud.sso"])
    assert [await here.check_session(one.cookie) for one in (ada, other, renewed)] == [401, 401, 200]
    page = await renewed.get(answer.headers["location"])
    assert "Your password is changed. Every other browser is signed out." in page.words
    assert await right_password(here, NEXT_PASSWORD)


@pytest.mark.parametrize("action", [f"{PATH}/password", NEW_PASSKEY, NEW_APP, NEW_CODES])
async def test_every_form_that_asks_for_a_password_names_its_user_to_password_managers(here: Node, action: str) -> None:
    person = await visit(here)
    if action == NEW_CODES:
        await add_app(person)
    page = await person.get(PATH if action.endswith("/password") else action)
    form = form_to(page, action)
    assert form.values("username") == ("ada",)
    assert 'name="username" value="ada" autocomplete="username" aria-label="User name" readonly hidden>' in page.source
    answer = await person.post(action, {**dict(form.filled({})), "username": "bob"})
    assert (answer.status, "bob" in answer.words) == (422, False)  # who it is comes from the session alone


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("a wrong password", NEXT_PASSWORD, "This is not your present password."),
        (PASSWORD, "short", "A password has 8 to 1024 characters."),
        (PASSWORD, "ada@example.com", "The password must not be the user name or the e-mail address."),
    ],
)
async def test_a_password_that_may_not_be_set_is_told_at_its_field(
    here: Node, old: str, new: str, sentence: str
) -> None:
    ada = await visit(here)
    page = await fill(ada, await ada.get(PATH), f"{PATH}/password", old_password=old, password=new)
    assert page.status == 422
    assert sentence in page.words
    assert old not in page.source
    assert new not in page.source.replace("ada@example.com", "", 1) or new == "ada@example.com"
    assert await right_password(here, PASSWORD)


async def test_twenty_passkeys_with_long_names_cost_no_more_statements(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await visit(here)
    await ada.get(PATH)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(PATH)
    for number in range(20):
        factors, user = here.house.services.factors, here.house.ada.id
        options = factors.registration_options(user, "ada", ())
        answer = Authenticator(PUBLIC_URL).create(options.json)
        await factors.add_passkey(user, answer, options.challenge, f"{number:02}".ljust(64, "W"))
    with counted_reads(here, monkeypatch) as many:
        page = await ada.get(PATH)
    assert few == many
    assert len(few) <= 7
    assert page.source.count("W" * 62) >= 20


async def test_a_hostile_name_stays_text(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    hostile = '"><script>alert(1)</script>{{ 7*7 }}'
    await add_passkey(ada, phone, hostile)
    passkey = f"{PASSKEYS}/{(await summary(here)).passkeys[0].id}"
    for path in (PATH, f"{passkey}/rename", f"{passkey}/remove"):
        page = await ada.get(path)
        assert "<script>alert(1)</script>" not in page.source, path
        assert hostile in html.unescape(page.source), path


async def test_what_a_person_did_of_late_is_told_in_sentences_with_address_and_time(
    here: Node, phone: Authenticator
) -> None:
    ada = await visit(here)
    await add_passkey(ada, phone)
    words = (await ada.get(PATH)).words.replace("\u2068", "").replace("\u2069", "")
    assert "Added the passkey “This laptop”. just now , from 127.0.0.1" in words
    assert "Signed in with a browser. just now , from 192.0.2.7" in words
    bob = await visit(here, "bob")
    assert "This laptop" not in (await bob.get(PATH)).words


async def test_nobody_reaches_the_factors_of_others(here: Node, phone: Authenticator) -> None:
    await add_passkey(await visit(here), phone)
    passkey = (await summary(here)).passkeys[0].id
    bob = await visit(here, "bob")
    form = {"form_token": bob.form_token, "current_password": PASSWORD, "name": "mine"}
    for path in (f"{PASSKEYS}/{passkey}/rename", f"{PASSKEYS}/{passkey}/remove", f"{PASSKEYS}/%00/remove"):
        assert ((await bob.get(path)).status, (await bob.post(path, form)).status) == (404, 404)
    assert (await bob.post(REMOVE_APP, form)).status == 404
    assert (await bob.post(NEW_CODES, form)).status == 409
    assert [one.name for one in (await summary(here)).passkeys] == ["This laptop"]


async def test_nothing_changes_without_the_form_of_this_session(here: Node, phone: Authenticator) -> None:
    ada, other = await visit(here), await visit(here)
    await add_passkey(ada, phone)
    await add_app(ada)
    before = await summary(here)
    passkey = f"{PASSKEYS}/{before.passkeys[0].id}"
    form = {"current_password": PASSWORD, "name": "x", "old_password": PASSWORD, "password": NEXT_PASSWORD}
    paths = (f"{PATH}/password", NEW_PASSKEY, PASSKEYS, f"{passkey}/rename", f"{passkey}/remove")
    for path in (*paths, NEW_APP, REMOVE_APP, NEW_CODES):
        for token in ("", other.form_token):
            assert (await ada.post(path, {**form, "form_token": token})).status == 403, path
    assert await summary(here) == before


async def test_a_second_app_is_refused_before_it_is_shown(here: Node) -> None:
    ada = await visit(here)
    await add_app(ada)
    page = await ada.get(NEW_APP)
    assert page.status == 409
    assert "Remove it before you set up another one." in page.words


async def test_who_has_no_password_is_not_asked_for_one(here: Node, phone: Authenticator) -> None:
    ada = await visit(here)
    await without_password(here)
    page = await ada.get(PATH)
    assert "Your account has no password," in page.words
    page = await ada.get(NEW_PASSKEY)
    assert "current_password" not in page.form("name").names()
    page = await add_passkey(ada, phone)
    assert len(CODE.findall(page.source)) == 10


async def test_the_person_is_written_to_at_every_change(opened: Open, phone: Authenticator) -> None:
    with PostOffice() as office:
        async with open_node(opened(**office.settings)) as node:
            ada = await visit(node)
            await add_passkey(ada, phone)
            await add_app(ada)
            await fill(ada, await ada.get(NEW_CODES), NEW_CODES)
            await fill(ada, await ada.get(REMOVE_APP), REMOVE_APP)
            remove = f"{PASSKEYS}/{(await summary(node)).passkeys[0].id}/remove"
            await fill(ada, await ada.get(remove), remove)
            await fill(ada, await ada.get(PATH), f"{PATH}/password", old_password=PASSWORD, password=NEXT_PASSWORD)
            await office.arrived("ada@example.com", 6)
            await node.house.services.mailer.aclose()
    letters = office.letters_to("ada@example.com")
    for letter, what in zip(
        letters,
        (
            "A passkey was added to your account",
            "An authenticator app was added to your account",
            "New recovery codes were made for your account",
            "The authenticator app was removed from your account",
            "A passkey was removed from your account",
            "The password of your account at Keystead was changed",
        ),
        strict=True,
    ):
        assert what in " ".join(letter.text.split())
    assert {letter.link for letter in letters} == {PUBLIC_URL + PATH, f"{PUBLIC_URL}/sign-in/forgot"}
