"""Approving a device in a real browser: each state has its page, on phones and desktops, light and dark (D4, D8)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import DESKTOP, PHONE, Profile, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.house import LINUX
from tests.browser.site import Site
from tests.support import engine
from tests.support.device import DeviceAuthorization, DeviceClient
from tests.support.server import ADA, BOB

PAGE = "/getServiceKeys/device"
LOOKS = pytest.mark.parametrize("scheme", ["light", "dark"])
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
HOSTILE = "<script>alert(1)</script> " + "W" * 38
LONGEST = "W" * 64


@pytest.fixture
def device(site: Site) -> Iterator[DeviceClient]:
    """Give a device that has registered."""
    with DeviceClient(site.server.url) as client:
        client.register("parallel-cli", LINUX)
        yield client


def look(profile: Profile, heading: str) -> None:
    """Hold a page to the rules, and to what it has to say."""
    assert profile.page.locator("h1").inner_text() == heading
    check_accessible(profile.page)
    check_fits(profile.page)


def expire(site: Site, asked: DeviceAuthorization) -> None:
    """Let every code that nobody has decided expire, as ten minutes would."""
    statement = "UPDATE device_authorization SET expires_at = created_at WHERE state = 'pending'"
    engine.execute(site.server.data, sqlite=[statement], postgres=[statement])
    assert asked.user_code


def at(asked: DeviceAuthorization) -> str:
    return f"{PAGE}?user_code={asked.user_code}"


@LOOKS
@SIZES
def test_every_state_of_an_approval_has_a_page_of_its_own(
    site: Site, opened: OpenProfile, device: DeviceClient, size: Any, scheme: Any
) -> None:
    ada = opened(size=size, scheme=scheme)
    asked = device.device_code()
    ada.go(at(asked))
    look(ada, "Sign in to Keystead")
    assert asked.user_code in ada.words()
    ada.sign_in(ADA.username, ADA.password)
    look(ada, "Let this device use your account?")
    for words in ("parallel-cli", "Linux x86_64", "127.0.0.1", "Acme Robotics", asked.user_code):
        assert words in ada.words()
    consent = ada.page.url
    ada.press("Approve")  # without an organization, of which ada has two
    chosen = ada.page.locator("input[name=organization]:checked").count()
    assert (ada.page.url, chosen) == (consent, 0)
    ada.page.get_by_label("Acme Robotics").check()
    ada.press("Approve")
    look(ada, "The device is signed in")
    assert device.poll_until_decided(asked).access_token
    ada.page.reload()
    look(ada, "The device is signed in")
    ada.go(consent)
    look(ada, "The device is signed in")

    refused = device.device_code()
    ada.go(at(refused))
    ada.press("Refuse")
    look(ada, "You refused the device")

    late = device.device_code()
    ada.go(at(late))
    expire(site, late)
    ada.page.reload()
    look(ada, "This code has ended")

    ada.go(PAGE)
    look(ada, "Enter the code from your device")
    ada.fill("Code", "nonsense")
    ada.press("Continue")
    look(ada, "Enter the code from your device")
    assert ada.page.get_by_label("Code").input_value() == "nonsense"
    ada.fill("Code", "BBBB-BBBB")
    ada.press("Continue")
    look(ada, "Enter the code from your device")


@SIZES
def test_a_code_of_somebody_else_is_told_to_be_used(
    site: Site, opened: OpenProfile, device: DeviceClient, size: Any
) -> None:
    asked = device.device_code()
    ada, bob = opened(ADA, size=size), opened(BOB, size=size, scheme="dark")
    ada.go(at(asked))
    ada.page.get_by_label("Acme Robotics").check()
    ada.press("Approve")
    bob.go(at(asked))
    look(bob, "This code has been used")
    assert bob.page.get_by_role("button", name="Approve").count() == 0


def test_too_many_wrong_codes_are_told_with_how_long_to_wait(site: Site, opened: OpenProfile) -> None:
    guesser = opened(site.newcomer("guesser"), size=PHONE)
    guesser.go(PAGE)
    for _ in range(10):
        guesser.fill("Code", "BBBB-BBBB")
        guesser.press("Continue")
        assert "Enter the code" in guesser.words()
    guesser.fill("Code", "BBBB-BBBB")
    guesser.press("Continue")
    look(guesser, "Too many wrong codes")
    # A wrong code is forgotten an hour after its minute is over, and that minute may end while codes are typed.
    assert re.search(r"Please wait (61 minutes|1 hour) before", guesser.words())


@pytest.mark.parametrize("name", [HOSTILE, LONGEST])
def test_a_strange_name_stays_text_and_in_its_place(site: Site, opened: OpenProfile, name: str) -> None:
    with DeviceClient(site.server.url) as client:
        client.register(name[:64], LINUX)
        asked = client.device_code()
    ada = opened(ADA, size=PHONE)
    ada.go(at(asked))
    assert name[:64] in ada.words()
    check_fits(ada.page)


def test_the_back_button_after_an_approval_approves_nothing_again(opened: OpenProfile, device: DeviceClient) -> None:
    bob = opened(BOB)
    asked = device.device_code()
    bob.go(PAGE)
    bob.fill("Code", asked.user_code.lower().replace("-", " "))
    bob.press("Continue")
    bob.press("Approve")
    look(bob, "The device is signed in")
    bob.page.go_back()
    bob.page.wait_for_load_state()
    look(bob, "The device is signed in")
    assert bob.page.get_by_role("button", name="Approve").count() == 0


@pytest.mark.parametrize(
    ("size", "scripts"), [(DESKTOP, True), (PHONE, False)], ids=["desktop", "phone-without-scripts"]
)
def test_an_answer_from_an_older_session_counts_for_nothing_and_the_request_is_shown_again(
    site: Site, opened: OpenProfile, device: DeviceClient, size: Any, scripts: bool
) -> None:
    person = site.newcomer(f"returner-{scripts}".lower())
    profile = opened(person, size=size, scripts=scripts)
    asked = device.device_code()
    profile.go(at(asked))
    # Another window signs out and in again: the page that stayed open belongs to a session that has ended.
    profile.context.clear_cookies()
    forgotten, waiting = profile.page, profile.context.new_page()
    profile.page = waiting
    profile.sign_in(person.username, person.password)
    profile.page = forgotten
    profile.press("Approve")
    assert profile.page.locator("h1").inner_text() == "This page had been open too long"
    if scripts:
        look(profile, "This page had been open too long")
    assert device.poll(asked).json()["error"] == "authorization_pending"
    profile.follow("Look at the request again")
    profile.press("Approve")
    assert profile.page.locator("h1").inner_text() == "The device is signed in"
    assert device.poll_until_decided(asked).access_token


@SIZES
def test_a_device_is_approved_without_scripts(opened: OpenProfile, device: DeviceClient, size: Any) -> None:
    bob = opened(size=size, scripts=False)
    asked = device.device_code()
    bob.go(at(asked))
    bob.sign_in(BOB.username, BOB.password)
    bob.press("Approve")
    assert bob.page.locator("h1").inner_text() == "The device is signed in"
    assert device.poll_until_decided(asked).access_token
