"""Answers that never arrive, processes that die and servers that falter: nothing is lost (promises R2, R6, R10)."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.client import _quick
from keystead.client._credentials import StoredCredential
from keystead.client._errors import NetworkError, RateLimited, ServerUnavailable, SignInEnded, SignInRequired
from keystead.client._models import TokenSet
from keystead.client._store import SignIn, Store
from keystead.client._store.lock import system_lock
from keystead.kernel.secrets import Secret
from tests.client.store.conftest import Desk, environment
from tests.client.store.cutting import CuttingProxy
from tests.client.store.refreshing import (
    TOKEN_PATH,
    OffsetClock,
    force_expiry,
    kept,
    no_locks,
    refresh,
    rewrite,
    token_set,
)
from tests.support.browser import Browser
from tests.support.calls import Line
from tests.support.device import DeviceClient
from tests.support.proxy import Answer, Ask
from tests.support.server import ADA, KeysteadServer, add_acme

ROOT = Path(__file__).parents[3]
SignInOnce = Callable[[], tuple[str, TokenSet]]


def refusing(status: int, error: str, headers: tuple[tuple[str, str], ...] = ()) -> Callable[[Ask, bytes], Answer]:
    """Return a rule that answers so without asking the server."""
    body = json.dumps({"error": error}).encode()
    return lambda ask, request: Answer(status, (("Content-Type", "application/json"), *headers), body)


def test_an_answer_cut_off_after_the_commit_a_thousand_times_loses_nothing(
    tmp_path: Path, shared_server: KeysteadServer, sign_in: SignInOnce
) -> None:
    client_id, tokens = sign_in()
    with CuttingProxy(shared_server.url) as proxy:
        store = Store.open(tmp_path / "store", environ=environment(tmp_path))
        store.save(SignIn(proxy.url, client_id, ADA.username, "user", name="work"), tokens)
        credential = StoredCredential(store, "work", refresh)
        successors = set()
        for number in range(1_000):
            force_expiry(tmp_path / "store", "work")
            proxy.cut = number % 900
            with pytest.raises(NetworkError):
                credential.authorization()
            proxy.cut = None
            credential.authorization()
            cut_off, repeated = proxy.answers[-2:]
            assert cut_off["refresh_token"] == repeated["refresh_token"], "the same successor"
            successors.add(kept(tmp_path / "store", "work")["refresh_token"])
            proxy.answers.clear()
    assert len(successors) == 1_000


@pytest.mark.parametrize("time", range(3))
def test_a_process_killed_between_the_servers_commit_and_the_stores_write_loses_nothing(desk: Desk, time: int) -> None:
    before = desk.refresh_token()
    desk.expire()
    command = [sys.executable, "-m", "tests.client.store.alone", str(desk.directory), desk.name, "killed"]
    killed = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60, check=False)
    assert killed.returncode == -9
    assert desk.refresh_token() == before
    assert desk.credential().authorization().reveal().startswith("Bearer ey")
    lost, repeated = (json.loads(one.answer.body) for one in desk.proxy.seen("POST", TOKEN_PATH))
    assert lost["refresh_token"] == repeated["refresh_token"] == desk.refresh_token() != before


def test_a_loser_reads_the_store_again_before_it_believes_that_the_sign_in_has_ended(desk: Desk) -> None:
    winner = desk.credential()
    desk.expire()

    def beaten(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        """Lose against another program, which ends what this one was about to present."""
        if desk.asked() == 0:
            store = desk.open()
            tokens = refresh(server, refresh_token, client_id)
            store.renew(store.context(desk.name), tokens)
            raise SignInEnded("invalid_grant")
        return refresh(server, refresh_token, client_id)

    loser = StoredCredential(desk.open(), desk.name, beaten)
    assert loser.authorization() == winner.authorization()
    assert desk.asked() == 1


def test_a_loser_presents_the_token_that_the_winner_stored_when_that_has_expired_too(desk: Desk) -> None:
    desk.expire()
    presented: list[str] = []

    def beaten(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        presented.append(refresh_token.reveal())
        tokens = refresh(server, refresh_token, client_id)
        if len(presented) > 1:
            return tokens
        store = desk.open()
        store.renew(store.context(desk.name), tokens)
        desk.expire()
        raise SignInEnded("invalid_grant")

    assert StoredCredential(desk.open(), desk.name, beaten).authorization() is not None
    assert len(set(presented)) == 2


def test_a_sign_in_that_the_server_ended_is_told_and_nothing_is_deleted(
    desk: Desk, shared_server: KeysteadServer
) -> None:
    with Line(shared_server.url) as line:
        line.revoke(desk.refresh_token())
    desk.expire()
    before = (desk.directory / "credentials.json").read_bytes()
    credential = desk.credential()
    for _ in range(3):
        with pytest.raises(SignInEnded, match="no longer knows the sign-in 'work'"):
            credential.authorization()
    assert (desk.directory / "credentials.json").read_bytes() == before
    assert desk.asked() == 1, "the server is not asked with every request"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, "slow_down", RateLimited),
        (500, "server_error", ServerUnavailable),
        (503, "temporarily_unavailable", ServerUnavailable),
    ],
)
def test_an_answer_that_is_no_decision_clears_nothing(
    desk: Desk, status: int, error: str, kind: type[Exception]
) -> None:
    before = desk.refresh_token()
    desk.proxy.on("POST", TOKEN_PATH, refusing(status, error))
    desk.expire()
    credential = desk.credential()
    with pytest.raises(kind):
        credential.authorization()
    assert desk.refresh_token() == before
    desk.proxy.rules.clear()
    assert credential.authorization() is not None


def test_a_token_that_is_still_valid_is_used_when_it_cannot_be_renewed_and_the_server_is_left_in_peace(
    desk: Desk,
) -> None:
    now = int(time.time())
    rewrite(desk.directory, desk.name, access_token_issued_at=now - 990, access_token_expires_at=now + 10)
    desk.proxy.on("POST", TOKEN_PATH, refusing(503, "temporarily_unavailable"))
    credential = desk.credential()
    old = kept(desk.directory, desk.name)["access_token"]
    assert [credential.authorization().reveal() for _ in range(20)] == [f"Bearer {old}"] * 20
    assert credential.ready() is None
    assert desk.asked() == 1


def test_while_another_is_renewing_a_valid_token_is_used_without_waiting(desk: Desk) -> None:
    now = int(time.time())
    rewrite(desk.directory, desk.name, access_token_issued_at=now - 990, access_token_expires_at=now + 10)
    asked, may_answer = threading.Event(), threading.Event()

    def slow(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        asked.set()
        may_answer.wait(30)
        return refresh(server, refresh_token, client_id)

    first = StoredCredential(desk.open(), desk.name, slow)
    old = f"Bearer {kept(desk.directory, desk.name)['access_token']}"
    renewing = threading.Thread(target=first.authorization)
    renewing.start()
    assert asked.wait(30)
    began = time.monotonic()
    assert desk.credential().authorization().reveal() == old, "another process"
    assert first.authorization().reveal() == old, "another thread"
    assert time.monotonic() - began < 5
    may_answer.set()
    renewing.join()
    assert first.authorization().reveal() != old
    assert desk.asked() == 1


class CountingClock(OffsetClock):
    """A clock that knows how often it was looked at."""

    looks = 0

    def now(self) -> int:
        """Count, and return the time."""
        self.looks += 1
        return super().now()


def test_a_failure_is_shared_by_the_threads_that_waited_for_it(desk: Desk) -> None:
    desk.expire()
    calls: list[int] = []
    clock = CountingClock()
    asked, may_fail = threading.Event(), threading.Event()

    def failing(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        calls.append(1)
        asked.set()
        may_fail.wait(30)
        raise NetworkError("No answer.")

    credential = StoredCredential(Store.open(desk.directory, environ=desk.environ, clock=clock), desk.name, failing)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            credential.authorization()
        except NetworkError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    threads[0].start()
    assert asked.wait(30)
    before = clock.looks
    for thread in threads[1:]:
        thread.start()
    while clock.looks < before + 2 * 9:  # each looks twice, and then stands before the lock, which nothing tells
        time.sleep(0.01)
    time.sleep(0.5)
    may_fail.set()
    for thread in threads:
        thread.join()
    assert (len(errors), len(calls)) == (10, 1)


def test_whoever_gets_the_lock_reads_the_store_again_before_asking(desk: Desk) -> None:
    winner = desk.credential()
    desk.expire()

    def late(descriptor: int) -> None:
        """Get the lock just after another process has renewed and given it back."""
        winner.authorization()
        system_lock(descriptor)

    loser = StoredCredential(Store.open(desk.directory, environ=desk.environ, lock=late), desk.name, refresh)
    assert loser.authorization() == winner.authorization()
    assert desk.asked() == 1


def test_a_process_that_was_stopped_while_renewing_holds_the_others_up_for_a_while_only(desk: Desk) -> None:
    desk.expire()
    stopped = desk.open().refresh_lock(desk.name)
    assert stopped.take()
    credential = StoredCredential(desk.open(), desk.name, refresh, patience=0.3)
    began = time.monotonic()
    assert credential.authorization() is not None
    assert 0.3 <= time.monotonic() - began < 10
    stopped.release()
    assert desk.asked() == 1


def test_renewals_are_spread_over_the_last_twenty_to_five_percent_of_a_tokens_life(desk: Desk) -> None:
    issued, expires = 1_000_000, 1_001_000

    def due_at() -> int:
        share = _quick.random_share()
        return next(now for now in range(issued, expires + 1) if _quick.is_due(issued, expires, now, share))

    moments = [due_at() for _ in range(300)]
    assert min(moments) >= 1_000_800
    assert max(moments) <= 1_000_951
    assert len(set(moments)) > 100, "each process chooses a moment of its own"


def test_a_sign_out_by_another_process_is_noticed_at_once_and_not_undone(desk: Desk) -> None:
    credential = desk.credential()
    assert credential.ready() is not None
    desk.open().forget(desk.name)
    assert credential.ready() is None
    with pytest.raises(SignInRequired, match="no sign-in 'work'"):
        credential.authorization()


def test_tokens_that_arrive_after_a_sign_out_are_not_stored(desk: Desk) -> None:
    def while_signing_out(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        tokens = refresh(server, refresh_token, client_id)
        desk.open().forget(desk.name)
        return tokens

    desk.expire()
    with pytest.raises(SignInRequired):
        StoredCredential(desk.open(), desk.name, while_signing_out).authorization()
    assert desk.open().contexts() == ()


def test_a_new_sign_in_is_never_replaced_by_the_tokens_of_the_earlier_one(desk: Desk, sign_in: SignInOnce) -> None:
    client_id, fresh = sign_in()

    def while_signing_in(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        tokens = refresh(server, refresh_token, client_id)
        Store.open(desk.directory, environ=desk.environ, lock=no_locks).save(desk.sign_in, fresh)
        return tokens

    desk.expire()
    got = StoredCredential(desk.open(), desk.name, while_signing_in).authorization()
    assert got.reveal() == f"Bearer {fresh.access_token.reveal()}"
    assert desk.refresh_token() == (fresh.refresh_token or Secret("")).reveal()
    assert client_id == desk.sign_in.client_id


def test_a_refused_token_is_renewed_once_and_the_renewed_one_works(desk: Desk, shared_server: KeysteadServer) -> None:
    good = kept(desk.directory, desk.name)["access_token"]
    bad = good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB")
    rewrite(desk.directory, desk.name, access_token=bad)
    credential = desk.credential()
    with Line(shared_server.url) as line:
        refused = credential.authorization()
        assert line.get("/verify", {"Authorization": refused.reveal()}).status == 401
        other = credential.after_refusal(refused)
        assert other is not None
        assert line.get("/verify", {"Authorization": other.reveal()}).status == 200
    assert desk.credential().after_refusal(refused) == other, "another process finds it in the store"
    assert credential.after_refusal(other) is None
    assert desk.asked() == 1


def test_the_sdks_own_refresh_renews_a_stored_sign_in(desk: Desk) -> None:
    from keystead.client import refresh as over_httpx2

    desk.expire()
    credential = StoredCredential(desk.open(), desk.name, over_httpx2)
    assert credential.authorization().reveal().startswith("Bearer ey")
    assert desk.asked() == 1


def test_the_sdks_own_refresh_tells_a_deleted_client_from_a_network_fault(
    tmp_path: Path, server: KeysteadServer
) -> None:
    from keystead.client import refresh as over_httpx2

    add_acme(server)
    with Browser(server.url) as browser, DeviceClient(server.url) as client:
        browser.sign_in(ADA.username, ADA.password)
        client.register()
        code = client.device_code()
        browser.approve(code.verification_uri_complete)
        tokens = token_set(client.poll_until_decided(code).body, int(time.time()))
    store = Store.open(tmp_path / "store", environ=environment(tmp_path))
    store.save(SignIn(server.url, client.client_id, ADA.username, "user", name="work"), tokens)
    server.admin("delete-client", "--id", client.client_id)
    force_expiry(tmp_path / "store", "work")
    with pytest.raises(SignInEnded):
        StoredCredential(store, "work", over_httpx2).authorization()
    server.kill()
    with pytest.raises(SignInRequired):
        StoredCredential(store, "nobody", over_httpx2)
    assert len(store.contexts()) == 1
