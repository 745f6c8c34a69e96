"""A machine whose clock is a day wrong, or is put right while somebody is signed in (promise J5)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keystead.client._credentials import StoredCredential
from keystead.client._models import TokenSet
from keystead.client._store import SignIn, Store
from keystead.kernel.secrets import Secret
from tests.client.store.conftest import environment
from tests.client.store.refreshing import DAY, TOKEN_PATH, OffsetClock, force_expiry, kept, refresh
from tests.support.calls import Line
from tests.support.proxy import RecordingProxy
from tests.support.server import ADA, KeysteadServer

Start = Callable[[int], "Machine"]


class Machine:
    """A machine on which ada is signed in, and its clock."""

    def __init__(self, directory: Path, proxy: RecordingProxy, offset: int, client_id: str, tokens: TokenSet) -> None:
        """Sign in while the clock is wrong by ``offset`` seconds."""
        self.clock = OffsetClock(offset)
        self.directory = directory
        self._proxy = proxy
        store = Store.open(directory, environ=environment(directory), clock=self.clock)
        store.save(SignIn(proxy.url, client_id, ADA.username, "user", name="work"), self._by_this_clock(tokens))
        self.credential = StoredCredential(store, "work", self._refresh)

    def asked(self) -> int:
        """Return how often the server was asked for tokens."""
        return len(self._proxy.seen("POST", TOKEN_PATH))

    def _refresh(self, server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        return self._by_this_clock(refresh(server, refresh_token, client_id))

    def _by_this_clock(self, tokens: TokenSet) -> TokenSet:
        wrong = self.clock.offset
        return replace(
            tokens,
            expires_at=tokens.expires_at + wrong,
            refresh_expires_at=tokens.refresh_expires_at + wrong,
            authorization_expires_at=tokens.authorization_expires_at + wrong,
        )


@pytest.fixture
def start(tmp_path: Path, proxy: RecordingProxy, sign_in: Callable[[], tuple[str, TokenSet]]) -> Start:
    """Give a function that signs in on a machine with a wrong clock."""
    return lambda offset: Machine(tmp_path / "store", proxy, offset, *sign_in())


@pytest.mark.parametrize("offset", [DAY, -DAY, 400 * DAY])
def test_a_clock_that_stays_wrong_disturbs_nothing(start: Start, shared_server: KeysteadServer, offset: int) -> None:
    machine = start(offset)
    assert machine.credential.ready() is not None
    force_expiry(machine.directory, "work", by=machine.clock)
    value = machine.credential.authorization()
    assert machine.credential.ready() == value
    assert machine.asked() == 1
    with Line(shared_server.url) as line:
        assert line.get("/verify", {"Authorization": value.reveal()}).status == 200


@pytest.mark.parametrize("offset", [DAY, -DAY, 400 * DAY])
def test_a_clock_that_is_put_right_costs_one_renewal(start: Start, offset: int) -> None:
    machine = start(offset)
    old = kept(machine.directory, "work")["access_token"]
    machine.clock.offset = 0
    assert machine.credential.ready() is None, "nobody knows how old the token is"
    value = machine.credential.authorization()
    assert value.reveal() != f"Bearer {old}"
    assert [machine.credential.authorization() for _ in range(5)] == [value] * 5
    assert machine.asked() == 1


def test_a_refresh_token_that_seems_to_be_over_is_tried_all_the_same(start: Start) -> None:
    machine = start(0)
    machine.clock.offset = 400 * DAY
    assert machine.credential.authorization() is not None
    assert machine.asked() == 1
