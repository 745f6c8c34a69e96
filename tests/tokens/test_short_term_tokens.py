"""Short-term tokens: good for a day in every script, and taken back at once when need be."""

import asyncio
import base64
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import bindparam, delete, select, update

from keystead.db import Command, Query
from keystead.db.tables import audit_event, membership, revocation, short_term_token, user
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Method
from keystead.kernel.problems import NotFound
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope
from tests.support.engine import sqlite_of
from tests.tokens.desk import PUBLIC_URL, Desk

TYPES = Query(select(audit_event.c.type).where(audit_event.c.type.like("token:%")).order_by(audit_event.c.id), str)
SUBJECTS = Query(select(revocation.c.subject).order_by(revocation.c.seq), str)
COUNT = Query(select(short_term_token.c.id), str)
LEAVE = Command(delete(membership).where(membership.c.user_id == bindparam("who")))
DISABLE = Command(update(user).where(user.c.id == bindparam("who")).values(disabled_at=1))


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


async def test_a_short_term_token_lives_for_24_hours_to_the_second(desk: Desk) -> None:
    issued = await desk.tokens.issue_short_term(await desk.enrol("ada", Role.OWNER))
    token = issued.token.reveal()
    claims = claims_of(token)
    assert claims["exp"] - claims["iat"] == 86_400
    assert issued.expires_at == claims["exp"]
    desk.clock.advance(86_399)
    assert await desk.tokens.find(token) is not None
    desk.clock.advance(1)
    assert await desk.tokens.find(token) is None


async def test_a_shorter_life_can_be_asked_for_and_a_longer_one_is_cut(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    hour = claims_of((await desk.tokens.issue_short_term(ada, lifetime=3_600)).token.reveal())
    year = claims_of((await desk.tokens.issue_short_term(ada, lifetime=31_536_000)).token.reveal())
    assert hour["exp"] - hour["iat"] == 3_600
    assert year["exp"] - year["iat"] == 86_400


async def test_a_short_term_token_tells_who_it_belongs_to(desk: Desk) -> None:
    mel = await desk.enrol("mel", Role.MEMBER)
    issued = await desk.tokens.issue_short_term(mel)
    principal = await desk.tokens.find(issued.token.reveal())
    assert principal is not None
    assert principal.identity == mel
    assert principal.method is Method.SHORT_TERM_TOKEN
    assert principal.scopes == ROLE_SCOPES[Role.MEMBER] - {Scope.TOKENS_CREATE}
    assert principal.credential_id == issued.id
    assert principal.expires_at == issued.expires_at


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        (PUBLIC_URL, "auth.example.com"),
        ("https://auth.example.com:8443", "auth.example.com:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
async def test_a_client_finds_its_server_from_the_token_alone(desk: Desk, public_url: str, host: str) -> None:
    local = desk.neighbour(public_url=public_url)
    try:
        issued = await local.tokens.issue_short_term(await local.enrol("ada", Role.OWNER))
        assert claims_of(issued.token.reveal())["platform_host"] == host
    finally:
        local.close()


async def test_an_outsider_verifies_a_short_term_token_with_the_rsa_keys_alone(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada)
    keys = KeySet.import_key_set(json.loads(await desk.tokens.platform_keys()))
    token = jwt.decode(issued.token.reveal(), keys, algorithms=["RS256"])
    assert token.header["typ"] == "JWT"
    assert token.claims["sub"] == ada.user_id
    assert token.claims["iss"] == token.claims["aud"] == PUBLIC_URL


async def test_a_revoked_token_is_refused_once_the_revoke_has_returned(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada)
    other = await desk.tokens.issue_short_term(ada)
    await desk.tokens.revoke_short_term(issued.id, ada)
    assert await desk.tokens.find(issued.token.reveal()) is None
    assert await desk.tokens.find(other.token.reveal()) is not None


async def test_every_process_hears_of_a_revoked_token(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada)
    neighbour = desk.neighbour()
    heard: list[str] = []
    neighbour.db.listen(heard.append)
    try:
        await desk.tokens.revoke_short_term(issued.id, ada)
        await neighbour.db.changes()
        assert heard == [f"credential:{issued.id}", "revoked-tokens"]
    finally:
        neighbour.close()


async def test_nobody_revokes_a_token_of_somebody_else(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    eve = await desk.enrol("eve", Role.OWNER, ada.organization_id)
    issued = await desk.tokens.issue_short_term(ada)
    with pytest.raises(NotFound):
        await desk.tokens.revoke_short_term(issued.id, eve)
    assert await desk.tokens.find(issued.token.reveal()) is not None
    assert f"credential:{issued.id}" not in await desk.db.all(SUBJECTS, {})


async def test_revoking_twice_says_that_there_is_no_such_token(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada)
    outcomes = await asyncio.gather(
        *(desk.tokens.revoke_short_term(issued.id, ada) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "NotFound"]


@pytest.mark.parametrize("change", [LEAVE, DISABLE], ids=["left the organization", "was disabled"])
async def test_a_short_term_token_is_refused_once_its_holder_is_gone(desk: Desk, change: Command) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada)
    await desk.run(change, {"who": ada.user_id})
    assert await desk.tokens.find(issued.token.reveal()) is None


async def test_issuing_and_revoking_are_in_the_audit_log(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada, address="192.0.2.1")
    await desk.tokens.revoke_short_term(issued.id, ada, address="192.0.2.1")
    assert await desk.db.all(TYPES, {}) == ["token:create", "token:revoke"]


async def test_a_person_sees_their_own_valid_tokens_and_no_others(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    eve = await desk.enrol("eve", Role.OWNER, ada.organization_id)
    old = await desk.tokens.issue_short_term(ada, lifetime=3_600)
    desk.clock.advance(10)
    new = await desk.tokens.issue_short_term(ada)
    await desk.tokens.issue_short_term(eve)
    assert [token.id for token in await desk.tokens.list_short_term(ada)] == [new.id, old.id]
    desk.clock.advance(3_600)
    assert [token.id for token in await desk.tokens.list_short_term(ada)] == [new.id]


@pytest.mark.sqlite
async def test_the_database_holds_nothing_that_is_a_token(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    short_term = (await desk.tokens.issue_short_term(ada)).token.reveal()
    access = await desk.tokens.issue_access_token(identity=ada, client_id="c", scopes=ALL_SCOPES, grant_id=new_id())
    ids = await desk.db.all(COUNT, {})
    dump = "\n".join(sqlite_of(desk.db)._reads.iterdump())
    for token in (short_term, access.token.reveal()):
        assert token.split(".")[2] not in dump
        assert token.split(".")[1] not in dump
    assert [await desk.tokens.find(token_id) for token_id in ids] == [None]


async def test_tokens_are_masked_wherever_they_are_printed(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    issued = await desk.tokens.issue_short_term(ada)
    signer = await desk.signing.signer((await desk.signing.published())[0].algorithm)
    shown = f"{issued} {issued!r} {signer!r} {desk.signing!r}"
    assert issued.token.reveal() not in shown
    assert issued.token.reveal()[:12] not in shown


async def test_a_token_goes_on_working_when_the_server_has_moved_to_another_address(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    short_term = (await desk.tokens.issue_short_term(ada)).token.reveal()
    access = await desk.tokens.issue_access_token(identity=ada, client_id="c", scopes=ALL_SCOPES, grant_id=new_id())
    moved = desk.neighbour(public_url="https://sign-in.example.com")
    try:
        assert await moved.tokens.find(short_term) is not None
        assert await moved.tokens.find(access.token.reveal()) is not None
    finally:
        moved.close()
