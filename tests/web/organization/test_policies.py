"""Policies are set on a page that says what they mean, and a mistake stands at its field."""

from keystead.organizations.models import Policies
from tests.account.nodes import Node
from tests.support.pages import Page
from tests.web.settings.visiting import Visit, form_to, visit

PATH = "/settings/organization/policies"
DAY = 86_400
ANYTHING_GOES = [("second_factor", "no"), ("password_sign_in", "on"), ("device_sign_in", "on")]


async def save(ada: Visit, **answers: str) -> Page:
    """Fill the form and send it."""
    return await ada.post(PATH, dict(form_to(await ada.get(PATH), PATH).filled(answers)))


async def policies(here: Node) -> Policies:
    return await here.house.services.organizations.policies(here.house.acme)


async def test_a_limit_for_keys_is_saved_shown_again_and_taken_away(here: Node) -> None:
    ada = await visit(here)
    assert "The policies are saved." in (await save(ada, days="90")).words
    assert await policies(here) == Policies(90 * DAY, second_factor_required=False)
    page = await ada.get(PATH)
    assert 'value="90"' in page.source
    assert form_to(page, PATH).filled({})[2:] == ANYTHING_GOES
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
    page = await ada.post(PATH, {"form_token": ada.form_token, "second_factor": "perhaps"})
    assert (page.status, "Choose one of the two." in page.words) == (422, True)
