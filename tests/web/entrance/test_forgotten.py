"""A forgotten password: a letter that nobody can tell the sending of, and a link that is good once."""

import asyncio

import pytest

from keystead.kernel.secrets import Secret
from keystead.sessions.models import RESET_LIFETIME
from keystead.sessions.rules import LETTERS_AN_HOUR
from tests.account.nodes import Node
from tests.support import issued
from tests.support.installation import PUBLIC_URL
from tests.support.mail import PostOffice, Received
from tests.web.entrance.guest import NEW_PASSWORD, PASSWORD, Guest, give_app

FORGOT = "/sign-in/forgot"
ADA = "ada@example.com"


async def ask(guest: Guest, email: str = ADA) -> str:
    """Ask for a letter, and return the words that follow."""
    page = await guest.get(FORGOT)
    after = await guest.submit(page, page.form("email"), {"email": email})
    return after.words


async def letter(guest: Guest, post: PostOffice, number: int = 1) -> Received:
    """Ask for a letter and return it."""
    await ask(guest)
    received = await post.arrived(ADA, number)
    issued.note(received.link.rpartition("/")[2])
    return received


async def choose(guest: Guest, link: str, password: str = NEW_PASSWORD) -> tuple[int, str, str]:
    """Open a link and set a password, and return the status, the path and the words that follow."""
    page = await guest.get(link)
    if page.status != 200:
        return page.status, page.path, page.words
    after = await guest.submit(page, page.form("password"), {"password": password})
    return after.status, after.path, after.words


async def test_a_letter_lets_somebody_choose_a_new_password(visitor: Guest, post: PostOffice) -> None:
    await visitor.password()
    old = visitor.session
    received = await letter(visitor, post)
    assert received.link.startswith(f"{PUBLIC_URL}/sign-in/reset/")
    status, path, words = await choose(visitor, received.link)
    assert (status, path, visitor.session) == (200, "/sign-in", "")
    assert "Your password was changed" in words
    assert await visitor.node.check_session(old) == 401
    assert (await visitor.password(password=PASSWORD)).status == 401
    await visitor.password(password=NEW_PASSWORD)
    assert await visitor.node.check_session(visitor.session) == 200
    told = await post.arrived(ADA, 2)
    assert "was changed" in told.subject


async def test_the_form_for_a_new_password_names_its_user_to_password_managers(
    visitor: Guest, post: PostOffice
) -> None:
    page = await visitor.get((await letter(visitor, post)).link)
    assert page.form("password").values("username") == ("ada",)
    assert 'autocomplete="username"' in page.source


async def test_a_second_factor_is_still_asked_for_after_a_new_password(visitor: Guest, post: PostOffice) -> None:
    app = await give_app(visitor.node, visitor.node.house.ada.id)
    await choose(visitor, (await letter(visitor, post)).link)
    page = await visitor.password(password=NEW_PASSWORD)
    assert (page.path, visitor.session) == ("/sign-in/second-factor", "")
    await visitor.submit(page, page.form("code"), {"code": app.code})
    assert await visitor.node.check_session(visitor.session) == 200


async def test_known_and_unknown_addresses_get_the_same_answer_and_cost_the_same(
    visitor: Guest, post: PostOffice
) -> None:
    services, answers, costs = visitor.node.house.services, [], []
    await services.accounts.create_user(username="gone", email="gone@example.com", organization="acme")
    gone = await services.accounts.user_by_name("gone")
    assert gone is not None
    for email in (ADA, "nobody@example.com", "ADA@EXAMPLE.COM "):
        before = (visitor.node.house.db.units, visitor.node.house.db.rows_changed)
        answers.append((await ask(visitor, email)).replace(email.strip(), "X"))
        after = (visitor.node.house.db.units, visitor.node.house.db.rows_changed)
        costs.append((after[0] - before[0], after[1] - before[1]))
    assert len(set(answers)) == 1
    assert len(set(costs)) == 1
    await post.arrived(ADA, 2)
    assert [letter.to for letter in post.all_letters] == [ADA, ADA]


async def test_somebody_who_is_disabled_gets_no_letter_and_the_same_answer(visitor: Guest, post: PostOffice) -> None:
    received = await letter(visitor, post)
    await visitor.node.house.disable(visitor.node.house.ada)
    words = await ask(visitor)
    assert words == await ask(visitor)
    assert (await choose(visitor, received.link))[0] == 404
    await visitor.node.house.services.mailer.aclose()
    assert len(post.all_letters) == 1


