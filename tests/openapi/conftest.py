"""A server whose limits no exploration reaches, and every kind of credential of ada, who owns the organization."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.support.browser import Browser
from tests.support.server import ADA, KeysteadServer, add_acme

BOUNDLESS: Final = {
    **{
        f"KEYSTEAD_LIMIT_{name}": "1000000/minute"
        for name in ("SIGN_IN", "REGISTRATION", "DEVICE_CODE", "TOKEN", "API")
    },
    "KEYSTEAD_CREDIT_LIMIT_CENTS": str(10**15),
    "KEYSTEAD_DEVICE_POLL_HOLD": "0",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A running server and what ada is known by there."""

    server: KeysteadServer
    token: str
    api_key: str

    @property
    def url(self) -> str:
        """The server's address."""
        return self.server.url

    def session(self) -> str:
        """Sign ada in and return the value of the cookie ``cloud.sso``."""
        with Browser(self.url) as browser:
            response = browser.request(
                "POST", "/api/sso/password/login", json={"username": ADA.username, "password": ADA.password}
            )
            response.raise_for_status()
            return browser.cookies["cloud.sso"].value


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Give a fresh server with the organization acme in it."""
    with KeysteadServer(tmp_path_factory.mktemp("openapi"), BOUNDLESS) as server:
        add_acme(server)
        yield Opened(
            server,
            token=server.admin("create-token", "--user", ADA.username),
            api_key=server.admin("create-key", "--user", ADA.username, "--title", "exploration"),
        )
