"""Access tokens: what is in them, how long they are good, and what a person may do with one (RFC 9068)."""

import base64
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet
from sqlalchemy import bindparam, delete, update

from keystead.db import Command
from keystead.db.tables import membership, user
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity, Method
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope, Scopes, parse_scopes
from keystead.oauth.client_ids import LONGEST_NAME, Description, client_id_of
from keystead.tokens.rules import packed_id
from tests.support.device import CLI_SCOPE
from tests.support.engine import sqlite_of
from tests.tokens.desk import PUBLIC_URL, Desk, as_role

GRANT = new_id()
CLIENT = "kc_" + "A" * 56

SET_ROLE = Command(update(membership).where(membership.c.user_id == bindparam("who")).values(role=bindparam("new")))
LEAVE = Command(delete(membership).where(membership.c.user_id == bindparam("who")))
DISABLE = Command(update(user).where(user.c.id == bindparam("who")).values(disabled_at=1))


async def issue(desk: Desk, identity: Identity, *scopes: Scope) -> str:
    issued = await desk.tokens.issue_access_token(
        identity=identity, client_id=CLIENT, scopes=frozenset(scopes) or ALL_SCOPES, grant_id=GRANT
    )
    assert issued.expires_in == desk.settings.access_token_ttl
    return issued.token.reveal()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims)


async def test_an_access_token_follows_the_profile_of_rfc_9068(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    header, claims = parts(await issue(desk, ada, Scope.KEYS_READ, Scope.BALANCE_ADD))
    now = desk.clock.now()
    assert header.pop("kid")
    assert header == {"typ": "at+jwt", "alg": "ES256"}
    assert claims.pop("jti")
    assert claims == {
        "iss": PUBLIC_URL,
        "sub": ada.user_id,
        "aud": f"{PUBLIC_URL}/account",
        "exp": now + 600,
        "iat": now,
        "client_id": CLIENT,
        "scope": "keys:read balance:add",
        "org_id": ada.organization_id,
        "grant_id": packed_id(GRANT),
    }


async def test_an_access_token_tells_who_it_belongs_to(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    token = await issue(desk, ada, Scope.KEYS_READ)
    principal = await desk.tokens.find(token)
    assert principal is not None
    assert principal.identity == ada
    assert principal.method is Method.ACCESS_TOKEN
    assert principal.scopes == {Scope.KEYS_READ}
    assert principal.credential_id == parts(token)[1]["jti"]
    assert principal.grant_id == GRANT
    assert principal.expires_at == desk.clock.now() + desk.settings.access_token_ttl


@pytest.mark.parametrize(
    ("name", "scopes"),
    [(36, ALL_SCOPES), (LONGEST_NAME, parse_scopes(CLI_SCOPE))],
    ids=["every scope", "the longest name"],
)
async def test_an_access_token_has_at_most_1024_characters(desk: Desk, name: int, scopes: Scopes) -> None:
    desk = desk.neighbour(public_url="https://" + "sign-in.department.example.org".rjust(40, "x"))
    try:
        ada = await desk.enrol("ada", Role.OWNER)
        described = Description("n" * name, "FreeBSD", "aarch64")
        client_id = client_id_of(bytes(32), described, 1)
        issued = await desk.tokens.issue_access_token(identity=ada, client_id=client_id, scopes=scopes, grant_id=GRANT)
        assert len(issued.token.reveal()) <= 1_024
    finally:
        desk.close()


async def test_an_outsider_verifies_an_access_token_with_the_published_keys(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    await desk.signing.rotate_now()
    token = await issue(desk, ada)
    keys = KeySet.import_key_set(json.loads(await desk.tokens.jwks()))
    payload = jws.deserialize_compact(token, keys, algorithms=["ES256"]).payload
    assert json.loads(payload)["sub"] == ada.user_id


async def test_an_access_token_is_good_until_its_expiry_to_the_second(desk: Desk) -> None:
    token = await issue(desk, await desk.enrol("ada", Role.OWNER))
    desk.clock.advance(desk.settings.access_token_ttl - 1)
    assert await desk.tokens.find(token) is not None
    desk.clock.advance(1)
    assert await desk.tokens.find(token) is None


async def test_a_token_from_a_clock_that_is_ahead_is_accepted_all_the_same(desk: Desk) -> None:
    token = await issue(desk, await desk.enrol("ada", Role.OWNER))
    desk.clock.advance(-60)
    assert await desk.tokens.find(token) is not None


async def test_two_access_tokens_are_never_the_same(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    assert await issue(desk, ada) != await issue(desk, ada)


@pytest.mark.parametrize("role", list(Role))
async def test_a_token_can_do_no_more_than_its_holders_role_allows_now(desk: Desk, role: Role) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    token = await issue(desk, ada)
    await desk.run(SET_ROLE, {"who": ada.user_id, "new": role.value})
    principal = await desk.tokens.find(token)
    assert principal is not None
    assert principal.identity == as_role(ada, role)
    assert principal.scopes == ROLE_SCOPES[role]


async def test_a_promotion_gives_a_token_no_scope_that_it_was_not_given(desk: Desk) -> None:
    mel = await desk.enrol("mel", Role.MEMBER)
    token = await issue(desk, mel, Scope.APPS_READ)
    await desk.run(SET_ROLE, {"who": mel.user_id, "new": "owner"})
    principal = await desk.tokens.find(token)
    assert principal is not None
    assert principal.scopes == {Scope.APPS_READ}


@pytest.mark.parametrize("change", [LEAVE, DISABLE], ids=["left the organization", "was disabled"])
async def test_a_token_is_refused_once_its_holder_is_gone(desk: Desk, change: Command) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    token = await issue(desk, ada)
    await desk.run(change, {"who": ada.user_id})
    assert await desk.tokens.find(token) is None


@pytest.mark.sqlite
async def test_issuing_and_checking_access_tokens_writes_nothing(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    await issue(desk, ada)
    version = sqlite_of(desk.db)._reads.execute("PRAGMA data_version").fetchone()
    for _ in range(20):
        assert await desk.tokens.find(await issue(desk, ada)) is not None
    assert sqlite_of(desk.db)._reads.execute("PRAGMA data_version").fetchone() == version
