"""Device tokens that a program holds itself: one renewal for all who ask, and what happens when it fails."""

import threading
import time
from dataclasses import replace

import anyio
import pytest

from keystead.client import (
    AsyncKeystead,
    DeviceLogin,
    Keystead,
    NetworkError,
    RetryPolicy,
    SignInEnded,
    SignInRequired,
    TokenSet,
    revoke,
)
from keystead.client._renewing import TokenCredential
from keystead.kernel.secrets import Secret
from tests.client.answering import Answering, Asked, Lost, Told
from tests.client.conftest import approve, noted
from tests.support import issued
from tests.support.browser import Browser
from tests.support.calls import at_once
from tests.support.server import ADA, KeysteadServer

FIRST = TokenSet(Secret("access-0"), 0, Secret("pwr_0"), 0, 0, (), "o", None)


def at(expires_in: float) -> TokenSet:
    """Return tokens that expire in so many seconds."""
    return replace(FIRST, expires_at=int(time.time() + expires_in))


def refreshing(asked: Asked) -> Told:
    """Give the successor of a refresh token, by its number."""
    if not asked.path.endswith("/token"):
        return Told(200, {})
    number = int(asked.form["refresh_token"].removeprefix("pwr_")) + 1
    return Told(
        200, {"access_token": f"access-{number}", "refresh_token": f"pwr_{number}", "expires_in": 600, "org_id": "o"}
    )


def test_the_tokens_of_a_sign_in_are_renewed_without_a_store(ada: Browser, shared_server: KeysteadServer) -> None:
    login = DeviceLogin(shared_server.url, scopes=["apps:read"])
    code = login.start()
    approve(ada, code)
    old = replace(noted(login.wait(code)), expires_at=0)
    kept: list[TokenSet] = []
    with Keystead.from_tokens(login.server, old, client_id=code.client_id, on_renewed=kept.append) as client:
        assert client.whoami().username == ADA.username
        client.account.apps.list()
        (renewed,) = kept
        noted(renewed)
        assert renewed.refresh_token is not None
        assert old.access_token.reveal() not in repr(client.manner)
        revoke(login.server, renewed.refresh_token)
    ended = Keystead.from_tokens(login.server, replace(renewed, expires_at=0), client_id=code.client_id)
    with ended, pytest.raises(SignInEnded):
        ended.whoami()
    issued.note(old.access_token.reveal())


def test_many_threads_make_one_refresh() -> None:
    with Answering(refreshing) as server:
        credential = TokenCredential(server.url, at(-1), "kc_1")
        found = at_once([credential.authorization] * 10)
        assert {one.reveal() for one in found} == {"Bearer access-1"}
        assert [asked.form["refresh_token"] for asked in server.asked] == ["pwr_0"]


async def test_a_hundred_tasks_make_one_refresh(anyio_backend: str) -> None:
    with Answering(refreshing) as server:
        async with (
            AsyncKeystead.from_tokens(server.url, at(-1), client_id="kc_1") as client,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(100):
                tasks.start_soon(client.request, "GET", "/")
        assert sum(asked.path.endswith("/token") for asked in server.asked) == 1
        assert {asked.headers.get("authorization") for asked in server.asked} == {None, "Bearer access-1"}


def test_a_refusal_renews_once_for_all_who_were_refused() -> None:
    with Answering(refreshing) as server:
        credential = TokenCredential(server.url, at(600), "kc_1")
        refused = credential.authorization()
        found = at_once([lambda: credential.after_refusal(refused)] * 10)
        assert {one.reveal() for one in found if one} == {"Bearer access-1"}
        assert len(server.asked) == 1


def test_a_renewal_that_fails_leaves_a_valid_token_in_use_and_is_not_tried_with_every_request(
    quick: RetryPolicy,
) -> None:
    with Answering(Lost()) as server:
        credential = TokenCredential(server.url, at(2), "kc_1", policy=quick)
        credential._due = 0.0
        assert [credential.authorization().reveal() for _ in range(3)] == ["Bearer access-0"] * 3
        assert len(server.asked) == 1
        over = TokenCredential(server.url, at(-1), "kc_1", policy=quick)
        with pytest.raises(NetworkError):
            over.authorization()


def test_a_renewal_under_way_holds_nobody_up_while_the_token_is_valid() -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Told:
        under_way.set()
        go_on.wait(10)
        return refreshing(asked)

    with Answering(slow) as server:
        credential = TokenCredential(server.url, at(600), "kc_1")
        credential._due = 0.0
        renewing = threading.Thread(target=credential.authorization)
        renewing.start()
        assert under_way.wait(10)
        assert credential.authorization().reveal() == "Bearer access-0"
        go_on.set()
        renewing.join()
        assert credential.authorization().reveal() == "Bearer access-1"


def test_a_lost_answer_is_asked_for_again_with_the_same_token(quick: RetryPolicy) -> None:
    with Answering(Lost(), Lost(b"HTTP/1.1 200 OK\r\n"), refreshing) as server:
        credential = TokenCredential(server.url, at(-1), "kc_1", policy=quick)
        assert credential.authorization().reveal() == "Bearer access-1"
        assert [asked.form["refresh_token"] for asked in server.asked] == ["pwr_0"] * 3


def test_a_token_without_a_successor_is_used_until_it_expires() -> None:
    alone = replace(at(600), refresh_token=None)
    credential = TokenCredential("https://auth.example.com", alone, "kc_1")
    value = credential.ready()
    assert value is not None
    assert credential.after_refusal(value) is None
    with pytest.raises(SignInRequired, match="expired"):
        TokenCredential("https://auth.example.com", replace(alone, expires_at=0), "kc_1").authorization()


def test_renewals_are_spread_over_the_last_fifth_of_a_life() -> None:
    moments = [TokenCredential("https://auth.example.com", at(600), "c")._due - time.monotonic() for _ in range(200)]
    assert 600 * 0.79 < min(moments) < max(moments) < 600 * 0.96
    assert max(moments) - min(moments) > 45
