"""A person's own API keys, as the SDK makes, lists and deletes them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from parallelworks_client.api.api_keys import create_apikey, delete_apikey, get_apikeys
from parallelworks_client.api.authentication import get_auth_session
from parallelworks_client.models.create_api_key_input_body import CreateAPIKeyInputBody
from parallelworks_client.models.create_api_key_input_body_type import CreateAPIKeyInputBodyType
from parallelworks_client.models.create_api_key_output_body import CreateAPIKeyOutputBody

from tests.interop.activate import sdk
from tests.interop.activate.calls import NO_ID
from tests.interop.activate.sdk import Sdk
from tests.support import engine, issued
from tests.support.server import ADA, BOB, KeysteadServer

SOON: Final = timedelta(minutes=2)
AI: Final = CreateAPIKeyInputBodyType.AI


def body(**members: Any) -> CreateAPIKeyInputBody:
    return CreateAPIKeyInputBody(**members)


def some_title() -> str:
    return f"key {uuid4()}"


def make(client: Sdk, **members: Any) -> CreateAPIKeyOutputBody:
    made: CreateAPIKeyOutputBody = sdk.good(create_apikey, client, body=body(**members))
    issued.note(made.key)
    return made


def refusal(client: Sdk, status: int, **members: Any) -> str:
    return str(sdk.bad(create_apikey, client, status, body=body(**members)).message)


@pytest.fixture
def strict(server: KeysteadServer, ada: Sdk) -> Iterator[None]:
    """Let keys in acme live for at most 30 days, and for ever again afterwards."""
    change(server, "UPDATE organization SET longest_key_life = 2592000 WHERE name = 'acme'")
    yield
    change(server, "UPDATE organization SET longest_key_life = NULL WHERE name = 'acme'")


def change(server: KeysteadServer, sql: str) -> None:
    """Change the server's database, on either engine."""
    engine.execute(server.data, sqlite=[sql], postgres=[sql])


def test_a_key_is_made_listed_used_and_deleted_by_its_title(server: KeysteadServer, ada: Sdk) -> None:
    title = some_title()
    made = make(ada, title=title)
    assert (made.title, made.type_, "expiration" in made.to_dict()) == (title, "platform", False)
    assert abs(made.created - datetime.now(UTC)) < SOON
    assert (made.key_hint or "")[:4] in made.key
    with_key = sdk.with_key(server.url, made.key)
    with sdk.closing(with_key):
        assert sdk.good(get_auth_session, with_key).username == ADA.username
        newest = sdk.good(get_apikeys, ada)[0]
        assert (newest.id, newest.title, newest.type_, newest.key_hint) == (made.id, title, "platform", made.key_hint)
        assert sdk.good(delete_apikey, ada, title) is None
        sdk.bad(get_auth_session, with_key, 401)
    assert made.id not in {key.id for key in sdk.good(get_apikeys, ada)}
    assert "no API key" in sdk.bad(delete_apikey, ada, 404, title).message


