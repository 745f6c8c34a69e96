"""What the client's tests share: people who are signed in at the shared server, and both kinds of event loop."""

from collections.abc import Iterator

import pytest

from keystead.client import DeviceCode, DeviceLogin, Keystead, RetryPolicy, TokenSet
from keystead.client._credentials import BearerCredential
from keystead.kernel.scopes import Scope
from tests.property import conftest as _how_hard_hypothesis_tries  # noqa: F401
from tests.support import issued
from tests.support.browser import Browser
from tests.support.server import ADA, Acme, KeysteadServer

EVERY_SCOPE = tuple(str(scope) for scope in Scope)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each coroutine under both."""
    return str(request.param)


@pytest.fixture
def quick() -> RetryPolicy:
    """Give a policy that repeats as usual and hardly waits."""
    return RetryPolicy(first=0.001, longest=0.002)


@pytest.fixture(scope="module")
def tokens(shared_server: KeysteadServer, acme: Acme) -> TokenSet:
    """Give what a sign-in of ada with every scope gave: ten minutes of access, too short for all the files."""
    with Browser(shared_server.url) as browser:
        browser.sign_in(ADA.username, ADA.password)
        login = DeviceLogin(shared_server.url, scopes=EVERY_SCOPE)
        return noted(login.sign_in(lambda code: approve(browser, code)))


@pytest.fixture
def client(shared_server: KeysteadServer, tokens: TokenSet) -> Iterator[Keystead]:
    """Give a client that acts as ada."""
    with Keystead(BearerCredential(shared_server.url, tokens.access_token)) as client:
        yield client


def approve(browser: Browser, code: DeviceCode) -> None:
    """Approve a sign-in in a browser."""
    issued.note(code.device_code.reveal(), code.user_code)
    browser.approve(code.verification_uri_complete)


def noted(tokens: TokenSet) -> TokenSet:
    """Note tokens, so that the server's log is searched for them."""
    issued.note(tokens.access_token.reveal(), *([tokens.refresh_token.reveal()] if tokens.refresh_token else []))
    return tokens
