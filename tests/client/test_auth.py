"""Authentication for other people's clients: httpx2, httpx and requests, in threads and in tasks."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import pytest
import requests

from keystead.client import InsecureAddress, Keystead, SignInEnded, TokenSet
from keystead.client._auth import httpx_auth, requests_auth
from keystead.client._credentials import BearerCredential
from keystead.kernel.secrets import Secret
from tests.client.answering import Answering, Asked, Told
from tests.support.server import ADA

OLD, NEW = "Bearer the-old-token", "Bearer the-new-token"


@dataclass
class Renewing:
    """A credential that is renewed after a refusal, once, and says what it was asked."""

    server: str
    value: str = OLD
    asked: list[str] = field(default_factory=list)
    at_hand: bool = True

    def authorization(self) -> Secret:
        self.asked.append("authorization")
        return Secret(self.value)

    def ready(self) -> Secret | None:
        return Secret(self.value) if self.at_hand else None

    def after_refusal(self, refused: Secret) -> Secret | None:
        self.asked.append(f"after {refused.reveal()}")
        if refused.reveal() != OLD:
            return None
        self.value = NEW
        return Secret(NEW)


Send = Callable[..., Any]
"""Sends a request with a client of some library: ``send(method, url, credential, **body)``; returns its response."""


def with_httpx2(method: str, url: str, credential: Any, **options: Any) -> Any:
    return httpx2.request(method, url, auth=httpx_auth(credential), follow_redirects=True, trust_env=False, **options)


def with_httpx(method: str, url: str, credential: Any, **options: Any) -> Any:
    return httpx.request(method, url, auth=httpx_auth(credential), follow_redirects=True, trust_env=False, **options)


def with_requests(method: str, url: str, credential: Any, **options: Any) -> Any:
    if "content" in options:
        options["data"] = options.pop("content")
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, auth=requests_auth(credential), **options)


each_library = pytest.mark.parametrize("send", [with_httpx2, with_httpx, with_requests])
both_httpx = pytest.mark.parametrize("library", [httpx2, httpx])


def renewing_server(asked: Asked) -> Told:
    """Accept the new token only."""
    return Told(200 if asked.headers.get("authorization") == NEW else 401, {"sent": asked.body.decode()})


@pytest.fixture
def server() -> Iterator[Answering]:
    """Give a server that accepts the new token only."""
    with Answering(renewing_server) as server:
        yield server


@each_library
def test_a_request_is_signed_in(send: Send, client: Keystead, tokens: TokenSet) -> None:
    credential = BearerCredential(client.server, tokens.access_token)
    answer = send("GET", f"{client.server}/api/auth/session", credential)
    assert answer.status_code == 200
    assert answer.json()["username"] == ADA.username


@each_library
@pytest.mark.parametrize("body", [{}, {"content": b"some bytes"}, {"data": {"a": "b"}}, {"json": {"a": 1}}])
def test_after_a_refusal_the_request_is_sent_once_more_with_another_token(
    send: Send, body: dict[str, Any], server: Answering
) -> None:
    credential = Renewing(server.url)
    answer = send("POST", f"{server.url}/there", credential, **body)
    assert answer.status_code == 200
    assert len(answer.history) == 1
    assert [asked.headers["authorization"] for asked in server.asked] == [OLD, NEW]
    assert server.asked[0].body == server.asked[1].body
    assert credential.asked == [f"after {OLD}"]
    assert send("GET", server.url, credential).status_code == 200
    assert len(server.asked) == 3


@each_library
def test_a_request_is_sent_twice_at_most(send: Send) -> None:
    with Answering(Told(401)) as server:
        credential = Renewing(server.url)
        assert send("GET", server.url, credential).status_code == 401
        assert len(server.asked) == 2
        assert send("GET", server.url, credential).status_code == 401
        assert credential.asked == [f"after {OLD}", f"after {NEW}"]
        assert len(server.asked) == 3


@each_library
def test_a_body_that_is_made_while_it_is_sent_is_not_sent_twice(send: Send, server: Answering) -> None:
    credential = Renewing(server.url)
    answer = send("POST", server.url, credential, content=iter([b"a", b"b"]), headers={"Content-Length": "2"})
    assert answer.status_code == 401
    assert len(server.asked) == 1
    assert credential.asked == []


@pytest.mark.parametrize("library", ["httpx2", "httpx", "requests"])
def test_the_credential_goes_to_the_other_servers_that_the_program_named_and_is_renewed_there_too(
    library: str, server: Answering
) -> None:
    with Answering(Told(500)) as issuer, Keystead(Renewing(issuer.url), apis=[server.url]) as client:
        if library == "requests":
            status = requests.get(f"{server.url}/there", auth=client.requests_auth, timeout=10).status_code
        else:
            status = importlib.import_module(library).get(f"{server.url}/there", auth=client.httpx_auth).status_code
    assert status == 200
    assert [asked.headers["authorization"] for asked in server.asked] == [OLD, NEW]
    assert issuer.asked == []


def test_a_server_that_is_named_must_be_one_to_which_nothing_travels_in_the_clear(tokens: TokenSet) -> None:
    with pytest.raises(InsecureAddress):
        Keystead(BearerCredential("https://auth.example.com", tokens.access_token), apis=["http://api.example.com"])


@each_library
@pytest.mark.parametrize("elsewhere", ["https://auth.example.com/", "http://localhost:{port}/", "http://127.0.0.1:1/"])
def test_the_credential_is_attached_to_no_other_origin(send: Send, elsewhere: str, server: Answering) -> None:
    credential = Renewing(server.url)
    with pytest.raises(InsecureAddress) as refused:
        send("GET", elsewhere.format(port=server.port), credential)
    assert "the-old-token" not in str(refused.value)
    assert server.asked == []


@each_library
def test_a_redirect_to_another_server_carries_no_credential_and_its_401_renews_nothing(send: Send) -> None:
    with Answering(Told(401)) as other:
        target = other.url.replace("127.0.0.1", "localhost")
        with Answering(Told(302, b"", {"Location": f"{target}/stolen"})) as server:
            credential = Renewing(server.url)
            assert send("GET", server.url, credential).status_code == 401
        assert [asked.headers.get("authorization") for asked in other.asked] == [None]
        assert credential.asked == []


@each_library
def test_what_has_to_be_renewed_is_renewed_before_the_request(send: Send, server: Answering) -> None:
    credential = Renewing(server.url, value=NEW, at_hand=False)
    assert send("GET", server.url, credential).status_code == 200
    assert credential.asked == ["authorization"]
    assert len(server.asked) == 1


@each_library
def test_a_sign_in_that_has_ended_is_raised_through_the_library(send: Send, server: Answering) -> None:
    class Ended(Renewing):
        def after_refusal(self, refused: Secret) -> Secret | None:
            raise SignInEnded("The server no longer knows the sign-in.")

    with pytest.raises(SignInEnded):
        send("GET", server.url, Ended(server.url))
    assert len(server.asked) == 1


@both_httpx
async def test_tasks_are_signed_in_and_renewed_too(library: Any, server: Answering, anyio_backend: str) -> None:
    credential = Renewing(server.url, at_hand=False)
    async with library.AsyncClient(auth=httpx_auth(credential), trust_env=False) as client:
        answer = await client.post(server.url, content=b"some bytes")
        assert answer.status_code == 200
        assert [asked.body for asked in server.asked] == [b"some bytes"] * 2
        assert credential.asked == ["authorization", f"after {OLD}"]
        with pytest.raises(InsecureAddress):
            await client.get("https://auth.example.com/")


@both_httpx
async def test_a_token_at_hand_needs_no_thread(
    library: Any, server: Answering, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("anyio.to_thread.run_sync", no_thread)
    async with library.AsyncClient(auth=httpx_auth(Renewing(server.url, value=NEW)), trust_env=False) as client:
        assert (await client.get(server.url)).status_code == 200


def test_one_object_serves_both_libraries_and_shows_no_secret(client: Keystead) -> None:
    auth = client.httpx_auth
    assert all(isinstance(auth, kind) for kind in (httpx2.Auth, httpx.Auth))
    assert isinstance(client.requests_auth, requests.auth.AuthBase)
    assert repr(auth) == repr(client.requests_auth) == f"<authentication for {client.server}>"


def test_a_client_that_keeps_its_session_renews_each_request_by_itself(server: Answering) -> None:
    credential = Renewing(server.url)
    with requests.Session() as session:
        session.trust_env = False
        session.auth = requests_auth(credential)
        assert [session.get(server.url).status_code for _ in range(3)] == [200] * 3
    assert [asked.headers["authorization"] for asked in server.asked] == [OLD, NEW, NEW, NEW]