def test_a_key_without_a_title_is_named_by_the_time_and_a_few_random_characters(ada: Sdk) -> None:
    titles = [make(ada).title, make(ada, title="").title]
    assert len(set(titles)) == 2
    for title in titles:
        found = re.fullmatch(r"token-(\d{8}-\d{6})-[0-9a-z]{4}", title)
        assert found
        named = datetime.strptime(found[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        assert abs(named - datetime.now(UTC)) < SOON


def test_a_key_expires_after_so_many_days_or_seconds(ada: Sdk) -> None:
    for members, life in (
        ({"duration": "1"}, timedelta(days=1)),
        ({"duration": "3650"}, timedelta(days=3_650)),
        ({"expires_in": 900}, timedelta(seconds=900)),
        ({"expires_in": 900, "duration": ""}, timedelta(seconds=900)),
    ):
        made = make(ada, **members)
        assert made.expiration - made.created == life
        assert sdk.good(get_apikeys, ada)[0].expiration == made.expiration
    for forever in ({"duration": ""}, {"duration": "0"}):
        assert "expiration" not in make(ada, **forever).to_dict()


@pytest.mark.parametrize("days", ["1e3", "٣", " 7", "7 ", "-1", "+1", "1.5", "x", "3651", "9" * 400, "1_0", "0x1"])
def test_a_duration_that_is_no_number_of_days_is_refused_by_name(ada: Sdk, days: str) -> None:
    before = sdk.good(get_apikeys, ada)
    answer = ada.get_httpx_client().post("/api/apikeys", json={"duration": days, "type": "platform"})
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["#/duration"]
    assert len(sdk.good(get_apikeys, ada)) == len(before)


def test_the_document_says_which_durations_there_are(server: KeysteadServer) -> None:
    asked = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()["paths"]["/api/apikeys"]["post"]
    schema = asked["requestBody"]["content"]["application/json"]["schema"]["properties"]["duration"]
    fit = re.compile(schema["pattern"])
    assert [days for days in range(10_000) if fit.search(str(days))] == list(range(3_651))
    assert fit.search("")
    assert fit.search("007")


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"expiresIn": 899}, "#/expiresIn"),
        ({"expiresIn": 315_360_001}, "#/expiresIn"),
        ({"expiresIn": 10**40}, "#/expiresIn"),
        ({"expiresIn": -900}, "#/expiresIn"),
        ({"expiresIn": 900.0}, "#/expiresIn"),
        ({"expiresIn": "900"}, "#/expiresIn"),
        ({"expiresIn": True}, "#/expiresIn"),
        ({"expiresIn": 900, "duration": "1"}, "#/expiresIn"),
        ({"expiresIn": 900, "duration": "0"}, "#/expiresIn"),
        ({"duration": 7}, "#/duration"),
        ({"title": "x" * 129}, "#/title"),
        ({"title": "x" * 10_000}, "#/title"),
        ({"title": " x"}, "#/title"),
        ({"title": "x\u202ey"}, "#/title"),
        ({"title": "x\x00y"}, "#/title"),
        ({"title": ["x"]}, "#/title"),
        ({"type": "ai"}, "#/type"),
        ({"type": "gold"}, "#/type"),
        ({"type": None}, "#/type"),
    ],
)
def test_whatever_does_not_fit_is_refused_by_name_and_makes_nothing(
    ada: Sdk, sent: dict[str, Any], pointer: str
) -> None:
    before = len(sdk.good(get_apikeys, ada))
    answer = ada.get_httpx_client().post("/api/apikeys", json=sent)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert len(sdk.good(get_apikeys, ada)) == before


def test_a_key_for_ai_is_refused_and_an_allocation_of_another_key_is_ignored(ada: Sdk) -> None:
    assert "no AI allocations" in refusal(ada, 422, type_=AI, allocation="mine")
    made = make(ada, allocation="mine")
    assert "allocation" not in made.to_dict()


def test_where_a_policy_says_how_long_keys_live_a_longer_life_and_none_are_refused(ada: Sdk, strict: None) -> None:
    for members in ({}, {"duration": "0"}, {"duration": "31"}, {"expires_in": 30 * 86_400 + 1}):
        assert "at most 30 days" in refusal(ada, 422, **members)
    made = make(ada, duration="30")
    assert made.expiration - made.created == timedelta(days=30)


def test_a_title_is_the_callers_own_and_another_person_may_have_it_too(ada: Sdk, bob: Sdk) -> None:
    title = some_title()
    make(ada, title=title)
    assert "already" in refusal(ada, 409, title=title)
    make(bob, title=title)
    sdk.good(delete_apikey, ada, title)
    sdk.good(delete_apikey, bob, title)
    make(ada, title=title)


def test_of_many_who_ask_for_one_title_at_the_same_moment_one_gets_it(server: KeysteadServer) -> None:
    cookie, title = sdk.sign_in(server.url, ADA), some_title()

    def ask(_: int) -> int:
        headers = {"Cookie": f"cloud.sso={cookie}"}
        answer = httpx.post(f"{server.url}/api/apikeys", json={"title": title}, headers=headers, trust_env=False)
        if answer.status_code == 200:
            issued.note(answer.json()["key"])
        return answer.status_code

    with ThreadPoolExecutor(12) as together:
        assert sorted(together.map(ask, range(12))) == [200] + [409] * 11


@pytest.mark.parametrize(
    "title", ["ci/cd", "/", "//a", "a b", "50%", "%2F", "a?b#c", "schlüssel 🔑", "a;b", "x" * 128, "a+b"]
)
def test_a_title_of_any_characters_finds_its_key(ada: Sdk, title: str) -> None:
    made = make(ada, title=title)
    sdk.good(delete_apikey, ada, title)
    assert made.id not in {key.id for key in sdk.good(get_apikeys, ada)}


