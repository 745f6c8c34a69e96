"""The page after the password: what it asks, what it keeps, and where it leads."""

import re

import pytest

from keystead.db import Command, insert_into
from keystead.db.tables import wrong_guess
from tests.account.nodes import Node
from tests.support.installation import PUBLIC_URL
from tests.support.pages import Page
from tests.web.entrance.guest import PASSWORD, App, Guest, give_app, require_second_factor

STEP = "/sign-in/second-factor"


@pytest.fixture
async def app(here: Node) -> App:
    """Give ada an authenticator app."""
    return await give_app(here, here.house.ada.id)


async def show_code(guest: Guest, page: Page, code: str) -> Page:
    return await guest.submit(page, page.form("code"), {"code": code})


async def test_password_then_code_signs_in(guest: Guest, app: App) -> None:
    page = await guest.password()
    assert (page.status, page.path, guest.session) == (200, STEP, "")
    page = await show_code(guest, page, app.code)
    assert (page.status, page.path) == (200, "/settings")
    assert await guest.node.check_session(guest.session) == 200
    assert "cloud.step" not in guest.cookies


async def test_the_code_of_a_device_survives_the_second_factor_and_a_wrong_code(guest: Guest, app: App) -> None:
    codes = await guest.node.house.issue(await guest.node.house.register())
    address = f"/getServiceKeys/device?user_code={codes.user_code.reveal()}"
    at_sign_in = await guest.get(address)
    page = await guest.submit(at_sign_in, at_sign_in.form("username"), {"username": "ada", "password": PASSWORD})
    page = await show_code(guest, page, "000 000")
    assert (page.status, page.path) == (401, STEP)
    page = await show_code(guest, page, app.code)
    assert (page.path, page.url.partition("?")[2]) == ("/getServiceKeys/device", address.partition("?")[2])
    assert "parallel-cli" in page.words


async def test_the_code_of_a_device_survives_setting_up_a_second_factor(guest: Guest) -> None:
    await require_second_factor(guest.node)
    codes = await guest.node.house.issue(await guest.node.house.register())
    address = f"/getServiceKeys/device?user_code={codes.user_code.reveal()}"
    at_sign_in = await guest.get(address)
    page = await guest.submit(at_sign_in, at_sign_in.form("username"), {"username": "ada", "password": PASSWORD})
    assert page.path == "/sign-in/enrol"
    page = await enrol(guest, page)
    assert f'href="{address}"' in page.source


async def enrol(guest: Guest, page: Page) -> Page:
    """Scan the picture, that is read the key beside it, and type what the app shows."""
    found = re.search(r"<code[^>]*>([A-Z2-7 ]+)</code>", page.source)
    if found is None:
        raise LookupError(f"{page.url} shows no key")
    app = App(guest.node, found[1].replace(" ", ""), ())
    return await guest.submit(page, page.form("code", "sealed"), {"code": app.code})


async def test_setting_one_up_signs_out_every_browser_in_which_the_password_alone_was_shown(guest: Guest) -> None:
    elsewhere = Guest(guest.node)
    await elsewhere.password()
    assert await guest.node.check_session(elsewhere.session) == 200
    await require_second_factor(guest.node)
    await enrol(guest, await guest.password())
    assert await guest.node.check_session(elsewhere.session) == 401


async def test_a_recovery_code_lets_somebody_in_whose_device_is_lost(guest: Guest, app: App) -> None:
    page = await guest.password()
    page = await guest.submit(page, page.form("recovery_code"), {"recovery_code": app.recovery_codes[0]})
    assert (page.path, await guest.node.check_session(guest.session)) == ("/settings", 200)
    other = Guest(guest.node)
    page = await other.password()
    page = await other.submit(page, page.form("recovery_code"), {"recovery_code": app.recovery_codes[0]})
    assert (page.status, other.session) == (401, "")
    assert "used already" in page.words


@pytest.mark.parametrize("field", ["code", "recovery_code"])
async def test_what_is_wrong_is_told_at_its_field_and_is_not_kept(guest: Guest, app: App, field: str) -> None:
    answer = page = await guest.password()
    for typed, sentence in (("BCDF-GHJK-MNPQ", "is not"), ("", "Type the code.")):
        answer = await guest.submit(page, page.form(field), {field: typed})
        assert (answer.status, answer.path) == (401, STEP)
        assert f'id="{field}-error"' in answer.source
        assert sentence in answer.words
        assert answer.form(field).values(field) == ("",)
    assert app.code not in answer.source


async def test_after_too_many_wrong_codes_in_a_day_the_page_says_what_to_do(guest: Guest, app: App) -> None:
    house = guest.node.house
    row = {"subject": f"factor:{house.ada.id}", "window_start": house.clock.now(), "count": 100}
    await house.run(Command(insert_into(wrong_guess)), {**row, "expires_at": house.clock.now() + 86_460})
    answer = await show_code(guest, await guest.password(), app.code)
    assert (answer.status, answer.path, guest.session) == (429, STEP, "")
    assert "Too many wrong codes were typed for this account within a day" in answer.words
    assert "choose another one. A passkey still lets you in. Codes are taken again in 25 hours." in answer.words


async def test_the_cookie_of_the_step_is_guarded_and_goes_to_the_pages_of_signing_in_only(
    guest: Guest, app: App
) -> None:
    answer = await guest.send("POST", "/sign-in", {"username": "ada", "password": PASSWORD})
    (line,) = answer.headers.get_list("set-cookie")
    assert line.startswith("cloud.step=kst_")
    for guard in ("Secure", "HttpOnly", "SameSite=lax", "Path=/sign-in", "Max-Age=600"):
        assert guard.lower() in line.lower()
    assert app.code


