"""One server at DEBUG, and everything that can happen to a secret there."""

from collections.abc import Iterator

import httpx
import pytest

from tests.secrets.story import Story, settings
from tests.support.proxy import RecordingProxy
from tests.support.server import KeysteadServer


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Give the story after it was played. The server still runs, so the database's log is still beside it."""
    directory = tmp_path_factory.mktemp("secrets")
    with KeysteadServer(directory, settings()) as server:
        address = server.url
        with RecordingProxy(address) as proxy:
            # The proxy's address is the one that people use, so that browsers' requests come from the right origin.
            server.settings["KEYSTEAD_PUBLIC_URL"] = proxy.url
            server.restart()
            with httpx.Client(base_url=proxy.url, timeout=30, trust_env=False) as http:
                told = Story(server, address, proxy, http, directory / "home")
                told.run()
                yield told
