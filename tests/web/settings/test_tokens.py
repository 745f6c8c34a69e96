"""Tokens: a bearer token for a day is shown once, listed by its id and taken back; a page loaded again makes none."""

import re

import pytest

from keystead.kernel.ids import is_id, new_id
from keystead.web.settings.tokens import PATH
from tests.account.nodes import Node
from tests.support.installation import PUBLIC_URL
from tests.support.pages import Page
from tests.web.settings.visiting import Visit, counted_reads, form_to, visit

DAY = 86_400
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


async def generate(person: Visit) -> Page:
    """Press the button on the page of tokens."""
    page = await person.get(PATH)
    return await person.post(PATH, dict(form_to(page, PATH).filled({})))


def shown(page: Page) -> str:
    """Return the token that a page shows."""
    (found,) = set(map(str, TOKEN.findall(page.source)))
    return found


async def token_ids(node: Node) -> list[str]:
    """Return the ids of ada's valid tokens, the newest first."""
    services = node.house.services
    identity = await services.accounts.first_identity("ada")
    return [token.id for token in await services.tokens.list_short_term(identity)]


async def test_a_generated_token_is_shown_once_with_its_uses_and_works_for_a_day(here: Node) -> None:
    ada = await visit(here)
    page = await generate(ada)
    token = shown(page)
    assert page.status == 200
    assert page.response.headers["cache-control"] == "no-store"
    assert f"https://{PUBLIC_URL.removeprefix('https://')}/api/auth/session" in page.source
    for language in ("curl", "Python", "JavaScript", "Go"):
        assert f"<summary>{language}</summary>" in page.source
    assert await here.check(token) == 200
    assert token not in (await ada.get(PATH)).source
    here.house.clock.advance(DAY)
    assert await here.check(token) == 401


async def test_tokens_are_listed_by_their_ids_with_when_they_were_issued_and_expire(here: Node) -> None:
    ada = await visit(here)
    empty = (await ada.get(PATH)).words
    assert "No tokens" in empty
    assert "act in your name for 24 hours" in empty
    await generate(ada)
    here.house.clock.advance(3_600)
    await generate(ada)
    page = await ada.get(PATH)
    newest, oldest = await token_ids(here)
    assert page.words.index(newest) < page.words.index(oldest)
    assert "Issued 1 hour ago · Expires in 23 hours" in page.words


async def test_a_form_sent_again_makes_no_second_token_and_says_so(here: Node) -> None:
    ada = await visit(here)
    form = dict(form_to(await ada.get(PATH), PATH).filled({}))
    first, again = await ada.post(PATH, form), await ada.post(PATH, form)
    assert (first.status, again.status) == (200, 409)
    assert "This token was made already" in again.words
    assert TOKEN.search(again.source) is None
    (token_id,) = await token_ids(here)
    await ada.confirm(f"{PATH}/{token_id}/revoke")
    assert (await ada.post(PATH, form)).status == 409  # nor does it come back after it was revoked
    assert await token_ids(here) == []


async def test_each_page_brings_another_id(here: Node) -> None:
    ada = await visit(here)
    ids = {form_to(await ada.get(PATH), PATH).values("id")[0] for _ in range(3)}
    assert len(ids) == 3
    assert all(map(is_id, ids))


@pytest.mark.parametrize("chosen", ["", "1", "x" * 300, "00000000-0000-0000-0000-00000000000G"])
async def test_an_id_that_is_none_makes_no_token(here: Node, chosen: str) -> None:
    ada = await visit(here)
    page = await ada.post(PATH, {"form_token": ada.form_token, "id": chosen})
    assert page.status == 422
    assert await token_ids(here) == []


async def test_a_revoked_token_is_refused_at_once_after_a_question_that_names_it(here: Node) -> None:
    ada = await visit(here)
    token = shown(await generate(ada))
    assert await here.check(token) == 200
    (token_id,) = await token_ids(here)
    asked = await ada.get(f"{PATH}/{token_id}/revoke")
    assert f"Revoke the token {token_id}?" in asked.words
    assert await here.check(token) == 200
    page = await ada.confirm(f"{PATH}/{token_id}/revoke")
    assert "The token is revoked." in page.words
    assert await here.check(token) == 401


async def test_nobody_makes_or_revokes_a_token_without_the_form_of_their_session(here: Node) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    await generate(ada)
    (token_id,) = await token_ids(here)
    for wrong in ("", "x", bob.form_token):
        assert (await ada.post(PATH, {"form_token": wrong, "id": new_id()})).status == 403
        assert (await ada.post(f"{PATH}/{token_id}/revoke", {"form_token": wrong})).status == 403
    assert await token_ids(here) == [token_id]


async def test_nobody_sees_or_revokes_the_tokens_of_others(here: Node) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    await generate(ada)
    (token_id,) = await token_ids(here)
    assert token_id not in (await bob.get(PATH)).source
    for target in (token_id, new_id(), "x" * 300, "%00"):
        assert (await bob.get(f"{PATH}/{target}/revoke")).status == 404
        assert (await bob.post(f"{PATH}/{target}/revoke", {"form_token": bob.form_token})).status == 404
    assert await token_ids(here) == [token_id]


async def test_many_tokens_cost_no_more_statements_than_one(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await visit(here)
    await generate(ada)
    await ada.get(PATH)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(PATH)
    for _ in range(20):
        await generate(ada)
    with counted_reads(here, monkeypatch) as many:
        await ada.get(PATH)
    assert few == many
    assert len([sql for sql in many if "short_term_token" in sql]) == 1
