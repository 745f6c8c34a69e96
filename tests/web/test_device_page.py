"""The device page in all its states: who asks is shown, and only who was shown it decides, on purpose (D4 to D8)."""

import html
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.gate.serving import Furnished, ask, dump, furnish, furnished_server, new_key, new_token, open_database
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient, error_of
from tests.support.pages import Page
from tests.support.server import ADA, BOB, KeysteadServer

PAGE = "/getServiceKeys/device"
SETTINGS = {"KEYSTEAD_DEVICE_POLL_HOLD": "0", "KEYSTEAD_LIMIT_WRONG_CODES_ADDRESS": "100000"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7*7 }} {% raw %} ${7*7} <%= 7*7 %>",
    "</title></textarea><svg/onload=alert(1)>",
    "&lt;b&gt; &amp;amp; &#60;",
    "Keystead is verified: press Approve",
)
PAGE_GUARDS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "content-type": "text/html; charset=utf-8",
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


@pytest.fixture(scope="module")
def site(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("site"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def cookies(site: KeysteadServer) -> dict[str, str]:
    """Give a session for ada and one for bob."""
    found = {}
    for person in (ADA, BOB):
        with Browser(site.url) as browser:
            browser.sign_in(person.username, person.password)
            found[person.username] = browser.cookies["cloud.sso"].value
    return found


def browser_of(site: KeysteadServer, cookie: str) -> Browser:
    """Return a browser that holds this session."""
    browser = Browser(site.url)
    kept: SimpleCookie = SimpleCookie({"cloud.sso": cookie})
    browser.cookies.update(kept)
    return browser


@pytest.fixture
def ada(site: KeysteadServer, cookies: Mapping[str, str]) -> Iterator[Browser]:
    with browser_of(site, cookies["ada"]) as browser:
        yield browser


@pytest.fixture
def bob(site: KeysteadServer, cookies: Mapping[str, str]) -> Iterator[Browser]:
    with browser_of(site, cookies["bob"]) as browser:
        yield browser


@pytest.fixture
def stranger(site: KeysteadServer) -> Iterator[Browser]:
    with Browser(site.url) as browser:
        yield browser


@pytest.fixture
def client(site: KeysteadServer) -> Iterator[DeviceClient]:
    with DeviceClient(site.url) as device:
        device.register()
        yield device


@pytest.fixture
def asked(client: DeviceClient) -> DeviceAuthorization:
    """Give a sign-in that waits for its decision."""
    return client.device_code()


def at(code: str) -> str:
    return f"{PAGE}?user_code={quote(code)}"


def consent(browser: Browser, asked: DeviceAuthorization) -> dict[str, str]:
    """Open the consent page and return what its form would send, without a decision."""
    page = browser.get(at(asked.user_code))
    return dict(page.form("decision", "form_token").filled({}))


def state(site: KeysteadServer) -> str:
    """Return the state of the newest sign-in."""
    return str(ask(site.data, "SELECT state FROM device_authorization ORDER BY created_at DESC, id DESC LIMIT 1")[0])


def post(browser: Browser, form: Mapping[str, str] | list[tuple[str, str]], **headers: str) -> Page:
    pairs = form if isinstance(form, list) else list(form.items())
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Page(browser.request("POST", PAGE, form=pairs, headers=sent))


# Before signing in


def test_who_is_not_signed_in_is_sent_to_sign_in_and_the_code_survives(
    stranger: Browser, asked: DeviceAuthorization
) -> None:
    answer = stranger.request("GET", at(asked.user_code.lower().replace("-", " ")))
    assert answer.status_code == 303
    target = urlsplit(answer.headers["location"])
    assert target.path == "/sign-in"
    page = stranger.get(at(asked.user_code.lower().replace("-", " ")))
    assert asked.user_code in page.words
    after = stranger.submit(
        page, page.form("username", "password"), {"username": ADA.username, "password": ADA.password}
    )
    assert after.path == PAGE
    assert after.form("decision").values("user_code") == (asked.user_code,)


def test_the_code_survives_a_wrong_password(stranger: Browser, asked: DeviceAuthorization) -> None:
    page = stranger.get(at(asked.user_code))
    wrong = stranger.submit(page, page.form("username", "password"), {"username": "ada", "password": "wrong"})
    assert (wrong.status, wrong.path) == (401, "/sign-in")
    assert asked.user_code in wrong.words
    after = stranger.submit(
        wrong, wrong.form("username", "password"), {"username": ADA.username, "password": ADA.password}
    )
    assert asked.user_code in after.words
    assert after.form("decision").method == "post"


def test_a_decision_without_a_session_decides_nothing_and_keeps_the_code(
    site: KeysteadServer, ada: Browser, stranger: Browser, asked: DeviceAuthorization
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    answer = stranger.request("POST", PAGE, form=list(form.items()))
    assert answer.status_code == 303
    inner = parse_qs(urlsplit(answer.headers["location"]).query)["next"][0]
    assert parse_qs(urlsplit(inner).query) == {"user_code": [asked.user_code]}
    assert state(site) == "pending"


def test_a_hostile_code_does_not_break_out_of_the_redirect(stranger: Browser) -> None:
    for code in ("x\r\nSet-Cookie: a=b", "//evil.example", "&next=//evil.example", "%0d%0aX: y", "\u2028", "a" * 5000):
        answer = stranger.request("GET", at(code))
        assert answer.status_code == 303, code
        target = urlsplit(answer.headers["location"])
        assert (target.scheme, target.netloc, target.path) == ("", "", "/sign-in"), code
        assert list(parse_qs(target.query)) == ["next"], code
        assert "set-cookie" not in answer.headers


# Looking


def test_without_a_code_there_is_a_form_that_asks_for_one_by_get(ada: Browser, asked: DeviceAuthorization) -> None:
    page = ada.get(PAGE)
    form = page.form("user_code")
    assert (page.status, form.method) == (200, "get")
    assert ada.submit(page, form, {"user_code": asked.user_code}).form("decision").method == "post"


@pytest.mark.parametrize("code", ["x", "BCDF-GHJ", "BCDF-GHJKL", "AEIO-UYAE", "1234-5678", "\x00", "\ufffd" * 8, "🙂"])
def test_what_cannot_be_a_code_is_kept_in_the_form_with_a_hint(ada: Browser, code: str) -> None:
    page = ada.get(at(code))
    assert page.status == 400
    assert "does not look like a code" in page.words
    assert page.form("user_code").method == "get"


def test_an_invalidly_encoded_code_is_malformed_and_nothing_worse(ada: Browser) -> None:
    assert [ada.get(f"{PAGE}?user_code={code}").status for code in ("%ff%fe", "%zz", "%", "%00", "%ed%a0%80")] == (
        [400] * 5
    )


def test_an_unknown_code_is_404_and_can_be_mended(ada: Browser) -> None:
    page = ada.get(at("BBBB-BBBB"))
    assert page.status == 404
    assert "No device is waiting with that code" in page.words
    assert page.form("user_code").values("user_code") == ("BBBB-BBBB",)


@pytest.mark.parametrize("dash", ["", " ", "-", "--", " - ", "\u2013", "\u2011", "_", ".", "\u200b"])
def test_a_right_code_is_right_in_any_dress(ada: Browser, asked: DeviceAuthorization, dash: str) -> None:
    for code in (asked.user_code, asked.user_code.lower()):
        page = ada.get(at(f" {code.replace('-', dash)} "))
        assert (page.status, asked.user_code in page.words) == (200, True)


def test_consent_says_who_asks_from_where_and_for_what_and_to_refuse_unless_it_was_you(
    ada: Browser, asked: DeviceAuthorization
) -> None:
    page = ada.get(at(asked.user_code))
    assert asked.user_code in page.words
    for said in ("stock-client", "name not verified", "Linux x86_64", "127.0.0.1", "Acme", "ada@example.com"):
        assert said in page.words, said
    assert "Create API keys in your name" in page.words
    assert "Refuse unless you started this yourself" in page.words
    assert set(page.form("decision").values("decision")) == {"approve", "deny"}


def test_what_the_role_does_not_allow_is_said_before_the_decision(bob: Browser, asked: DeviceAuthorization) -> None:
    page = bob.get(at(asked.user_code))
    given, _, withheld = page.source.partition("Asked for, but not given")
    assert "balance:read" in given
    assert "balance:add" not in given
    assert "balance:add" in withheld


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_client_name_is_shown_as_text_and_nothing_else(site: KeysteadServer, ada: Browser, name: str) -> None:
    with DeviceClient(site.url) as device:
        device.register(name, {"system": name[:24], "machine": "x<y>&z"})
        asked = device.device_code()
    pages = [ada.get(at(asked.user_code)), ada.approve(asked.verification_uri_complete)]
    for page in pages:
        assert name in page.words
        assert html.escape(name) in page.source.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
        assert html.escape(name) == name or name not in page.source
    assert "x<y>&z" in pages[0].words
    assert "x<y>&z" not in pages[0].source


@pytest.mark.parametrize("query", ["onboard_variant=agent", "login_hint=login%3Dgoogle", "a=1&a=2&%ff=%fe&=&&", "x"])
def test_unknown_query_parameters_are_ignored(ada: Browser, asked: DeviceAuthorization, query: str) -> None:
    page = ada.get(f"{at(asked.user_code)}&{query}")
    assert page.status == 200
    assert page.form("decision").values("user_code") == (asked.user_code,)


def test_a_code_sent_twice_with_different_values_is_refused(ada: Browser, asked: DeviceAuthorization) -> None:
    page = ada.get(f"{at(asked.user_code)}&user_code=BBBB-BBBB")
    assert page.status == 400
    assert "more than once" in page.words


def test_looking_never_decides_whatever_the_address_says(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    query = "&".join(f"{name}={quote(value)}" for name, value in form.items())
    before = dump(site.data)
    for method in ("GET", "HEAD"):
        for address in (at(asked.user_code), f"{PAGE}?{query}"):
            assert ada.request(method, address).status_code == 200, (method, address)
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert ada.request(method, f"{PAGE}?{query}", form=list(form.items())).status_code == 405, method
    assert dump(site.data) == before


# Deciding


def test_approving_signs_the_device_in_and_says_so(
    site: KeysteadServer, ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    page = ada.approve(asked.verification_uri_complete)
    assert (page.status, page.path) == (200, PAGE)
    for said in ("The device is signed in", "stock-client", "Acme", "ada@example.com"):
        assert said in page.words, said
    assert state(site) == "approved"
    assert client.poll(asked).status_code == 200


def test_refusing_tells_the_device_no_and_says_so(
    site: KeysteadServer, ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    page = ada.deny(asked.verification_uri_complete)
    assert "You refused the device" in page.words
    assert state(site) == "denied"
    assert error_of(client.poll(asked))[0] == "access_denied"


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_after_the_decision_reloading_and_going_back_repeat_nothing(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, decision: str
) -> None:
    form = {**consent(ada, asked), "decision": decision}
    answer = ada.request("POST", PAGE, form=list(form.items()))
    assert (answer.status_code, answer.headers["location"]) == (303, at(asked.user_code))
    decided = dump(site.data)
    reloaded = ada.get(at(asked.user_code))
    assert not any("decision" in found.names() for found in reloaded.forms)
    for again in ("approve", "deny"):
        sent_again = ada.request("POST", PAGE, form=list({**form, "decision": again}.items()))
        assert (sent_again.status_code, sent_again.headers["location"]) == (303, at(asked.user_code))
    assert ada.get(at(asked.user_code)).words == reloaded.words
    assert dump(site.data) == decided


def test_a_redeemed_sign_in_still_shows_its_owner_what_was_allowed(
    ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    ada.approve(asked.verification_uri_complete)
    client.poll_until_decided(asked)
    assert "The device is signed in" in ada.get(at(asked.user_code)).words


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_code_that_another_account_used_says_so_and_nothing_of_whose_it_was(
    ada: Browser, bob: Browser, asked: DeviceAuthorization, decision: str
) -> None:
    (ada.approve if decision == "approve" else ada.deny)(asked.verification_uri_complete)
    page = bob.get(at(asked.user_code))
    assert page.status == 409
    assert "This code has been used" in page.words
    assert not any(said in page.words for said in ("ada", "stock-client"))


def test_of_two_accounts_that_were_shown_a_code_the_second_changes_nothing(
    site: KeysteadServer, ada: Browser, bob: Browser, asked: DeviceAuthorization
) -> None:
    late = {**consent(bob, asked), "decision": "deny"}
    ada.approve(asked.verification_uri_complete)
    before = dump(site.data)
    assert post(bob, late).status == 303
    assert bob.get(at(asked.user_code)).status == 409
    assert dump(site.data) == before


@pytest.mark.sqlite
def test_an_expired_code_says_so_and_cannot_be_decided(
    site: KeysteadServer, ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    with closing(open_database(site.data)) as database:
        database.execute("UPDATE device_authorization SET expires_at = created_at - 1 WHERE state = 'pending'")
    assert post(ada, form).status == 303
    page = ada.get(at(asked.user_code))
    assert page.status == 410
    assert "This code has ended" in page.words
    assert state(site) == "pending"
    assert error_of(client.poll(asked))[0] == "expired_token"


def test_the_other_browser_of_the_same_person_sees_the_outcome_but_cannot_use_the_first_ones_form(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    with Browser(site.url) as other:
        other.sign_in(ADA.username, ADA.password)
        refused = post(other, form)
        assert (refused.status, "This page had been open too long" in refused.words) == (403, True)
        assert state(site) == "pending"
        ada.approve(asked.verification_uri_complete)
        assert "The device is signed in" in other.get(at(asked.user_code)).words


def forged(site: KeysteadServer, ada: Browser, bob: Browser, asked: DeviceAuthorization) -> dict[str, str | None]:
    """Return form tokens that are not the one of this form, by what is wrong with them."""
    right = consent(ada, asked)["form_token"]
    with DeviceClient(site.url) as device:
        device.register()
        other = device.device_code()
    issued, _, mac = right.partition(".")
    home = ada.get("/").form("form_token").values("form_token")[0]
    return {
        "missing": None,
        "empty": "",
        "garbage": "garbage",
        "of another session": consent(bob, asked)["form_token"],
        "of another code": consent(ada, other)["form_token"],
        "of another form": home,
        "older than its seal": f"{int(issued) - 1}.{mac}",
        "younger than its seal": f"{int(issued) + 1}.{mac}",
        "from the far future": f"999999999999.{mac}",
        "with another seal": f"{issued}.{mac[:-1]}{'A' if mac[-1] != 'A' else 'B'}",
        "with more behind it": right + "A",
        "with a line end": right + "\n",
        "twice over": f"{right}.{right}",
        "in other digits": f"{issued.translate(str.maketrans('0123456789', '٠١٢٣٤٥٦٧٨٩'))}.{mac}",
    }


def test_only_the_form_that_this_session_was_shown_for_this_code_decides(
    site: KeysteadServer, ada: Browser, bob: Browser, client: DeviceClient
) -> None:
    asked = client.device_code()
    tokens = forged(site, ada, bob, asked)
    form = {name: value for name, value in consent(ada, asked).items() if name != "form_token"}
    before = dump(site.data)
    for what, token in tokens.items():
        sent = {**form, "decision": "approve", **({} if token is None else {"form_token": token})}
        page = post(ada, sent)
        assert page.status == 403, what
        assert "Nothing was decided" in page.words, what
    assert dump(site.data) == before


def test_an_expired_form_leads_back_to_the_request_with_its_code(ada: Browser, asked: DeviceAuthorization) -> None:
    page = post(ada, {**consent(ada, asked), "form_token": "old", "decision": "approve"})
    assert f'href="{at(asked.user_code)}"' in page.source


@pytest.mark.parametrize("decision", [None, "", "yes", "Approve", "approve deny", "approve\x00"])
def test_without_a_clear_decision_nothing_is_decided(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, decision: str | None
) -> None:
    form = consent(ada, asked)
    before = dump(site.data)
    assert post(ada, form if decision is None else {**form, "decision": decision}).status == 400
    assert dump(site.data) == before


@pytest.mark.parametrize("repeated", ["decision", "user_code", "form_token", "organization"])
def test_both_decisions_or_anything_else_twice_is_refused(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, repeated: str
) -> None:
    form = {**consent(ada, asked), "decision": "deny"}
    before = dump(site.data)
    page = post(ada, [*form.items(), (repeated, "approve")])
    assert (page.status, "more than once" in page.words) == (400, True)
    assert dump(site.data) == before


@pytest.mark.parametrize("organization", ["globex", "nothing", "empty", "missing"])
def test_nobody_approves_for_an_organization_that_is_not_theirs(
    site: KeysteadServer, furnished: Furnished, ada: Browser, asked: DeviceAuthorization, organization: str
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    value = {"globex": furnished.globex, "nothing": "no-such-id", "empty": "", "missing": None}[organization]
    sent = {name: given for name, given in form.items() if name != "organization"}
    before = dump(site.data)
    page = post(ada, sent if value is None else {**sent, "organization": value})
    assert page.status == 422
    assert "Globex" not in page.words
    assert page.form("decision").values("user_code") == (asked.user_code,)
    assert dump(site.data) == before


def test_refusing_needs_no_organization(site: KeysteadServer, ada: Browser, asked: DeviceAuthorization) -> None:
    form = {name: value for name, value in consent(ada, asked).items() if name != "organization"}
    assert post(ada, {**form, "decision": "deny"}).status == 303
    assert state(site) == "denied"


def test_who_decides_and_for_whom_comes_from_the_session_and_never_from_the_form(
    site: KeysteadServer, furnished: Furnished, bob: Browser, asked: DeviceAuthorization
) -> None:
    more = {"user_id": furnished.ada, "username": "ada", "role": "owner", "scope": "balance:add", "client_id": "x"}
    assert post(bob, {**more, **consent(bob, asked), "decision": "approve"}).status == 303
    row = "FROM device_authorization ORDER BY created_at DESC, id DESC LIMIT 1"
    assert ask(site.data, f"SELECT decided_by {row}") == [furnished.bob]
    assert "balance:add" not in ask(site.data, f"SELECT granted_scopes {row}")[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "nonsense"},
    ],
)
def test_a_decision_that_another_site_sends_is_refused(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, headers: dict[str, str]
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    before = dump(site.data)
    page = post(ada, form, **headers)
    assert page.status == 403
    assert page.response.headers["content-type"].startswith("text/html")
    assert dump(site.data) == before


@pytest.mark.parametrize("kind", ["API key", "token"])
def test_only_a_browser_session_decides_and_no_other_credential(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, kind: str
) -> None:
    secret = new_key(site.data, site.url, "ada")[1] if kind == "API key" else new_token(site.data, site.url, "ada")
    form = {**consent(ada, asked), "decision": "approve"}
    before = dump(site.data)
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {secret}"}) as program:
        assert [program.get(at(asked.user_code)).status_code, program.post(PAGE, data=form).status_code] == [403, 403]
    assert dump(site.data) == before


# Guessing


def test_after_too_many_wrong_codes_even_a_right_one_has_to_wait(site: KeysteadServer, client: DeviceClient) -> None:
    asked = client.device_code()
    with Browser(site.url) as eve:
        eve.sign_in("eve", "an owl that nobody invited")
        form = {**consent(eve, asked), "decision": "approve"}
        letters = "BCDFGHJKLM"
        assert [eve.get(at(f"ZZZZ-ZZZ{letter}")).status for letter in letters] == [404] * 10
        page = eve.get(at(asked.user_code))
        assert page.status == 429
        assert 3000 < int(page.response.headers["retry-after"]) <= 3660
        assert "Too many wrong codes" in page.words
        before = dump(site.data)
        assert post(eve, form).status == 429
        assert dump(site.data) == before
        assert eve.get(at("malformed")).status == 400
    assert state(site) == "pending"


def test_guessing_needs_a_session(site: KeysteadServer, stranger: Browser) -> None:
    answers = {stranger.request("GET", at(f"ZZZZ-ZZ{letter}Z")).status_code for letter in "BCDFGHJKLMNPQRST"}
    assert answers == {303}
    assert ask(site.data, "SELECT COUNT(*) FROM wrong_guess WHERE subject LIKE 'account:' || 'stranger%'") == [0]


# Every page


def test_every_state_is_guarded_against_frames_caches_and_foreign_content(
    site: KeysteadServer, ada: Browser, bob: Browser, client: DeviceClient
) -> None:
    asked, refused = client.device_code(), client.device_code()
    pages = {
        "enter": ada.get(PAGE),
        "malformed": ada.get(at("x")),
        "unknown": ada.get(at("ZZZZ-ZZZZ")),
        "consent": ada.get(at(asked.user_code)),
        "no decision": post(ada, consent(ada, asked)),
        "form expired": post(ada, {**consent(ada, asked), "form_token": "x"}),
        "approved": ada.approve(asked.verification_uri_complete),
        "used": bob.get(at(asked.user_code)),
        "denied": ada.deny(refused.verification_uri_complete),
        "cross-site": post(ada, {"user_code": "x"}, Origin="null"),
        "wrong type": Page(ada.request("POST", PAGE, json={"decision": "approve"})),
        "method": Page(ada.request("DELETE", PAGE)),
    }
    for name, page in pages.items():
        headers = page.response.headers
        for header, wanted in PAGE_GUARDS.items():
            assert wanted in headers[header], (name, header)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", page.source), name
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page.source), name