async def test_without_a_step_the_page_leads_back_to_the_password(guest: Guest) -> None:
    for path in (STEP, "/sign-in/enrol"):
        page = await guest.get(f"{path}?next=%2Fsettings%2Fkeys")
        assert (page.path, page.form("username").values("next")) == ("/sign-in", ("/settings/keys",))
        assert "Begin again with your password" in page.words
        page = await guest.post(path, {"code": "123456", "form_token": "x", "next": "/settings/keys"})
        assert page.path == "/sign-in"


async def test_a_finished_step_is_over_when_somebody_goes_back(guest: Guest, app: App) -> None:
    page = await guest.password()
    step = guest.cookies["cloud.step"]
    await show_code(guest, page, app.code)
    guest.cookies["cloud.step"] = step
    guest.node.house.clock.advance(30)
    page = await show_code(guest, page, app.code)
    assert (page.path, "cloud.step" in guest.cookies) == ("/sign-in", False)


async def test_the_page_of_a_step_has_a_token_of_its_own(guest: Guest, app: App) -> None:
    page, other = await guest.password(), Guest(guest.node)
    others = (await other.password()).form("code").values("form_token")[0]
    for token in ("", "x", others):
        answer = await guest.send("POST", STEP, {"code": app.code, "form_token": token})
        assert answer.status_code == 403
    assert (guest.session, page.status) == ("", 200)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_a_code_that_another_site_sends_is_refused(guest: Guest, app: App, headers: dict[str, str]) -> None:
    page = await guest.password()
    form = dict(page.form("code").filled({"code": app.code}))
    assert (await guest.send("POST", STEP, form, **headers)).status_code == 403
    assert guest.session == ""


async def test_too_many_codes_are_told_to_wait_and_stay_on_the_page(guest: Guest, app: App) -> None:
    page = await guest.password()
    answers = []
    for _ in range(11):
        answers.append(await show_code(guest, page, "not a code"))
        if answers[-1].path != STEP:
            page = await guest.password()
    waiting = await show_code(guest, page, app.code)
    assert waiting.status == 429
    assert "Please wait" in waiting.words
    assert int(waiting.response.headers["retry-after"]) > 0


async def test_a_session_of_somebody_else_stays_until_the_second_factor_is_shown(guest: Guest, app: App) -> None:
    await guest.password("bob")
    bobs = guest.session
    page = await guest.password()
    assert await guest.node.check_session(bobs) == 200
    await show_code(guest, page, app.code)
    assert (await guest.node.check_session(bobs), await guest.node.check_session(guest.session)) == (401, 200)


# Over JSON


async def test_programs_are_told_where_to_go_on_where_a_password_is_not_enough(guest: Guest, app: App) -> None:
    body = {"username": "ada", "password": PASSWORD}
    answer = await guest.node.http.post("/api/sso/password/login", json=body, headers={"Origin": PUBLIC_URL})
    assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_required")
    assert "in a browser" in answer.json()["detail"]
    assert "/api/sso/mfa/login" in answer.json()["detail"]
    assert [line.partition("=")[0] for line in answer.headers.get_list("set-cookie")] == ["cloud.mfa"]
    assert app.code not in answer.text


# Where the organization asks for it


async def test_where_it_is_asked_for_a_second_factor_is_set_up_and_its_codes_are_shown_once(guest: Guest) -> None:
    await require_second_factor(guest.node)
    page = await guest.password()
    assert (page.path, guest.session) == ("/sign-in/enrol", "")
    assert "<svg" in page.source
    page = await enrol(guest, page)
    codes = re.findall(r"<li>([2-9B-Z]{4}-[2-9B-Z]{4}-[2-9B-Z]{4})</li>", page.source)
    assert (page.status, len(codes)) == (200, 10)
    assert page.response.headers["cache-control"] == "no-store"
    assert await guest.node.check_session(guest.session) == 200
    other = Guest(guest.node)
    page = await other.password()
    assert page.path == STEP
    page = await other.submit(page, page.form("recovery_code"), {"recovery_code": codes[4]})
    assert await other.node.check_session(other.session) == 200


async def test_a_wrong_first_code_keeps_the_picture(guest: Guest) -> None:
    await require_second_factor(guest.node)
    page = await guest.password()
    again = await guest.submit(page, page.form("code", "sealed"), {"code": "not a code"})
    assert (again.status, guest.session) == (422, "")
    assert again.form("sealed").values("sealed") == page.form("sealed").values("sealed")
    assert re.findall(r"<svg.*</svg>", again.source)[-1] == re.findall(r"<svg.*</svg>", page.source)[-1]
    assert (await enrol(guest, again)).status == 200


async def test_a_picture_that_is_too_old_is_replaced_and_says_so(guest: Guest) -> None:
    await require_second_factor(guest.node)
    page = await guest.password()
    form = dict(page.form("code", "sealed").filled({"code": "123456"})) | {"sealed": "AAAA"}
    again = await guest.post("/sign-in/enrol", form)
    assert "Scan this new picture" in again.words
    assert (await enrol(guest, again)).status == 200


async def test_who_has_a_second_factor_is_not_let_near_setting_one_up(guest: Guest, app: App) -> None:
    await require_second_factor(guest.node)
    await guest.password()
    assert (await guest.get("/sign-in/enrol")).path == STEP
    assert app.code
