"""Device sign-in with the client, against a real server and over a network that fails (RFC 8628)."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from keystead.client import (
    ApiError,
    AsyncDeviceLogin,
    DeviceCode,
    DeviceLogin,
    NetworkError,
    RetryPolicy,
    SignInCancelled,
    SignInEnded,
    SignInExpired,
    SignInRefused,
    UsageError,
    Waiting,
    refresh,
    revoke,
)
from tests.client.answering import Answering, Asked, Lost, Told
from tests.client.conftest import EVERY_SCOPE, approve, noted
from tests.support import issued
from tests.support.browser import Browser
from tests.support.cable import Cable
from tests.support.processes import wait_for
from tests.support.server import ADA, Acme, KeysteadServer, add_acme

TOKENS = {
    "access_token": "an-access-token",
    "token_type": "Bearer",
    "expires_in": 600,
    "refresh_token": "pwr_a-refresh-token",
    "refresh_token_expires_in": 604_800,
    "authorization_expires_in": 7_776_000,
    "scope": "keys:read apps:read",
    "org_id": "o",
    "org_name": "Acme",
}
REGISTERED = Told(201, {"client_id": "kc_1"})
PENDING = Told(400, {"error": "authorization_pending", "error_description": "Not decided yet."})


class Ids(dict[str, str]):
    """What remembers client ids, as the credential store does."""

    def client_id(self, server: str) -> str | None:
        return self.get(server)

    def remember_client(self, server: str, client_id: str) -> None:
        self[server] = client_id


def code_answer(server: Answering, **changed: object) -> Told:
    """Return the answer to a request for a code."""
    page = f"{server.url}/getServiceKeys/device"
    usual = {"device_code": "pwd_the-device-code", "user_code": "BCDF-GHJK", "verification_uri": page, "interval": 0}
    return Told(200, {**usual, "expires_in": 600, **changed})


@pytest.fixture
def cable(shared_server: KeysteadServer, acme: Acme) -> Iterator[Cable]:
    """Give a cable to the shared server, which a test may cut."""
    with Cable(urlsplit(shared_server.url).port or 0) as cable:
        yield cable


def at_the_other_end(cable: Cable) -> str:
    """Return the address of a server behind a cable."""
    return f"http://127.0.0.1:{cable.port}"


def test_a_sign_in_ends_with_tokens_of_the_organization_and_the_scopes(
    ada: Browser, acme: Acme, shared_server: KeysteadServer
) -> None:
    login = DeviceLogin(shared_server.url + "/", scopes=["keys:read", "balance:read"], client_name="ci")
    shown: list[DeviceCode] = []

    def show(code: DeviceCode) -> None:
        shown.append(code)
        approve(ada, code)

    before = time.time()
    tokens = noted(login.sign_in(show))
    assert shown[0].user_code in shown[0].verification_uri_complete
    assert tokens.organization_id == acme.organization
    assert tokens.scopes == ("keys:read", "balance:read")
    assert before + 500 < tokens.expires_at < time.time() + 700
    assert tokens.refresh_token is not None
    assert tokens.refresh_expires_at > tokens.expires_at
    assert tokens.authorization_expires_at > tokens.refresh_expires_at


def test_refresh_gives_the_next_tokens_and_after_revoke_there_are_none(
    ada: Browser, shared_server: KeysteadServer
) -> None:
    login = DeviceLogin(shared_server.url, scopes=["apps:read"])
    code = login.start()
    approve(ada, code)
    first = noted(login.wait(code))
    assert first.refresh_token is not None
    second = noted(refresh(shared_server.url, first.refresh_token, code.client_id))
    replayed = noted(refresh(shared_server.url, first.refresh_token, code.client_id))
    assert second.refresh_token is not None
    assert second.refresh_token != first.refresh_token
    assert replayed.refresh_token == second.refresh_token
    assert second.scopes == ("apps:read",)
    revoke(shared_server.url, second.refresh_token)
    revoke(shared_server.url, second.refresh_token)
    with pytest.raises(SignInEnded) as ended:
        refresh(shared_server.url, second.refresh_token, code.client_id)
    assert "keystead login" in ended.value.hint


def test_a_click_is_heard_of_at_once_while_a_poll_is_held(ada: Browser, cable: Cable) -> None:
    login = DeviceLogin(at_the_other_end(cable))
    code = login.start()
    clicked: list[float] = []

    def click() -> None:
        wait_for(lambda: cable.has_passed(b"device_code="), "a poll under way")
        approve(ada, code)
        clicked.append(time.monotonic())

    clicking = threading.Thread(target=click)
    clicking.start()
    tokens = noted(login.wait(code))
    heard = time.monotonic()
    clicking.join()
    assert tokens.access_token.reveal()
    assert heard - clicked[0] < 1.0


def test_a_refusal_ends_the_sign_in(ada: Browser, shared_server: KeysteadServer) -> None:
    login = DeviceLogin(shared_server.url)

    def deny(code: DeviceCode) -> None:
        issued.note(code.device_code.reveal(), code.user_code)
        ada.deny(code.verification_uri_complete)

    with pytest.raises(SignInRefused) as refused:
        login.sign_in(deny)
    assert refused.value.hint


def test_a_code_is_good_once(ada: Browser, shared_server: KeysteadServer) -> None:
    login = DeviceLogin(shared_server.url)
    code = login.start()
    approve(ada, code)
    noted(login.wait(code))
    with pytest.raises(SignInEnded, match="already used"):
        login.wait(code)
    assert "pwd_" not in repr(code)


def test_a_code_that_runs_out_ends_the_sign_in(tmp_path: Path) -> None:
    with KeysteadServer(tmp_path, {"KEYSTEAD_DEVICE_CODE_TTL": "1"}) as server:
        login = DeviceLogin(server.url)
        code = login.start()
        with pytest.raises(SignInExpired) as expired:
            login.wait(code)
        with pytest.raises(SignInExpired, match="expired"):
            DeviceLogin(server.url).wait(code)
    assert "keystead login" in expired.value.hint


def test_another_process_finishes_a_sign_in_even_when_the_clock_was_set_a_day_on(
    ada: Browser, shared_server: KeysteadServer
) -> None:
    code = DeviceLogin(shared_server.url).start()
    late = replace(code, expires_at=code.expires_at - 86_400)
    happened: list[Waiting] = []

    def look(what: Waiting, left: float) -> None:
        happened.append(what)
        assert left > 0
        approve(ada, code)

    tokens = noted(DeviceLogin(shared_server.url).wait(late, on_waiting=look))
    assert tokens.access_token.reveal()
    assert happened == [Waiting.PENDING]


def test_a_client_that_was_deleted_registers_once_more_by_itself(tmp_path: Path) -> None:
    ids = Ids()
    with KeysteadServer(tmp_path) as server, Browser(server.url) as browser:
        add_acme(server)
        browser.sign_in(ADA.username, ADA.password)
        first = DeviceLogin(server.url, ids=ids).start()
        assert ids == {server.url: first.client_id}
        server.admin("delete-client", "--id", first.client_id)
        with pytest.raises(SignInEnded, match="not known for this client"):
            DeviceLogin(server.url).wait(first)
        login = DeviceLogin(server.url, ids=ids)
        second = login.start()
        assert second.client_id != first.client_id
        assert ids == {server.url: second.client_id}
        approve(browser, second)
        assert noted(login.wait(second)).access_token.reveal()


def test_registering_is_tried_once_only(quick: RetryPolicy) -> None:
    unknown = Told(401, {"error": "invalid_client", "error_description": "Unknown client_id."})

    def react(asked: Asked) -> Told:
        return REGISTERED if asked.path.endswith("/register") else unknown

    server = Answering(react)
    with server:
        with pytest.raises(ApiError) as failed:
            DeviceLogin(server.url, ids=Ids({server.url: "kc_0"}), policy=quick).start()
        assert failed.value.code == "invalid_client"
        assert [asked.path.rpartition("/")[2] for asked in server.asked] == ["code", "register", "code"]
        assert [asked.form["client_id"] for asked in server.asked if asked.path.endswith("code")] == ["kc_0", "kc_1"]


def test_giving_up_ends_the_wait_at_once_and_the_sign_in_is_still_there(ada: Browser, cable: Cable) -> None:
    login = DeviceLogin(at_the_other_end(cable))
    code = login.start()
    cancelled = threading.Event()

    def give_up() -> None:
        wait_for(lambda: cable.has_passed(b"device_code="), "a poll under way")
        cancelled.set()

    giving_up = threading.Thread(target=give_up)
    giving_up.start()
    began = time.monotonic()
    with pytest.raises(SignInCancelled):
        login.wait(code, cancelled=cancelled)
    giving_up.join()
    assert time.monotonic() - began < 5.0
    approve(ada, code)
    assert noted(login.wait(code, cancelled=threading.Event())).access_token.reveal()


async def test_a_task_that_is_cancelled_leaves_the_sign_in_where_it_was(
    ada: Browser, cable: Cable, anyio_backend: str
) -> None:
    login = AsyncDeviceLogin(at_the_other_end(cable), scopes=EVERY_SCOPE)
    code = await login.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(login.wait, code)
        await anyio.to_thread.run_sync(wait_for, lambda: cable.has_passed(b"device_code="), "a poll under way")
        tasks.cancel_scope.cancel()
    approve(ada, code)
    tokens = noted(await login.wait(code))
    assert tokens.scopes == EVERY_SCOPE


async def test_a_task_signs_in(ada: Browser, shared_server: KeysteadServer, anyio_backend: str) -> None:
    login = AsyncDeviceLogin(shared_server.url)
    tokens = noted(await login.sign_in(lambda code: approve(ada, code)))
    assert tokens.refresh_token is not None
    assert login.server == shared_server.url


def test_a_network_that_fails_while_waiting_ends_nothing(ada: Browser, cable: Cable, quick: RetryPolicy) -> None:
    login = DeviceLogin(at_the_other_end(cable), policy=quick)
    code = login.start()
    happened: list[Waiting] = []

    def cut() -> None:
        wait_for(lambda: cable.has_passed(b"device_code="), "a poll under way")
        cable.drop()

    def look(what: Waiting, left: float) -> None:
        happened.append(what)
        if happened.count(Waiting.UNREACHABLE) == 2:
            approve(ada, code)
            cable.mend()

    cutting = threading.Thread(target=cut)
    cutting.start()
    tokens = noted(login.wait(code, on_waiting=look))
    cutting.join()
    assert tokens.access_token.reveal()
    assert set(happened) == {Waiting.UNREACHABLE}


def test_what_a_network_puts_in_the_servers_place_ends_nothing_either(quick: RetryPolicy) -> None:
    server = Answering(REGISTERED)
    server.reactions += [
        code_answer(server),
        Told(200, b"<html>Sign in to the hotel's network</html>"),
        Told(302, b"", {"Location": "https://hotel.example/"}),
        Told(403, b"<html>blocked</html>"),
        Told(502, b""),
        Told(503, {"error": "temporarily_unavailable", "error_description": "Wait."}, {"Retry-After": "0"}),
        Lost(),
        PENDING,
        Told(200, TOKENS),
    ]
    happened: list[Waiting] = []
    with server:
        login = DeviceLogin(server.url, policy=quick)
        tokens = login.wait(login.start(), on_waiting=lambda what, left: happened.append(what))
    assert tokens.access_token.reveal() == TOKENS["access_token"]
    assert happened == [Waiting.UNREACHABLE] * 6 + [Waiting.PENDING]


def test_a_server_that_cannot_be_asked_is_given_up_when_the_code_has_run_out(quick: RetryPolicy) -> None:
    server = Answering(REGISTERED)
    server.reactions += [code_answer(server, expires_in=1), Lost()]
    with server:
        login = DeviceLogin(server.url, policy=quick)
        with pytest.raises(SignInExpired, match="could not be asked") as expired:
            login.wait(login.start())
        assert isinstance(expired.value.__cause__, NetworkError)


def test_polls_ask_the_server_to_hold_them_and_name_the_grant(quick: RetryPolicy) -> None:
    server = Answering(REGISTERED)
    server.reactions += [code_answer(server), Told(200, TOKENS)]
    with server:
        login = DeviceLogin(server.url, scopes=["keys:read", "apps:read"], policy=quick)
        login.wait(login.start())
        register, code, poll = server.asked
    assert register.json()["client_name"] == "keystead"
    assert code.form == {"client_id": "kc_1", "scope": "keys:read apps:read"}
    assert poll.headers["prefer"] == "wait=25"
    assert poll.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "pwd_the-device-code",
        "client_id": "kc_1",
    }


@pytest.mark.parametrize("page", ["file:///etc/passwd", "javascript:alert(1)", "http://evil.example/", "https://a b/"])
def test_no_browser_is_sent_to_an_address_that_is_none(page: str) -> None:
    server = Answering(REGISTERED)
    server.reactions += [code_answer(server, verification_uri_complete=page)]
    with server, pytest.raises(NetworkError, match="does not speak as Keystead"):
        DeviceLogin(server.url, policy=RetryPolicy(attempts=1)).start()
    assert len(server.asked) == 2


def test_no_error_and_no_repr_shows_a_device_code_or_a_token(quick: RetryPolicy) -> None:
    server = Answering(REGISTERED)
    server.reactions += [
        code_answer(server),
        Told(400, {"error": "invalid_grant", "error_description": "pwd_the-device-code is used"}),
        Told(200, TOKENS),
    ]
    with server:
        login = DeviceLogin(server.url, policy=quick)
        code = login.start()
        with pytest.raises(SignInEnded) as ended:
            login.wait(code)
        tokens = login.wait(code)
    told = f"{ended.value} {ended.value!r} {code} {tokens}"
    assert not [secret for secret in ("pwd_the", "an-access", "pwr_a") if secret in told]


def test_what_the_callback_raises_ends_the_wait(quick: RetryPolicy) -> None:
    server = Answering(REGISTERED)
    server.reactions += [code_answer(server), PENDING]

    def stop(what: Waiting, left: float) -> None:
        raise KeyboardInterrupt

    with server:
        login = DeviceLogin(server.url, policy=quick)
        code = login.start()
        with pytest.raises(KeyboardInterrupt):
            login.wait(code, on_waiting=stop)
        polls = [asked for asked in server.asked if asked.path.endswith("/token")]
    assert len(polls) == 1


def test_a_sign_in_over_plain_http_beyond_this_machine_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="plain HTTP"):
        DeviceLogin("http://auth.example.com")
    with pytest.raises(UsageError, match="plain HTTP"):
        AsyncDeviceLogin("http://auth.example.com")
    assert DeviceLogin("auth.example.com").server == "https://auth.example.com"
