"""Every page there is, taken from the application's routes, holds to the same rules in a real browser.

It is accessible, fits narrow phones and desktops, is light to load, asks no other host and breaks no policy (W4). The
fixture that opens a profile fails a test whose pages complain.
"""

from typing import Any

import pytest

from tests.browser.chromium import DESKTOP, HEAVIEST, PHONE, beyond_the_edge, violations, weight
from tests.browser.conftest import OpenProfile
from tests.browser.routes import STATUSES, addresses
from tests.browser.site import Site
from tests.support.server import ADA, BOB

LOOKS = pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)


@LOOKS
def test_every_page_is_accessible_and_fits(site: Site, opened: OpenProfile, size: Any, scheme: Any) -> None:
    ada = opened(ADA, size=size, scheme=scheme)
    faults = []
    for template, address in addresses(site).items():
        answer = ada.go(address)
        if answer.status != STATUSES.get(template, 200):
            faults.append(f"{template} answered {answer.status}")
        faults += [f"{template}: {one}" for one in violations(ada.page)]
        faults += [f"{template} at {width}: {over}" for width, over in beyond_the_edge(ada.page).items()]
    assert not faults, "\n".join(faults)


def test_every_page_for_strangers_is_accessible_and_fits(site: Site, opened: OpenProfile) -> None:
    stranger = opened(size=PHONE, scheme="light")
    faults = []
    for template, address in addresses(site).items():
        if template.startswith("/settings"):
            continue
        stranger.go(address)
        faults += [f"{template}: {one}" for one in violations(stranger.page)]
        faults += [f"{template} at {width}: {over}" for width, over in beyond_the_edge(stranger.page).items()]
    assert not faults, "\n".join(faults)


def test_every_page_of_settings_leads_a_stranger_to_sign_in_and_back(site: Site, opened: OpenProfile) -> None:
    stranger = opened(scripts=False)
    wrong = {}
    for template, address in addresses(site).items():
        if template.startswith("/settings"):
            stranger.go(address)
            if not stranger.path.startswith("/sign-in?next=%2Fsettings"):
                wrong[template] = stranger.path
    assert wrong == {}


def test_every_page_takes_less_than_sixty_kilobytes_with_a_cold_cache(site: Site, opened: OpenProfile) -> None:
    ada = opened(ADA)
    weights = {template: weight(ada, address) for template, address in addresses(site).items()}
    assert {template: found for template, found in weights.items() if not 0 < found < HEAVIEST} == {}


def test_every_page_of_a_member_is_a_page_or_a_refusal_that_says_why(site: Site, opened: OpenProfile) -> None:
    bob = opened(BOB, size=PHONE)
    statuses = {}
    for template, address in addresses(site).items():
        statuses[template] = bob.go(address).status
        if statuses[template] != 200:
            assert bob.page.locator("h1").inner_text().strip()
    assert set(statuses.values()) <= {200, 403, 404, 409}
