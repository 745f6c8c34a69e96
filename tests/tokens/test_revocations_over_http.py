"""The list of revoked tokens as verifiers elsewhere read it: over HTTP, held, from any process or node (V2)."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc.jwk import KeySet

from keystead.kernel.problems import InvalidRequest
from keystead.kernel.secrets import Secret
from keystead.services import Services
from keystead.tokens.routes import seconds_to_wait
from keystead.wire.preferences import preferred_wait
from tests.gate.serving import Furnished, Serving, furnish, furnished_server, in_process
from tests.support import cluster
from tests.support.cluster import Cluster
from tests.support.processes import wait_for
from tests.support.server import KeysteadServer
from tests.tokens.verifier import Follower, Verifier

PATH: Final = "/.well-known/revocations"
BOUND: Final = 30
"""Seconds within which a verifier that follows refuses a token that was taken back (promise V2)."""
ELSEWHERE: Final = "https://auth.example.com"
"""Whom the tokens of these tests come from, beside the servers themselves."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


@pytest.fixture(scope="module")
def server(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("followed")) as one:
        yield one


@pytest.fixture
def http(server: KeysteadServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=BOUND + 30, trust_env=False) as client:
        yield client


async def issue(services: Services) -> tuple[str, Secret]:
    issued = await services.tokens.issue_short_term(await services.accounts.first_identity("ada"))
    return issued.id, issued.token


async def revoke(services: Services, token_id: str) -> None:
    await services.tokens.revoke_short_term(token_id, await services.accounts.first_identity("ada"))


def verifier_of(server: KeysteadServer, http: httpx.Client) -> Verifier:
    keys = KeySet.import_key_set(http.get("/.well-known/jwks.json").json())
    return Verifier(frozenset({server.url}), keys)


def ask(http: httpx.Client, verifier: Verifier, **sent: Any) -> dict[str, Any]:
    answer = http.get(PATH, params={"after": verifier.following, **sent})
    return verifier.take(answer.raise_for_status().content, int(time.time()))


def test_the_answer_is_a_signed_text_that_is_kept_nowhere(server: KeysteadServer, http: httpx.Client) -> None:
    answer = http.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/jwt"
    assert answer.headers["Cache-Control"] == "no-store"
    assert verifier_of(server, http).take(answer.content, int(time.time()))["full"]
    head = http.head(PATH)
    assert (head.status_code, head.content) == (200, b"")


def test_a_verifier_refuses_what_another_process_took_back_long_before_the_heartbeat(server: KeysteadServer) -> None:
    token_id, token = in_process(server.data, ELSEWHERE, issue)
    _, other = in_process(server.data, ELSEWHERE, issue)
    with Follower([server.url], [ELSEWHERE], wait=3) as follower:
        assert follower.accepts(token.reveal())
        in_process(server.data, ELSEWHERE, lambda services: revoke(services, token_id))
        assert follower.refuses_within(token.reveal(), BOUND)
        assert follower.accepts(other.reveal())
    assert any(claims["revoked"] for claims in follower.verifier.answers)


def test_with_two_workers_it_makes_no_difference_which_one_answers(furnished: Furnished, tmp_path: Path) -> None:
    with Serving(tmp_path, furnished, "--dev", "--workers", "2", settings={}) as two:
        token_id, token = in_process(two.data, ELSEWHERE, issue)
        with Follower([two.address], [ELSEWHERE], wait=2) as follower:
            follower.http.headers["Connection"] = "close"
            assert follower.accepts(token.reveal())
            in_process(two.data, ELSEWHERE, lambda services: revoke(services, token_id))
            assert follower.refuses_within(token.reveal(), BOUND)
    assert not follower.accepts(token.reveal())


def test_over_two_nodes_it_makes_no_difference_which_one_answers(postgres_url: str, tmp_path: Path) -> None:
    cluster.furnish(tmp_path / "furnishing", postgres_url)
    with Cluster(tmp_path, postgres_url, 2) as nodes:
        third = tmp_path / "third"
        issued = [cluster.in_process(third, postgres_url, issue) for _ in range(3)]
        with Follower(nodes.urls, [ELSEWHERE], wait=2) as follower:
            for token_id, token in issued:
                assert follower.accepts(token.reveal())
                cluster.in_process(third, postgres_url, partial(revoke, token_id=token_id))
                assert follower.refuses_within(token.reveal(), BOUND)
    assert set(follower.verifier.revoked) == {token_id for token_id, _ in issued}


