"""Accepting an invitation: signed in, after signing in, or with an account that is made for it."""

import pytest

from keystead.kernel.principal import Method, Principal
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.web.render import day_words
from tests.account.nodes import Node
from tests.support import issued
from tests.support.installation import ADDRESS
from tests.support.pages import Page
from tests.web.entrance.guest import NEW_PASSWORD, PASSWORD, Guest, give_app, require_second_factor

EVE = "eve@example.org"
ACCOUNT = {"username": "eve", "name": "Eve", "password": NEW_PASSWORD}


async def invite(node: Node, email: str = EVE, role: Role = Role.MEMBER) -> str:
    """Let eve's organization globex invite somebody, and return the path of the link."""
    services = node.house.services
    if await services.accounts.user_by_name("grace") is None:
        await services.accounts.create_organization("globex", "Globex & Sons")
        await services.accounts.create_user(
            username="grace", email="grace@example.com", organization="globex", role=Role.OWNER
        )
    grace = await services.accounts.first_identity("grace")
    principal = Principal(grace, Method.SESSION, ROLE_SCOPES[Role.OWNER], "a session", expires_at=None)
    invited = await services.organizations.invite(principal, email, role, ADDRESS)
    issued.note(invited.url.reveal().rpartition("/")[2])
    return invited.url.reveal().removeprefix("https://auth.example.com")


async def organizations_of(node: Node, username: str) -> list[str]:
    """Return the organizations of somebody, by name."""
    user = await node.house.services.accounts.user_by_name(username)
    if user is None:
        raise LookupError(username)
    return [one.organization for one in await node.house.services.accounts.memberships_of(user.id)]


async def join(guest: Guest, page: Page, **answers: str) -> Page:
    """Fill in what makes an account."""
    return await guest.submit(page, page.form("username", "password"), {**ACCOUNT, **answers})


async def test_somebody_who_is_signed_in_confirms_and_joins(guest: Guest) -> None:
    await guest.password("bob")
    page = await guest.get(await invite(guest.node, "bob@example.com", Role.ADMIN))
    for words in ("Join Globex & Sons", "grace", "an admin", "bob@example.com"):
        assert words in page.words
    assert "note-warn" not in page.source
    assert await organizations_of(guest.node, "bob") == ["acme"]
    page = await guest.submit(page, page.form("form_token"), {})
    assert (page.path, await organizations_of(guest.node, "bob")) == ("/settings", ["acme", "globex"])
    assert "You belong to one organization more" in page.words


async def test_somebody_with_another_address_is_warned_and_may_join(guest: Guest) -> None:
    await guest.password("bob")
    page = await guest.get(await invite(guest.node))
    assert "note-warn" in page.source
    assert EVE in page.words
    page = await guest.submit(page, page.form("form_token"), {})
    assert await organizations_of(guest.node, "bob") == ["acme", "globex"]


async def test_somebody_with_an_account_signs_in_first_and_comes_back_and_no_address_carries_the_secret(
    guest: Guest,
) -> None:
    app = await give_app(guest.node, guest.node.house.bob.id)
    path = await invite(guest.node, "bob@example.com")
    page = await guest.get(path)
    assert "There is an account with the address" in page.words
    assert 'href="/sign-in?next=%2Finvitation"' in page.source
    page = await guest.password("bob", at="/sign-in?next=%2Finvitation")
    page = await guest.submit(page, page.form("code"), {"code": app.code})
    assert (page.path, "Join Globex & Sons" in page.words) == (path, True)
    await guest.submit(page, page.form("form_token"), {})
    assert await organizations_of(guest.node, "bob") == ["acme", "globex"]
    assert "cloud.invitation" not in guest.cookies


async def test_somebody_without_an_account_makes_one_with_the_invited_address(guest: Guest) -> None:
    page = await guest.get(await invite(guest.node))
    assert (page.status, EVE in page.words) == (200, True)
    page = await join(guest, page)
    assert (page.path, await organizations_of(guest.node, "eve")) == ("/settings", ["globex"])
    assert await guest.node.check_session(guest.session) == 200
    user = await guest.node.house.services.accounts.user_by_name(EVE)
    assert user is not None
    assert user.username == "eve"


async def test_the_address_of_the_new_account_is_the_invited_one_whatever_the_form_says(guest: Guest) -> None:
    page = await guest.get(await invite(guest.node))
    await guest.post(page.form("username").action, {**ACCOUNT, "email": "mallory@example.org", "role": "owner"})
    identity = await guest.node.house.services.accounts.first_identity("eve")
    assert (identity.email, identity.role) == (EVE, "member")


