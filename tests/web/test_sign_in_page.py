"""The sign-in page: it renews the session, cannot be forged, and leads only on into this site (W1, W2, W4)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Table, delete, insert, update

from keystead.db import Command
from keystead.db.tables import NO_POLICIES, organization, platform_policy
from keystead.services import Services
from tests.gate.serving import Serving, ask, dump, furnish, furnished_server, in_process, new_key
from tests.support.browser import Browser
from tests.support.pages import Page
from tests.support.server import ADA, BOB, KeysteadServer

GOOD = {"username": ADA.username, "password": ADA.password}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    directory = tmp_path_factory.mktemp("sign-in")
    with furnished_server(furnish(directory / "furnished"), directory / "site") as server:
        yield server


@contextmanager
def passwords_off(site: KeysteadServer, whose: Table) -> Iterator[None]:
    """Let nobody sign in with a password for a while, in any organization or on the whole installation."""
    if whose is organization:
        on, off = (Command(update(whose).values(password_sign_in_off=wanted)) for wanted in (1, 0))
    else:
        on = Command(insert(whose).values(**{**NO_POLICIES, "id": 1, "password_sign_in_off": 1}))
        off = Command(delete(whose))

    def run(command: Command) -> None:
        async def work(services: Services) -> None:
            await services.db.run(command, {})

        in_process(site.data, site.url, work)

    run(on)
    try:
        yield
    finally:
        run(off)


@pytest.fixture
def person(site: KeysteadServer) -> Iterator[Browser]:
    """Give a browser in which nobody is signed in."""
    with Browser(site.url) as browser:
        yield browser


def post(browser: Browser, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return browser.request("POST", path, form=list(form.items()), headers=sent)


def knows(site: KeysteadServer, cookie: str) -> bool:
    """Tell whether a session's cookie still works."""
    return httpx.get(f"{site.url}/verify", headers={"Cookie": f"cloud.sso={cookie}"}).status_code == 200


# Signing in


