"""The policies in a real browser, with scripts and without: who may still come in, and what others are told."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from keystead.kernel.scopes import Role
from tests.browser.chromium import DESKTOP, PHONE, Profile, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.house import LINUX
from tests.browser.site import Site
from tests.support import engine
from tests.support.device import DeviceClient
from tests.support.server import ADA, Person

WAYS = pytest.mark.parametrize(
    "way",
    [
        {"size": DESKTOP, "scheme": "light", "scripts": True},
        {"size": PHONE, "scheme": "dark", "scripts": True},
        {"size": PHONE, "scheme": "light", "scripts": False},
    ],
    ids=["desktop-light", "phone-dark", "phone-without-scripts"],
)
Way = dict[str, Any]
ORGANIZATION = "/settings/organization/policies"
OPERATOR = "/settings/operator/policies"
SAVE = "Save the policies"
NAMES = ["W" * 64, "<script>alert(1)</script> " + "W" * 38]


@pytest.fixture
def device(site: Site) -> Iterator[DeviceClient]:
    """Give a device that has registered."""
    with DeviceClient(site.server.url) as client:
        client.register("parallel-cli", LINUX)
        yield client


def called(name: str, way: Way) -> str:
    """Return a user name that no other run of a test takes."""
    return f"{name}-{way['scheme']}-{way['scripts']}".lower()


def look(profile: Profile) -> None:
    """Hold the page to the rules that a program can check, where scripts are on."""
    if profile.scripts:
        check_accessible(profile.page)
        check_fits(profile.page)


def begun_with_passkey(site: Site, person: Person) -> None:
    """Let somebody's sessions count as begun with a passkey."""
    whose = f"""user_id = (SELECT id FROM "user" WHERE username = '{person.username}')"""  # noqa: S608
    statement = f"UPDATE session SET second_factor = 1, password = 0 WHERE {whose}"  # noqa: S608
    engine.execute(site.server.data, sqlite=[statement], postgres=[statement])


@WAYS
def test_where_devices_are_off_the_page_of_a_device_says_so_and_only_refuses(
    site: Site, opened: OpenProfile, device: DeviceClient, way: Way
) -> None:
    ruler = site.newcomer(called("gatekeeper", way), Role.OWNER, "globex")
    eve = opened(ruler, **way)
    eve.go(ORGANIZATION)
    eve.page.get_by_label("Nobody signs in a device").check()
    eve.press(SAVE)
    look(eve)
    assert eve.page.locator(".note-good").count() == 1
    eve.go(f"/getServiceKeys/device?user_code={device.device_code().user_code}")
    look(eve)
    assert "lets nobody sign a device in." in eve.words()
    assert eve.page.get_by_role("button", name="Approve").count() == 0
    eve.go(ORGANIZATION)
    eve.page.get_by_label("People sign in devices").check()
    eve.press(SAVE)
    eve.go(f"/getServiceKeys/device?user_code={device.device_code().user_code}")
    assert eve.page.get_by_role("button", name="Approve").count() == 1


@WAYS
def test_an_operator_turns_passwords_off_for_everybody_and_the_pages_say_so(
    site: Site, opened: OpenProfile, way: Way
) -> None:
    person = site.newcomer(called("typist", way), Role.OWNER)
    ada, owner = (opened(one, **way) for one in (ADA, person))
    begun_with_passkey(site, ADA)
    ada.go(OPERATOR)
    ada.page.get_by_label("With a passkey only").check()
    ada.press(SAVE)
    assert ada.page.locator("h1").inner_text() == "Turn sign-in with a password off for everybody?"
    look(ada)
    ada.press(SAVE)
    assert "The policies of the installation are saved." in ada.words()
    look(ada)

    stranger = opened(**way)
    stranger.go("/sign-in")
    stranger.fill("User name or e-mail", person.username)
    stranger.page.locator("input[name=password]").fill(person.password)
    stranger.press("Sign in")
    assert "lets nobody sign in with a password." in stranger.words()
    look(stranger)
    if way["scripts"]:
        stranger.follow("Use a passkey")
        assert stranger.path.startswith("/sign-in/passkey")
    else:
        assert "Passkeys need JavaScript, which is switched off here." in stranger.words()

    owner.go(ORGANIZATION)  # who is signed in stays so
    assert "This installation has sign-in with a password off for everybody." in owner.words()
    look(owner)
    owner.page.get_by_label("With a passkey only").check()
    owner.press(SAVE)
    assert "Sign in with a passkey yourself first" in owner.page.locator(".field-error").inner_text()
    look(owner)

    ada.page.get_by_label("With a password or a passkey").check()
    ada.press(SAVE)
    assert "The policies of the installation are saved." in ada.words()
    stranger.go("/sign-in")
    stranger.sign_in(person.username, person.password)
    assert stranger.path == "/settings"


@WAYS
@pytest.mark.parametrize("name", NAMES, ids=["longest", "hostile"])
def test_the_name_of_a_device_is_a_text_that_fits_wherever_it_is_shown(
    site: Site, opened: OpenProfile, device: DeviceClient, name: str, way: Way
) -> None:
    person = site.newcomer(called(f"namer-{NAMES.index(name)}", way))
    profile = opened(person, **way)
    profile.go(f"/getServiceKeys/device?user_code={(asked := device.device_code(device_name=name)).user_code}")
    look(profile)
    assert f"{name} name not verified" in profile.words()
    profile.press("Approve")
    look(profile)
    assert f"{name} name not verified" in profile.words()
    assert device.poll_until_decided(asked).access_token
    profile.go("/settings/devices")
    look(profile)
    assert f"parallel-cli on {name}" in profile.words()
    profile.click(profile.page.get_by_role("link", name=re.compile("^Sign out parallel-cli on")))
    look(profile)
    assert profile.page.locator("h1").inner_text() == f"Sign out parallel-cli on {name}?"
