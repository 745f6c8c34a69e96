"""The watch over the pages sees what it is there to see."""

import time

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium as own
from tests.browser.chromium import Profile, beyond_the_edge, violations
from tests.browser.conftest import OpenProfile
from tests.browser.site import Site

IMAGE = "document.body.append(Object.assign(document.createElement('img'), {src: '/static/favicon.svg'}))"
WIDE = "document.body.append(Object.assign(document.createElement('p'), {textContent: 'x'.repeat(300), id: 'wide'}))"
NO_WRAP = "document.getElementById('wide').style.whiteSpace = 'nowrap'"


def alone(chromium: Browser, site: Site) -> Profile:
    """Return a profile whose complaints fail nothing."""
    profile = Profile(chromium.new_context(), site.origin, scripts=True)
    profile.go("/sign-in")
    return profile


def test_axe_sees_an_image_without_a_text(opened: OpenProfile) -> None:
    profile = opened()
    profile.go("/sign-in")
    before = violations(profile.page)
    profile.page.evaluate(IMAGE)
    assert before == []
    assert "image-alt" in [one.partition(":")[0] for one in violations(profile.page)]


def test_what_reaches_beyond_the_edge_is_seen_at_the_width_at_which_it_does(opened: OpenProfile) -> None:
    profile = opened()
    profile.go("/sign-in")
    before = beyond_the_edge(profile.page)
    profile.page.evaluate(WIDE)
    profile.page.evaluate(NO_WRAP)
    assert (before, set(beyond_the_edge(profile.page))) == ({}, {360, 1280})


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('a fault')", "the console says: a fault"),
        ("setTimeout(() => { throw new Error('a fault') })", "a script failed: a fault"),
        (
            "document.body.setAttribute('style', 'color: red'); void document.body.offsetWidth",
            "Content Security Policy",
        ),
        ("document.head.append(Object.assign(document.createElement('script'), {text: '1'}))", "Content Security"),
        ("location.href = 'http://127.0.0.1:9/'", "another host was asked: http://127.0.0.1:9/"),
    ],
)
def test_a_fault_of_a_page_is_a_complaint(chromium: Browser, site: Site, script: str, complaint: str) -> None:
    profile = alone(chromium, site)
    before = list(profile.watch.complaints)
    profile.page.evaluate(script)
    deadline = time.monotonic() + 5
    while not profile.watch.complaints and time.monotonic() < deadline:
        profile.page.wait_for_timeout(10)  # lets the browser's news arrive
    found = list(profile.watch.complaints)
    profile.context.close()
    assert before == []
    assert any(complaint in one for one in found), found


def test_a_refusal_of_a_page_is_no_complaint(opened: OpenProfile) -> None:
    profile = opened()
    answer = profile.go("/problems/there-is-none")
    profile.page.wait_for_load_state()
    assert (answer.status, profile.watch.complaints) == (404, [])


def test_without_chromium_a_test_fails_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "NAMES", ("a-browser-that-nobody-has",))
    with pytest.raises(pytest.fail.Exception) as failed:
        own.chromium_path()
    assert "apt-get install chromium" in str(failed.value)