def test_a_right_password_begins_a_session_and_goes_on(site: KeysteadServer, person: Browser) -> None:
    answer = post(person, "/sign-in", {**GOOD, "next": "/getServiceKeys/device"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/getServiceKeys/device")
    assert answer.headers["cache-control"] == "no-store"
    assert knows(site, person.cookies["cloud.sso"].value)


def test_one_may_sign_in_with_the_email_address_too(person: Browser) -> None:
    after = post(person, "/sign-in", {"username": ADA.email.upper(), "password": ADA.password})
    assert after.status_code == 303


def test_the_home_page_says_who_is_signed_in(person: Browser) -> None:
    page = person.sign_in(ADA.username, ADA.password)
    assert (page.status, page.path) == (200, "/settings")
    assert "ada@example.com" in page.words
    assert "Acme" in page.words


def test_who_is_not_signed_in_is_sent_to_sign_in(person: Browser) -> None:
    assert person.get("/").path == "/sign-in"


WRONG: dict[str, dict[str, str]] = {
    "wrong password": {"username": "ada", "password": "wrong"},
    "unknown person": {"username": "nobody", "password": ADA.password},
    "no password": {"username": "ada", "password": ""},
    "nothing": {},
    "password of another": {"username": "ada", "password": BOB.password},
    "password with a space": {"username": "ada", "password": ADA.password + " "},
}


@pytest.mark.parametrize("form", WRONG.values(), ids=WRONG)
def test_a_wrong_sign_in_is_401_keeps_the_name_and_gives_no_cookie(
    site: KeysteadServer, person: Browser, form: dict[str, str]
) -> None:
    before = dump(site.data)
    answer = post(person, "/sign-in", {**form, "next": "/getServiceKeys/device"})
    page = Page(answer)
    assert page.status == 401
    assert "do not belong together" in page.words
    assert page.form("username").values("username") == (form.get("username", ""),)
    assert page.form("username").values("next") == ("/getServiceKeys/device",)
    assert page.form("password").values("password") == ("",)
    assert "set-cookie" not in answer.headers
    assert dump(site.data) == before


def test_unknown_and_wrong_look_alike(person: Browser) -> None:
    unknown = post(person, "/sign-in", {"username": "nobody", "password": "wrong-wrong"}).text
    wrong = post(person, "/sign-in", {"username": "ada", "password": "wrong-wrong"}).text
    assert unknown.replace("nobody", "ada") == wrong


@pytest.mark.parametrize("whose", [organization, platform_policy], ids=["organization", "installation"])
def test_where_no_password_is_let_in_the_page_says_so_to_who_knows_it_and_offers_the_passkey(
    site: KeysteadServer, person: Browser, whose: Table
) -> None:
    before = dump(site.data)
    with passwords_off(site, whose):
        answer = post(person, "/sign-in", {**GOOD, "next": "/getServiceKeys/device"})
        wrong = Page(post(person, "/sign-in", {**GOOD, "password": "wrong"}))
    page = Page(answer)
    assert (page.status, "set-cookie" in answer.headers) == (403, False)
    assert "Acme lets nobody sign in with a password. Sign in with a passkey; if you have none, ask" in page.words
    assert page.source.count('href="/sign-in/passkey?next=%2FgetServiceKeys%2Fdevice"') == 2
    assert page.form("username").values("username") == (ADA.username,)
    assert page.form("password").values("password") == ("",)
    assert (wrong.status, "passkey; if you have none" in wrong.words) == (401, False)
    assert dump(site.data) == before


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x>', "{{7*7}}", "ada\r\nSet-Cookie: a=b"])
def test_a_hostile_user_name_is_shown_as_text(person: Browser, name: str) -> None:
    answer = post(person, "/sign-in", {"username": name, "password": "wrong"})
    assert answer.status_code == 401
    assert not re.search(r"<script>|<img", answer.text)
    assert "set-cookie" not in answer.headers
    assert "49" not in Page(answer).form("username").values("username")[0]


@pytest.mark.parametrize("form", [{"username": "a" * 321, "password": "x"}, {"username": "a", "password": "x" * 1025}])
def test_a_name_or_password_beyond_all_measure_is_refused_before_it_costs_anything(
    person: Browser, form: dict[str, str]
) -> None:
    assert post(person, "/sign-in", form).status_code == 400


def test_a_password_in_the_address_signs_nobody_in(site: KeysteadServer, person: Browser) -> None:
    before = dump(site.data)
    page = person.get(f"/sign-in?username=ada&password={quote(ADA.password)}")
    assert (page.status, page.path) == (200, "/sign-in")
    assert ADA.password not in page.source
    assert "cloud.sso" not in person.cookies
    assert dump(site.data) == before


def test_both_cookies_are_guarded_and_last_as_long_as_they_should(person: Browser) -> None:
    answer = post(person, "/sign-in", GOOD)
    cookies: SimpleCookie = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        cookies.load(line)
    assert set(cookies) == {"cloud.sso", "keystead.device"}
    for morsel in cookies.values():
        guards = (morsel["secure"], morsel["httponly"], morsel["samesite"].lower(), morsel["path"], morsel["domain"])
        assert guards == (True, True, "lax", "/", "")
    assert int(cookies["cloud.sso"]["max-age"]) == 604_800


# The session is renewed


def test_signing_in_gives_a_new_session_and_the_old_one_is_dead(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    first = person.cookies["cloud.sso"].value
    assert knows(site, first)
    post(person, "/sign-in", GOOD)
    second = person.cookies["cloud.sso"].value
    assert (first == second, knows(site, first), knows(site, second)) == (False, False, True)


def test_a_session_that_somebody_planted_is_never_taken_over(site: KeysteadServer) -> None:
    planted = "kss_" + "A" * 49
    with Browser(site.url) as victim:
        answer = post(victim, "/sign-in", GOOD, Cookie=f"cloud.sso={planted}")
        assert answer.status_code == 303
        assert victim.cookies["cloud.sso"].value != planted
    assert not knows(site, planted)


def test_signing_in_over_another_persons_session_ends_it(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(BOB.username, BOB.password)
    bobs = person.cookies["cloud.sso"].value
    page = person.get("/sign-in")
    assert "bob@example.com" in page.words
    person.submit(page, page.form("username"), GOOD)
    assert not knows(site, bobs)
    assert "ada@example.com" in person.get("/").words


def test_a_wrong_password_does_not_end_the_session_that_is_there(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    post(person, "/sign-in", {"username": "ada", "password": "wrong"})
    assert knows(site, person.cookies["cloud.sso"].value)


# Signing out


def test_signing_out_ends_the_session_on_the_server_and_says_so(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    cookie = person.cookies["cloud.sso"].value
    page = person.sign_out()
    assert page.path == "/sign-in"
    assert "signed out" in page.words
    assert "cloud.sso" not in person.cookies
    assert not knows(site, cookie)


def test_signing_out_twice_is_no_mistake(person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    person.sign_out()
    assert post(person, "/sign-out", {}).status_code == 303


def test_signing_out_needs_the_forms_own_token(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    with Browser(site.url) as other:
        other.sign_in(BOB.username, BOB.password)
        others = other.get("/").form("form_token").values("form_token")[0]
    forms = [{}, {"form_token": ""}, {"form_token": "x"}, {"form_token": others}]
    assert [post(person, "/sign-out", form).status_code for form in forms] == [403] * 4
    assert knows(site, person.cookies["cloud.sso"].value)


# Forgery


FORGERIES = (
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "CROSS-SITE"},
)


@pytest.mark.parametrize("headers", FORGERIES)
def test_a_sign_in_that_another_site_sends_is_refused(
    site: KeysteadServer, person: Browser, headers: dict[str, str]
) -> None:
    before = dump(site.data)
    answer = post(person, "/sign-in", GOOD, **headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    json_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    scripted = person.request("POST", "/api/sso/password/login", json=GOOD, headers=json_headers)
    assert (scripted.status_code, scripted.json()["code"]) == (403, "cross_site")
    assert dump(site.data) == before


@pytest.mark.parametrize("headers", FORGERIES)
def test_a_sign_out_that_another_site_sends_is_refused(
    site: KeysteadServer, person: Browser, headers: dict[str, str]
) -> None:
    person.sign_in(ADA.username, ADA.password)
    token = person.get("/").form("form_token").values("form_token")[0]
    answer = post(person, "/sign-out", {"form_token": token}, **headers)
    json_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    scripted = person.request("POST", "/api/sso/logout", headers=json_headers)
    assert (answer.status_code, scripted.status_code) == (403, 403)
    assert knows(site, person.cookies["cloud.sso"].value)


def test_no_answer_tells_a_browser_that_other_sites_may_read_it(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    for path in ("/", "/api/auth/session", "/verify", "/account/service/v1/apps", "/sign-in", "/.well-known/jwks.json"):
        for method in ("GET", "OPTIONS"):
            headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
            answer = person.request(method, path, headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control")], (method, path)


# Who may read pages


def test_pages_are_for_sessions_and_refuse_other_credentials(site: KeysteadServer) -> None:
    _, key = new_key(site.data, site.url, "ada")
    answers = [
        httpx.get(site.url + path, headers={"Authorization": f"Bearer {key}", "Accept": "text/html"})
        for path in ("/", "/sign-in", "/getServiceKeys/device")
    ]
    assert [answer.status_code for answer in answers] == [403] * 3


def test_a_dead_session_is_asked_to_sign_in_again_and_nothing_else(site: KeysteadServer, person: Browser) -> None:
    person.sign_in(ADA.username, ADA.password)
    (session,) = ask(site.data, "SELECT id FROM session ORDER BY created_at DESC, id DESC LIMIT 1")
    site.admin("set-password", "--user", "ada", "--password-stdin", stdin=ADA.password)
    assert person.get("/").path == "/sign-in"
    assert ask(site.data, "SELECT id FROM session WHERE id = ?", session) == []


@pytest.mark.parametrize(
    "visit",
    [
        lambda person: person.get("/sign-in"),
        lambda person: person.get("/"),
        lambda person: Page(post(person, "/sign-in", {"username": "ada", "password": "wrong"})),
        lambda person: Page(post(person, "/sign-in", GOOD, Origin="null")),
        lambda person: Page(post(person, "/sign-in", {"username": "a" * 400})),
        lambda person: person.sign_in(ADA.username, ADA.password),
    ],
    ids=["form", "home of nobody", "wrong", "forged", "too long", "home"],
)
def test_every_page_is_guarded_against_frames_caches_and_foreign_content(
    person: Browser, visit: Callable[[Browser], Page]
) -> None:
    page = visit(person)
    headers = page.response.headers
    policy = headers["content-security-policy"]
    assert all(part in policy for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"))
    assert "unsafe" not in policy
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "same-origin")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", page.source)


# Behind a proxy that reports plain HTTP for what was https


def test_cookies_stay_secure_for_a_public_https_address_whatever_a_proxy_says(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("behind")
    settings = {"KEYSTEAD_PUBLIC_URL": "https://auth.example.com", "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    with Serving(directory / "server", furnish(directory / "furnished"), settings=settings) as server:
        ours = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "Origin": "https://auth.example.com"}
        right = httpx.post(f"{server.address}/sign-in", data=GOOD, headers=ours)
        wrong = httpx.post(f"{server.address}/sign-in", data=GOOD, headers={**ours, "X-Forwarded-Proto": "http"})
        loopback = httpx.post(f"{server.address}/sign-in", data=GOOD, headers={**ours, "Origin": server.address})
    assert (right.status_code, wrong.status_code, loopback.status_code) == (303, 403, 403)
    assert len(right.headers.get_list("set-cookie")) == 2
    assert all("; Secure" in line and "HttpOnly" in line for line in right.headers.get_list("set-cookie"))
    assert "set-cookie" not in wrong.headers
