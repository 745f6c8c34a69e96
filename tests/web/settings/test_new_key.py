"""Making and rotating API keys on pages: each mistake is told in its place, and the key is shown once (K7, K9, K12)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import organization
from keystead.kernel.ids import is_id, new_id
from keystead.kernel.scopes import Role, Scope, stored_scopes
from keystead.keys.models import ApiKey
from keystead.web.settings.keys import NEW_PATH, PATH
from keystead.web.settings.rotate_key import OVERLAPS
from tests.account.nodes import Node
from tests.support.installation import PUBLIC_URL
from tests.support.pages import Page
from tests.web.settings.test_keys import identity_of, keys_of, new_key
from tests.web.settings.visiting import Visit, counted_reads, form_to, visit

DAY = 86_400
KEY = re.compile(r"pwt_[\w-]+\.[\w-]+")
_CAP = Command(
    update(organization)
    .where(organization.c.id == bindparam("organization_id"))
    .values(longest_key_life=bindparam("longest"))
)


async def cap(node: Node, longest: int) -> None:
    """Let keys of acme live for so many seconds at most."""
    await node.house.db.run(_CAP, {"organization_id": node.house.acme, "longest": longest})


async def create(person: Visit, **answers: str) -> Page:
    """Fill the form in as a person does, and send it."""
    page = await person.get(NEW_PATH)
    return await person.post(NEW_PATH, dict(form_to(page, NEW_PATH).filled({"title": "nightly", **answers})))


def shown(page: Page) -> str:
    """Return the key that a page shows."""
    (found,) = set(map(str, KEY.findall(page.source)))
    return found


def errors(page: Page) -> dict[str, str]:
    """Return the messages of a page by field."""
    return dict(re.findall(r'class="field-error" id="(\w+)-error">([^<]*)</p>', page.source))


def date_of(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


async def newest(node: Node, username: str = "ada") -> ApiKey:
    """Return the key that was made last."""
    return (await keys_of(node, username))[0]


async def test_a_new_key_is_shown_once_in_a_dialog_that_stays_and_works(here: Node) -> None:
    ada = await visit(here)
    page = await create(ada)
    text, key = shown(page), await newest(here)
    assert page.status == 200
    assert page.response.headers["cache-control"] == "no-store"
    assert re.search(r'<dialog class="secret"[^>]* data-keep-open open>', page.source)
    assert await here.check(text) == 200
    assert text not in (await ada.get(PATH)).source
    assert (key.title, key.app_name, key.scopes) == ("nightly", "Default", "")
    for words in (f"{PUBLIC_URL}/api/auth/session", key.hint, "none but saying who you are"):
        assert words in page.source


async def test_a_key_without_other_wishes_lives_for_90_days(here: Node) -> None:
    await create(await visit(here))
    assert (await newest(here)).expires_at == here.house.clock.now() + 90 * DAY


@pytest.mark.parametrize(("choice", "days"), [("7", 7), ("30", 30), ("60", 60), ("90", 90), ("never", None)])
async def test_a_key_expires_when_it_was_chosen(here: Node, choice: str, days: int | None) -> None:
    await create(await visit(here), expires=choice)
    assert (await newest(here)).expires_at == (None if days is None else here.house.clock.now() + days * DAY)


@pytest.mark.parametrize("ahead", [0, 1, 200])
async def test_a_key_with_a_date_works_until_that_day_has_ended_in_utc(here: Node, ahead: int) -> None:
    now = here.house.clock.now()
    await create(await visit(here), expires="date", expires_on=date_of(now + ahead * DAY))
    assert (await newest(here)).expires_at == (now // DAY + ahead + 1) * DAY


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "Choose the date on which the key shall expire."),
        ("2001-02-03", "This date is in the past."),
        ("9999-12-31", "An API key lives for at most 10 years."),
        ("2030-02-30", "This is no date."),
        ("tomorrow", "This is no date."),
        ("20300131", "This is no date."),
        ("\u0662\u0660\u0663\u0660-\u0660\u0661-\u0660\u0661", "This is no date."),
    ],
)
async def test_a_date_that_does_not_fit_is_told_at_the_date(here: Node, typed: str, message: str) -> None:
    page = await create(await visit(here), expires="date", expires_on=typed)
    assert page.status == 422
    assert errors(page)["expires_on"].startswith(message)
    assert await keys_of(here) == []


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("", "Give the key a title, so that you can tell it from others."),
        ("  ", "Give the key a title, so that you can tell it from others."),
        ("x" * 129, "The title has 129 characters. 128 are the most."),
        ("a\u202eb", "The key&#39;s title has 1 to 128 characters, all of them visible"),
    ],
)
async def test_a_title_that_does_not_fit_is_told_at_the_title(here: Node, title: str, message: str) -> None:
    page = await create(await visit(here), title=title)
    assert page.status == 422
    assert errors(page)["title"].startswith(message)
    assert await keys_of(here) == []


async def test_all_mistakes_are_told_together_and_what_was_filled_in_is_kept(here: Node) -> None:
    answers = {"title": "", "app": "new", "new_app": "", "expires": "date", "expires_on": "2001-01-01"}
    page = await create(await visit(here), **answers, scope_keys_read="on")
    assert set(errors(page)) == {"title", "new_app", "expires_on"}
    kept = dict(form_to(page, NEW_PATH).filled({}))
    assert (kept["app"], kept["expires"], kept["expires_on"]) == ("new", "date", "2001-01-01")
    assert kept["scope_keys_read"] == "on"


async def test_the_browser_goes_to_what_is_wrong_wherever_it_stands_on_the_page(here: Node) -> None:
    ada = await visit(here)
    wrong = [await create(ada, title=""), await create(ada, expires="date", expires_on="")]
    found = [re.findall(r'<input id="(\w+)"[^>]* aria-invalid="true" autofocus', page.source) for page in wrong]
    assert found == [["title"], ["expires_on"]]
    assert "autofocus" not in (await ada.get(NEW_PATH)).source


async def test_what_belongs_to_one_answer_is_marked_for_the_style_sheet_and_there_without_it(here: Node) -> None:
    page = await (await visit(here)).get(NEW_PATH)
    css = (await here.http.get("/static/settings.css")).text
    for mark, field in (("only-new-app", "new_app"), ("only-on-date", "expires_on")):
        assert re.search(rf'<div class="[^"]*\b{mark}">.*?<input id="{field}"', page.source, re.DOTALL)
        assert re.search(rf"form:not\(:has\([^{{]*\)\) > \.{mark}:not\(:has\(\[aria-invalid\]\)\)", css)


async def test_a_wish_that_is_not_offered_is_refused_at_its_field(here: Node) -> None:
    ada = await visit(here)
    form = {"form_token": ada.form_token, "id": new_id(), "title": "x"}
    assert set(errors(await ada.post(NEW_PATH, {**form, "expires": "8"}))) == {"expires"}
    assert set(errors(await ada.post(NEW_PATH, form))) == {"expires"}
    assert set(errors(await ada.post(NEW_PATH, {**form, "expires": "7", "app": new_id()}))) == {"app"}
    assert set(errors(await ada.post(NEW_PATH, {**form, "expires": "7", "app": "%00"}))) == {"app"}
    assert (await ada.post(NEW_PATH, {**form, "expires": "7", "id": "mine"})).status == 400
    assert await keys_of(here) == []


# The organization's policy


async def test_only_what_the_policy_allows_is_offered_and_it_is_said_why(here: Node) -> None:
    await cap(here, 30 * DAY)
    page = await (await visit(here)).get(NEW_PATH)
    form = form_to(page, NEW_PATH)
    assert form.values("expires") == ("7", "30", "date")
    assert dict(form.filled({}))["expires"] == "30"
    assert "Keys of this organization live for at most 30 days" in page.words
    assert f'max="{date_of(here.house.clock.now() + 29 * DAY)}"' in page.source


async def test_a_life_beyond_the_policy_is_told_at_its_field(here: Node) -> None:
    await cap(here, 30 * DAY)
    ada, now = await visit(here), here.house.clock.now()
    form = {"form_token": ada.form_token, "id": new_id(), "title": "x"}
    for choice in ("60", "never"):
        page = await ada.post(NEW_PATH, {**form, "expires": choice})
        assert errors(page)["expires"].startswith("Keys of this organization live for at most 30 days.")
    page = await ada.post(NEW_PATH, {**form, "expires": "date", "expires_on": date_of(now + 30 * DAY)})
    assert "Keys of this organization live for at most 30 days." in errors(page)["expires_on"]
    assert await keys_of(here) == []
    page = await ada.post(NEW_PATH, {**form, "expires": "date", "expires_on": date_of(now + 29 * DAY)})
    assert page.status == 200
    assert ((await newest(here)).expires_at or 0) <= now + 30 * DAY


@pytest.mark.parametrize("days", [1, 6, 45, 365, 3_650])
async def test_the_longest_life_that_the_policy_allows_is_offered_and_so_is_its_last_date(
    here: Node, days: int
) -> None:
    await cap(here, days * DAY)
    ada, now = await visit(here), here.house.clock.now()
    page = await create(ada, expires=str(days))
    assert page.status == 200
    assert (await newest(here)).expires_at == now + days * DAY
    last = re.findall(r'max="([\d-]+)"', (await ada.get(NEW_PATH)).source)[-1]
    assert (await create(ada, expires="date", expires_on=last)).status == 200
    assert now + (days - 1) * DAY < ((await newest(here)).expires_at or 0) <= now + days * DAY


# Apps


async def test_a_key_goes_into_the_chosen_app_or_into_a_new_one(here: Node) -> None:
    ada = await visit(here)
    await create(ada, app="new", new_app=" Reports ")
    reports = await newest(here)
    await create(ada, title="second", app=reports.app_id)
    await create(ada, title="third", app="new", new_app="Reports")
    found = [(key.title, key.app_name, key.app_id) for key in await keys_of(here)]
    assert found == [(title, "Reports", reports.app_id) for title in ("third", "second", "nightly")]


async def test_a_member_is_offered_the_apps_that_are_there_and_makes_none(here: Node) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    await create(ada, app="new", new_app="Reports")
    page = await bob.get(NEW_PATH)
    form = form_to(page, NEW_PATH)
    assert "new_app" not in form.names()
    assert len(form.values("app")) == 2  # "Default", which is made when it is needed, and "Reports"
    sent = {**dict(form.filled({"title": "x"})), "app": "new", "new_app": "Mine"}
    assert (await bob.post(NEW_PATH, sent)).status == 403
    assert (await bob.post(NEW_PATH, {**sent, "app": form.values("app")[1]})).status == 200
    assert (await newest(here, "bob")).app_name == "Reports"


async def test_an_app_that_went_meanwhile_is_told_at_the_app(here: Node) -> None:
    ada = await visit(here)
    await create(ada, app="new", new_app="Reports")
    page = await ada.get(NEW_PATH)
    app_id = (await newest(here)).app_id
    principal = (await here.house.services.sessions.find(ada.cookie)) or pytest.fail("nobody is signed in")
    await here.house.services.keys.delete_app(principal, app_id)
    page = await ada.post(NEW_PATH, dict(form_to(page, NEW_PATH).filled({"title": "x", "app": app_id})))
    assert errors(page) == {"app": "This app is not there any more. Choose another one."}


async def test_an_app_of_another_organization_looks_like_none(here: Node) -> None:
    elsewhere = await here.elsewhere()
    made = await here.house.services.keys.create_key(elsewhere, None, "of globex")
    ada = await visit(here)
    form = {"form_token": ada.form_token, "id": new_id(), "title": "x", "expires": "7", "app": made.record.app_id}
    assert set(errors(await ada.post(NEW_PATH, form))) == {"app"}


# Permissions (promise K12)


async def test_a_key_gets_the_permissions_that_were_ticked_and_the_page_names_them(here: Node) -> None:
    page = await create(await visit(here), scope_keys_read="on", scope_balance_add="on")
    assert stored_scopes((await newest(here)).scopes) == {Scope.KEYS_READ, Scope.BALANCE_ADD}
    assert "Add money to your organization&#39;s balance" in page.source


async def test_a_member_is_offered_no_more_than_their_role_and_given_no_more(here: Node) -> None:
    bob = await visit(here, "bob")
    page = await bob.get(NEW_PATH)
    form = form_to(page, NEW_PATH)
    assert "scope_keys_read" in form.names()
    assert "scope_balance_add" not in form.names()
    page = await bob.post(NEW_PATH, {**dict(form.filled({"title": "x"})), "scope_balance_add": "on"})
    assert (page.status, set(errors(page))) == (422, {"scopes"})
    assert await keys_of(here, "bob") == []


# Sent twice


async def test_a_form_sent_again_makes_no_second_key_and_says_so(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(NEW_PATH)
    form = dict(form_to(page, NEW_PATH).filled({"title": "nightly"}))
    first, again = await ada.post(NEW_PATH, form), await ada.post(NEW_PATH, form)
    assert (first.status, again.status) == (200, 409)
    assert "This API key was made already" in again.words
    assert KEY.search(again.source) is None
    assert [key.id for key in await keys_of(here)] == [form["id"]]


async def test_each_form_brings_another_id_and_keeps_it_through_a_mistake(here: Node) -> None:
    ada = await visit(here)
    ids = {form_to(await ada.get(NEW_PATH), NEW_PATH).values("id")[0] for _ in range(3)}
    page = await ada.post(NEW_PATH, {"form_token": ada.form_token, "id": min(ids)})
    assert len(ids) == 3
    assert all(map(is_id, ids))
    assert form_to(page, NEW_PATH).values("id") == (min(ids),)


async def test_no_key_is_made_without_the_form_of_this_session(here: Node) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    for wrong in ("", "x", bob.form_token):
        form = {"form_token": wrong, "id": new_id(), "title": "x", "expires": "7"}
        assert (await ada.post(NEW_PATH, form)).status == 403
    assert await keys_of(here) == []


async def test_the_form_costs_as_many_statements_for_many_apps_as_for_one(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await visit(here)
    await create(ada)
    await ada.get(NEW_PATH)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(NEW_PATH)
    for number in range(20):
        await create(ada, app="new", new_app=f"App {number}")
    with counted_reads(here, monkeypatch) as many:
        await ada.get(NEW_PATH)
    assert few == many


# Rotating (promise K7)


def rotate_path(key: ApiKey) -> str:
    return f"{PATH}/{key.id}/rotate"


async def rotate(person: Visit, key: ApiKey, answers: Mapping[str, str]) -> Page:
    """Answer the question for how long the old key goes on working."""
    page = await person.get(rotate_path(key))
    return await person.post(rotate_path(key), dict(form_to(page, rotate_path(key)).filled(answers)))


@pytest.mark.parametrize("overlap", OVERLAPS)
async def test_a_rotated_key_works_beside_its_successor_for_as_long_as_was_chosen(here: Node, overlap: str) -> None:
    old = await new_key(here)
    assert await here.check(old.secret.reveal()) == 200
    page = await rotate(await visit(here), old.record, {"overlap": overlap})
    new, now = shown(page), here.house.clock.now()
    assert page.status == 200
    assert await here.check(new) == 200
    ends = {key.id: key.expires_at for key in await keys_of(here)}
    assert ends == {old.record.id: now + int(overlap), (await newest(here)).id: None}
    if overlap != "0":
        here.house.clock.advance(int(overlap) - 1)
        assert await here.check(old.secret.reveal()) == 200
        here.house.clock.advance(1)
    assert [await here.check(text) for text in (old.secret.reveal(), new)] == [401, 200]


async def test_the_page_of_a_rotation_says_when_the_old_key_ends(here: Node) -> None:
    old = await new_key(here, expires_at=here.house.clock.now() + 3_600)
    ada = await visit(here)
    assert "Expires in 1 hour , if that comes before" in (await ada.get(rotate_path(old.record))).words
    page = await rotate(ada, old.record, {"overlap": "604800"})
    ends = datetime.fromtimestamp(here.house.clock.now() + 3_600, UTC)
    assert f"The old key ({old.record.hint}) works until {ends.day} {ends:%B %Y, %H:%M:%S} UTC." in page.words


async def test_a_rotation_sent_again_makes_no_third_key_and_says_so(here: Node) -> None:
    old = await new_key(here)
    ada = await visit(here)
    form = {"form_token": ada.form_token, "overlap": "3600"}
    first, again = await ada.post(rotate_path(old.record), form), await ada.post(rotate_path(old.record), form)
    assert (first.status, again.status) == (200, 409)
    assert "This API key was rotated already" in again.words
    assert KEY.search(again.source) is None
    assert len(await keys_of(here)) == 2


@pytest.mark.parametrize("overlap", ["", "1", "-1", "2592001", "x", "\u0663\u0666\u0660\u0660"])
async def test_an_overlap_that_is_not_offered_is_told_in_its_place(here: Node, overlap: str) -> None:
    old = await new_key(here)
    ada = await visit(here)
    page = await ada.post(rotate_path(old.record), {"form_token": ada.form_token, "overlap": overlap})
    assert page.status == 422
    assert "Choose for how long the old key shall go on working." in errors(page)["overlap"]
    assert len(await keys_of(here)) == 1


async def test_a_key_that_has_expired_is_not_rotated(here: Node) -> None:
    old = await new_key(here, expires_at=here.house.clock.now() + 60)
    here.house.clock.advance(60)
    ada = await visit(here)
    page = await ada.post(rotate_path(old.record), {"form_token": ada.form_token, "overlap": "0"})
    assert page.status == 409
    assert "This key has expired." in page.words


async def test_an_owner_who_rotates_somebody_elses_key_is_told_in_whose_name_it_acts(here: Node) -> None:
    old = await new_key(here, username="bob")
    page = await (await visit(here)).get(rotate_path(old.record))
    assert "Acts in the name of bob@example.com" in page.words
    assert (await identity_of(here, "bob")).role == Role.MEMBER
