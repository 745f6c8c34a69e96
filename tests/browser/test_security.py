"""Passkeys, authenticator apps, recovery codes and passwords in a real browser (promises W2 and W7).

The passkeys are Chromium's own, kept by a virtual authenticator that its DevTools offer (Chrome DevTools Protocol,
domain WebAuthn).
"""

import re
import time

import pyotp
import pytest

from keystead.kernel.scopes import Role
from keystead.services import Services
from tests.browser.chromium import DESKTOP, PHONE, Profile, add_authenticator, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.house import EDGE, HOME, sign_in
from tests.browser.site import Site
from tests.support import issued
from tests.support.server import ADA, Person

SECURITY = "/settings/security"
STEP = 30


def look(profile: Profile) -> None:
    """Hold the page to the rules that a program can check, where scripts are on."""
    if profile.scripts:
        check_accessible(profile.page)
        check_fits(profile.page)


def kept_codes(profile: Profile) -> list[str]:
    """Return the recovery codes that the page shows this once, and go on."""
    codes = profile.page.locator(".codes li").all_inner_texts()
    issued.note(*codes)
    look(profile)
    profile.follow("I have kept them")
    return codes


def add_passkey(profile: Profile, person: Person, name: str) -> list[str]:
    """Make a passkey; return the recovery codes that come with the first factor."""
    profile.go(SECURITY)
    profile.follow("Add a passkey")
    look(profile)
    profile.page.get_by_label("Name", exact=True).fill(name)
    profile.page.get_by_label("Your password").fill(person.password)
    profile.press("Continue")
    look(profile)
    profile.press("Make the passkey")
    profile.page.wait_for_url(re.compile(f"{SECURITY}(/passkeys)?(?!.*/new)"))
    return kept_codes(profile) if profile.page.locator(".codes").count() else []


def set_up_app(profile: Profile, person: Person) -> tuple[pyotp.TOTP, list[str]]:
    """Set up an authenticator app; return it with the recovery codes."""
    profile.go(SECURITY)
    profile.follow("Set up an app")
    look(profile)
    secret = "".join(profile.page.locator("#key").inner_text().split())
    issued.note(secret)
    app = pyotp.TOTP(secret)
    profile.page.get_by_label("Six-digit code").fill(app.now())
    profile.page.get_by_label("Your password").fill(person.password)
    profile.press("Add the app")
    return app, kept_codes(profile)


def enter_password(profile: Profile, person: Person) -> None:
    """Go through the sign-in page with the password."""
    profile.go("/sign-in?next=/settings")
    profile.sign_in(person.username, person.password)


def test_somebody_signs_in_with_a_passkey_and_without_a_password(site: Site, opened: OpenProfile) -> None:
    person = site.newcomer("passenger")
    profile = opened(person, size=PHONE)
    add_authenticator(profile)
    codes = add_passkey(profile, person, "Pocket telephone")
    assert len(set(codes)) == 10
    assert "Pocket telephone" in profile.words()
    look(profile)
    profile.sign_out()
    profile.go("/sign-in?next=/settings")
    profile.follow("Sign in with a passkey")
    look(profile)
    profile.press("Use a passkey")
    profile.page.wait_for_url(re.compile("/settings$"))
    profile.go(SECURITY)
    assert "Last used" in profile.words()


def test_a_passkey_is_asked_for_after_the_password_and_can_be_renamed_and_removed(
    site: Site, opened: OpenProfile
) -> None:
    person = site.newcomer("keykeeper")
    profile = opened(person)
    add_authenticator(profile)
    add_passkey(profile, person, "First")
    profile.sign_out()
    enter_password(profile, person)
    assert profile.path.startswith("/sign-in/second-factor")
    look(profile)
    profile.press("Use a passkey")
    profile.page.wait_for_url(re.compile("/settings$"))
    profile.go(SECURITY)
    profile.click(profile.page.get_by_role("link", name="Rename the passkey First"))
    look(profile)
    profile.page.get_by_label(re.compile("name", re.IGNORECASE)).first.fill("Second")
    profile.click(profile.page.locator("main form button.primary"))
    profile.click(profile.page.get_by_role("link", name="Remove the passkey Second"))
    look(profile)
    profile.page.get_by_label("Your password").fill(person.password)
    profile.press("Remove the passkey")
    assert "You have no second factor yet." in profile.words()
    profile.sign_out()
    enter_password(profile, person)
    assert profile.path.startswith("/settings")


def test_a_refused_finger_is_told_in_words_and_the_password_is_still_a_way(site: Site, opened: OpenProfile) -> None:
    profile = opened()
    add_authenticator(profile)
    profile.go("/sign-in/passkey")
    profile.press("Use a passkey")  # there is none here
    message = profile.page.get_by_role("alert")
    message.wait_for()
    assert "No passkey was used" in message.inner_text()
    check_accessible(profile.page)
    profile.follow("Use your password instead")
    assert profile.path.startswith("/sign-in")


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_code_of_an_app_or_a_recovery_code_is_asked_for_after_the_password(
    site: Site, opened: OpenProfile, scripts: bool
) -> None:
    person = site.newcomer(f"coder-{scripts}".lower())
    profile = opened(person, scripts=scripts)
    app, codes = set_up_app(profile, person)
    profile.sign_out()

    enter_password(profile, person)
    look(profile)
    profile.page.get_by_label("Code", exact=True).fill("000000")
    profile.press("Go on")
    look(profile)
    assert profile.path.startswith("/sign-in/second-factor")
    profile.page.get_by_label("Code", exact=True).fill(app.at(int(time.time()) + STEP))  # each code works once
    profile.press("Go on")
    assert profile.path.startswith("/settings")
    profile.sign_out()

    used = []
    for code in (codes[0], codes[0], codes[1]):
        enter_password(profile, person)
        profile.click(profile.page.get_by_text("Your device is not at hand?"))
        profile.page.locator("#recovery_code").fill(code)
        profile.press("Use this code")
        used.append(profile.path.startswith("/settings"))
        if used[-1]:
            profile.sign_out()
    assert used == [True, False, True]


