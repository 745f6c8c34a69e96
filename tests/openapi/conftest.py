"""A server whose limits no exploration reaches, and every kind of credential of ada, who owns the organization."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from keystead.kernel.scopes import ALL_SCOPES, format_scopes
from tests.support.browser import Browser
from tests.support.device import DeviceClient, Tokens
from tests.support.server import ADA, KeysteadServer, Person, add_acme

CAROL: Final = Person("carol", "nine small lamps in the hall", "carol@example.com", "member")
"""Whom is done to what nobody stands: her sessions are ended, and her password is set."""
ROOT: Final = Person("root", "three wide rivers at noon", "root@example.com", "owner")
"""An operator, where one was made."""
BOUNDLESS: Final = {
    **{
        f"KEYSTEAD_LIMIT_{name}": "1000000/minute"
        for name in ("SIGN_IN", "REGISTRATION", "DEVICE_CODE", "TOKEN", "API")
    },
    "KEYSTEAD_CREDIT_LIMIT_CENTS": str(10**15),
    "KEYSTEAD_DEVICE_POLL_HOLD": "0",
    "KEYSTEAD_ACCESS_TOKEN_TTL": "86400",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A running server and what ada is known by there."""

    server: KeysteadServer
    browser: Browser
    http: httpx.Client
    token: str
    api_key: str

    def session(self, person: Person = ADA) -> str:
        """Sign somebody in once more and return the value of the cookie ``cloud.sso``."""
        self.browser.cookies.pop("cloud.sso", None)
        typed = {"username": person.username, "password": person.password}
        self.browser.request("POST", "/api/sso/password/login", json=typed).raise_for_status()
        return self.browser.cookies["cloud.sso"].value

    def add(self, person: Person, organization: str = "acme", *more: str) -> None:
        """Make somebody in an organization that is there; ``more`` are options of ``keystead admin create-user``."""
        self.server.admin(
            "create-user",
            *("--username", person.username, "--email", person.email, "--org", organization, "--role", person.role),
            *(*more, "--password-stdin"),
            stdin=f"{person.password}\n",
        )

    def add_root(self) -> None:
        """Make an operator, in an organization of their own."""
        self.server.admin("create-org", "--name", "operators")
        self.add(ROOT, "operators", "--platform-admin")

    def device(self, person: Person = ADA, client_id: str = "parallel-cli") -> Tokens:
        """Sign a device in for somebody, with every scope; without ``client_id`` with a client of its own."""
        with Browser(self.server.url) as browser, DeviceClient(self.server.url, client_id) as device:
            if not client_id:
                device.register()
            browser.sign_in(person.username, person.password)
            codes = device.device_code(format_scopes(ALL_SCOPES))
            browser.approve(codes.verification_uri_complete)
            return device.poll_until_decided(codes)


@contextmanager
def open_acme(directory: Path, settings: Mapping[str, str]) -> Iterator[Opened]:
    """Start a server with the organization acme in it, and stop it in the end."""
    with (
        KeysteadServer(directory, settings) as server,
        Browser(server.url) as browser,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        add_acme(server)
        yield Opened(
            server,
            browser,
            http,
            token=server.admin("create-token", "--user", ADA.username),
            api_key=server.admin("create-key", "--user", ADA.username, "--title", "exploration"),
        )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Give a fresh server with the organization acme in it, and limits that are never reached."""
    with open_acme(tmp_path_factory.mktemp("openapi"), BOUNDLESS) as opened:
        yield opened
