"""Apps, devices and browser sessions in a real browser: what is signed out is out, with scripts and without (V1)."""

import re
from typing import Any

import pytest

from keystead.services import Services
from keystead.web.settings.devices import A_PAGE
from tests.browser.chromium import DESKTOP, PHONE, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.house import EDGE, HOME, LINUX, DeviceRequest, approve, sign_in
from tests.browser.site import Site
from tests.support import issued
from tests.support.calls import Line
from tests.support.server import ADA, Person

SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])


def sign_in_device(site: Site, person: Person, name: str) -> str:
    """Sign a device in and return its refresh token."""

    async def work(services: Services) -> str:
        user = await services.accounts.user_by_name(person.username)
        assert user is not None
        asked = DeviceRequest(name, LINUX, HOME, "keys:read")
        tokens = await approve(services, asked, user.id, site.house.acme)
        return tokens.refresh_token.reveal()

    token = site.do(work)
    issued.note(token)
    return token


@SCRIPTS
def test_a_device_is_signed_out_and_cannot_renew_its_tokens(site: Site, opened: OpenProfile, scripts: bool) -> None:
    person = site.newcomer(f"traveller-{scripts}".lower())
    doomed, other = [sign_in_device(site, person, name) for name in ("lost-laptop", "kept-laptop")]
    profile = opened(person, size=PHONE, scripts=scripts)
    profile.go("/settings/devices")
    profile.click(profile.page.get_by_role("link", name=re.compile("^Sign out lost-laptop on Linux")))
    assert profile.page.locator("h1").inner_text() == "Sign out lost-laptop on Linux x86_64?"
    profile.follow("Cancel")
    profile.click(profile.page.get_by_role("link", name=re.compile("^Sign out lost-laptop")))
    profile.click(profile.page.locator("main form button.danger"))
    assert "It is signed out." in profile.words()
    assert profile.page.locator(".item").count() == 1
    with Line(site.server.url) as line:
        assert [line.refresh(token).status for token in (doomed, other)] == [400, 200]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_copied_sign_in_is_told_of_where_nobody_overlooks_it(opened: OpenProfile, scheme: Any) -> None:
    ada = opened(ADA, size=PHONE, scheme=scheme)
    ada.go("/settings/devices")
    alarm = ada.page.locator(".note-bad")
    assert "deploy-bot on Linux x86_64 was signed out" in alarm.inner_text()
    assert "192.0.2.66" in alarm.inner_text()
    assert alarm.bounding_box()["y"] < ada.page.locator(".items").bounding_box()["y"]  # type: ignore[index]
    check_accessible(ada.page)


def test_two_hundred_devices_are_searched_and_turned_page_by_page(site: Site, opened: OpenProfile) -> None:
    person = site.newcomer("collector")

    async def many(services: Services) -> None:
        user = await services.accounts.user_by_name(person.username)
        assert user is not None
        for number in range(200):
            name = f"tool-{number} " + "W" * 50
            await approve(services, DeviceRequest(name, LINUX, HOME, "keys:read"), user.id, site.house.acme)

    site.do(many)
    profile = opened(person, size=PHONE)
    profile.go("/settings/devices")
    assert profile.page.locator(".item").count() == A_PAGE
    check_fits(profile.page)
    check_accessible(profile.page)
    profile.follow("Older")
    assert profile.page.locator(".item").count() == A_PAGE
    profile.page.get_by_role("searchbox").fill("TOOL-199 ")
    profile.press("Find")
    assert profile.page.locator(".item").count() == 1


@SCRIPTS
def test_other_browsers_are_signed_out_and_this_one_stays(site: Site, opened: OpenProfile, scripts: bool) -> None:
    person = site.newcomer(f"reader-{scripts}".lower())

    async def others(services: Services) -> None:
        for _ in range(2):
            await sign_in(services, person, user_agent=EDGE, address=HOME)

    site.do(others)
    profile = opened(person, size=DESKTOP, scripts=scripts)
    again = opened(person)
    profile.go("/settings/sessions")
    assert profile.page.locator(".item").first.inner_text().startswith("Firefox on Linux")
    assert "You are here" in profile.page.locator(".item").first.inner_text()
    profile.click(profile.page.get_by_role("link", name=re.compile("^Sign out Edge on Windows")).first)
    profile.click(profile.page.locator("main form button"))
    assert profile.page.locator(".item").count() == 2
    profile.follow("Sign out all others")
    profile.press("Sign out all others")
    assert "You are signed in with this browser only." in profile.words()
    check_accessible(profile.page) if scripts else None
    assert again.go("/settings/sessions").status == 200
