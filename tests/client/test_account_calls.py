"""The Account API through the client, in a thread and in a task, against a real server."""

import inspect
from collections.abc import Iterator
from datetime import timedelta

import pytest

from keystead.client import (
    AccountApi,
    AsyncAccountApi,
    AsyncKeystead,
    Conflict,
    Forbidden,
    InvalidRequest,
    Keystead,
    NotFound,
    SignInRequired,
    TokenSet,
)
from keystead.client._credentials import ApiKeyCredential, BearerCredential
from keystead.kernel.secrets import Secret
from tests.client.answering import Answering, Told
from tests.support import issued
from tests.support.browser import Browser
from tests.support.server import ADA, Acme

NOWHERE = "0199aaaa-0000-7000-8000-000000000001"


@pytest.fixture
def app(client: Keystead, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the name of an app of the test's own."""
    name = request.node.name
    client.account.apps.create(name)
    yield name
    client.account.apps.delete(name)


def test_an_app_is_made_found_by_its_name_and_deleted(client: Keystead, acme: Acme) -> None:
    made = client.account.apps.create("a shop / a café")
    found = [one for one in client.account.apps.list() if one.id == made.id]
    assert [(one.name, one.organization_id) for one in found] == [("a shop / a café", acme.organization)]
    with pytest.raises(Conflict, match="already has an app with this name"):
        client.account.apps.create("a shop / a café")
    client.account.apps.delete("a shop / a café")
    with pytest.raises(NotFound, match="no app named") as missing:
        client.account.apps.delete("a shop / a café")
    assert "keystead apps list" in missing.value.hint


def test_a_key_is_made_listed_renamed_rotated_and_deleted(client: Keystead, app: str) -> None:
    keys = client.account.keys
    made = keys.create(app=app, title="deploy", expires_in=timedelta(days=30))
    issued.note(made.secret.reveal())
    assert made.key.expires_at is not None
    assert made.key.expires_at - made.key.created_at == 30 * 86_400
    assert made.key in keys.list()
    assert keys.list(app) == keys.list(made.key.app_id) == (made.key,)
    assert keys.rename(made.key.id, "deploy 2").title == "deploy 2"
    rotated = keys.rotate(made.key.id, overlap=timedelta(hours=24), app=app)
    issued.note(rotated.secret.reveal())
    assert rotated.key.title == "deploy 2"
    assert abs(rotated.predecessor_expires_at - rotated.key.created_at - 86_400) <= 5
    with Keystead(ApiKeyCredential(client.server, rotated.secret)) as program:
        assert program.whoami().username == ADA.username
    keys.delete(rotated.key.id)
    keys.delete(made.key.id, app=app)
    assert keys.list(app) == ()
    with pytest.raises(NotFound):
        keys.delete(made.key.id, app=app)


def test_a_key_without_an_end_has_none(client: Keystead, app: str) -> None:
    made = client.account.keys.create(app=app, title="for ever")
    issued.note(made.secret.reveal())
    assert made.key.expires_at is None
    assert made.key.created_by == ADA.email
    assert made.secret.reveal() not in repr(made)


def test_the_balance_is_charged_once_for_one_idempotency_key(client: Keystead) -> None:
    before = client.account.balance.get().credit_cents
    client.account.balance.add(500, idempotency_key="order-of-this-test")
    client.account.balance.add(500, idempotency_key="order-of-this-test")
    assert client.account.balance.add(1).credit_cents == before + 501
    with pytest.raises(Conflict):
        client.account.balance.add(501, idempotency_key="order-of-this-test")


def test_a_short_term_token_is_made_used_listed_and_revoked(client: Keystead) -> None:
    made = client.account.tokens.create()
    issued.note(made.secret.reveal())
    with Keystead(BearerCredential(client.server, made.secret)) as program:
        assert program.whoami() == client.whoami()
        assert made.token in client.account.tokens.list()
        client.account.tokens.revoke(made.token.id)
        assert made.token not in client.account.tokens.list()
        with pytest.raises(SignInRequired) as ended:
            program.whoami()
    assert "keystead login" in ended.value.hint
    assert made.token.expires_at - made.token.created_at == 86_400


def test_a_browser_is_listed_and_signed_out(client: Keystead) -> None:
    before = {one.id for one in client.account.sessions.list()}
    with Browser(client.server) as browser:
        browser.sign_in(ADA.username, ADA.password)
        (mine,) = (one for one in client.account.sessions.list() if one.id not in before)
        assert "KeysteadTests" in mine.user_agent
        assert mine.address == "127.0.0.1"
        client.account.sessions.revoke(mine.id)
        assert browser.get("/").url.startswith(f"{client.server}/sign-in")
    with pytest.raises(NotFound):
        client.account.sessions.revoke(mine.id)


def test_the_devices_are_listed_with_the_one_that_asks(client: Keystead, tokens: TokenSet) -> None:
    (current,) = (one for one in client.account.devices.list() if one.current)
    assert current.client == "keystead"
    assert current.scopes == tokens.scopes
    assert current.created_at <= current.last_used_at < current.expires_at
    with pytest.raises(NotFound):
        client.account.devices.revoke(NOWHERE)


def test_refusals_say_what_was_wrong_and_where(client: Keystead, app: str) -> None:
    with pytest.raises(InvalidRequest) as mistaken:
        client.account.keys.create(app=app, title="")
    assert mistaken.value.status == 422
    assert mistaken.value.code == "invalid_parameters"
    assert [one.where for one in mistaken.value.fields] == ["api_key_name"]
    assert len(mistaken.value.request_id) == 16
    with pytest.raises(NotFound) as missing:
        client.account.keys.list(NOWHERE)
    assert missing.value.code == "not_found"


def test_an_api_key_may_not_call_the_account_api(client: Keystead, app: str) -> None:
    made = client.account.keys.create(app=app, title="t")
    issued.note(made.secret.reveal())
    with Keystead(ApiKeyCredential(client.server, made.secret)) as program, pytest.raises(Forbidden) as refused:
        program.account.apps.list()
    assert refused.value.code == "forbidden"


def test_a_token_that_is_none_needs_a_sign_in(client: Keystead) -> None:
    stranger = Keystead(BearerCredential(client.server, Secret("no-token-at-all")))
    with stranger, pytest.raises(SignInRequired) as needed:
        stranger.account.apps.list()
    assert "keystead login" in needed.value.hint


async def test_every_group_of_calls_is_there_for_tasks(tokens: TokenSet, client: Keystead, anyio_backend: str) -> None:
    async with AsyncKeystead(BearerCredential(client.server, tokens.access_token)) as program:
        name = f"tasks of {anyio_backend}"
        made = await program.account.apps.create(name)
        key = await program.account.keys.create(app=name, title="t", expires_in=timedelta(minutes=1))
        issued.note(key.secret.reveal())
        assert [one.id for one in await program.account.keys.list(name)] == [key.key.id]
        rotated = await program.account.keys.rotate(key.key.id)
        issued.note(rotated.secret.reveal())
        await program.account.keys.delete(rotated.key.id)
        await program.account.apps.delete(made.id)
        token = await program.account.tokens.create()
        issued.note(token.secret.reveal())
        await program.account.tokens.revoke(token.token.id)
        assert (await program.account.balance.get()).organization_id == tokens.organization_id
        assert await program.whoami() == client.whoami()
        assert await program.account.sessions.list() == client.account.sessions.list()
        assert [one.id for one in await program.account.devices.list()] == [
            one.id for one in client.account.devices.list()
        ]
        with pytest.raises(NotFound):
            await program.account.sessions.revoke(NOWHERE)


def test_threads_and_tasks_have_the_same_calls_with_the_same_parameters_and_words(client: Keystead) -> None:
    tasks = AsyncAccountApi(AsyncKeystead(BearerCredential(client.server, Secret("x"))))
    groups = vars(client.account)
    assert groups.keys() == vars(tasks).keys() == {"apps", "keys", "balance", "tokens", "sessions", "devices"}
    for name, group in groups.items():
        calls = {one: call for one, call in inspect.getmembers(group, inspect.ismethod) if not one.startswith("_")}
        assert calls
        for one, call in calls.items():
            other = getattr(getattr(tasks, name), one)
            assert inspect.signature(call) == inspect.signature(other)
            assert call.__doc__ == other.__doc__
            assert inspect.iscoroutinefunction(other)
            assert not inspect.iscoroutinefunction(call)


def test_help_shows_the_result_and_not_the_conversation() -> None:
    shown = str(inspect.signature(AccountApi.__init__.__globals__["Keys"].create))
    assert shown.startswith("(self, *, app: str, title: str, expires_in: datetime.timedelta | None = None)")
    assert shown.endswith("NewApiKey")


def test_members_that_are_not_known_yet_do_no_harm() -> None:
    app = {"app_id": "a", "app_name": "ci", "org_id": "o", "org_name": None, "colour": "green"}
    server = Answering(Told(200, {"apps": [app], "next": None}))
    with server, Keystead(BearerCredential(server.url, Secret("x"))) as program:
        assert [one.name for one in program.account.apps.list()] == ["ci"]
