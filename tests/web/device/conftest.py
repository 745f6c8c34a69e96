"""A server with people in it, and browsers that are theirs."""

from collections.abc import Iterator, Mapping

import pytest

from tests.gate.serving import Furnished, furnish, furnished_server
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient
from tests.support.server import ADA, BOB, KeysteadServer
from tests.web.device.asking import SETTINGS, browser_of


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


@pytest.fixture(scope="module")
def site(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("site"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def cookies(site: KeysteadServer) -> dict[str, str]:
    """Give a session for ada and one for bob."""
    found = {}
    for person in (ADA, BOB):
        with Browser(site.url) as browser:
            browser.sign_in(person.username, person.password)
            found[person.username] = browser.cookies["cloud.sso"].value
    return found


@pytest.fixture
def ada(site: KeysteadServer, cookies: Mapping[str, str]) -> Iterator[Browser]:
    with browser_of(site, cookies["ada"]) as browser:
        yield browser


@pytest.fixture
def bob(site: KeysteadServer, cookies: Mapping[str, str]) -> Iterator[Browser]:
    with browser_of(site, cookies["bob"]) as browser:
        yield browser


@pytest.fixture
def stranger(site: KeysteadServer) -> Iterator[Browser]:
    with Browser(site.url) as browser:
        yield browser


@pytest.fixture
def client(site: KeysteadServer) -> Iterator[DeviceClient]:
    with DeviceClient(site.url) as device:
        device.register()
        yield device


@pytest.fixture
def asked(client: DeviceClient) -> DeviceAuthorization:
    """Give a sign-in that waits for its decision."""
    return client.device_code()
