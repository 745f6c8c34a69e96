"""One server for each module: acme with ada, who owns it, and bob, a member; and root, an operator."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support.server import ADA, BOB, KeysteadServer, Person, add_acme

ROOT: Final = Person("root", "three wide rivers at noon", "root@example.com", "owner")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with KeysteadServer(tmp_path_factory.mktemp("activate")) as one:
        add_acme(one)
        one.admin("create-org", "--name", "operators")
        one.admin(
            "create-user",
            *("--username", ROOT.username, "--email", ROOT.email, "--org", "operators", "--role", "owner"),
            *("--platform-admin", "--password-stdin"),
            stdin=f"{ROOT.password}\n",
        )
        yield one


@pytest.fixture
def ada(server: KeysteadServer) -> Iterator[Sdk]:
    """Give the SDK with a session of ada's."""
    one = sdk.with_session(server.url, sdk.sign_in(server.url, ADA))
    with sdk.closing(one):
        yield one


@pytest.fixture
def bob(server: KeysteadServer) -> Iterator[Sdk]:
    """Give the SDK with a session of bob's."""
    one = sdk.with_session(server.url, sdk.sign_in(server.url, BOB))
    with sdk.closing(one):
        yield one


@pytest.fixture
def root(server: KeysteadServer) -> Iterator[Sdk]:
    """Give the SDK with a session of the operator's."""
    one = sdk.with_session(server.url, sdk.sign_in(server.url, ROOT))
    with sdk.closing(one):
        yield one


@pytest.fixture
def nobody(server: KeysteadServer) -> Iterator[Sdk]:
    """Give the SDK without a credential."""
    one = sdk.anonymous(server.url)
    with sdk.closing(one):
        yield one


@pytest.fixture(scope="module")
def adas_key(server: KeysteadServer) -> str:
    return server.admin("create-key", "--user", ADA.username, "--title", "ada's key")


@pytest.fixture(scope="module")
def adas_token(server: KeysteadServer) -> str:
    return server.admin("create-token", "--user", ADA.username)
