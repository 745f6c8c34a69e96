"""Asking about a token: who may, what they are told, and that what was taken back is seen at once (RFC 7662, V2)."""

from typing import Any, Final

import httpx
import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import user
from keystead.kernel.scopes import Role, format_scopes, stored_scopes
from keystead.oauth.models import AccessTokenKind, TokenSet
from keystead.oauth.surfaces import INTROSPECT
from tests.oauth.test_access_tokens import redeem, refresh
from tests.support import issued
from tests.support.installation import EVERY_SCOPE, PUBLIC_URL, Installation, Person
from tests.wire.shapes import check_refusal

INACTIVE: Final = {"active": False}
ALWAYS: Final = "openid profile email offline_access"
_OPERATES: Final = Command(update(user).where(user.c.id == bindparam("person")).values(platform_admin=1))


async def key_of(house: Installation, username: str) -> str:
    made = await house.services.keys.create_key_for_user(username, "asking")
    issued.note(made.secret.reveal())
    return made.secret.reveal()


async def ask(web: httpx.AsyncClient, credential: str, token: str) -> httpx.Response:
    return await web.post(INTROSPECT, data={"token": token}, headers={"Authorization": f"Bearer {credential}"})


async def told(web: httpx.AsyncClient, credential: str, token: str) -> dict[str, Any]:
    answer = await ask(web, credential, token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


async def short_term(house: Installation, person: Person) -> tuple[str, str]:
    """Return a short-term token and its id."""
    identity = await house.services.accounts.identity(person.id, house.acme)
    assert identity is not None
    made = await house.services.tokens.issue_short_term(identity)
    return made.token.reveal(), made.id


async def other_organization(house: Installation) -> str:
    """Make an organization with somebody in it and return an API key of theirs."""
    await house.services.accounts.create_organization("globex", "Globex")
    await house.services.accounts.create_user(
        username="eve", email="eve@example.com", organization="globex", role=Role.OWNER
    )
    return await key_of(house, "eve")


async def every_token(house: Installation) -> dict[str, str]:
    """Return a good token of ada's of each kind."""
    opaque = await redeem(house)
    signed = await redeem(house, AccessTokenKind.JWT)
    return {
        "opaque": opaque.access_token.reveal(),
        "signed": signed.access_token.reveal(),
        "refresh": signed.refresh_token.reveal(),
        "short-term": (await short_term(house, house.ada))[0],
    }


async def test_each_kind_of_token_is_described_as_it_is(house: Installation, web: httpx.AsyncClient) -> None:
    now, client, key = house.clock.now(), await house.register(), await key_of(house, "bob")
    tokens = await every_token(house)
    found = {kind: await told(web, key, token) for kind, token in tokens.items()}
    whose = {"active": True, "sub": house.ada.id, "iss": PUBLIC_URL, "iat": now}
    without_making = format_scopes(stored_scopes(EVERY_SCOPE.replace("tokens:create ", "")))
    assert found == {
        "opaque": {
            **whose, "client_id": client, "exp": now + 600, "token_type": "Bearer", "aud": [PUBLIC_URL],
            "scope": f"{ALWAYS} {EVERY_SCOPE}",
        },
        "signed": {
            **whose, "client_id": client, "exp": now + 600, "token_type": "Bearer", "aud": [f"{PUBLIC_URL}/account"],
            "scope": EVERY_SCOPE,
        },
        "refresh": {**whose, "client_id": client, "exp": now + 604_800, "aud": [PUBLIC_URL], "scope": EVERY_SCOPE},
        "short-term": {
            **whose, "exp": now + 86_400, "token_type": "Bearer", "aud": [PUBLIC_URL], "scope": without_making,
        },
    }  # fmt: skip


async def test_somebody_of_another_organization_learns_nothing_and_an_operator_everything(
    house: Installation, web: httpx.AsyncClient
) -> None:
    stranger, tokens = await other_organization(house), await every_token(house)
    assert [await told(web, stranger, token) for token in tokens.values()] == [INACTIVE] * 4
    await house.run(_OPERATES, {"person": house.bob.id})
    operator = await key_of(house, "bob")
    globex = await other_token(house)
    assert [(await told(web, operator, token))["active"] for token in (*tokens.values(), globex)] == [True] * 5


async def other_token(house: Installation) -> str:
    """Return a short-term token of another organization's."""
    made = await house.services.accounts.create_organization("initech", "Initech")
    person = await house.services.accounts.create_user(
        username="dan", email="dan@example.com", organization="initech", role=Role.OWNER
    )
    identity = await house.services.accounts.identity(person, made)
    assert identity is not None
    return (await house.services.tokens.issue_short_term(identity)).token.reveal()


async def test_what_was_taken_back_is_seen_at_once(house: Installation, web: httpx.AsyncClient) -> None:
    key, opaque = await key_of(house, "bob"), await redeem(house)
    text, token_id = await short_term(house, house.ada)
    kinds = (opaque.access_token.reveal(), opaque.refresh_token.reveal(), text)
    assert [(await told(web, key, one))["active"] for one in kinds] == [True] * 3
    await house.revoke(opaque.refresh_token.reveal())
    identity = await house.services.accounts.identity(house.ada.id, house.acme)
    assert identity is not None
    await house.services.tokens.revoke_short_term(token_id, identity)
    assert [await told(web, key, one) for one in kinds] == [INACTIVE] * 3


async def test_what_expires_and_what_somebody_left_behind_is_not_active(
    house: Installation, web: httpx.AsyncClient
) -> None:
    tokens, key = await every_token(house), await key_of(house, "bob")
    await house.disable(house.ada)
    assert [await told(web, key, token) for token in tokens.values()] == [INACTIVE] * 4
    await house.disable(house.ada, at=None)
    assert [(await told(web, key, token))["active"] for token in tokens.values()] == [True] * 4
    for seconds, active in ((599, [True] * 4), (1, [False, False, True, True]), (700_000, [False] * 4)):
        house.clock.advance(seconds)
        assert [(await told(web, key, token))["active"] for token in tokens.values()] == active


async def test_asking_about_a_copied_refresh_token_ends_no_sign_in(house: Installation, web: httpx.AsyncClient) -> None:
    key, first = await key_of(house, "bob"), await redeem(house)
    chain: list[TokenSet] = [first]
    for _ in range(4):
        chain.append(await refresh(house, chain[-1]))
        house.clock.advance(61)
    found = [await told(web, key, one.refresh_token.reveal()) for one in chain]
    # The newest, and the one before it, which gives it again to a client that lost the answer (promise R2).
    assert [one["active"] for one in found] == [False, False, False, True, True]
    assert [("iat" in one) for one in found[-2:]] == [False, True]
    assert await house.events("grant:reuse") == []
    assert await house.services.oauth.access.find(chain[-1].access_token.reveal()) is not None


async def test_what_is_no_token_is_not_active(house: Installation, web: httpx.AsyncClient) -> None:
    key, tokens = await key_of(house, "ada"), await every_token(house)
    changed = [token[:-2] + ("AA" if token[-2:] != "AA" else "BB") for token in tokens.values()]
    for text in (key, "x", "pwoa_", "pwr_", "eyJ.eyJ.x", "\u20ac", "a b", "kss_" + "x" * 45, *changed, "x" * 9_000):
        assert await told(web, key, text) == INACTIVE


async def test_an_id_token_is_no_token_to_ask_about(house: Installation, web: httpx.AsyncClient) -> None:
    found = await redeem(house)
    assert found.id_token is not None
    assert await told(web, await key_of(house, "ada"), found.id_token.reveal()) == INACTIVE


@pytest.mark.parametrize("kind", ["opaque", "signed", "short-term"])
async def test_a_bearer_token_may_ask_as_well_and_nobody_else(
    house: Installation, web: httpx.AsyncClient, kind: str
) -> None:
    tokens = await every_token(house)
    assert (await told(web, tokens[kind], tokens["opaque"]))["active"]
    basic = await web.post(INTROSPECT, data={"token": "x"}, auth=(await key_of(house, "ada"), ""))
    assert (basic.status_code, basic.json()) == (200, INACTIVE)
    for refused in (
        await web.post(INTROSPECT, data={"token": tokens["opaque"]}),
        await ask(web, tokens["refresh"], tokens["opaque"]),
        await ask(web, "x", tokens["opaque"]),
    ):
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"]
        check_refusal(refused)


async def test_a_question_without_a_token_is_malformed(house: Installation, web: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {await key_of(house, 'ada')}"}
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    for content in ("", "token=", "token=a&token=b", "token=a%00", "token_type_hint=x"):
        answer = await web.post(INTROSPECT, content=content, headers=form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        check_refusal(answer)
    assert (await web.post(INTROSPECT, json={"token": "x"}, headers=headers)).status_code == 415
