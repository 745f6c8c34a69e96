"""The pages of an organization are for its owners and admins, and for nobody else (promises K5 and W4)."""

import re

import pytest

from keystead.kernel.scopes import Role
from tests.account.nodes import Node
from tests.web.organization.conftest import join
from tests.web.organization.routes import NO_IDS, NOBODY, filled, routes, status
from tests.web.settings.visiting import Visit, visit

UNDER = "/settings/organization"


async def test_a_member_is_told_that_these_pages_are_not_for_them(here: Node) -> None:
    bob = await visit(here, "bob")
    found = {(method, path): await status(bob, method, filled(path, NOBODY)) for method, path in routes(here, UNDER)}
    assert len(found) > 18
    assert set(found.values()) == {403}


async def test_a_member_sees_no_way_to_these_pages_and_an_admin_sees_each(here: Node) -> None:
    await join(here, "alan", Role.ADMIN)
    pages = {name: (await (await visit(here, name)).get("/settings/sessions")).source for name in ("bob", "alan")}
    leads = [f'href="{UNDER}/{page}"' for page in ("members", "apps", "policies", "balance", "audit")]
    assert [UNDER in pages["bob"], *(lead in pages["alan"] for lead in leads)] == [False, *[True] * len(leads)]


async def test_who_is_signed_out_is_sent_to_sign_in_and_back(here: Node) -> None:
    stranger = Visit(here, "nobody", "nothing")
    found = [await status(stranger, method, filled(path, NOBODY)) for method, path in routes(here, UNDER)]
    answer = await here.http.get(f"{UNDER}/audit?type=key", headers={"Accept": "text/html"})
    assert set(found) == {303}
    assert answer.headers["location"] == "/sign-in?next=%2Fsettings%2Forganization%2Faudit%3Ftype%3Dkey"


@pytest.mark.parametrize("token", ["", "x", "of another"])
async def test_no_form_counts_without_the_token_of_this_session(here: Node, token: str) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    form = {"form_token": bob.form_token if token == "of another" else token}
    before = await here.house.rows()
    posts = [path for method, path in routes(here, UNDER) if method == "POST"]
    found = [await status(ada, "POST", filled(path, NOBODY), form) for path in posts]
    assert (len(posts) >= 8, set(found)) == (True, {403})
    assert await here.house.rows() == before


async def test_a_form_of_another_media_type_is_415(here: Node) -> None:
    ada = await visit(here)
    headers = {**ada._headers(), "Content-Type": "text/plain"}
    posts = [filled(path, NOBODY) for method, path in routes(here, UNDER) if method == "POST"]
    body = f"form_token={ada.form_token}".encode()
    found = [(await here.http.post(path, content=body, headers=headers)).status_code for path in posts]
    assert set(found) == {415}


async def test_a_text_that_is_no_id_finds_nothing(here: Node) -> None:
    ada = await visit(here)
    paths = [(method, filled(path, text)) for method, path in routes(here, UNDER) if "{" in path for text in NO_IDS]
    found = {(method, path): await status(ada, method, path) for method, path in paths}
    assert {key: value for key, value in found.items() if value != 404} == {}


async def test_what_belongs_to_another_organization_looks_like_nothing(here: Node) -> None:
    keys = here.house.services.keys
    ada = await visit(here)
    made = await keys.create_key_for_user("ada", "nightly")
    await join(here, "eve", Role.OWNER, "evil")
    eve = await visit(here, "eve")
    invitation = await invited(ada)
    theirs = {
        "app": made.record.app_id,
        "key": made.record.id,
        "user": here.house.bob.id,
        "invitation": invitation,
    }
    before = await here.house.rows()
    paths = [(method, path.format(**theirs)) for method, path in routes(here, UNDER) if "{" in path]
    form = {"form_token": eve.form_token, "role": "admin", "choice": "delete"}
    found = {(method, path): await status(eve, method, path, form) for method, path in paths}
    assert {key: value for key, value in found.items() if value != 404} == {}
    assert await here.house.rows() == before


async def invited(ada: Visit) -> str:
    """Invite somebody, and return the id of the invitation."""
    await ada.post(f"{UNDER}/invitations", {"form_token": ada.form_token, "email": "new@example.com", "role": "member"})
    (found,) = re.findall(r"/invitations/([0-9a-f-]{36})/revoke", (await ada.get(f"{UNDER}/members")).source)
    return str(found)


async def test_nothing_in_a_form_says_who_acts_or_where(here: Node) -> None:
    await join(here, "eve", Role.OWNER, "evil")
    eve = await visit(here, "eve")
    form = {"form_token": eve.form_token, "name": "Mine", "organization_id": here.house.acme, "org": "acme"}
    await eve.post(f"{UNDER}/apps", form)
    assert "Mine" in (await eve.get(f"{UNDER}/apps")).words
    assert "Mine" not in (await (await visit(here)).get(f"{UNDER}/apps")).words
