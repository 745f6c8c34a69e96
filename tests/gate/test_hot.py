"""The plain case of the two hottest questions is answered as at length; whatever is not plain is refused as ever."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.gate.conftest import Ring
from tests.gate.serving import Furnished, Serving, furnished_server, new_key
from tests.gate.test_identity import sent
from tests.support.server import KeysteadServer

KINDS = ("session", "api_key", "short_term_token", "access_token")
PATHS = ("/api/auth/session", "/api/v2/auth/session", "/verify")
CHANGING = ("date", "x-request-id", "ratelimit")


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but what differs from request to request."""
    kept = {name: value for name, value in answer.headers.items() if name not in CHANGING}
    return answer.status_code, kept, answer.content


@pytest.fixture(scope="module")
def fresh(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path_factory.mktemp("hot")) as one:
        yield one


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_remembered_is_answered_as_what_was_looked_up(
    http: httpx.Client, ring: Ring, kind: str, path: str
) -> None:
    answers = [http.get(path, headers={**sent(ring, kind), "X-Dress": kind}) for _ in range(3)]
    assert told(answers[0]) == told(answers[1]) == told(answers[2])
    assert answers[0].status_code == 200
    assert ("ratelimit" in answers[2].headers) == (path != "/verify")
    assert {"x-request-id", "x-content-type-options", "cache-control", "content-length"} <= set(answers[2].headers)


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body_before_and_after_the_credential_is_known(
    fresh: KeysteadServer, path: str
) -> None:
    _, key = new_key(fresh.data, fresh.url, "ada")
    with httpx.Client(base_url=fresh.url, headers={"x-api-key": key}) as client:
        answers = [client.request(method, path) for method in ("HEAD", "GET", "GET", "HEAD")]
    assert all(told(answer)[:2] == told(answers[1])[:2] for answer in answers)
    assert [answer.content for answer in answers] == [b"", answers[1].content, answers[1].content, b""]


def test_over_https_the_remembered_answer_asks_for_https_ever_after_as_the_first_did(
    furnished: Furnished, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"KEYSTEAD_PUBLIC_URL": "https://auth.example.com", "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    with Serving(tmp_path_factory.mktemp("https"), furnished, settings=settings) as server:
        _, key = new_key(server.data, settings["KEYSTEAD_PUBLIC_URL"], "ada")
        _, plain = new_key(server.data, settings["KEYSTEAD_PUBLIC_URL"], "ada")
        with httpx.Client(base_url=server.address, headers={"x-api-key": key, "X-Forwarded-Proto": "https"}) as client:
            for path in PATHS:
                answers = [client.get(path) for _ in range(3)]
                assert {answer.headers["strict-transport-security"] for answer in answers} == {"max-age=31536000"}
                assert told(answers[0]) == told(answers[1]) == told(answers[2])
                # The same credential without https is refused, however well it is known.
                assert client.get(path, headers={"X-Forwarded-Proto": "http"}).status_code == 403
                assert client.get(path, headers={"x-api-key": plain}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/api/auth/session", 400), ("/api/v2/auth/session", 400), ("/verify", 401)]
)
def test_a_known_credential_beside_another_one_is_refused(
    http: httpx.Client, ring: Ring, path: str, status: int
) -> None:
    known = ("Authorization", f"Bearer {ring.api_key}")
    assert http.get(path, headers=[known]).status_code == 200
    for other in (("x-api-key", ring.other), ("Cookie", f"cloud.sso={ring.session}"), ("Authorization", "Bearer x")):
        assert http.get(path, headers=[known, other]).status_code == status
        assert http.get(path, headers=[other, known]).status_code == status
    beside = [known, ("Cookie", "theme=dark"), ("x-api-key", ring.api_key)]
    assert [http.get(path, headers=beside).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("path", PATHS)
def test_a_known_credential_in_a_head_that_is_too_large_is_431(http: httpx.Client, ring: Ring, path: str) -> None:
    headers = {"x-api-key": ring.api_key}
    assert http.get(path, headers=headers).status_code == 200
    assert http.get(path, headers={**headers, "X-Long": "a" * 33_000}).status_code == 431
    assert http.get(path, headers={**headers, "X-Long": "a" * 30_000}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_known_credential_with_another_method_is_405(http: httpx.Client, ring: Ring, method: str, path: str) -> None:
    headers = {"x-api-key": ring.api_key}
    assert http.get(path, headers=headers).status_code == 200
    refused = http.request(method, path, headers=headers)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_what_is_known_as_one_kind_of_field_is_not_known_as_another(http: httpx.Client, ring: Ring) -> None:
    assert http.get("/verify", headers={"x-api-key": ring.api_key}).status_code == 200
    assert http.get("/verify", headers={"Authorization": ring.api_key}).status_code == 401
    assert http.get("/verify", headers={"Cookie": ring.api_key}).status_code == 401
    assert http.get("/verify", headers={"Cookie": f"cloud.sso={ring.api_key}"}).status_code == 401


def test_the_session_is_found_among_other_cookies_however_they_change(http: httpx.Client, ring: Ring) -> None:
    for number in range(12):
        cookies = {"Cookie": f"visits={number % 6}; cloud.sso={ring.session}; theme=dark"}
        assert http.get("/verify", headers=cookies).status_code == 200


def test_every_answer_has_an_id_of_its_own(http: httpx.Client, ring: Ring) -> None:
    ids = [
        http.get(path, headers=headers).headers["x-request-id"]
        for _ in range(150)
        for path, headers in (("/verify", sent(ring, "api_key")), ("/api/auth/session", {}), ("/sign-in", {}))
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


def test_every_answer_is_counted_at_once(fresh: KeysteadServer) -> None:
    _, key = new_key(fresh.data, fresh.url, "ada")

    def counted(client: httpx.Client) -> dict[str, float]:
        lines = [
            line for line in client.get("/metrics").text.splitlines() if line.startswith("keystead_requests_total")
        ]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    with httpx.Client(base_url=fresh.url) as client:
        before = counted(client)
        for path in PATHS:
            for _ in range(7):
                client.get(path, headers={"x-api-key": key})
            for _ in range(3):
                client.get(path)
            client.head(path, headers={"x-api-key": key})
        after = counted(client)
    # Both addresses of the session are counted as the same question.
    for path, times in (("/api/auth/session", 2), ("/verify", 1)):
        for method, status, number in (("GET", 200, 7), ("GET", 401, 3), ("HEAD", 200, 1)):
            name = f'keystead_requests_total{{method="{method}",status="{status}",surface="{path}"}}'
            assert after[name] - before.get(name, 0.0) == number * times, name
    assert not any("/api/v2/" in name for name in after)