def test_a_held_request_is_answered_with_a_heartbeat_in_time(server: KeysteadServer, http: httpx.Client) -> None:
    verifier = verifier_of(server, http)
    ask(http, verifier)
    known = set(verifier.revoked)
    started = time.monotonic()
    assert {token_id for token_id, _ in ask(http, verifier, wait=1)["revoked"]} <= known
    assert time.monotonic() - started >= 0.9
    assert verifier.trusted_until >= int(time.time()) + 55


def test_zero_seconds_answer_at_once(server: KeysteadServer, http: httpx.Client) -> None:
    verifier = verifier_of(server, http)
    ask(http, verifier)
    started = time.monotonic()
    ask(http, verifier, wait=0)
    http.get(PATH, params={"after": verifier.following}, headers={"Prefer": "wait=0"}).raise_for_status()
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("wait", ["26", "-1", "1.5", "soon", "٣", "00000"])
def test_a_wait_that_cannot_be_is_refused(http: httpx.Client, wait: str) -> None:
    answer = http.get(PATH, params={"wait": wait})
    assert answer.status_code == 400
    assert "from 0 to 25" in answer.json()["detail"]
    with pytest.raises(InvalidRequest):
        seconds_to_wait(wait, None)


@pytest.mark.parametrize(
    ("asked", "prefer", "seconds"),
    [
        (None, "", 20),
        (None, "wait=7", 7),
        (None, 'respond-async, Wait = "7"; strict', 7),
        (None, "wait=600", 25),
        (None, "wait=soon", 20),
        (None, "wait", 20),
        ("3", "wait=7", 3),
        ("25", "", 25),
        ("0", "", 0),
    ],
)
def test_a_preference_that_cannot_be_read_is_ignored_and_a_parameter_goes_first(
    asked: str | None, prefer: str, seconds: int
) -> None:
    headers = [(b"prefer", prefer.encode())] if prefer else []
    assert seconds_to_wait(asked, preferred_wait({"headers": headers})) == seconds


def test_other_methods_are_refused(http: httpx.Client) -> None:
    answer = http.post(PATH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_client_that_goes_away_while_it_waits_is_let_go(server: KeysteadServer, http: httpx.Client) -> None:
    verifier = verifier_of(server, http)
    ask(http, verifier)
    place = urlsplit(server.url)
    before = server.log_text().count('"status": 499')
    with socket.create_connection((place.hostname, place.port)) as waiting:
        request = f"GET {PATH}?after={verifier.following}&wait=25 HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n"
        waiting.sendall(request.encode())
        http.get("/healthz").raise_for_status()
    wait_for(lambda: server.log_text().count('"status": 499') == before + 1, "a line about a client that went away")
    assert server.running


def test_a_server_that_is_told_to_stop_answers_whom_it_holds(furnished: Furnished, tmp_path: Path) -> None:
    with furnished_server(furnished, tmp_path) as stopping, ThreadPoolExecutor(1) as pool:
        with httpx.Client(base_url=stopping.url, timeout=60, trust_env=False) as http:
            verifier = verifier_of(stopping, http)
            ask(http, verifier)
            asking = pool.submit(ask, http, verifier, wait=25)
            httpx.get(f"{stopping.url}/healthz", trust_env=False)
            started = time.monotonic()
            assert stopping.stop() == 0
            assert asking.result()["revoked"] == []
        assert time.monotonic() - started < 8
    assert "incident" not in stopping.log_text()


def test_each_address_has_a_limit(furnished: Furnished, tmp_path: Path) -> None:
    settings = {"KEYSTEAD_LIMIT_API": "3/minute", "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.0/8"}
    with furnished_server(furnished, tmp_path, settings) as limited:

        def from_address(address: str) -> httpx.Response:
            headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
            return httpx.get(f"{limited.url}{PATH}", headers=headers, trust_env=False)

        assert [from_address("192.0.2.1").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert int(from_address("192.0.2.1").headers["Retry-After"]) <= 60
        assert from_address("192.0.2.2").status_code == 200


def test_a_key_set_that_has_not_changed_is_not_sent_again(http: httpx.Client) -> None:
    first = http.get("/.well-known/jwks.json")
    again = http.get("/.well-known/jwks.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"].startswith("public, max-age=300")
