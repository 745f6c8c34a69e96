"""Passkeys at the entrance: instead of a password, and after one."""

import html
import re
from collections.abc import Mapping

import pytest

from tests.account.nodes import Node
from tests.factors.authenticator import Authenticator
from tests.support.installation import PUBLIC_URL
from tests.support.pages import Page
from tests.web.entrance.guest import Guest

PASSKEY = "/sign-in/passkey"


@pytest.fixture
async def phone(here: Node) -> Authenticator:
    """Give ada a passkey on a phone."""
    factors, authenticator = here.house.services.factors, Authenticator(PUBLIC_URL)
    options = factors.registration_options(here.house.ada.id, "ada", ())
    await factors.add_passkey(here.house.ada.id, authenticator.create(options.json), options.challenge, "Phone")
    return authenticator


def answered(page: Page, phone: Authenticator) -> Mapping[str, str]:
    """Do what the script of a page does: ask the authenticator, and fill in its answer."""
    found = re.search(r'data-passkey-get="([^"]*)"', page.source)
    if found is None:
        raise LookupError(f"{page.url} asks for no passkey")
    return dict(page.form("answer", "challenge").filled({})) | {"answer": phone.get(html.unescape(found[1]))}


async def test_a_passkey_alone_signs_in_and_goes_on(guest: Guest, phone: Authenticator) -> None:
    page = await guest.get(f"{PASSKEY}?next=%2Fsettings%2Fkeys")
    page = await guest.post(PASSKEY, answered(page, phone))
    assert (page.status, page.path) == (200, "/settings/keys")
    assert await guest.node.check_session(guest.session) == 200


async def test_the_code_of_a_device_survives_a_passkey(guest: Guest, phone: Authenticator) -> None:
    codes = await guest.node.house.issue(await guest.node.house.register())
    sign_in = await guest.get(f"/getServiceKeys/device?user_code={codes.user_code.reveal()}")
    (link,) = [part for part in sign_in.source.split('"') if part.startswith(f"{PASSKEY}?next=")]
    page = await guest.post(PASSKEY, answered(await guest.get(html.unescape(link)), phone))
    assert (page.path, "parallel-cli" in page.words) == ("/getServiceKeys/device", True)


async def test_a_passkey_finishes_what_a_password_began(guest: Guest, phone: Authenticator) -> None:
    page = await guest.password(at="/sign-in?next=%2Fsettings%2Fkeys")
    assert (page.path, guest.session) == ("/sign-in/second-factor", "")
    page = await guest.post(page.path, answered(page, phone))
    assert page.path == "/settings/keys"
    assert await guest.node.check_session(guest.session) == 200


async def test_an_answer_that_another_browser_took_is_refused(guest: Guest, phone: Authenticator) -> None:
    taken = answered(await guest.get(PASSKEY), phone)
    thief = Guest(guest.node)
    assert (await thief.post(PASSKEY, taken)).status == 401
    await thief.get(PASSKEY)
    assert (await thief.post(PASSKEY, taken)).status == 401
    assert (thief.session, (await guest.post(PASSKEY, taken)).path) == ("", "/settings")


async def test_going_back_and_sending_again_signs_nobody_in(guest: Guest, phone: Authenticator) -> None:
    phone.counts = False
    form = answered(await guest.get(PASSKEY), phone)
    await guest.post(PASSKEY, form)
    del guest.cookies["cloud.sso"]
    page = await guest.post(PASSKEY, form)
    assert (page.status, "done already" in page.words, guest.session) == (401, True, "")


async def test_two_tabs_can_be_used_one_after_the_other(guest: Guest, phone: Authenticator) -> None:
    first, second = await guest.get(PASSKEY), await guest.get(PASSKEY)
    assert (await guest.post(PASSKEY, answered(first, phone))).path == "/settings"
    assert (await guest.post(PASSKEY, answered(second, phone))).path == "/settings"


async def test_a_wrong_answer_says_so_and_offers_another_try(guest: Guest, phone: Authenticator) -> None:
    stranger = Authenticator(PUBLIC_URL)
    stranger.create(guest.node.house.services.factors.registration_options("nobody", "nobody", ()).json)
    again = page = await guest.get(PASSKEY)
    for answer in (stranger.get(html.unescape(page.source.split('data-passkey-get="')[1].split('"')[0])), "", "{}"):
        again = await guest.post(PASSKEY, dict(page.form("answer").filled({})) | {"answer": answer})
        assert (again.status, "does not belong to an account here" in again.words) == (401, True)
    assert (await guest.post(PASSKEY, answered(again, phone))).path == "/settings"


async def test_the_page_for_passkeys_is_guarded_and_writes_nothing(guest: Guest) -> None:
    before = guest.node.house.db.rows_changed
    answer = await guest.send("GET", PASSKEY)
    (line,) = answer.headers.get_list("set-cookie")
    assert line.startswith("cloud.entrance=")
    for guard in ("secure", "httponly", "samesite=lax", "path=/sign-in"):
        assert guard in line.lower()
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await guest.send("POST", PASSKEY, {"answer": "{}"}, **headers)).status_code == 403
    assert guest.node.house.db.rows_changed == before
