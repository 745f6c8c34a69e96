"""API keys: a person tells them apart, finds, renames and deletes them (promises K8, K9), however many there are."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import pytest

from keystead.accounts.service import Accounts
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity
from keystead.kernel.scopes import READ_SCOPES
from keystead.keys.models import LONGEST_NAME, ApiKey, CreatedKey
from keystead.web.settings.keys import A_PAGE, PATH
from tests.account.nodes import Node
from tests.support.installation import ADDRESS
from tests.web.settings.visiting import counted_reads, form_to, visit

DAY = 86_400
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7*7 }} {% raw %} ${7*7} <%= 7*7 %>",
    "</title></textarea><svg/onload=alert(1)>",
    "&lt;b&gt; &amp;amp; &#60;",
)


async def identity_of(node: Node, username: str = "ada") -> Identity:
    accounts: Accounts = node.house.services.accounts
    return await accounts.first_identity(username)


async def new_key(node: Node, title: str = "nightly report", username: str = "ada", **options: Any) -> CreatedKey:
    """Make a key in somebody's name."""
    keys = node.house.services.keys
    return await keys.create_key(await identity_of(node, username), None, title, **options)


async def keys_of(node: Node, username: str = "ada") -> list[ApiKey]:
    """Return somebody's keys, the newest first."""
    return await node.house.services.keys.own.all(await identity_of(node, username))


async def used(node: Node, key: CreatedKey, at: int, address: str = "198.51.100.9") -> None:
    await node.house.services.keys.record_use([(key.record.id, at, address)])


