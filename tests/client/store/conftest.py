"""Stores with a real sign-in in them, behind a proxy that counts."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keystead.client._credentials import StoredCredential
from keystead.client._models import TokenSet
from keystead.client._store import SignIn, Store
from tests.client.store.refreshing import TOKEN_PATH, force_expiry, kept, refresh, token_set
from tests.support.browser import Browser
from tests.support.device import DeviceClient
from tests.support.proxy import RecordingProxy
from tests.support.server import ADA, KeysteadServer

KEYRINGS = Path(__file__).parent / "keyrings"


@dataclass
class Desk:
    """A directory with a store, ada's sign-in in it, and the proxy over which it is renewed."""

    directory: Path
    home: Path
    name: str
    proxy: RecordingProxy
    tokens: TokenSet
    sign_in: SignIn

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a program without a keyring."""
        return environment(self.home)

    def open(self) -> Store:
        """Open the store as another program would."""
        return Store.open(self.directory, environ=self.environ)

    def credential(self) -> StoredCredential:
        """Return the stored sign-in as another process would use it."""
        return StoredCredential(self.open(), self.name, refresh)

    def expire(self) -> None:
        """Let the access token be over."""
        force_expiry(self.directory, self.name)

    def asked(self) -> int:
        """Return how many refresh requests have reached the server."""
        return len(self.proxy.seen("POST", TOKEN_PATH))

    def refresh_token(self) -> str:
        """Return the refresh token in the file."""
        return str(kept(self.directory, self.name)["refresh_token"])


def environment(home: Path, keyring: str = "keyring.backends.fail.Keyring", **others: str) -> dict[str, str]:
    """Return the environment of a program whose keyring is the given class."""
    return {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(KEYRINGS),
        "PYTHON_KEYRING_BACKEND": keyring,
        "FAKE_KEYRING_FILE": str(home / "keyring.json"),
        **others,
    }


@pytest.fixture
def sign_in(shared_server: KeysteadServer, ada: Browser) -> Callable[[], tuple[str, TokenSet]]:
    """Give a function that signs ada in as a device, and returns the client id and the tokens."""

    def one() -> tuple[str, TokenSet]:
        with DeviceClient(shared_server.url) as client:
            client.register()
            code = client.device_code()
            ada.approve(code.verification_uri_complete)
            body = client.poll_until_decided(code).body
        return client.client_id, token_set(body, int(time.time()))

    return one


@pytest.fixture
def proxy(shared_server: KeysteadServer) -> Iterator[RecordingProxy]:
    """Give a proxy in front of the shared server."""
    with RecordingProxy(shared_server.url) as between:
        yield between


@pytest.fixture
def desk(tmp_path: Path, proxy: RecordingProxy, sign_in: Callable[[], tuple[str, TokenSet]]) -> Desk:
    """Give a store in which ada is signed in, at the proxy."""
    client_id, tokens = sign_in()
    who = SignIn(proxy.url, client_id, ADA.username, "user", name="work")
    home = tmp_path / "home"
    home.mkdir()
    directory = tmp_path / "store"
    Store.open(directory, environ=environment(home)).save(who, tokens)
    return Desk(directory, home, "work", proxy, tokens, who)
