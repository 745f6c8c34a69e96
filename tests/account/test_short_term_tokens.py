"""Short-term tokens that are made over the Account API: they can do no more than their maker and end with its grant."""

import asyncio
import base64
import json
from typing import Any

import pytest
from sqlalchemy import select

from keystead.db import Query
from keystead.db.tables import revoked_token, short_term_token
from keystead.kernel.ids import new_id
from keystead.kernel.problems import CredentialNotAllowed
from keystead.kernel.scopes import ROLE_SCOPES, Role, Scope, format_scopes, parse_scopes
from keystead.oauth.models import TokenSet
from keystead.tokens.derived import MOST_OF_A_GRANT
from tests.account.nodes import Node, open_node
from tests.oauth.conftest import Open
from tests.support.installation import EVERY_SCOPE

DAY = 86_400
REVOKED = Query(select(revoked_token.c.id), str)
KEPT = Query(select(short_term_token.c.id), str)
OWN = "tokens:read tokens:create tokens:delete"


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


async def granted(node: Node, scope: str = EVERY_SCOPE) -> TokenSet:
    return await node.house.sign_in(scope=scope)


async def made_by(node: Node, tokens: TokenSet) -> tuple[str, str]:
    return await node.short_term_token(tokens.access_token.reveal())


async def sign_out(node: Node, tokens: TokenSet) -> None:
    await node.house.revoke(tokens.refresh_token.reveal())


async def copy_of_a_token_comes_back(node: Node, tokens: TokenSet) -> None:
    stolen = tokens.refresh_token.reveal()
    newest = stolen
    for _ in range(3):
        newest = (await node.house.refresh(newest)).refresh_token.reveal()
    form = {"grant_type": "refresh_token", "refresh_token": stolen}
    answer = await node.http.post("/getServiceKeys/token", data=form)
    assert answer.json()["error"] == "invalid_grant"


async def device_is_signed_out(node: Node, tokens: TokenSet) -> None:
    access_token = tokens.access_token.reveal()
    devices = (await node.call("GET", "/devices", access_token)).json()["devices"]
    (current,) = [device["device_id"] for device in devices if device["current"]]
    assert (await node.call("DELETE", f"/devices/{current}", access_token)).status_code == 200


async def client_is_deleted(node: Node, tokens: TokenSet) -> None:
    client_id = claims_of(tokens.access_token.reveal())["client_id"]
    await node.house.services.oauth.clients.delete(client_id)


ENDINGS = [sign_out, copy_of_a_token_comes_back, device_is_signed_out, client_is_deleted]


# What it can do


async def test_a_token_has_the_scopes_of_its_maker_but_the_one_to_make_another(here: Node) -> None:
    _, token = await made_by(here, await granted(here, "keys:read apps:create tokens:create"))
    principal = await here.house.services.tokens.find(token)
    assert principal is not None
    assert principal.scopes == {Scope.KEYS_READ, Scope.APPS_CREATE}
    assert claims_of(token)["scope"] == "keys:read apps:create"
    assert (await here.call("GET", "/keys", token)).status_code == 200
    assert (await here.call("POST", "/apps", token, {"app_name": "a"})).status_code == 200
    for method, path in (("GET", "/balance"), ("GET", "/apps"), ("GET", "/tokens"), ("GET", "/devices")):
        assert (await here.call(method, path, token)).status_code == 403


async def test_a_token_whose_maker_can_do_nothing_else_can_do_nothing(here: Node) -> None:
    _, token = await made_by(here, await granted(here, "tokens:create"))
    principal = await here.house.services.tokens.find(token)
    assert principal is not None
    assert principal.scopes == frozenset()
    assert claims_of(token)["scope"] == ""
    assert await here.check(token) == 200
    paths = ("/keys", "/apps", "/balance", "/tokens", "/sessions", "/devices")
    assert [(await here.call("GET", path, token)).status_code for path in paths] == [403] * 6


async def test_a_token_made_with_a_narrowed_access_token_is_as_narrow(here: Node) -> None:
    tokens = await granted(here)
    narrow = await here.house.refresh(tokens.refresh_token.reveal(), scope="tokens:create balance:read")
    _, token = await made_by(here, narrow)
    principal = await here.house.services.tokens.find(token)
    assert principal is not None
    assert principal.scopes == {Scope.BALANCE_READ}


@pytest.mark.parametrize("role", Role)
async def test_a_token_follows_its_owners_role_down_and_never_up(here: Node, role: Role) -> None:
    _, token = await made_by(here, await granted(here))
    _, narrow = await made_by(here, await granted(here, "tokens:create apps:read"))
    await here.house.set_role(here.house.ada, role)
    found = [await here.house.services.tokens.find(one) for one in (token, narrow)]
    assert [one.scopes if one else None for one in found] == [
        ROLE_SCOPES[role] - {Scope.TOKENS_CREATE},
        {Scope.APPS_READ},
    ]


