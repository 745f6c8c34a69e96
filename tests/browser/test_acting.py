"""An operator acts as somebody in a real browser: on a phone, on a desktop, and without scripts."""

from dataclasses import dataclass

import pytest

from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.browser.chromium import DESKTOP, PHONE, Profile, Scheme, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.site import Site
from tests.support import issued
from tests.support.server import Person

REASON = "Request 4711: the keys of my team are gone since yesterday, and nobody knows why"
USERS = "/settings/operator/users"


def operator(site: Site, username: str) -> Person:
    """Add somebody who operates the installation and leads nothing."""
    person = Person(username, f"seven quiet mills of {username}", f"{username}@example.com", Role.MEMBER.value)

    async def make(services: Services) -> None:
        await services.accounts.create_user(
            username=person.username,
            email=person.email,
            organization="globex",
            role=Role.MEMBER,
            password=Secret(person.password),
            platform_admin=True,
        )

    site.do(make)
    issued.note(person.password)
    return person


def check(profile: Profile) -> None:
    """Assert that the page is accessible and fits, where there are scripts to look at that."""
    if profile.scripts:
        check_accessible(profile.page)
        check_fits(profile.page)


def act(profile: Profile, whom: Person, reason: str = REASON) -> None:
    """Find somebody among the users, and act as them."""
    profile.go(f"{USERS}?search={whom.username}")
    profile.follow(whom.username)
    profile.follow("Act as this person")
    profile.fill("Why do you do this?", reason)
    profile.press("Act as this person")


@dataclass(frozen=True)
class Look:
    """The screen of a browser, its colours, and whether it runs scripts."""

    name: str
    size: tuple[int, int]
    scheme: Scheme
    scripts: bool


LOOKS = [
    Look("desktop", DESKTOP, "light", True),
    Look("phone", PHONE, "dark", True),
    Look("plain", PHONE, "light", False),
]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_an_operator_acts_as_somebody_looks_and_stops(site: Site, opened: OpenProfile, look: Look) -> None:
    root, gus = operator(site, f"root{look.name}"), site.newcomer(f"gus{look.name}")
    profile = opened(root, size=look.size, scheme=look.scheme, scripts=look.scripts)
    act(profile, gus)
    banner = profile.page.get_by_role("region", name="Acting as somebody else")
    for path in ("/settings", "/settings/keys", "/settings/security", "/settings/sessions", "/settings/keys/new"):
        profile.go(path)
        assert f"You act as {gus.username}. Nothing can be changed." in banner.inner_text()
        check(profile)
    profile.press("Stop")
    assert profile.path.startswith(f"{USERS}/")
    assert "You act in your own name again." in profile.page.locator("main").inner_text()
    assert banner.count() == 0
    person = opened(gus, size=look.size, scripts=look.scripts)
    person.go("/settings")
    assert f"the operator {root.username} acted as you: {REASON}" in person.page.locator("main").inner_text()
    check(person)


def test_the_person_ends_it_and_the_operator_has_to_sign_in_again(site: Site, opened: OpenProfile) -> None:
    root, gil = operator(site, "rita"), site.newcomer("gil")
    profile = opened(root)
    act(profile, gil)
    person = opened(gil, size=PHONE)
    person.go("/settings/sessions")
    shown = person.page.locator("main").inner_text()
    assert f"The operator rita acts as you: {REASON}" in shown
    check(person)
    person.page.locator("li", has_text="acts as you").get_by_role("link").click()
    person.press("Sign out")
    assert "That browser is signed out." in person.page.locator("main").inner_text()
    profile.go("/settings")
    assert profile.path.startswith("/sign-in")


def test_a_form_of_the_persons_leads_to_a_page_that_says_why_not(site: Site, opened: OpenProfile) -> None:
    root, hal = operator(site, "rob"), site.newcomer("hal")
    profile = opened(root)
    act(profile, hal)
    profile.go("/settings/keys/new")
    profile.fill("Title", "laptop")
    profile.press("Create the API key")
    assert "You act as somebody else" in profile.page.locator("body").inner_text()
    check(profile)
