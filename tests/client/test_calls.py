"""Calls over a network that fails: what is repeated and what is not, and what every strange answer is told as."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from keystead.client import (
    ApiError,
    Conflict,
    InsecureAddress,
    Keystead,
    KeysteadError,
    NetworkError,
    NotFound,
    RateLimited,
    RetryPolicy,
    ServerUnavailable,
    SignInRequired,
    TokenSet,
    UsageError,
)
from keystead.client._credentials import ApiKeyCredential, BearerCredential
from keystead.client._renewing import TokenCredential
from keystead.kernel.secrets import Secret
from tests.client.answering import Answering, Asked, Lost, Told
from tests.support.processes import free_port

TOKEN = "eyJ-a-token-that-nobody-else-may-see"
APP = "0199aaaa-0000-7000-8000-000000000001"
APPS = Told(200, {"apps": [{"app_id": APP, "app_name": "ci", "org_id": "o", "org_name": None}]})
KEY: dict[str, Any] = {
    "api_key_id": "0199aaaa-0000-7000-8000-000000000002",
    "api_key_name": "deploy",
    "app_id": APP,
    "app_name": "ci",
    "created_by_user_id": "u",
    "created_by_user_email": "ada@example.com",
    "created_at": 1,
    "display_value": "abcd…efgh",
    "raw_api_key": "pwt_text-of-the-key",
}
BALANCE = {"org_id": "o", "credit_balance_cents": 500, "pending_debit_balance_cents": 0, "will_invoice": False}
EXPIRED = TokenSet(Secret("access"), 0, Secret("pwr_0"), 0, 0, (), "o", None)
UNAVAILABLE = Told(503, {"detail": "The service cannot answer just now."}, {"Retry-After": "0"})


@contextmanager
def acting(server: Answering, policy: RetryPolicy, **options: Any) -> Iterator[Keystead]:
    """Give a client of a server that answers as told."""
    with server, Keystead(BearerCredential(server.url, Secret(TOKEN)), policy=policy, **options) as client:
        yield client


@pytest.mark.parametrize(
    "failure", [UNAVAILABLE, Told(502, b"<html>"), Told(504), Told(429), Lost(), Lost(b"HTTP/1.1 2")]
)
def test_what_only_reads_is_asked_again(failure: Told | Lost, quick: RetryPolicy) -> None:
    with acting(Answering(failure, failure, APPS), quick) as client:
        assert [app.name for app in client.account.apps.list()] == ["ci"]


@pytest.mark.parametrize(
    "failure", [UNAVAILABLE, Told(502), Told(504), Told(500), Lost(), Lost(b"HTTP/1.1 200 OK\r\n")]
)
def test_a_creation_is_sent_once_when_it_may_have_been_done(failure: Told | Lost, quick: RetryPolicy) -> None:
    server = Answering(failure, Told(200, KEY))
    with acting(server, quick) as client:
        with pytest.raises(NetworkError) as failed:
            client.account.keys.create(app=APP, title="deploy")
        assert failed.value.may_be_done
        assert [asked.method for asked in server.asked] == ["POST"]


def test_a_creation_is_sent_again_when_the_server_refused_to_look_at_it(quick: RetryPolicy) -> None:
    server = Answering(Told(429, {"detail": "Too many requests."}, {"Retry-After": "0"}), Told(200, KEY))
    with acting(server, quick) as client:
        assert client.account.keys.create(app=APP, title="deploy").secret.reveal() == KEY["raw_api_key"]


def test_a_creation_is_sent_again_when_no_connection_came_about(quick: RetryPolicy) -> None:
    port = free_port()
    with Keystead(BearerCredential(f"http://127.0.0.1:{port}", Secret(TOKEN)), policy=quick) as client:
        with pytest.raises(NetworkError, match="cannot be reached") as failed:
            client.account.apps.create("ci")
        assert not failed.value.may_be_done
        assert failed.value.hint


def test_it_is_told_whether_anything_may_have_been_done(quick: RetryPolicy) -> None:
    closing: list[Answering] = []

    def lose_and_close(asked: Asked) -> Lost:
        closing[0].close()
        return Lost()

    server = Answering(lose_and_close)
    closing.append(server)
    with acting(server, quick) as client, pytest.raises(NetworkError, match="cannot be reached") as failed:
        client.account.balance.add(500)
    assert failed.value.may_be_done
    away = TokenCredential(server.url, EXPIRED, "kc_1", policy=RetryPolicy(attempts=1))
    with Keystead(away, policy=quick) as client, pytest.raises(NetworkError) as failed:
        client.account.apps.create("ci")
    assert not failed.value.may_be_done


def test_a_payment_is_sent_again_with_the_same_idempotency_key(quick: RetryPolicy) -> None:
    server = Answering(Lost(), UNAVAILABLE, Told(200, BALANCE))
    with acting(server, quick) as client:
        assert client.account.balance.add(500).credit_cents == 500
        keys = [asked.json()["idempotency_key"] for asked in server.asked]
        assert len(keys) == 3
        assert len(set(keys)) == 1
        client.account.balance.add(500, idempotency_key="an-order-of-mine")
        client.account.balance.add(500)
        again = [asked.json()["idempotency_key"] for asked in server.asked[3:]]
        assert again[0] == "an-order-of-mine"
        assert again[1] not in {*keys, again[0]}


def test_a_deletion_whose_answer_was_lost_is_done_when_nothing_is_there_any_more(quick: RetryPolicy) -> None:
    gone = Told(404, {"detail": "Nothing is here."})
    server = Answering(Lost(), gone)
    with acting(server, quick) as client:
        client.account.sessions.revoke("s")
        assert [asked.method for asked in server.asked] == ["DELETE", "DELETE"]
    with acting(Answering(gone), quick) as client, pytest.raises(NotFound):
        client.account.sessions.revoke("s")


def test_repeating_ends_after_the_attempts_and_the_last_answer_is_told(quick: RetryPolicy) -> None:
    server = Answering(UNAVAILABLE)
    with acting(server, quick) as client:
        with pytest.raises(ServerUnavailable, match="cannot answer just now") as failed:
            client.account.apps.list()
        assert failed.value.status == 503
        assert len(server.asked) == quick.attempts


def test_a_retry_after_beyond_the_total_time_is_told_and_not_waited_for(quick: RetryPolicy) -> None:
    server = Answering(Told(429, {"detail": "Too many requests."}, {"Retry-After": "3600"}))
    with acting(server, quick) as client:
        with pytest.raises(RateLimited) as failed:
            client.account.apps.list()
        assert failed.value.retry_after == 3600
        assert "3600 seconds" in failed.value.hint
        assert len(server.asked) == 1


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(quick: RetryPolicy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Keystead(BearerCredential(url, Secret(TOKEN)), policy=RetryPolicy(attempts=1), timeout=0.05) as client:
            with pytest.raises(NetworkError, match="did not answer in time") as failed:
                client.account.apps.list()
            assert failed.value.may_be_done


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (Told(200, b"<html>Sign in to the hotel's network</html>"), ServerUnavailable, "does not speak as Keystead"),
        (Told(200, b""), ServerUnavailable, "does not speak as Keystead"),
        (Told(200, {"apps": "ci"}), ServerUnavailable, "does not speak as Keystead"),
        (Told(200, {"apps": [{"app_id": 1}]}), ServerUnavailable, "does not speak as Keystead"),
        (Told(200, b"[" * 100_000), ServerUnavailable, "does not speak as Keystead"),
        (Told(500, b""), ServerUnavailable, "500 Internal Server Error without saying why"),
        (Told(403, b"<html>blocked by your employer</html>"), ApiError, "403 Forbidden without saying why"),
        (Told(599, b"\xff\xfe"), ServerUnavailable, "599 without saying why"),
        (Told(418, b""), ApiError, "418"),
        (Told(401, b""), SignInRequired, "did not accept the credential"),
        (Told(409, {"detail": "There is one already."}), Conflict, "^There is one already.$"),
        (Told(302, b"", {"Location": "/account/service/v1/apps"}), ServerUnavailable, "redirects without end"),
    ],
)
def test_every_strange_answer_becomes_an_error_with_a_clear_sentence(
    answer: Told, kind: type[KeysteadError], sentence: str
) -> None:
    with acting(Answering(answer), RetryPolicy(attempts=1)) as client:
        with pytest.raises(kind, match=sentence) as failed:
            client.account.apps.list()
        assert str(failed.value).isprintable()


def test_what_is_encoded_wrongly_or_has_no_end_is_an_error_too(quick: RetryPolicy) -> None:
    once = RetryPolicy(attempts=1)
    told = Answering(Told(200, b"no gzip", {"Content-Encoding": "gzip"}))
    with acting(told, once) as client, pytest.raises(ServerUnavailable, match="cannot be decoded"):
        client.account.apps.list()
    half = Answering(Lost(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"))
    with acting(half, once) as client, pytest.raises(NetworkError, match="lost before the answer was complete"):
        client.account.apps.list()
    with acting(Answering(Lost(b"SSH-2.0-OpenSSH\r\n")), once) as client, pytest.raises(NetworkError):
        assert client.account.apps.list() == ()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_redirect_leads_to_another_server(status: int, method: str, quick: RetryPolicy) -> None:
    with Answering(APPS) as other:
        server = Answering(Told(status, b"", {"Location": f"{other.url}/account/service/v1/apps"}))
        with acting(server, quick) as client:
            with pytest.raises(InsecureAddress, match="another server") as refused:
                client.request(method, "/account/service/v1/apps")
            assert TOKEN not in str(refused.value)
        assert other.asked == []


def test_a_redirect_within_the_server_is_followed_for_what_only_reads(quick: RetryPolicy) -> None:
    here = Told(307, b"", {"Location": "/elsewhere?x=y"})
    server = Answering(here, APPS, here)
    with acting(server, quick) as client:
        assert client.account.apps.list()[0].name == "ci"
        assert server.asked[1].path == "/elsewhere?x=y"
        assert server.asked[1].headers["authorization"] == f"Bearer {TOKEN}"
        assert client.request("POST", "/there").status == 307


def test_plain_http_to_this_machine_goes_past_every_proxy(quick: RetryPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering(Told(200, {"apps": []})) as proxy:
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with acting(Answering(APPS), quick) as client:
            assert client.account.apps.list()[0].name == "ci"
        assert proxy.asked == []


def test_settings_of_the_network_that_cannot_be_used_are_told(
    monkeypatch: pytest.MonkeyPatch, quick: RetryPolicy
) -> None:
    client = Keystead(BearerCredential("https://127.0.0.1:1", Secret(TOKEN)), policy=quick)
    for proxy in ("telnet://proxy.example.com", "socks5://proxy.example.com"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(UsageError, match="environment") as failed:
            client.account.apps.list()
        assert "HTTPS_PROXY" in failed.value.hint


def test_requests_say_who_they_come_from_and_carry_no_cookies(quick: RetryPolicy) -> None:
    server = Answering(Told(200, {"apps": []}, {"Set-Cookie": "cloud.sso=x; Path=/"}))
    with acting(server, quick) as client:
        client.account.apps.list()
        client.account.apps.list()
    assert all(asked.headers["user-agent"].startswith("keystead/") for asked in server.asked)
    assert all("cookie" not in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: Told(400, {"detail": f"You sent {asked.headers['authorization']}"}),
        lambda asked: Told(422, {"detail": [{"loc": ["header", TOKEN], "msg": f"bad {TOKEN}", "type": TOKEN}]}),
        lambda asked: Told(400, {"error": "x", "error_description": f"bad token {TOKEN}", "message": TOKEN}),
        lambda asked: Told(503, {"title": f"not now, {TOKEN}"}),
        lambda asked: Told(401, {"detail": TOKEN}),
    ],
)
def test_no_error_repeats_a_secret_even_when_the_server_does(answer: Callable[[Asked], Told]) -> None:
    with acting(Answering(answer), RetryPolicy(attempts=1)) as client:
        with pytest.raises(KeysteadError) as failed:
            client.account.apps.list()
        told = f"{failed.value} {failed.value!r} {failed.value.hint} {vars(failed.value)}"
        assert TOKEN not in told
        assert "********" in told


def test_the_key_inside_basic_is_struck_out_too() -> None:
    key = Secret("pwt_bG9jYWxob3N0.abcdefghijklmnopqrstuvwxyz")
    server = Answering(Told(403, {"detail": f"No, {key.reveal()}"}))
    with server, Keystead(ApiKeyCredential(server.url, key)) as client, pytest.raises(ApiError) as failed:
        client.whoami()
    assert str(failed.value) == "No, ********"


def test_a_token_that_cannot_be_a_header_is_not_repeated_either() -> None:
    with Answering(APPS) as server, Keystead(BearerCredential(server.url, Secret("a\r\nX-Evil: secret"))) as client:
        with pytest.raises(UsageError) as failed:
            client.account.apps.list()
        assert "Evil" not in repr(failed.value)
        assert failed.value.__cause__ is None
        assert server.asked == []


@pytest.mark.parametrize(
    "call",
    [
        lambda account: account.balance.add(0),
        lambda account: account.balance.add(True),
        lambda account: account.balance.add(1.5),
        lambda account: account.keys.create(app=APP, title="t", expires_in=timedelta(seconds=59)),
        lambda account: account.keys.rotate("k", overlap=timedelta(days=31)),
        lambda account: account.keys.rotate("k", overlap=timedelta(seconds=-1)),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_sent(call: Callable[[Any], object], quick: RetryPolicy) -> None:
    server = Answering(APPS)
    with acting(server, quick) as client:
        with pytest.raises(UsageError):
            call(client.account)
        assert server.asked == []


def test_an_id_is_one_step_of_a_path_whatever_it_holds(quick: RetryPolicy) -> None:
    server = Answering(Told(200, {"deleted": True}))
    with acting(server, quick) as client:
        client.account.tokens.revoke("../../../api/sso/logout?x=%2F")
    assert server.asked[0].path == "/account/service/v1/tokens/..%2F..%2F..%2Fapi%2Fsso%2Flogout%3Fx%3D%252F"


def test_a_key_that_is_named_alone_is_looked_for_in_every_app(quick: RetryPolicy) -> None:
    server = Answering(Told(200, {"keys": [KEY]}), Told(200, {**KEY, "api_key_name": "other"}), Told(200, {"keys": []}))
    with acting(server, quick) as client:
        assert client.account.keys.rename(KEY["api_key_id"], "other").title == "other"
        assert server.asked[1].method == "PATCH"
        assert server.asked[1].path == f"/account/service/v1/apps/{APP}/keys/{KEY['api_key_id']}"
        with pytest.raises(NotFound, match="There is no API key") as missing:
            client.account.keys.delete("another")
        assert "keystead keys list" in missing.value.hint
