"""Finding one's way to a sign-in by its code: signed in or not, mistyped, guessed (D6 to D8)."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.gate.serving import ask, dump
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient
from tests.support.server import ADA, KeysteadServer
from tests.web.device.asking import PAGE, at, consent, post, state


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
