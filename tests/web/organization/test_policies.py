"""Policies are set on a page that says what they mean, and a mistake stands at its field."""

import asyncio

from sqlalchemy import bindparam, update

from keystead.accounts.models import Policies
from keystead.db import Command, insert_into
from keystead.db.tables import platform_policy, session
from tests.account.nodes import Node
from tests.support.pages import Page
from tests.web.settings.visiting import Visit, form_to, visit

PATH = "/settings/organization/policies"
DAY = 86_400
ANYTHING_GOES = [("second_factor", "no"), ("password_sign_in", "on"), ("device_sign_in", "on")]

BY_PASSKEY = Command(update(session).where(session.c.id == bindparam("session_id")).values(second_factor=1, password=0))
OF_ALL = Command(insert_into(platform_policy))
STRICTEST = {
    "id": 1,
    "longest_key_life": 30 * DAY,
    "second_factor_required": 1,
    "password_sign_in_off": 1,
    "device_sign_in_off": 1,
}
NOTES = (
    "This installation lets no new key live longer than 30 days.",
    "This installation requires it of everybody.",
    "This installation has sign-in with a password off for everybody.",
    "This installation has sign-in of devices off for everybody.",
)


async def with_passkey(here: Node, username: str = "ada") -> Visit:
    """Sign somebody in with a session that counts as begun with a passkey."""
    person = await visit(here, username)
    await here.house.run(BY_PASSKEY, {"session_id": person.session_id})
    return person


async def save(ada: Visit, **answers: str) -> Page:
    """Fill the form and send it."""
    return await ada.post(PATH, dict(form_to(await ada.get(PATH), PATH).filled(answers)))


async def save_as_shown(person: Visit, shown: Page, path: str, **answers: str) -> Page:
    """Fill a form that was opened a while ago, and send it."""
    return await person.post(path, dict(form_to(shown, path).filled(answers)))


async def policies(here: Node) -> Policies:
    return await here.house.services.organizations.policies(here.house.acme)


async def test_a_limit_for_keys_is_saved_shown_again_and_taken_away(here: Node) -> None:
    ada = await visit(here)
    assert "The policies are saved." in (await save(ada, days="90")).words
    assert await policies(here) == Policies(90 * DAY, second_factor_required=False)
    page = await ada.get(PATH)
    assert 'value="90"' in page.source
    assert form_to(page, PATH).filled({})[3:] == ANYTHING_GOES
    await save(ada, days="")
    assert await policies(here) == Policies(None, second_factor_required=False)


async def test_a_number_of_days_that_does_not_fit_is_told_at_its_field(here: Node) -> None:
    ada = await visit(here)
    for days in ("0", "3651", "-1", "1.5", "ninety", "9" * 6, "9" * 90, "\u0669"):
        page = await save(ada, days=days)
        assert (page.status, 'id="days-error"' in page.source) == (422, True), days
    assert await policies(here) == Policies(None, second_factor_required=False)


async def test_who_signed_in_with_a_password_alone_cannot_lock_everybody_out(here: Node) -> None:
    ada = await visit(here)
    page = await save(ada, days="90", second_factor="yes")
    assert page.status == 403
    assert 'id="second_factor-error"' in page.source
    assert "Sign in with a second factor yourself first" in page.words
    assert 'value="90"' in page.source
    assert await policies(here) == Policies(None, second_factor_required=False)


async def test_an_answer_that_is_none_is_told_at_its_field(here: Node) -> None:
    ada = await visit(here)
    for name, _ in ANYTHING_GOES:
        page = await ada.post(
            PATH, {"form_token": ada.form_token, "shown": ",no,on,on", **dict(ANYTHING_GOES), name: "perhaps"}
        )
        assert (page.status, f'id="{name}-error">Choose one of the two.' in page.source) == (422, True)
        assert page.words.count("Choose one of the two.") == 1
    assert await policies(here) == Policies()


async def test_each_policy_is_saved_shown_again_and_taken_away(here: Node) -> None:
    ada = await with_passkey(here)
    answers = {"second_factor": "yes", "password_sign_in": "off", "device_sign_in": "off"}
    assert "The policies are saved." in (await save(ada, days="30", **answers)).words
    assert await policies(here) == Policies(30 * DAY, True, True, True)
    shown = dict(form_to(await ada.get(PATH), PATH).filled({}))
    assert {name: shown[name] for name in ("days", *answers)} == {"days": "30", **answers}
    await save(ada, days="", **dict(ANYTHING_GOES))
    assert await policies(here) == Policies()