@pytest.mark.parametrize("name", ["no such key", "x" * 500, "a\nb", "\x00", "\u202e", " ", NO_ID])
def test_a_name_that_no_key_has_is_404(ada: Sdk, name: str) -> None:
    before = len(sdk.good(get_apikeys, ada))
    answer = sdk.bad(delete_apikey, ada, 404, name)
    assert answer.code == "not_found"
    assert len(sdk.good(get_apikeys, ada)) == before


def test_a_title_that_several_keys_have_is_refused_and_each_is_deleted_by_its_id(
    server: KeysteadServer, ada: Sdk
) -> None:
    title = some_title()
    for _ in range(2):  # as the operator's command, or the Account API, may
        server.admin("create-key", "--user", ADA.username, "--title", title)
    ids = [key.id for key in sdk.good(get_apikeys, ada) if key.title == title]
    assert "by its id" in sdk.bad(delete_apikey, ada, 409, title).message
    sdk.good(delete_apikey, ada, ids[0])
    sdk.good(delete_apikey, ada, title)
    assert sdk.bad(delete_apikey, ada, 404, ids[1]).code == "not_found"


def test_an_id_is_looked_for_before_a_title(ada: Sdk) -> None:
    meant = make(ada)
    decoy = make(ada, title=meant.id)
    sdk.good(delete_apikey, ada, meant.id)
    assert decoy.id in {key.id for key in sdk.good(get_apikeys, ada)}


def test_nobody_lists_or_deletes_the_keys_of_somebody_else(ada: Sdk, bob: Sdk) -> None:
    made = make(bob, title=some_title())
    assert made.id not in {key.id for key in sdk.good(get_apikeys, ada)}
    for name in (made.id, made.title):
        sdk.bad(delete_apikey, ada, 404, name)
    assert made.id in {key.id for key in sdk.good(get_apikeys, bob)}


def test_a_key_lists_and_deletes_what_it_may_and_always_itself(server: KeysteadServer, bob: Sdk) -> None:
    plain = server.admin("create-key", "--user", BOB.username, "--title", "plain")
    able = make(bob, title="able")
    other = make(bob, title="other")
    with_plain, with_able = sdk.with_key(server.url, plain), sdk.with_key(server.url, able.key)
    with sdk.closing(with_plain, with_able):
        assert {"plain", "able", "other"} <= {key.title for key in sdk.good(get_apikeys, with_plain)}
        for name in ("other", other.id, "no such key"):
            assert sdk.bad(delete_apikey, with_plain, 403, name).code == "insufficient_scope"
        assert sdk.good(delete_apikey, with_plain, "plain") is None
        sdk.bad(get_apikeys, with_plain, 401)
        sdk.good(delete_apikey, with_able, "other")
        sdk.good(delete_apikey, with_able, able.id)
        sdk.bad(get_apikeys, with_able, 401)


def test_only_a_browser_session_makes_keys(server: KeysteadServer, adas_key: str, adas_token: str) -> None:
    clients = sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token)
    with sdk.closing(*clients):
        for client in clients:
            assert sdk.bad(create_apikey, client, 403, body=body(title="mine")).code == "credential_not_allowed"


def test_a_page_of_another_site_makes_and_deletes_no_key(ada: Sdk) -> None:
    made = make(ada, title=some_title())
    for site in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        foreign = ada.get_httpx_client().post("/api/apikeys", json={}, headers=site)
        assert (foreign.status_code, foreign.json()["code"]) == (403, "cross_site")
        assert ada.get_httpx_client().delete(f"/api/apikeys/{made.id}", headers=site).status_code == 403
    assert made.id in {key.id for key in sdk.good(get_apikeys, ada)}


def test_when_a_key_was_used_is_told_once_it_was(server: KeysteadServer, ada: Sdk) -> None:
    fresh = make(ada, title="used later")
    assert "lastUsedAt" not in sdk.good(get_apikeys, ada)[0].to_dict()
    change(server, "UPDATE api_key SET last_used_at = created_at + 7 WHERE title = 'used later'")
    assert sdk.good(get_apikeys, ada)[0].last_used_at - fresh.created == timedelta(seconds=7)


def test_the_text_of_a_key_is_kept_nowhere_and_the_log_does_not_tell_a_name(server: KeysteadServer, ada: Sdk) -> None:
    title = "my secret plan"
    answer = ada.get_httpx_client().post("/api/apikeys", json={"title": title})
    issued.note(answer.json()["key"])
    assert answer.headers["cache-control"] == "no-store"
    sdk.good(delete_apikey, ada, title)
    assert "secret plan" not in server.log_text()
    assert "/api/apikeys/{name}" in server.log_text()
