"""The operator's pages are for operators and nobody else, and show no organization's secrets (promises K5 and W4)."""

from keystead.kernel.scopes import Role
from tests.account.nodes import Node
from tests.web.organization.conftest import join, operator
from tests.web.organization.routes import NO_IDS, NOBODY, filled, routes, status
from tests.web.settings.visiting import Visit, visit

UNDER = "/settings/operator"


async def test_owners_and_members_are_told_that_these_pages_are_not_for_them(here: Node) -> None:
    before = await here.house.rows()
    for name in ("ada", "bob"):
        person = await visit(here, name)
        found = [await status(person, method, filled(path, NOBODY)) for method, path in routes(here, UNDER)]
        assert (len(found) > 20, set(found)) == (True, {403})
        assert UNDER not in (await person.get("/settings/sessions")).source
    after = await here.house.rows()
    assert {name for name in before if before[name] != after[name]} <= {"session", "audit_event", "revocation"}


async def test_who_is_signed_out_is_sent_to_sign_in(here: Node) -> None:
    stranger = Visit(here, "nobody", "nothing")
    found = [await status(stranger, method, filled(path, NOBODY)) for method, path in routes(here, UNDER)]
    assert set(found) == {303}


async def test_no_form_counts_without_the_token_of_this_session(here: Node) -> None:
    root, ada = await operator(here), await visit(here)
    posts = [filled(path, here.house.bob.id) for method, path in routes(here, UNDER) if method == "POST"]
    before = await here.house.rows()
    for token in ("", "x", ada.form_token):
        assert {await status(root, "POST", path, {"form_token": token}) for path in posts} == {403}
    assert (len(posts) >= 8, await here.house.rows()) == (True, before)


async def test_a_form_of_another_media_type_is_415(here: Node) -> None:
    root = await operator(here)
    headers = {**root._headers(), "Content-Type": "application/json"}
    posts = [filled(path, here.house.bob.id) for method, path in routes(here, UNDER) if method == "POST"]
    found = {(await here.http.post(path, content=b"{}", headers=headers)).status_code for path in posts}
    assert found == {415}


async def test_a_text_that_names_nothing_finds_nothing(here: Node) -> None:
    root = await operator(here)
    paths = [(method, filled(path, text)) for method, path in routes(here, UNDER) if "{" in path for text in NO_IDS]
    found = {(method, path): await status(root, method, path) for method, path in paths}
    assert {key: value for key, value in found.items() if value != 404} == {}


async def test_an_operator_who_leads_no_organization_sees_the_pages_of_none(here: Node) -> None:
    root = await operator(here)
    assert await status(root, "GET", "/settings/organization/apps") == 403
    assert "Operator" in (await root.get("/settings/sessions")).words


async def test_no_page_of_the_operator_shows_what_belongs_to_an_organization(here: Node) -> None:
    await join(here, "eve", Role.OWNER, "evil")
    made = await here.house.services.keys.create_key_for_user("eve", "title of eve")
    await here.house.sign_in()
    root = await operator(here)
    pages = [path for method, path in routes(here, UNDER) if method == "GET" and "{" not in path]
    sources = [(await root.get(path)).source for path in pages]
    secrets = (made.secret.reveal(), made.record.hint, "title of eve", "secret_hash", "sealed_private", "argon2")
    assert [secret for secret in secrets for source in sources if secret in source] == []
    assert len(pages) >= 6