async def test_only_who_signed_in_with_a_passkey_turns_passwords_off_and_who_is_signed_in_stays_so(here: Node) -> None:
    ada = await visit(here)
    page = await save(ada, days="90", password_sign_in="off")
    assert (page.status, 'id="password_sign_in-error"' in page.source) == (403, True)
    assert 'id="second_factor-error"' not in page.source
    assert "Sign in with a passkey yourself first" in page.words
    assert dict(form_to(page, PATH).filled({}))["password_sign_in"] == "off"
    assert await policies(here) == Policies()
    by_passkey = await with_passkey(here)
    assert "The policies are saved." in (await save(by_passkey, password_sign_in="off")).words
    assert (await ada.get(PATH)).status == 200
    assert (await policies(here)).password_sign_in_off


async def test_what_the_whole_installation_asks_is_said_beside_each_field_which_stays_usable(here: Node) -> None:
    ada = await with_passkey(here)
    before = await ada.get(PATH)
    assert [note for note in NOTES if note in before.words] == []
    await here.house.run(OF_ALL, STRICTEST)
    page = await ada.get(PATH)
    assert [note for note in NOTES if note not in page.words] == []
    assert 'aria-describedby="days-hint days-note"' in page.source
    assert "disabled" not in page.source
    shown = form_to(page, PATH).filled({})
    assert [pair for pair in shown if pair[0] not in {"form_token", "shown"}] == [("days", ""), *ANYTHING_GOES]
    assert "The policies are saved." in (await save(ada, days="60", device_sign_in="off")).words
    assert await policies(here) == Policies(60 * DAY, device_sign_in_off=True)


async def test_the_page_says_what_happens_to_whom_and_who_may_turn_it_on(here: Node) -> None:
    words = (await (await visit(here)).get(PATH)).words
    for said in (
        "Whoever is signed in to this organization with a password alone is signed out",
        "Who is signed in stays so and should add a passkey under Security before they sign out",
        "You can turn it on once you have signed in with a passkey yourself.",
        "What is signed in stays so until it ends or is signed out.",
    ):
        assert said in words, said


async def test_a_page_that_was_left_open_leaves_alone_what_its_reader_did_not_touch(here: Node) -> None:
    ada, again = await visit(here), await visit(here)
    left_open = await ada.get(PATH)
    await save(again, days="30")
    assert "The policies are saved." in (await save_as_shown(ada, left_open, PATH, device_sign_in="off")).words
    assert await policies(here) == Policies(30 * DAY, device_sign_in_off=True)


async def test_two_forms_that_are_sent_at_once_both_count(here: Node) -> None:
    ada, again = await visit(here), await visit(here)
    forms = await ada.get(PATH), await again.get(PATH)
    pages = await asyncio.gather(
        save_as_shown(ada, forms[0], PATH, days="30"), save_as_shown(again, forms[1], PATH, device_sign_in="off")
    )
    assert [page.status for page in pages] == [200, 200]
    assert await policies(here) == Policies(30 * DAY, device_sign_in_off=True)


async def test_who_changes_what_somebody_else_changed_meanwhile_sees_what_is_set_now(here: Node) -> None:
    ada, again = await visit(here), await visit(here)
    left_open = await ada.get(PATH)
    await save(again, days="30")
    page = await save_as_shown(ada, left_open, PATH, days="60", device_sign_in="off")
    assert (page.status, page.source.count('class="field-error"')) == (409, 1)
    assert 'id="days-error"' in page.source
    assert "Somebody else changed this meanwhile. Nothing was saved; what is set now is shown." in page.words
    assert dict(form_to(page, PATH).filled({}))["days"] == "30"
    assert await policies(here) == Policies(30 * DAY)
    assert "The policies are saved." in (await save_as_shown(ada, page, PATH, days="60")).words
    same = await save_as_shown(ada, left_open, PATH, days="60")
    assert "The policies are saved." in same.words  # both chose the same
    assert await policies(here) == Policies(60 * DAY)


async def test_a_form_that_does_not_say_what_it_has_shown_changes_nothing(here: Node) -> None:
    ada = await visit(here)
    for shown in ({}, {"shown": ""}, {"shown": "x,no,on,on"}, {"shown": ",perhaps,on,on"}):
        page = await ada.post(PATH, {"form_token": ada.form_token, "days": "30", **dict(ANYTHING_GOES), **shown})
        assert (page.status, "Open the page again, and choose there." in page.words) == (400, True)
    assert await policies(here) == Policies()