async def test_no_token_makes_another_one_however_it_came_to_be(here: Node) -> None:
    _, derived = await made_by(here, await granted(here))
    identity = await here.house.services.accounts.first_identity("ada")
    operators = (await here.house.services.tokens.issue_short_term(identity)).token.reveal()
    kept = await here.house.db.all(KEPT, {})
    for token in (derived, operators):
        answer = await here.call("POST", "/tokens", token)
        assert (answer.status_code, list(answer.json())) == (403, ["detail"])
        principal = await here.house.services.tokens.find(token)
        assert principal is not None
        with pytest.raises(CredentialNotAllowed):
            await here.house.services.tokens.issue_derived(principal)
    assert await here.house.db.all(KEPT, {}) == kept


async def test_an_access_token_without_the_scope_makes_none(here: Node) -> None:
    token = await here.access_token(format_scopes(parse_scopes(EVERY_SCOPE) - {Scope.TOKENS_CREATE}))
    answer = await here.call("POST", "/tokens", token)
    assert answer.status_code == 403
    assert "tokens:create" in answer.json()["detail"]
    assert await here.house.db.all(KEPT, {}) == []


# How long it lives


async def test_a_token_lives_for_a_day_to_the_second_and_is_shown_once(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    tokens = await granted(here)
    made = await here.call("POST", "/tokens", tokens.access_token.reveal())
    token = made.json().pop("raw_token")
    now = here.house.clock.now()
    assert made.headers["cache-control"] == "no-store"
    assert claims_of(token)["exp"] == made.json()["expires_at"] == now + DAY
    listed = await here.call("GET", "/tokens", tokens.access_token.reveal())
    assert listed.json() == {
        "tokens": [{"token_id": made.json()["token_id"], "created_at": now, "expires_at": now + DAY}]
    }
    assert [await node.check(token) for node in nodes] == [200, 200]
    here.house.clock.advance(DAY - 1)
    assert [await node.check(token) for node in nodes] == [200, 200]
    here.house.clock.advance(1)
    assert [await node.check(token) for node in nodes] == [401, 401]


async def test_a_token_ends_at_the_latest_when_its_grant_does(opened: Open) -> None:
    async with open_node(opened(grant_ttl=3_600)) as node:
        tokens = await granted(node)
        node.house.clock.advance(500)
        made = (await node.call("POST", "/tokens", tokens.access_token.reveal())).json()
        assert made["expires_at"] - made["created_at"] == 3_100
        assert claims_of(made["raw_token"])["exp"] == made["expires_at"]
        node.house.clock.advance(3_100)
        assert await node.check(made["raw_token"]) == 401


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
async def test_whatever_ends_a_grant_ends_its_tokens_at_once_on_every_node(
    nodes: tuple[Node, Node], ending: Any
) -> None:
    here, there = nodes
    tokens = await granted(here)
    mine = [await made_by(node, tokens) for node in nodes]
    assert [await node.check(token) for node in nodes for _, token in mine] == [200] * 4
    await ending(there, tokens)
    assert [await node.check(token) for node in nodes for _, token in mine] == [401] * 4
    assert await here.house.db.all(KEPT, {}) == []


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
async def test_offline_verifiers_are_told_of_every_token_that_ended_with_its_grant(here: Node, ending: Any) -> None:
    tokens = await granted(here)
    ids = sorted([(await made_by(here, tokens))[0] for _ in range(3)])
    await ending(here, tokens)
    assert sorted(await here.house.db.all(REVOKED, {})) == ids
    answer = await here.http.get("/.well-known/revocations?wait=0")
    assert sorted(jti for jti, _ in claims_of(answer.text)["revoked"]) == ids


async def test_what_another_sign_in_or_the_operator_made_goes_on(here: Node) -> None:
    tokens, other = await granted(here), await here.house.sign_in(await here.house.register("another"))
    identity = await here.house.services.accounts.first_identity("ada")
    operators = (await here.house.services.tokens.issue_short_term(identity)).token.reveal()
    (_, ended), (_, others) = await made_by(here, tokens), await made_by(here, other)
    await sign_out(here, tokens)
    assert [await here.check(token) for token in (ended, others, operators)] == [401, 200, 200]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
async def test_an_access_token_that_outlives_its_grant_makes_nothing_that_lives_longer(
    nodes: tuple[Node, Node], ending: Any
) -> None:
    here, there = nodes
    tokens = await granted(here)
    await ending(here, tokens)
    for node in nodes:
        assert await node.check(tokens.access_token.reveal()) == 200
        answer = await node.call("POST", "/tokens", tokens.access_token.reveal())
        assert (answer.status_code, answer.json()["detail"]) == (
            401,
            "The sign-in behind this token has ended. Sign in again.",
        )
    assert await there.house.db.all(KEPT, {}) == []


async def test_a_sign_out_amid_the_making_of_tokens_leaves_none_that_works(nodes: tuple[Node, Node]) -> None:
    for _ in range(5):
        tokens = await granted(nodes[0])
        access_token = tokens.access_token.reveal()
        ending = asyncio.create_task(sign_out(nodes[1], tokens))
        made = await asyncio.gather(*(node.call("POST", "/tokens", access_token) for _ in range(6) for node in nodes))
        await ending
        assert {answer.status_code for answer in made} <= {200, 401}
        for answer in made:
            if answer.status_code == 200:
                assert [await node.check(answer.json()["raw_token"]) for node in nodes] == [401, 401]
    assert await nodes[0].house.db.all(KEPT, {}) == []


async def test_a_sign_in_makes_so_many_tokens_a_day_however_many_of_them_it_revokes(here: Node) -> None:
    tokens = await granted(here)
    access_token = tokens.access_token.reveal()
    ids = [(await made_by(here, tokens))[0] for _ in range(MOST_OF_A_GRANT)]
    assert (await here.call("POST", "/tokens", access_token)).status_code == 409
    for token_id in ids[:50]:
        assert (await here.call("DELETE", f"/tokens/{token_id}", access_token)).status_code == 200
    assert (await here.call("POST", "/tokens", access_token)).status_code == 409
    other = await granted(here, OWN)
    assert (await here.call("POST", "/tokens", other.access_token.reveal())).status_code == 200
    here.house.clock.advance(DAY)
    later = (await here.house.refresh(tokens.refresh_token.reveal())).access_token.reveal()
    assert (await here.call("POST", "/tokens", later)).status_code == 200


# Whose it is


async def test_everybody_sees_and_revokes_their_own_tokens_and_no_others(here: Node) -> None:
    house = here.house
    ada, bob = await granted(here), await house.sign_in(person=house.bob)
    (adas, _), (bobs, bobs_token) = await made_by(here, ada), await made_by(here, bob)
    for tokens, own in ((ada, adas), (bob, bobs)):
        listed = (await here.call("GET", "/tokens", tokens.access_token.reveal())).json()["tokens"]
        assert [one["token_id"] for one in listed] == [own]
    strange = [await here.call("DELETE", f"/tokens/{one}", ada.access_token.reveal()) for one in (bobs, new_id())]
    assert [(one.status_code, one.json()) for one in strange] == [
        (404, {"detail": "You have no short-term token with this id."})
    ] * 2
    assert await here.check(bobs_token) == 200
    assert await house.db.all(REVOKED, {}) == []


async def test_a_token_of_ones_own_in_another_organization_is_out_of_reach(here: Node) -> None:
    elsewhere = await here.house.services.tokens.issue_short_term(await here.elsewhere())
    token = await here.access_token(OWN)
    assert (await here.call("GET", "/tokens", token)).json() == {"tokens": []}
    assert (await here.call("DELETE", f"/tokens/{elsewhere.id}", token)).status_code == 404
    assert await here.check(elsewhere.token.reveal()) == 200


async def test_a_token_that_is_revoked_is_refused_at_once_on_every_node(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    access_token = await here.access_token(OWN)
    token_id, token = await here.short_term_token(access_token)
    assert [await node.check(token) for node in nodes] == [200, 200]
    assert (await there.call("DELETE", f"/tokens/{token_id}", access_token)).json() == {"deleted": True}
    assert [await node.check(token) for node in nodes] == [401, 401]
    assert (await here.call("DELETE", f"/tokens/{token_id}", access_token)).status_code == 404


async def test_the_audit_log_tells_what_a_token_may_do_and_how_many_ended_with_a_grant(here: Node) -> None:
    tokens = await granted(here, "keys:read tokens:create")
    token_id, token = await made_by(here, tokens)
    await sign_out(here, tokens)
    (made,), (ended,) = await here.house.events("token:create"), await here.house.events("grant:revoke")
    assert (made.actor_id, made.target) == (here.house.ada.id, token_id)
    assert (json.loads(made.detail)["scope"], json.loads(made.detail)["grant_id"]) == ("keys:read", ended.target)
    assert json.loads(ended.detail)["tokens"] == 1
    assert token[-12:] not in made.detail
