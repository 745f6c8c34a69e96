"""A server that people have lived in, Chromium, and profiles in it whose pages may do nothing wrong."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import DESKTOP, Profile, Scheme, running_chromium
from tests.browser.house import House, furnish
from tests.browser.site import Site, open_site
from tests.support.server import Person

OpenProfile = Callable[..., Profile]


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Give the installation to copy from."""
    return furnish(tmp_path_factory.mktemp("lived-in") / "data", until=int(time.time()))


@pytest.fixture(scope="module")
def site(furnished: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a running server over a copy of it, which sends its letters to a mail server here."""
    with open_site(furnished, Path(tmp_path_factory.mktemp("site"))) as site:
        yield site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Give the module's browser."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def opened(chromium: Browser, site: Site) -> Iterator[OpenProfile]:
    """Give a function that opens a profile; without ``person`` nobody is signed in. Complaints fail the test."""
    profiles: list[Profile] = []

    def open_one(
        person: Person | None = None,
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: Scheme = "light",
        scripts: bool = True,
        permissions: tuple[str, ...] = (),
    ) -> Profile:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=scripts,
            permissions=list(permissions),
            reduced_motion="reduce",
            timezone_id="Europe/Vienna",
            locale="en-GB",
        )
        profile = Profile(context, site.origin, scripts=scripts)
        profiles.append(profile)
        if person is not None:
            site.let_in(context, person)
        return profile

    yield open_one
    complaints = [complaint for profile in profiles for complaint in profile.watch.complaints]
    for profile in profiles:
        profile.context.close()
    assert not complaints, "\n".join(complaints)
