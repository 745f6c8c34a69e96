"""An admin sees every key of every app, whoever made it, and ends them (promise K8)."""

import re

import pytest

from keystead.kernel.scopes import Role
from keystead.keys.models import App
from tests.account.nodes import Node
from tests.web.organization.conftest import join, principal_of
from tests.web.reading import PAGE_BUDGET, Reading, weight
from tests.web.settings.visiting import Visit, counted_reads, visit

PATH = "/settings/organization/apps"
DAY = 86_400


async def admin(node: Node) -> Visit:
    """Sign in alan, an admin of acme."""
    await join(node, "alan", Role.ADMIN)
    return await visit(node, "alan")


async def make(node: Node, name: str, *titles: str) -> App:
    """Make an app with keys that bob made."""
    keys = node.house.services.keys
    app = await keys.create_app(await principal_of(node), name)
    for title in titles:
        await keys.create_key(await principal_of(node, "bob"), app.id, title)
    return app


async def test_every_key_stands_there_with_its_maker_hint_dates_and_last_use(here: Node) -> None:
    alan, keys = await admin(here), here.house.services.keys
    app = await make(here, "Reports", "nightly")
    (key,) = await keys.list_keys(await principal_of(here), app.id)
    await keys.record_use([(key.id, here.house.clock.now(), "198.51.100.9")])
    here.house.clock.advance(3600)
    page = await alan.get(f"{PATH}/{app.id}")
    assert f"nightly {key.hint} · Made by bob , 1 hour ago" in page.words
    assert "Last used 1 hour ago from 198.51.100.9 · Does not expire" in page.words


async def test_an_admin_revokes_a_key_that_somebody_else_made_at_once(here: Node) -> None:
    alan, keys = await admin(here), here.house.services.keys
    made = await keys.create_key_for_user("bob", "laptop")
    assert await here.check(made.secret.reveal()) == 200
    path = f"{PATH}/{made.record.app_id}/keys/{made.record.id}/revoke"
    asked = await alan.get(path)
    assert "Revoke the key laptop?" in asked.words
    assert f"made by bob and is shown as {made.record.hint} in the app Default" in asked.words
    page = await alan.confirm(path)
    assert "The key is revoked." in page.words
    assert await here.check(made.secret.reveal()) == 401
    (event,) = await here.house.events("key:delete")
    assert (event.actor_id != here.house.bob.id, event.target) == (True, made.record.id)


async def test_an_app_is_deleted_with_its_keys_after_a_question_that_counts_them(here: Node) -> None:
    alan, keys = await admin(here), here.house.services.keys
    made = await keys.create_key_for_user("bob", "laptop")
    path = f"{PATH}/{made.record.app_id}/delete"
    asked = await alan.get(path)
    assert "Delete the app Default?" in asked.words
    assert "1 key in it will be refused at once." in asked.words
    page = await alan.confirm(path)
    assert "The app and its keys are deleted." in page.words
    assert "There are no apps yet" in page.words
    assert await here.check(made.secret.reveal()) == 401


async def test_an_app_is_created_and_a_mistake_stands_at_its_field(here: Node) -> None:
    alan = await admin(here)
    page = await alan.post(PATH, {"form_token": alan.form_token, "name": "Reports"})
    assert "The app is created." in page.words
    assert "Reports 0 keys" in page.words
    twice = await alan.post(PATH, {"form_token": alan.form_token, "name": "Reports"})
    hidden = await alan.post(PATH, {"form_token": alan.form_token, "name": "Re\u202eports"})
    none = await alan.post(PATH, {"form_token": alan.form_token})
    assert [twice.status, hidden.status, none.status] == [409, 422, 422]
    assert 'value="Reports"' in twice.source
    assert "already has an app with this name" in twice.words
    assert all(
        'aria-invalid="true" autofocus aria-describedby="name-error name-hint"' in p.source
        for p in (twice, hidden, none)
    )


async def test_a_name_is_shown_as_it_was_typed(here: Node) -> None:
    ada = await visit(here)
    names = ("<script>alert(1)</script>", "{{ 7*7 }}", "W" * 128, "\u05d0\u05d1\u05d2")
    for name in names:
        await ada.post(PATH, {"form_token": ada.form_token, "name": name})
    page = await ada.get(PATH)
    assert [name in page.words for name in names] == [True] * 4
    assert "<script>alert" not in page.source


async def test_a_page_of_many_costs_as_many_statements_as_one_of_few(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, costs = await visit(here), []
    few = await make(here, "Few", *(f"key {n}" for n in range(3)))
    await ada.get(PATH)  # the session is remembered from now on
    with counted_reads(here, monkeypatch) as seen:
        await ada.get(PATH)
        await ada.get(f"{PATH}/{few.id}")
    costs.append(len(seen))
    many = await make(here, "Many", *(f"key {n}" for n in range(200)))
    for number in range(30):
        await make(here, f"App {number}")
    with counted_reads(here, monkeypatch) as seen:
        overview = await ada.get(PATH)
        page = await ada.get(f"{PATH}/{many.id}")
    costs.append(len(seen))
    assert costs[0] == costs[1]
    assert "Many 200 keys" in overview.words
    assert "200 keys, the oldest first." in page.words
    assert weight(Reading(page.source)) < PAGE_BUDGET


async def test_keys_come_in_parts_and_are_found_by_title_maker_and_hint(here: Node) -> None:
    ada = await visit(here)
    app = await make(here, "Many", *(f"key {n:03}" for n in range(120)))
    keys = await here.house.services.keys.list_keys(await principal_of(here), app.id)
    page, seen = await ada.get(f"{PATH}/{app.id}"), []
    while True:
        seen += re.findall(r"<bdi>(key \d+)</bdi>", page.source)
        following = re.search(r'href="([^"]*)">Next<', page.source)
        if following is None:
            break
        page = await ada.get(following[1].replace("&amp;", "&"))
    assert seen == [f"key {n:03}" for n in range(120)]
    texts = ("KEY 007", keys[7].hint[-4:], "bob", "none of them")
    found = {text: await ada.get(f"{PATH}/{app.id}?search={text}") for text in texts}
    assert ["key 007" in each.words for each in found.values()] == [True, True, True, False]
    assert "120 of 120 fit." in found["bob"].words
    assert "No key fits" in found["none of them"].words
    for after in ("-1", "x", "9" * 30, "\u0663", "120"):
        assert "key 000" in (await ada.get(f"{PATH}/{app.id}?after={after}")).words
