"""The servers that tests share. A test that stops its server or chooses its settings takes one of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.server import ADA, Acme, KeysteadServer, add_acme


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeysteadServer]:
    """Give a fresh server without any organization; ``add_acme`` makes one."""
    with KeysteadServer(tmp_path / "keystead") as fresh:
        yield fresh


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeysteadServer, Acme]]:
    with KeysteadServer(tmp_path_factory.mktemp("shared")) as shared:
        yield shared, add_acme(shared)


@pytest.fixture(scope="session")
def shared_server(_shared: tuple[KeysteadServer, Acme]) -> KeysteadServer:
    """Give the session's server, with the organization acme, ada who owns it and bob who is a member."""
    return _shared[0]


@pytest.fixture(scope="session")
def acme(_shared: tuple[KeysteadServer, Acme]) -> Acme:
    """Give the ids of acme, ada and bob on the shared server."""
    return _shared[1]


@pytest.fixture
def ada(shared_server: KeysteadServer) -> Iterator[Browser]:
    """Give a browser in which ada is signed in at the shared server."""
    with Browser(shared_server.url) as browser:
        browser.sign_in(ADA.username, ADA.password)
        yield browser
