"""The frame around the pages of settings: its menu, its times, its way past the navigation, and what is printed."""

import re

import pytest

from tests.browser.chromium import DESKTOP, PHONE, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.support.server import ADA

NARROWEST = (320, 568)
"""What 1280 pixels are at 400 % zoom (WCAG 2.2, 1.4.10)."""
CROWDED = ("/settings", "/settings/keys/new", "/settings/security", "/settings/organization/audit")
TARGETS = """
() => [...document.querySelectorAll("a.button, button, .nav a, summary, input:not([type=hidden]), select")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.getBoundingClientRect(), element])
  .filter(([box, element]) => box.height < 24 && !element.closest("label"))
  .map(([box, element]) => `${element.outerHTML.slice(0, 80)} is ${box.height} high`)
"""


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_on_a_phone_the_navigation_is_folded_and_opens_without_scripts(opened: OpenProfile, scripts: bool) -> None:
    ada = opened(ADA, size=PHONE, scripts=scripts)
    ada.go("/settings")
    link = ada.page.get_by_role("link", name="API keys", exact=True)
    folded = link.is_hidden()
    ada.click(ada.page.locator("summary", has_text="Menu"))
    link.click()
    ada.page.wait_for_url(re.compile("/settings/keys$"))
    assert folded
    assert link.is_hidden()


def test_on_a_desktop_the_navigation_is_there_and_says_where_one_is(opened: OpenProfile) -> None:
    ada = opened(ADA, size=DESKTOP)
    ada.go("/settings/sessions")
    current = ada.page.locator("[aria-current=page]")
    assert current.all_inner_texts() == ["Browser sessions"]
    assert current.is_visible()
    assert ada.page.locator("summary", has_text="Menu").is_hidden()


def test_the_keyboard_goes_past_the_navigation(opened: OpenProfile) -> None:
    ada = opened(ADA)
    ada.go("/settings/keys")
    ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.press("Tab")
    focused = ada.page.evaluate("document.activeElement.closest('main') !== null")
    assert focused
    assert ada.page.url.endswith("#content")


def test_a_time_is_told_in_the_zone_of_the_reader_and_in_utc(opened: OpenProfile) -> None:
    ada = opened(ADA)
    ada.go("/settings/sessions")
    title = ada.page.locator("time[data-moment]").first.get_attribute("title") or ""
    here, utc = title.split("\n")
    assert re.search(r"\d{1,2} \w+ \d{4} at \d\d:\d\d:\d\d CES?T", here)
    assert re.fullmatch(r"\d{1,2} \w+ \d{4}, \d\d:\d\d:\d\d UTC", utc)


def test_without_scripts_a_time_is_told_in_utc(opened: OpenProfile) -> None:
    ada = opened(ADA, scripts=False)
    ada.go("/settings/sessions")
    title = ada.page.locator("time[data-moment]").first.get_attribute("title") or ""
    assert re.fullmatch(r"\d{1,2} \w+ \d{4}, \d\d:\d\d:\d\d UTC", title)


@pytest.mark.parametrize(
    "path", ["/settings", "/settings/keys/new", "/settings/security", "/settings/organization/audit"]
)
def test_at_four_hundred_percent_nothing_is_cut_off_and_everything_can_be_hit(opened: OpenProfile, path: str) -> None:
    ada = opened(ADA, size=NARROWEST)
    ada.go(path)
    check_accessible(ada.page)
    sideways = ada.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not sideways
    assert ada.page.evaluate(TARGETS) == []


def test_in_forced_colours_the_page_one_is_on_is_still_marked(opened: OpenProfile) -> None:
    ada = opened(ADA)
    ada.page.emulate_media(forced_colors="active")
    ada.go("/settings/keys")
    outline = ada.page.locator("[aria-current=page]").evaluate("(link) => getComputedStyle(link).outlineStyle")
    assert outline == "solid"


def test_what_is_printed_has_no_navigation_and_no_buttons(opened: OpenProfile) -> None:
    ada = opened(ADA)
    ada.go("/settings/organization/members")
    ada.page.emulate_media(media="print")
    check_fits(ada.page)
    shown = ada.page.evaluate(
        "[...document.querySelectorAll('.nav, .button')].filter((e) => e.checkVisibility()).length"
    )
    assert not shown
    assert ada.page.get_by_role("heading", name="Members", exact=True).is_visible()
