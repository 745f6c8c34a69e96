"""Over the limit is 429 and when to come back, one request is one charge, nobody spends another's (promise K3)."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from keystead.kernel.secrets import new_api_key
from tests.gate.serving import Furnished, furnished_server, new_key, new_token
from tests.support.server import KeysteadServer

LIMIT = 5
PATHS = ("/api/auth/session", "/account/service/v1/apps", "/account/service/v1/balance")


@pytest.fixture(scope="module")
def narrow(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    settings = {"KEYSTEAD_LIMIT_API": f"{LIMIT}/hour"}
    with furnished_server(furnished, tmp_path_factory.mktemp("narrow"), settings) as one:
        yield one


@pytest.fixture
def http(narrow: KeysteadServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=narrow.url, trust_env=False) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_over_the_limit_is_429_with_whole_seconds_and_never_401(narrow: KeysteadServer, http: httpx.Client) -> None:
    for secret, path in (
        (new_key(narrow.data, narrow.url, "ada")[1], PATHS[0]),
        *((new_token(narrow.data, narrow.url, "ada"), path) for path in PATHS),
    ):
        answers = [http.get(path, headers=bearer(secret)) for _ in range(2 * LIMIT)]
        assert [answer.status_code for answer in answers] == [200] * LIMIT + [429] * LIMIT
        for refused in answers[LIMIT:]:
            assert refused.headers["retry-after"].isdigit()
            assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
            assert "www-authenticate" not in refused.headers


def test_one_request_is_one_charge_wherever_it_goes(narrow: KeysteadServer, http: httpx.Client) -> None:
    token = new_token(narrow.data, narrow.url, "ada")
    paths = (PATHS[0], PATHS[1], "/account/service/v1/nothing", PATHS[2], PATHS[0])
    left = [http.get(path, headers=bearer(token)).headers["ratelimit"].split(";")[1] for path in paths]
    assert left == [f"r={number}" for number in reversed(range(LIMIT))]
    assert http.get(PATHS[0], headers=bearer(token)).status_code == 429


def test_asking_for_a_proxy_is_charged_to_nobody(narrow: KeysteadServer, http: httpx.Client) -> None:
    _, key = new_key(narrow.data, narrow.url, "ada")
    assert {http.get("/verify", headers=bearer(key)).status_code for _ in range(3 * LIMIT)} == {200}


MISTAKES: dict[str, Callable[[str, str], str]] = {
    "a typo": lambda key, _: key[:-1] + ("a" if key[-1] != "a" else "b"),
    "a key that nobody made": lambda _, url: new_api_key("pwt", url).reveal(),
    "its hint": lambda key, _: key[-4:],
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_key_is_401_however_often_and_spends_nobodys_budget(
    narrow: KeysteadServer, http: httpx.Client, mistake: Callable[[str, str], str]
) -> None:
    _, key = new_key(narrow.data, narrow.url, "ada")
    wrong = mistake(key, narrow.url)
    assert {http.get(PATHS[0], headers=bearer(wrong)).status_code for _ in range(3 * LIMIT)} == {401}
    assert [http.get(PATHS[0], headers=bearer(key)).status_code for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]


def test_a_key_over_its_limit_leaves_its_owners_other_keys_alone(narrow: KeysteadServer, http: httpx.Client) -> None:
    _, busy = new_key(narrow.data, narrow.url, "ada")
    _, idle = new_key(narrow.data, narrow.url, "ada")
    assert [http.get(PATHS[0], headers=bearer(busy)).status_code for _ in range(LIMIT + 1)][-1] == 429
    assert http.get(PATHS[0], headers=bearer(idle)).headers["ratelimit"].split(";")[1] == f"r={LIMIT - 1}"
