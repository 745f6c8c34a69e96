"""One furnished installation, one server over it for most tests of the gate, and a credential of each kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from keystead.kernel.scopes import ALL_SCOPES, format_scopes
from tests.gate.serving import Furnished, dump, furnish, furnished_server, new_key, new_token
from tests.support.browser import Browser
from tests.support.device import DeviceClient
from tests.support.server import ADA, KeysteadServer


@dataclass(frozen=True, slots=True)
class Ring:
    """Credentials of ada, of each kind, at the gate's server; ``other`` is a second API key of hers."""

    session: str
    api_key: str
    other: str
    short_term_token: str
    access_token: str


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    """Give a data directory to copy, never to change."""
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


@pytest.fixture(scope="session")
def gate(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give the server that the tests of the gate share. Its access tokens are good for as long as tests may take."""
    settings = {"KEYSTEAD_ACCESS_TOKEN_TTL": "86400"}
    with furnished_server(furnished, tmp_path_factory.mktemp("gate"), settings) as server:
        yield server


@pytest.fixture
def http(gate: KeysteadServer) -> Iterator[httpx.Client]:
    """Give a client of the shared server, without any credential."""
    with httpx.Client(base_url=gate.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def ring(gate: KeysteadServer) -> Ring:
    """Give a credential of each kind. No test may end one of them."""
    with Browser(gate.url) as browser, DeviceClient(gate.url) as device:
        browser.sign_in(ADA.username, ADA.password)
        device.register()
        authorization = device.device_code(format_scopes(ALL_SCOPES))
        browser.approve(authorization.verification_uri_complete)
        tokens = device.poll_until_decided(authorization)
        return Ring(
            session=browser.cookies["cloud.sso"].value,
            api_key=new_key(gate.data, gate.url, "ada")[1],
            other=new_key(gate.data, gate.url, "ada")[1],
            short_term_token=new_token(gate.data, gate.url, "ada"),
            access_token=tokens.access_token,
        )


@pytest.fixture
def unchanged(gate: KeysteadServer, ring: Ring) -> Iterator[Path]:
    """Hold that a test changes nothing in the shared server's database."""
    before = dump(gate.data)
    yield gate.data
    assert dump(gate.data) == before