def test_new_recovery_codes_replace_the_old_and_an_app_is_removed(site: Site, opened: OpenProfile) -> None:
    person = site.newcomer("forgetful")
    profile = opened(person, scripts=False)
    _, old = set_up_app(profile, person)
    profile.follow("Make new codes")
    profile.page.get_by_label("Your password").fill(person.password)
    profile.press("Make new codes")
    new = kept_codes(profile)
    assert not set(old) & set(new)
    profile.go(SECURITY)
    profile.click(profile.page.get_by_role("link", name="Remove the authenticator app"))
    profile.page.get_by_label("Your password").fill(person.password)
    profile.press("Remove the app")
    assert "You have no second factor yet." in profile.words()


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_new_password_signs_out_every_other_browser(site: Site, opened: OpenProfile, scripts: bool) -> None:
    person = site.newcomer(f"changer-{scripts}".lower())
    profile, other = opened(person, scripts=scripts), opened()
    cookie = site.do(lambda services: sign_in(services, person, user_agent=EDGE, address=HOME)).secret.reveal()
    issued.note(cookie)
    other.context.add_cookies([{"name": "cloud.sso", "value": cookie, "url": site.origin, "secure": True}])
    assert other.go(SECURITY).url.endswith(SECURITY)
    profile.go(SECURITY)
    profile.page.get_by_label("Present password").fill("not the password")
    profile.page.get_by_label("New password").fill("eleven ferries at the pier")
    profile.press("Change the password")
    assert profile.page.locator(".field-error").count() == 1
    look(profile)
    profile.page.get_by_label("Present password").fill(person.password)
    profile.page.get_by_label("New password").fill("eleven ferries at the pier")
    profile.press("Change the password")
    assert profile.page.locator(".note-good").count() == 1
    other.go(SECURITY)
    assert other.path.startswith("/sign-in")
    issued.note("eleven ferries at the pier")


@pytest.mark.parametrize(
    ("size", "scripts"), [(DESKTOP, True), (PHONE, False)], ids=["desktop", "phone-without-scripts"]
)
def test_an_organization_that_asks_for_a_second_factor_has_it_set_up_at_sign_in(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    organization = f"careful-{scripts}".lower()

    async def found(services: Services) -> None:
        await services.accounts.create_organization(organization, f"Careful {scripts}")

    site.do(found)
    owner = site.newcomer(f"cautious-{scripts}".lower(), Role.OWNER, organization)
    member = site.newcomer(f"careless-{scripts}".lower(), Role.MEMBER, organization)
    host, guest = opened(owner, size=size, scripts=scripts), opened(member, size=size, scripts=scripts)
    ask_for_second_factors(host)
    assert "Everybody needs a second factor" in host.words()
    assert host.page.locator(".field-error").count() == 1  # who has none would lock themselves out
    set_up_app(host, owner)
    ask_for_second_factors(host)
    assert host.page.locator(".note-good").count() == 1
    guest.go("/settings")
    assert guest.path.startswith("/sign-in")  # the session that rested on a password alone has ended

    enter_password(guest, member)
    assert guest.path.startswith("/sign-in/enrol")
    look(guest)
    secret = written_key(guest)
    issued.note(secret)
    guest.fill("Code", "000000")
    guest.press("Set up and sign in")
    look(guest)
    assert written_key(guest) == secret  # a mistake does not ask for another scan
    guest.fill("Code", pyotp.TOTP(secret).now())
    guest.press("Set up and sign in")
    assert len(set(kept_codes(guest))) == 10
    assert guest.path == "/settings"
    guest.sign_out()
    enter_password(guest, member)
    assert guest.path.startswith("/sign-in/second-factor")


def ask_for_second_factors(profile: Profile) -> None:
    """Make it a policy, as far as that is allowed."""
    profile.go("/settings/organization/policies")
    profile.page.get_by_label("Everybody needs a second factor").check()
    profile.press("Save the policies")
    look(profile)


def written_key(profile: Profile) -> str:
    """Return the key of the app that is to be set up at sign-in, as somebody reads it who cannot scan it."""
    if not profile.page.locator("details code").is_visible():
        profile.page.get_by_text("Cannot scan it?").click()
    return "".join(profile.page.locator("details code").inner_text().split())


@pytest.mark.parametrize(
    ("size", "scripts"), [(DESKTOP, True), (PHONE, False)], ids=["desktop", "phone-without-scripts"]
)
def test_an_operator_removes_second_factors_that_somebody_has_lost(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    person = site.newcomer(f"loser-{scripts}".lower())
    profile, ada = opened(person, scripts=scripts), opened(ADA, size=size, scripts=scripts)
    set_up_app(profile, person)
    ada.go("/settings/operator/users")
    ada.page.get_by_role("searchbox").fill(person.email)
    ada.press("Find")
    ada.click(ada.page.get_by_role("link", name=f"Manage {person.username}"))
    ada.follow("Remove the second factors")
    look(ada)
    assert person.username in ada.page.locator("h1").inner_text()
    ada.click(ada.page.locator("main form button").first)
    look(ada)
    assert ada.page.get_by_role("link", name="Remove the second factors").count() == 0
    profile.go("/settings")
    if not profile.path.startswith("/sign-in"):
        profile.sign_out()
    enter_password(profile, person)
    assert profile.path == "/settings"
