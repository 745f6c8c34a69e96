"""Operators ask something of everybody on one page; what may lock people out is asked for once more before."""

import asyncio

import pytest

from keystead.accounts.models import Policies
from tests.account.nodes import Node
from tests.support.pages import Page
from tests.web.organization.conftest import operator
from tests.web.organization.test_policies import ANYTHING_GOES, BY_PASSKEY, save_as_shown
from tests.web.settings.visiting import Visit, form_to, visit

PATH = "/settings/operator/policies"
DAY = 86_400
FACTOR = "Require a second factor of everybody?"
PASSWORD = "Turn sign-in with a password off for everybody?"
SAVED = "The policies of the installation are saved."


async def root_with_passkey(here: Node) -> Visit:
    """Sign root in with a session that counts as begun with a passkey."""
    root = await operator(here)
    await here.house.run(BY_PASSKEY, {"session_id": root.session_id})
    return root


async def save(root: Visit, **answers: str) -> Page:
    """Fill the form and send it."""
    return await root.post(PATH, dict(form_to(await root.get(PATH), PATH).filled(answers)))


async def policies(here: Node) -> Policies:
    return await here.house.services.organizations.platform_policies()


async def test_what_harms_nobody_is_saved_at_once_and_shown_again(here: Node) -> None:
    root = await operator(here)
    assert SAVED in (await save(root, days="90", device_sign_in="off")).words
    assert await policies(here) == Policies(90 * DAY, device_sign_in_off=True)
    shown = dict(form_to(await root.get(PATH), PATH).filled({}))
    assert (shown["days"], shown["device_sign_in"]) == ("90", "off")
    assert SAVED in (await save(root, days="", **dict(ANYTHING_GOES))).words
    assert await policies(here) == Policies()


@pytest.mark.parametrize(
    ("field", "value", "title", "said"),
    [
        ("second_factor", "yes", FACTOR, "who is signed in with a password alone is signed out at once"),
        ("password_sign_in", "off", PASSWORD, "Nobody on this installation signs in with a password any more"),
    ],
)
async def test_what_may_lock_people_out_is_asked_for_once_more_and_kept_as_it_was_typed(
    here: Node, field: str, value: str, title: str, said: str
) -> None:
    root = await root_with_passkey(here)
    asked = await save(root, days="90", **{field: value})
    assert (asked.status, title in asked.words, said in asked.words) == (200, True, True)
    assert await policies(here) == Policies()
    assert 'href="/settings/operator/policies"' in asked.source
    saved = await root.post(PATH, dict(form_to(asked, PATH).filled({})))
    assert SAVED in saved.words
    wanted = Policies(90 * DAY, second_factor_required=value == "yes", password_sign_in_off=value == "off")
    assert await policies(here) == wanted
    again = await save(root, days="60")  # nothing more is turned on
    assert (SAVED in again.words, title in again.words) == (True, False)


async def test_both_at_once_are_asked_for_on_one_page(here: Node) -> None:
    root = await root_with_passkey(here)
    asked = await save(root, second_factor="yes", password_sign_in="off", device_sign_in="off")
    assert "Require a second factor, and turn sign-in with a password off for everybody?" in asked.words
    await root.post(PATH, dict(form_to(asked, PATH).filled({})))
    assert await policies(here) == Policies(None, True, True, True)


async def test_a_yes_counts_for_no_form_but_the_one_of_this_session(here: Node) -> None:
    root, ada = await root_with_passkey(here), await visit(here)
    sure = {**dict(ANYTHING_GOES), "days": "", "password_sign_in": "off", "sure": "yes", "shown": ",no,on,on"}
    assert (await root.post(PATH, {**sure, "form_token": ada.form_token})).status == 403
    assert (await root.get(f"{PATH}?password_sign_in=off&sure=yes")).status == 200
    assert await policies(here) == Policies()


async def test_who_has_not_shown_it_themselves_asks_it_of_nobody(here: Node) -> None:
    root = await operator(here)
    for field, value, sentence in (
        ("second_factor", "yes", "Sign in with a second factor yourself first"),
        ("password_sign_in", "off", "Sign in with a passkey yourself first"),
    ):
        asked = await save(root, **{field: value})
        page = await root.post(PATH, dict(form_to(asked, PATH).filled({})))
        assert (page.status, f'id="{field}-error"' in page.source, sentence in page.words) == (403, True, True)
        assert page.source.count('class="field-error"') == 1
    assert await policies(here) == Policies()


async def test_an_answer_that_does_not_fit_is_told_at_its_field_before_anything_is_asked(here: Node) -> None:
    root = await root_with_passkey(here)
    for days in ("0", "3651", "-1", "ninety", "9" * 90, "\u0669"):
        page = await save(root, days=days)
        assert (page.status, 'id="days-error"' in page.source) == (422, True), days
    page = await root.post(
        PATH, {"form_token": root.form_token, "password_sign_in": "off", "sure": "yes", "shown": ",no,on,on"}
    )
    assert (page.status, page.words.count("Choose one of the two.")) == (422, 2)
    assert await policies(here) == Policies()


async def test_a_page_that_was_left_open_leaves_alone_what_its_reader_did_not_touch(here: Node) -> None:
    root, again = await root_with_passkey(here), await visit(here, "root")
    left_open = await root.get(PATH)
    await save(again, days="30")
    asked = await save_as_shown(root, left_open, PATH, password_sign_in="off")
    await save(again, device_sign_in="off")  # while the question stands there
    assert SAVED in (await save_as_shown(root, asked, PATH)).words
    assert await policies(here) == Policies(30 * DAY, password_sign_in_off=True, device_sign_in_off=True)
    page = await save_as_shown(root, left_open, PATH, days="90")
    assert (page.status, 'id="days-error"' in page.source) == (409, True)
    assert "Somebody else changed this meanwhile." in page.words
    assert dict(form_to(page, PATH).filled({}))["days"] == "30"
    assert await policies(here) == Policies(30 * DAY, password_sign_in_off=True, device_sign_in_off=True)


async def test_what_was_taken_back_while_the_question_stood_there_is_told_and_not_done(here: Node) -> None:
    root, again = await root_with_passkey(here), await visit(here, "root")
    asked = await save(root, days="60", password_sign_in="off")
    await save(again, days="30")
    page = await save_as_shown(root, asked, PATH)
    assert (page.status, 'id="days-error"' in page.source) == (409, True)
    assert await policies(here) == Policies(30 * DAY)


async def test_two_forms_that_are_sent_at_once_both_count(here: Node) -> None:
    root, again = await operator(here), await visit(here, "root")
    forms = await root.get(PATH), await again.get(PATH)
    pages = await asyncio.gather(
        save_as_shown(root, forms[0], PATH, days="30"), save_as_shown(again, forms[1], PATH, device_sign_in="off")
    )
    assert [page.status for page in pages] == [200, 200]
    assert await policies(here) == Policies(30 * DAY, device_sign_in_off=True)
