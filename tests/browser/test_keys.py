"""API keys and tokens in a real browser: a secret that is shown once is not lost by a stray click (promise K9)."""

import re

import pytest

from keystead.services import Services
from keystead.web.settings.keys import A_PAGE
from tests.browser.chromium import DESKTOP, PHONE, Profile, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.site import Site
from tests.support import issued
from tests.support.calls import Line
from tests.support.server import ADA, BOB

KEYS = "/settings/keys"
MANY = 60
CLIPBOARD = ("clipboard-read", "clipboard-write")


def create(profile: Profile, title: str) -> str:
    """Make a key by its form, and return its text as the page shows it."""
    profile.go(f"{KEYS}/new")
    profile.fill("Title", title)
    profile.press("Create the API key")
    return shown(profile)


def shown(profile: Profile) -> str:
    """Return the secret that the page shows this once."""
    secret = profile.page.locator(".secret-value").inner_text()
    issued.note(secret)
    return secret


def checked(site: Site, credential: str) -> int:
    """Return the status with which a credential is checked."""
    with Line(site.server.url) as line:
        return line.check(credential).status


def test_a_key_that_is_shown_once_stays_until_its_own_button_is_pressed(site: Site, opened: OpenProfile) -> None:
    bob = opened(BOB, permissions=CLIPBOARD)
    key = create(bob, "Harbour lights")
    dialog = bob.page.get_by_role("dialog")
    check_accessible(bob.page)
    check_fits(bob.page)
    bob.page.mouse.click(5, 5)  # beside the dialog
    bob.page.keyboard.press("Escape")
    bob.page.keyboard.press("Escape")
    assert dialog.is_visible()
    assert checked(site, key) == 200
    bob.follow("I have copied it")
    bob.page.wait_for_url(re.compile(rf"{KEYS}(\?|$)"))
    assert "Harbour lights" in bob.words()
    assert key not in bob.page.content()


def test_the_copy_button_copies_the_key_and_says_so(opened: OpenProfile) -> None:
    bob = opened(BOB, permissions=CLIPBOARD)
    key = create(bob, "Copied")
    bob.click(bob.page.get_by_role("button", name="Copy", exact=True).first)
    bob.page.get_by_role("button", name="Copied", exact=True).wait_for()
    assert bob.page.evaluate("navigator.clipboard.readText()") == key
    assert bob.page.get_by_role("status").filter(has_text="Copied.").count() == 1


def test_a_key_that_is_asked_for_twice_is_made_once(site: Site, opened: OpenProfile) -> None:
    bob = opened(BOB)
    create(bob, "Only once")
    bob.page.reload()
    assert bob.page.locator(".secret-value").count() == 0
    check_accessible(bob.page)
    check_fits(bob.page)
    bob.go(f"{KEYS}?search=Only once")
    assert bob.page.locator(".item").count() == 1


def test_a_mistake_is_told_at_its_field_and_what_was_typed_is_kept(opened: OpenProfile) -> None:
    ada = opened(ADA, size=PHONE, scheme="dark")
    ada.go(f"{KEYS}/new")
    ada.page.get_by_label("Title").fill("A key with an end")
    ada.page.get_by_label("On a date").check()
    ada.press("Create the API key")
    assert ada.page.get_by_label("Title").input_value() == "A key with an end"
    assert ada.page.locator(".field-error").count() == 1
    check_accessible(ada.page)
    check_fits(ada.page)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_without_scripts_a_key_is_made_found_renamed_rotated_and_deleted(
    site: Site, opened: OpenProfile, size: tuple[int, int]
) -> None:
    bob = opened(BOB, size=size, scripts=False)
    title = f"Plain {size[0]}"
    key = create(bob, title)
    assert checked(site, key) == 200
    bob.follow("I have copied it")
    bob.page.get_by_role("searchbox").fill(title)
    bob.press("Find")
    bob.follow(re.compile("^Rename"), exact=False)
    bob.page.get_by_label("Title").fill(f"{title} renamed")
    bob.click(bob.page.locator("form[action$='/title'] button"))
    bob.go(f"{KEYS}?search={title} renamed")
    bob.follow(re.compile("^Rotate"), exact=False)
    bob.page.locator("input[name=overlap]").first.check()
    bob.press("Rotate the API key")
    successor = shown(bob)
    assert (checked(site, successor), successor != key) == (200, True)
    bob.go(f"{KEYS}?search={title} renamed")
    while bob.page.get_by_role("link", name=re.compile("^Delete")).count():
        bob.click(bob.page.get_by_role("link", name=re.compile("^Delete")).first)
        bob.press("Delete the API key")
        bob.go(f"{KEYS}?search={title} renamed")
    assert (checked(site, key), checked(site, successor)) == (401, 401)


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_token_is_generated_copied_and_revoked(site: Site, opened: OpenProfile, scripts: bool) -> None:
    ada = opened(ADA, permissions=CLIPBOARD, scripts=scripts)
    ada.go("/settings/tokens")
    ada.press("Generate a token")
    token = shown(ada)
    if scripts:
        check_accessible(ada.page)
        check_fits(ada.page)
        ada.page.keyboard.press("Escape")
        ada.click(ada.page.get_by_role("button", name="Copy", exact=True).first)
        assert ada.page.evaluate("navigator.clipboard.readText()") == token
    assert checked(site, token) == 200
    ada.follow("I have copied it")
    while ada.page.get_by_role("link", name=re.compile("^Revoke")).count():
        ada.click(ada.page.get_by_role("link", name=re.compile("^Revoke")).first)
        ada.click(ada.page.locator("form .danger"))
    assert checked(site, token) == 401


def test_many_keys_and_long_titles_stay_in_their_place(site: Site, opened: OpenProfile) -> None:
    person = site.newcomer("hoarder")

    async def many(services: Services) -> None:
        for number in range(MANY):
            await services.keys.create_key_for_user(person.username, f"{number} " + "W" * 60)

    site.do(many)
    profile = opened(person, size=PHONE)
    profile.go(KEYS)
    assert profile.page.locator(".item").count() == A_PAGE
    check_fits(profile.page)
    check_accessible(profile.page)
    profile.follow("Older")
    assert profile.page.locator(".item").count() == min(A_PAGE, MANY - A_PAGE)