async def test_looking_at_a_link_changes_nothing_however_often(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    before = visitor.node.house.db.rows_changed
    scanners = [await visitor.send("GET", link) for _ in range(5)] + [await visitor.send("HEAD", link)]
    assert [answer.status_code for answer in scanners] == [200] * 6
    assert {answer.headers["referrer-policy"] for answer in scanners} == {"same-origin"}
    assert visitor.node.house.db.rows_changed == before
    assert (await choose(visitor, link))[0] == 200


async def test_a_link_is_good_once_and_dies_with_any_new_password(visitor: Guest, post: PostOffice) -> None:
    first, second = (await letter(visitor, post)).link, (await letter(visitor, post, 2)).link
    assert (await choose(visitor, first))[0] == 200
    for link in (first, second):
        status, _, words = await choose(visitor, link, "a wren in the hedge at noon")
        assert (status, "not good any more" in words) == (404, True)
    assert (await visitor.password(password=NEW_PASSWORD)).path == "/settings"


async def test_of_two_who_use_one_link_at_once_one_sets_the_password(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    passwords = [f"a heron that stands in the rain, {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(Guest(visitor.node).send("POST", link, {"password": password}) for password in passwords)
    )
    assert sorted(answer.status_code for answer in answers) == [303, 404, 404, 404]
    assert len(await visitor.node.house.events("user:set-password")) == 2  # the first gave ada a password at all


async def test_a_link_dies_when_the_operator_sets_the_password(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    await visitor.node.house.services.sessions.set_password("ada", Secret(NEW_PASSWORD))
    assert (await choose(visitor, link))[0] == 404


async def test_a_link_is_good_for_an_hour(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    visitor.node.house.clock.advance(RESET_LIFETIME - 1)
    assert (await visitor.get(link)).status == 200
    visitor.node.house.clock.advance(1)
    assert (await visitor.get(link)).status == 404


async def test_a_link_that_was_changed_or_made_up_is_not_good(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    start, _, token = link.rpartition("/")
    user, expires, mac = token.split(".")
    bob = visitor.node.house.bob.id
    later = str(int(expires) + 3_600)
    made_up = (f"{bob}.{expires}.{mac}", f"{user}.{later}.{mac}", f"{user}.{expires}.{mac[::-1]}", "x", f"{token}A")
    assert [(await visitor.get(f"{start}/{text}")).status for text in made_up] == [404] * 5


async def test_a_password_that_may_not_be_set_is_told_at_its_field(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    for password, said in (("short", "8 to 1024 characters"), ("password1", "the first that anybody tries"), ("", "8")):
        page = await visitor.get(link)
        after = await visitor.submit(page, page.form("password"), {"password": password})
        assert (after.status, after.form("password").values("password")) == (422, ("",))
        assert said in after.words
    assert (await choose(visitor, link))[0] == 200


async def test_nobody_is_mailed_without_end_and_the_answer_does_not_tell(visitor: Guest, post: PostOffice) -> None:
    said = {await ask(visitor) for _ in range(LETTERS_AN_HOUR + 4)}
    assert len(said) == 1
    await post.arrived(ADA, LETTERS_AN_HOUR)
    visitor.node.house.clock.advance(3_700)
    await ask(visitor)
    await visitor.node.house.services.mailer.aclose()
    assert len(post.all_letters) == LETTERS_AN_HOUR + 1


async def test_one_address_asks_three_times_the_limit_and_is_then_told_to_wait(visitor: Guest) -> None:
    pages = []
    for number in range(31):
        page = await visitor.get(FORGOT)
        pages.append(await visitor.submit(page, page.form("email"), {"email": f"user{number}@example.com"}))
    assert [page.status for page in pages] == [200] * 30 + [429]
    assert "Please wait" in pages[-1].words


@pytest.mark.parametrize("email", ["", "ada", "not an address", "a@b", "<script>@example.com>"])
async def test_what_is_no_address_is_told_at_its_field_and_kept(visitor: Guest, email: str) -> None:
    page = await visitor.get(FORGOT)
    after = await visitor.submit(page, page.form("email"), {"email": email})
    assert (after.status, after.form("email").values("email")) == (422, (email,))
    assert "must look like name@example.com" in after.words


async def test_without_a_mail_server_the_page_says_who_can_help(guest: Guest) -> None:
    page = await guest.get(FORGOT)
    assert (page.status, len(page.forms)) == (200, 0)
    assert "keystead admin reset-link" in page.words
    assert (await guest.send("POST", FORGOT, {"email": ADA})).status_code == 404


async def test_the_operators_link_works_without_a_mail_server(guest: Guest) -> None:
    services = guest.node.house.services
    user = await services.accounts.user_by_name("ada")
    assert user is not None
    path = await services.sessions.reset_link(user)
    issued.note(path.rpartition("/")[2])
    assert (await choose(guest, path))[:2] == (200, "/sign-in")
    assert (await guest.password(password=NEW_PASSWORD)).path == "/settings"


async def test_somebody_who_never_had_a_password_sets_their_first_by_a_link(open_house: Node, post: PostOffice) -> None:
    guest = Guest(open_house)
    page = await guest.get(FORGOT)
    await guest.submit(page, page.form("email"), {"email": "bob@example.com"})
    assert (await choose(guest, (await post.arrived("bob@example.com")).link))[0] == 200
    assert (await guest.password("bob", NEW_PASSWORD)).path == "/settings"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_another_site_can_neither_ask_nor_set(visitor: Guest, post: PostOffice, headers: dict[str, str]) -> None:
    link = (await letter(visitor, post)).link
    asked = await visitor.send("POST", FORGOT, {"email": ADA}, **headers)
    chosen = await visitor.send("POST", link, {"password": NEW_PASSWORD}, **headers)
    assert (asked.status_code, chosen.status_code) == (403, 403)
    assert (await visitor.get(link)).status == 200


async def test_the_log_does_not_repeat_a_link(
    visitor: Guest, post: PostOffice, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    link = (await letter(visitor, post)).link
    with caplog.at_level("DEBUG"):
        capfd.readouterr()
        await choose(visitor, link)
        await visitor.send("PUT", link)
        await visitor.get(f"{link}/more")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("keystead")]
    said = capfd.readouterr().err + str(ours)
    assert said.count('"event": "request"') >= 4
    assert link.rpartition(".")[2] not in said
