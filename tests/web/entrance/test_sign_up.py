"""Signing up: no account before the address is proven, whoever comes first (promise W8)."""

import asyncio

import pytest

from keystead.db.tables import user
from tests.support import issued
from tests.support.installation import PUBLIC_URL
from tests.support.mail import PostOffice
from tests.support.pages import Page
from tests.web.entrance.guest import NEW_PASSWORD, Guest

EVE = "eve@example.org"
ACCOUNT = {"username": "eve", "name": "Eve", "password": NEW_PASSWORD, "organization": "Eve & Daughters"}


async def ask(guest: Guest, email: str = EVE, at: str = "/sign-up") -> Page:
    """Give an e-mail address."""
    page = await guest.get(at)
    return await guest.submit(page, page.form("email"), {"email": email})


async def proven(guest: Guest, post: PostOffice, email: str = EVE, number: int = 1) -> str:
    """Give an address and return the link that proves it."""
    await ask(guest, email)
    link = (await post.arrived(email, number)).link
    issued.note(link.rpartition("/")[2])
    return link


async def make(guest: Guest, link: str, **answers: str) -> Page:
    """Open a link and fill in what makes an account."""
    page = await guest.get(link)
    return await guest.submit(page, page.form("username", "organization"), {**ACCOUNT, **answers})


async def users(guest: Guest) -> int:
    """Return how many users there are."""
    return (await guest.node.house.rows(user))["user"]


async def test_an_account_and_its_organization_are_made_together_and_the_person_is_signed_in(
    visitor: Guest, post: PostOffice
) -> None:
    link = await proven(visitor, post)
    assert link.startswith(f"{PUBLIC_URL}/sign-up/")
    page = await make(visitor, link)
    assert (page.status, page.path) == (200, "/settings")
    assert await visitor.node.check_session(visitor.session) == 200
    services = visitor.node.house.services
    identity = await services.accounts.first_identity(EVE)
    assert (identity.username, identity.role) == ("eve", "owner")
    assert (identity.organization, identity.organization_display_name) == ("eve-daughters", "Eve & Daughters")


async def test_before_the_proof_nothing_is_stored(visitor: Guest, post: PostOffice) -> None:
    before = await users(visitor)
    await proven(visitor, post)
    assert await users(visitor) == before
    assert await visitor.node.house.services.accounts.user_by_name(EVE) is None


async def test_an_attacker_who_comes_first_has_nothing_and_the_owner_gets_the_account(
    visitor: Guest, post: PostOffice
) -> None:
    attacker, owner = Guest(visitor.node), visitor
    await ask(attacker)
    link = (await post.arrived(EVE)).link
    assert (await attacker.get("/settings")).path == "/sign-in"
    await make(owner, link)
    assert (await attacker.password("eve", "a password of the attacker")).status == 401
    assert (await owner.password("eve", NEW_PASSWORD)).path == "/settings"
    await ask(attacker)
    assert "already" in (await post.arrived(EVE, 2)).subject


async def test_an_attacker_who_comes_after_the_owner_changes_nothing(visitor: Guest, post: PostOffice) -> None:
    older, newer = await proven(visitor, post), await proven(visitor, post, number=2)
    await make(visitor, newer)
    before = await users(visitor)
    attacker = Guest(visitor.node)
    page = await attacker.get(older)
    assert (page.status, "has an account" in page.words) == (409, True)
    sent = {**ACCOUNT, "username": "mallory", "password": "a password of the attacker"}
    assert (await attacker.post(older, sent)).status == 409
    assert (await users(visitor), attacker.session) == (before, "")


async def test_known_and_unknown_addresses_get_the_same_answer_and_cost_the_same(
    visitor: Guest, post: PostOffice
) -> None:
    answers, costs = [], []
    for email in ("ada@example.com", EVE):
        before = (visitor.node.house.db.units, visitor.node.house.db.rows_changed)
        page = await ask(visitor, email)
        answers.append((page.status, page.words.replace(email, "X")))
        costs.append((visitor.node.house.db.units - before[0], visitor.node.house.db.rows_changed - before[1]))
    assert answers[0] == answers[1]
    assert costs[0] == costs[1]
    known, unknown = await post.arrived("ada@example.com"), await post.arrived(EVE)
    assert "already" in known.subject
    assert known.link == f"{PUBLIC_URL}/sign-in"
    assert unknown.link.startswith(f"{PUBLIC_URL}/sign-up/")


async def test_the_code_of_a_device_survives_signing_up_in_another_browser(visitor: Guest, post: PostOffice) -> None:
    house = visitor.node.house
    codes = await house.issue(await house.register())
    page = await visitor.get(f"/getServiceKeys/device?user_code={codes.user_code.reveal()}")
    (to_sign_up,) = [part for part in page.source.split('"') if part.startswith("/sign-up?next=")]
    await ask(visitor, at=to_sign_up.replace("&amp;", "&"))
    phone = Guest(visitor.node)
    page = await make(phone, (await post.arrived(EVE)).link)
    assert page.url.endswith(f"/getServiceKeys/device?user_code={codes.user_code.reveal()}")
    assert "parallel-cli" in page.words