def items(source: str) -> list[str]:
    """Return the words of each line of the list."""
    lines = re.findall(r'<li class="item">(.*?)<div class="item-actions">', source, re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", line)).split()) for line in lines]


async def test_a_key_is_told_apart_by_title_hint_app_rights_times_and_last_use_with_its_address(here: Node) -> None:
    made = await new_key(
        here, scopes=READ_SCOPES, expires_at=here.house.clock.now() + 60 * DAY - 1, app_name="parallel-cli Users"
    )
    here.house.clock.advance(3_600)
    await used(here, made, here.house.clock.now() - 120)
    page = await (await visit(here)).get(PATH)
    (line,) = items(page.source)
    for words in (
        f"nightly report {made.record.hint}",
        "App parallel-cli Users",
        "Created 1 hour ago",
        "Expires in 59 days",
        "Last used 2 minutes ago from 198.51.100.9",
        "What it may do See the API keys of your organization's apps, without their secrets",
    ):
        assert words in line
    assert "tag" not in re.findall(r'<p class="item-title">.*?</p>', page.source, re.DOTALL)[0]


async def test_a_key_that_was_never_used_and_never_expires_says_so(here: Node) -> None:
    await new_key(here)
    (line,) = items((await (await visit(here)).get(PATH)).source)
    assert "Never expires Not used yet" in line
    assert "What it may do" not in line


async def test_who_has_no_key_reads_what_one_is_for(here: Node) -> None:
    page = await (await visit(here)).get(PATH)
    assert "No API keys yet" in page.words
    assert f'href="{PATH}/new"' in page.source


async def test_what_needs_a_look_is_marked(here: Node) -> None:
    now = here.house.clock.now()
    keys = here.house.services.keys
    await new_key(here, "ends", expires_at=now + 14 * DAY + 100 * DAY)
    idle = await new_key(here, "idle")
    seen = await new_key(here, "seen")
    old = await new_key(here, "old")
    gone = await new_key(here, "gone", expires_at=now + 50 * DAY)
    here.house.clock.advance(100 * DAY)
    await used(here, idle, now + 10 * DAY)
    await used(here, old, now + 99 * DAY)
    await used(here, gone, now + 49 * DAY)
    await keys.flag_exposed(seen.secret.reveal(), ADDRESS)
    await used(here, seen, now + 100 * DAY)
    principal = (await keys.find(old.secret.reveal())) or pytest.fail("the key is gone")
    await keys.changes.rotate(principal, old.record.app_id, old.record.id, 7 * DAY)
    found = {line.split()[0]: line for line in items((await (await visit(here)).get(PATH)).source) if "…" in line}
    assert "Expires soon" in found["ends"]
    assert "Unused for 90 days" in found["idle"]
    assert "Exposed" in found["seen"]
    assert "It was sent without encryption just now" in found["seen"]
    assert "Expired" in found["gone"]
    assert "Unused" not in found["gone"]


async def test_a_rotated_key_is_marked_and_says_when_it_ends(here: Node) -> None:
    old = await new_key(here)
    principal = (await here.house.services.keys.find(old.secret.reveal())) or pytest.fail("the key is gone")
    await here.house.services.keys.changes.rotate(principal, old.record.app_id, old.record.id, 7 * DAY)
    page = await (await visit(here)).get(PATH)
    _, line = items(page.source)
    assert f"{old.record.hint} Being replaced" in line
    assert "Ends in 7 days" in line
    assert f"{PATH}/{old.record.id}/rotate" not in page.source


@pytest.mark.parametrize("dress", [str, str.upper, lambda text: text.replace("…", "..."), lambda text: f"  {text} "])
async def test_a_key_is_found_by_its_hint_and_by_its_title(here: Node, dress: Any) -> None:
    for number in range(3):
        await new_key(here, f"Straße {number}")
    wanted = await new_key(here, "Ärger mit Ölen")
    ada = await visit(here)
    for search in (wanted.record.hint, "ärger", wanted.record.hint[-4:]):
        page = await ada.get(f"{PATH}?search={dress(search)}")
        assert [line.split()[0] for line in items(page.source)] == ["Ärger"]
        assert "1 of 4 keys fits" in page.words


async def test_a_search_that_finds_nothing_says_so_and_shows_what_was_looked_for(here: Node) -> None:
    await new_key(here)
    page = await (await visit(here)).get(f"{PATH}?search=<b>%25_")
    assert "0 of 1 key fit “<b>%_”" in page.words
    assert "No key fits" in page.words
    assert "<b>%" not in page.source


async def test_a_whole_key_that_is_looked_for_leaves_the_address_at_once(here: Node) -> None:
    await new_key(here)
    wanted = await new_key(here, "wanted")
    ada = await visit(here)
    headers = {"Cookie": f"cloud.sso={ada.cookie}"}
    answer = await here.http.get(PATH, params={"search": wanted.secret.reveal()}, headers=headers)
    assert answer.status_code == 303
    assert wanted.secret.reveal()[-12:] not in answer.headers["location"]
    assert [line.split()[0] for line in items((await ada.get(answer.headers["location"])).source)] == ["wanted"]


async def test_two_hundred_keys_are_read_page_by_page_for_the_same_few_statements(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await new_key(here, "key 000")
    ada = await visit(here)
    await ada.get(PATH)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(PATH)
    for number in range(1, 200):
        await new_key(here, f"key {number:03}")
    with counted_reads(here, monkeypatch) as many:
        page = await ada.get(PATH)
    assert few == many
    assert len([sql for sql in many if "api_key" in sql]) == 1
    seen = []
    for _ in range(-(-200 // A_PAGE)):
        seen += [line.split()[1] for line in items(page.source)]
        older = re.search(r'href="([^"]+)">Older', page.source)
        page = await ada.get(older[1].replace("&amp;", "&")) if older else page
    assert seen == [f"{number:03}" for number in reversed(range(200))]
    assert "Older" not in page.words


@pytest.mark.parametrize("after", ["-1", "x", "9" * 30, "200", "\u0663"])
async def test_a_place_that_is_not_in_the_list_is_its_beginning(here: Node, after: str) -> None:
    await new_key(here)
    page = await (await visit(here)).get(f"{PATH}?after={after}")
    assert len(items(page.source)) == 1


async def test_titles_of_any_kind_are_shown_as_they_are_and_do_nothing(here: Node) -> None:
    titles = [*HOSTILE, "W" * LONGEST_NAME, "مفتاح", "鍵"]
    for title in titles:
        await new_key(here, title)
    ada = await visit(here)
    page = await ada.get(PATH)
    assert page.status == 200
    for title in titles:
        assert title in page.words.replace("  ", " ") or " ".join(title.split()) in page.words
    for key in await keys_of(here):
        for act in ("title", "rotate", "delete"):
            shown = await ada.get(f"{PATH}/{key.id}/{act}")
            assert shown.status == 200
            assert "<script>alert" not in shown.source
            assert "<img src=x" not in shown.source
            assert " ".join(key.title.split()) in shown.words


# Renaming


async def test_a_key_gets_another_title(here: Node) -> None:
    made = await new_key(here)
    ada = await visit(here)
    path = f"{PATH}/{made.record.id}/title"
    page = await ada.get(path)
    assert form_to(page, path).values("title") == ("nightly report",)
    page = await ada.post(path, dict(form_to(page, path).filled({"title": "  weekly report "})))
    assert "The API key has its new title." in page.words
    assert [key.title for key in await keys_of(here)] == ["weekly report"]


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("", "Give the key a title, so that you can tell it from others."),
        ("   ", "Give the key a title, so that you can tell it from others."),
        ("x" * 129, "The title has 129 characters. 128 are the most."),
        ("a\u202eb", "all of them visible"),
    ],
)
async def test_a_title_that_does_not_fit_is_told_at_the_field_and_kept(here: Node, title: str, message: str) -> None:
    made = await new_key(here)
    ada = await visit(here)
    path = f"{PATH}/{made.record.id}/title"
    page = await ada.post(path, {"form_token": ada.form_token, "title": title})
    assert page.status == 422
    assert message in re.findall(r'id="title-error">(.*?)</p>', page.source)[0]
    assert form_to(page, path).values("title") == (title.strip(),)
    assert [key.title for key in await keys_of(here)] == ["nightly report"]


# Deleting


async def test_a_key_is_deleted_after_a_question_that_names_its_title_and_hint(here: Node) -> None:
    made, other = await new_key(here), await new_key(here, "other")
    await used(here, made, here.house.clock.now() - 7_200)
    ada = await visit(here)
    path = f"{PATH}/{made.record.id}/delete"
    asked = await ada.get(path)
    assert f"Delete the API key “nightly report” ({made.record.hint})?" in asked.words
    assert "It was last used 2 hours ago, from 198.51.100.9." in asked.words
    assert await here.check(made.secret.reveal()) == 200
    page = await ada.confirm(path)
    assert "The API key is deleted." in page.words
    assert [await here.check(key.secret.reveal()) for key in (made, other)] == [401, 200]


# Whose keys


async def test_nobody_changes_a_key_without_the_form_of_their_session(here: Node) -> None:
    made = await new_key(here)
    ada, bob = await visit(here), await visit(here, "bob")
    for wrong in ("", "x", bob.form_token):
        for act, fields in (("title", {"title": "mine"}), ("delete", {}), ("rotate", {"overlap": "0"})):
            forged: Mapping[str, str] = {"form_token": wrong, **fields}
            assert (await ada.post(f"{PATH}/{made.record.id}/{act}", forged)).status == 403
    assert [(key.title, key.successor_id) for key in await keys_of(here)] == [("nightly report", None)]


async def test_a_member_reaches_only_their_own_keys(here: Node) -> None:
    of_ada, of_bob = await new_key(here), await new_key(here, "mine", "bob")
    bob = await visit(here, "bob")
    page = await bob.get(PATH)
    assert [line.split()[0] for line in items(page.source)] == ["mine"]
    assert (await bob.get(f"{PATH}/{of_bob.record.id}/title")).status == 200
    for target in (of_ada.record.id, new_id(), "x" * 300, "%00", "new%2f"):
        for act, fields in (("title", {"title": "mine"}), ("delete", {}), ("rotate", {"overlap": "0"})):
            assert (await bob.get(f"{PATH}/{target}/{act}")).status == 404
            assert (await bob.post(f"{PATH}/{target}/{act}", {"form_token": bob.form_token, **fields})).status == 404
    assert [(key.title, key.successor_id) for key in await keys_of(here)] == [("nightly report", None)]


async def test_keys_of_another_organization_are_neither_seen_nor_reached(here: Node) -> None:
    elsewhere = await here.elsewhere()
    made = await here.house.services.keys.create_key(elsewhere, None, "of globex")
    ada = await visit(here)
    assert "No API keys yet" in (await ada.get(PATH)).words
    for act in ("title", "delete", "rotate"):
        assert (await ada.get(f"{PATH}/{made.record.id}/{act}")).status == 404
    form = {"form_token": ada.form_token}
    assert (await ada.post(f"{PATH}/{made.record.id}/delete", form)).status == 404
    assert await here.check(made.secret.reveal()) == 200