async def test_where_a_second_factor_is_asked_for_a_new_account_sets_one_up_before_its_first_session(
    guest: Guest,
) -> None:
    path = await invite(guest.node)
    await require_second_factor(guest.node)
    page = await join(guest, await guest.get(path))
    assert (page.path, guest.session) == ("/sign-in/enrol", "")


@pytest.mark.parametrize("who", ["bob", "a guest with an account", "a guest without one"])
async def test_each_page_says_that_an_invitation_ends_by_itself_and_when_and_so_it_does(guest: Guest, who: str) -> None:
    path = await invite(guest.node, EVE if who == "a guest without one" else "bob@example.com")
    if who == "bob":
        await guest.password("bob")
    page = await guest.get(path)
    ends_at = guest.node.house.clock.now() + 7 * 86_400
    assert f"An invitation that nobody accepts ends by itself, this one on {day_words(ends_at)}" in page.words
    guest.node.house.clock.advance(7 * 86_400)
    assert (await Guest(guest.node).get(path)).status == 404


async def test_an_invitation_is_good_once(guest: Guest) -> None:
    path = await invite(guest.node)
    await join(guest, await guest.get(path))
    for other in (Guest(guest.node), guest):
        page = await other.get(path)
        assert (page.status, "cannot be used" in page.words) == (404, True)
        assert (await other.post(f"{path}/join", ACCOUNT)).status == 404


async def test_looking_changes_nothing(guest: Guest) -> None:
    path = await invite(guest.node)
    before = guest.node.house.db.rows_changed
    answers = [await guest.send("GET", path) for _ in range(4)] + [await guest.send("HEAD", path)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert guest.node.house.db.rows_changed == before


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("username", "Eve Smith", "must begin with a lower-case letter"),
        ("username", "ada", "already a user called"),
        ("name", "\u202e", "all of them printable"),
        ("password", "short", "8 to 1024 characters"),
    ],
)
async def test_each_mistake_is_told_at_its_field_and_the_rest_is_kept(
    guest: Guest, field: str, value: str, said: str
) -> None:
    page = await join(guest, await guest.get(await invite(guest.node)), **{field: value})
    assert (page.status, said in page.words, f'id="{field}-error"' in page.source) == (422, True, True)
    assert page.form("password").values("password") == ("",)
    assert (await join(guest, page)).status == 200


async def test_only_the_session_that_was_asked_can_accept(guest: Guest) -> None:
    path = await invite(guest.node)
    await guest.password("bob")
    other = Guest(guest.node)
    await other.password("ada")
    others = (await other.get(path)).form("form_token").values("form_token")[0]
    for token in ("", "x", others):
        assert (await guest.send("POST", f"{path}/accept", {"form_token": token})).status_code == 403
    assert await organizations_of(guest.node, "bob") == ["acme"]


async def test_another_site_can_neither_accept_nor_join(guest: Guest) -> None:
    path, headers = await invite(guest.node), {"Origin": "https://evil.example"}
    await guest.password("bob")
    token = (await guest.get(path)).form("form_token").values("form_token")[0]
    accepted = await guest.send("POST", f"{path}/accept", {"form_token": token}, **headers)
    joined = await Guest(guest.node).send("POST", f"{path}/join", ACCOUNT, **headers)
    assert (accepted.status_code, joined.status_code) == (403, 403)
    assert (await Guest(guest.node).get(path)).status == 200


@pytest.mark.parametrize("text", ["x", "kiv_" + "a" * 45, "%00", "..%2f..", "a" * 3_000, "%F0%9F%98%80"])
async def test_what_is_no_invitation_says_so(guest: Guest, text: str) -> None:
    page = await guest.get(f"/invitation/{text}")
    assert page.status == 404
    assert (await guest.send("GET", "/invitation")).status_code == 404
    answer = await guest.send("GET", "/invitation", Cookie="cloud.invitation=../../evil")
    assert answer.status_code == 404
    assert PASSWORD not in page.source


async def test_a_member_who_accepts_again_is_told_so(guest: Guest) -> None:
    path = await invite(guest.node)
    await guest.node.house.services.accounts.add_membership(
        guest.node.house.bob.id,
        (await guest.node.house.services.accounts.organization_by_name("globex")).id,
        Role.MEMBER,
    )
    await guest.password("bob")
    page = await guest.get(path)
    page = await guest.submit(page, page.form("form_token"), {})
    assert (page.status, "You are a member of this organization already" in page.words) == (409, True)