async def test_a_link_is_good_for_a_day_and_only_as_it_was_made(visitor: Guest, post: PostOffice) -> None:
    link = await proven(visitor, post)
    start, _, token = link.rpartition("/")
    changed = f"{token[:60]}{'A' if token[60] != 'A' else 'B'}{token[61:]}"
    for text in (changed, token[:40], "x", "a" * 3_000):
        page = await visitor.get(f"{start}/{text}")
        assert (page.status, "not good any more" in page.words) == (404, True)
    visitor.node.house.clock.advance(86_399)
    assert (await visitor.get(link)).status == 200
    visitor.node.house.clock.advance(1)
    assert (await visitor.get(link)).status == 404
    assert (await visitor.post(link, ACCOUNT)).status == 404


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("username", "Eve Smith", "must begin with a lower-case letter"),
        ("username", "ada", "already a user called"),
        ("username", "", "must begin with"),
        ("name", "\u202eeve", "all of them printable"),
        ("password", "short", "8 to 1024 characters"),
        ("password", "password1", "the first that anybody tries"),
        ("organization", "x" * 101, "1 to 100 characters"),
    ],
)
async def test_each_mistake_is_told_at_its_field_and_the_rest_is_kept(
    visitor: Guest, post: PostOffice, field: str, value: str, said: str
) -> None:
    link, before = await proven(visitor, post), await users(visitor)
    page = await make(visitor, link, **{field: value})
    assert (page.status, said in page.words) == (422, True)
    assert f'id="{field}-error"' in page.source
    form = page.form("username", "organization")
    for name, sent in {**ACCOUNT, field: value}.items():
        assert form.values(name) == (("",) if name == "password" else (sent,))
    assert await users(visitor) == before
    assert (await make(visitor, link)).status == 200


async def test_of_two_who_use_one_link_at_once_one_gets_the_account(visitor: Guest, post: PostOffice) -> None:
    link, before = await proven(visitor, post), await users(visitor)
    guests = [Guest(visitor.node) for _ in range(4)]
    forms = [{**ACCOUNT, "username": f"eve{number}"} for number in range(4)]
    pages = await asyncio.gather(*(guest.post(link, form) for guest, form in zip(guests, forms, strict=True)))
    assert sorted(page.status for page in pages) == [200, 409, 409, 409]
    assert await users(visitor) == before + 1
    assert sum(bool(guest.session) for guest in guests) == 1


async def test_organizations_of_one_name_are_told_apart_by_their_slugs(visitor: Guest, post: PostOffice) -> None:
    names = set()
    for number, called in enumerate(("Acme", "ACME!", "日本")):
        email = f"eve{number}@example.org"
        await make(
            Guest(visitor.node), await proven(visitor, post, email), username=f"eve{number}", organization=called
        )
        names.add((await visitor.node.house.services.accounts.first_identity(email)).organization)
    assert len(names) == 3
    assert "organization" in names


async def test_nobody_signs_up_where_the_operator_does_not_want_it(guest: Guest) -> None:
    page = await guest.get("/sign-up")
    assert (page.status, "can make an account for you" in page.words) == (404, True)
    assert (await guest.send("POST", "/sign-up", {"email": EVE})).status_code == 404
    assert (await guest.send("GET", "/sign-up/x")).status_code == 404
    assert (await guest.send("POST", "/sign-up/x", ACCOUNT)).status_code == 404
    assert "/sign-up" not in (await guest.get("/sign-in")).source


async def test_the_sign_in_page_leads_to_signing_up_where_that_is_wanted(visitor: Guest) -> None:
    assert 'href="/sign-up"' in (await visitor.get("/sign-in")).source


async def test_nobody_is_mailed_without_end(visitor: Guest, post: PostOffice) -> None:
    for _ in range(9):
        assert (await ask(visitor)).status == 200
    await post.arrived(EVE, 5)
    await visitor.node.house.services.mailer.aclose()
    assert len(post.all_letters) == 5


async def test_another_site_can_neither_ask_nor_make(visitor: Guest, post: PostOffice) -> None:
    link, headers = await proven(visitor, post), {"Origin": "https://evil.example"}
    asked = await visitor.send("POST", "/sign-up", {"email": EVE}, **headers)
    made = await visitor.send("POST", link, ACCOUNT, **headers)
    assert (asked.status_code, made.status_code) == (403, 403)
    assert await visitor.node.house.services.accounts.user_by_name(EVE) is None
