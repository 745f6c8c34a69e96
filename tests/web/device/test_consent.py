"""The consent page says who asks, from where and for what, and looking at it decides nothing (D4)."""

import html
import re
from urllib.parse import quote

import pytest

from tests.gate.serving import dump
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient
from tests.support.pages import Page
from tests.support.server import KeysteadServer
from tests.web.device.asking import HOSTILE, PAGE, PAGE_GUARDS, at, consent, post


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
