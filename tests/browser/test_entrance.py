"""The ways in, in a real browser with real letters: sign-in, sign-up, invitations, and a forgotten password (W8)."""

from urllib.parse import urlsplit

import pytest

from keystead.kernel.scopes import Role
from tests.browser.chromium import DESKTOP, PHONE, Profile, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.house import CAROL
from tests.browser.site import Site
from tests.support import issued
from tests.support.server import BOB

BOTH = pytest.mark.parametrize(
    ("size", "scripts"), [(DESKTOP, True), (PHONE, True), (PHONE, False)], ids=["desktop", "phone", "without-scripts"]
)
PASSWORD = "three lanterns and a canoe"


def look(profile: Profile) -> None:
    """Hold the page to the rules that a program can check, where scripts are on."""
    if profile.scripts:
        check_accessible(profile.page)
        check_fits(profile.page)


def open_letter(profile: Profile, site: Site, address: str, number: int = 1) -> None:
    """Follow the link of a letter."""
    link = site.post.wait_for(address, number).link
    issued.note(link.rpartition("/")[2])
    assert link.startswith(site.origin)
    profile.go(urlsplit(link).path)


@BOTH
def test_a_wrong_password_is_told_and_the_name_is_kept(
    opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    profile = opened(size=size, scripts=scripts)
    profile.go("/sign-in?next=/settings/keys")
    profile.fill("User name or e-mail", BOB.username)
    profile.fill("Password", "not the password")
    profile.press("Sign in")
    assert "do not belong together" in profile.words()
    assert profile.page.get_by_label("User name or e-mail").input_value() == BOB.username
    look(profile)
    profile.sign_in(BOB.username, BOB.password) if scripts else _again(profile)
    assert profile.path == "/settings/keys"
    profile.sign_out()
    assert "You are signed out." in profile.words()
    profile.go("/settings/keys")
    assert profile.path.startswith("/sign-in")


def _again(profile: Profile) -> None:
    profile.fill("Password", BOB.password)
    profile.press("Sign in")


def test_the_password_is_shown_while_somebody_asks_for_it(opened: OpenProfile) -> None:
    profile = opened()
    profile.go("/sign-in")
    field = profile.page.get_by_label("Password", exact=True)
    field.fill("visible")
    profile.press("Show password")
    assert field.get_attribute("type") == "text"
    check_accessible(profile.page)
    profile.press("Show password")
    assert field.get_attribute("type") == "password"


@BOTH
def test_a_forgotten_password_is_replaced_by_a_letter(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    person = site.newcomer(f"dreamer-{size[0]}-{scripts}".lower())
    profile = opened(size=size, scripts=scripts)
    profile.go("/sign-in")
    profile.follow("Forgot your password?")
    look(profile)
    profile.fill("E-mail address", person.email)
    profile.press("Send the letter")
    look(profile)
    open_letter(profile, site, person.email)
    look(profile)
    profile.page.get_by_label("Password", exact=True).fill(PASSWORD)
    profile.press("Set this password")
    profile.sign_in(person.username, PASSWORD)
    profile.go("/settings")
    assert profile.path == "/settings"
    again = opened(scripts=False)
    open_letter(again, site, person.email)
    assert "This link is not good any more" in again.words()


@BOTH
def test_somebody_signs_up_with_a_proven_address_and_an_organization_of_their_own(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    name = f"founder-{size[0]}-{scripts}".lower()
    address = f"{name}@example.net"
    profile = opened(size=size, scripts=scripts)
    profile.go("/sign-in")
    profile.follow("Sign up")
    look(profile)
    profile.fill("E-mail address", address)
    profile.press("Send the letter")
    look(profile)
    open_letter(profile, site, address)
    look(profile)
    profile.fill("User name", name)
    profile.fill("Your name", "Fenja Founder")
    profile.page.get_by_label("Password", exact=True).fill(PASSWORD)
    profile.fill("Organization", f"Harbour {name}")
    profile.press("Make the account")
    if "/sign-in" in profile.path:
        profile.sign_in(name, PASSWORD)
    profile.go("/settings")
    assert f"Harbour {name}" in profile.words()


@BOTH
def test_an_invited_person_makes_an_account_and_is_a_member(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    name = f"guest-{size[0]}-{scripts}".lower()
    address = f"{name}@example.net"
    host = opened(CAROL, size=size, scripts=scripts)
    host.go("/settings/organization/members")
    host.fill("E-mail address", address)
    host.page.locator("input[name=role][value=member]").check()
    host.press("Invite")
    assert address in host.words()
    look(host)
    guest = opened(size=size, scripts=scripts)
    open_letter(guest, site, address)
    look(guest)
    guest.fill("User name", name)
    guest.page.get_by_label("Password", exact=True).fill(PASSWORD)
    guest.press("Make the account and join")
    if "/sign-in" in guest.path:
        guest.sign_in(name, PASSWORD)
    guest.go("/settings")
    assert "Acme Robotics" in guest.words()
    host.go("/settings/organization/members")
    assert address in host.words()


def test_an_invitation_is_accepted_by_somebody_who_has_an_account(site: Site, opened: OpenProfile) -> None:
    person = site.newcomer("wanderer", Role.MEMBER, "globex")
    host = opened(CAROL)
    host.go("/settings/organization/members")
    host.fill("E-mail address", person.email)
    host.page.locator("input[name=role][value=admin]").check()
    host.press("Invite")
    profile = opened(size=PHONE)
    open_letter(profile, site, person.email)
    look(profile)
    profile.follow("Sign in")
    profile.sign_in(person.username, person.password)
    look(profile)
    profile.press("Join")
    profile.go("/settings")
    look(profile)
    assert "Acme Robotics" in profile.words()
