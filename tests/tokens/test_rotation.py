"""Signing keys: published before they sign, kept after they signed, one of each kind however many ask (promise J2)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from keystead.db import Command, Query
from keystead.db.installation import open_installation
from keystead.db.master_secret import InstallationError
from keystead.db.tables import audit_event, signing_key
from keystead.kernel.ids import new_id
from keystead.kernel.scopes import ALL_SCOPES, Role
from keystead.kernel.secrets import Secret
from keystead.tokens.models import Algorithm, SigningKeyRow
from keystead.tokens.rules import remove_at
from keystead.tokens.signing import UnreadableSigningKey
from tests.support.engine import sqlite_of
from tests.tokens.desk import Desk, open_desk

ROWS = Query(select(signing_key).order_by(signing_key.c.signs_until), SigningKeyRow)
AUDITED = Query(select(audit_event.c.type).where(audit_event.c.type == "signing-key:create"), str)


async def rows_of(desk: Desk, algorithm: Algorithm) -> list[SigningKeyRow]:
    return [row for row in await desk.db.all(ROWS, {}) if row.alg == algorithm]


async def published(desk: Desk) -> set[str]:
    return {key["kid"] for key in json.loads(await desk.tokens.jwks())["keys"]}


async def test_the_very_first_key_of_each_algorithm_signs_at_once(fresh: Desk) -> None:
    await fresh.signing.ensure()
    for algorithm in Algorithm:
        signer = await fresh.signing.signer(algorithm)
        assert signer.row.signs_from == fresh.clock.now()
        assert signer.row.signs_until == fresh.clock.now() + fresh.settings.signing_key_ttl


async def test_nothing_is_made_while_nothing_is_due(desk: Desk) -> None:
    before = await desk.db.all(ROWS, {})
    desk.clock.advance(desk.settings.signing_key_ttl - desk.settings.signing_key_lead - 1)
    await desk.signing.ensure()
    assert await desk.db.all(ROWS, {}) == before


async def test_a_new_key_is_published_for_the_whole_lead_before_it_signs(desk: Desk) -> None:
    first = await desk.signing.signer(Algorithm.ACCESS)
    desk.clock.advance(desk.settings.signing_key_ttl - desk.settings.signing_key_lead)
    await desk.signing.ensure()
    second = (await rows_of(desk, Algorithm.ACCESS))[-1]

    assert second.kid != first.row.kid
    assert second.kid in await published(desk)
    assert second.signs_from - second.created_at == desk.settings.signing_key_lead
    desk.clock.advance(desk.settings.signing_key_lead - 1)
    assert (await desk.signing.signer(Algorithm.ACCESS)).row.kid == first.row.kid
    desk.clock.advance(1)
    assert (await desk.signing.signer(Algorithm.ACCESS)).row.kid == second.kid


async def test_a_key_that_is_made_late_still_gets_its_whole_lead_and_the_old_one_signs_meanwhile(desk: Desk) -> None:
    first = await desk.signing.signer(Algorithm.ACCESS)
    desk.clock.advance(desk.settings.signing_key_ttl + 7_200)  # the machine slept past the end of its key
    late = desk.clock.now()
    signer = await desk.signing.signer(Algorithm.ACCESS)

    assert signer.row.kid == first.row.kid
    second = (await rows_of(desk, Algorithm.ACCESS))[-1]
    assert second.signs_from == late + desk.settings.signing_key_lead
    assert signer.row.signs_until == second.signs_from


async def test_the_old_key_stays_published_for_the_longest_tokens_life_after_its_last_signature(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    old = (await desk.signing.signer(Algorithm.SHORT_TERM)).row.kid
    await desk.signing.rotate_now()
    desk.clock.advance(desk.settings.signing_key_lead - 1)
    last = await desk.tokens.issue_short_term(ada)  # the old key's last second
    desk.clock.advance(1)
    assert (await desk.signing.signer(Algorithm.SHORT_TERM)).row.kid != old

    desk.clock.advance(desk.settings.short_term_token_ttl - 2)
    assert old in await published(desk)
    assert await desk.tokens.find(last.token.reveal()) is not None
    desk.clock.advance(120)
    assert old not in await published(desk)


async def test_no_second_of_nine_weeks_is_without_exactly_one_signer(fresh: Desk) -> None:
    await fresh.signing.ensure()
    signed_by = []
    for _ in range(63 * 4):
        fresh.clock.advance(6 * 3_600)
        await fresh.signing.ensure()
        now = fresh.clock.now()
        keys = [key for key in await fresh.signing.published() if key.signs(now)]
        assert sorted(key.algorithm for key in keys) == sorted(Algorithm)
        signed_by.append({key.row.kid for key in keys})
    assert len(set.union(*signed_by)) == 6  # three of each algorithm over nine weeks


async def test_five_processes_that_start_at_once_make_one_key_of_each_algorithm(fresh: Desk) -> None:
    desks = [fresh.neighbour() for _ in range(5)]
    try:
        await asyncio.gather(*(desk.signing.ensure() for desk in desks))
        counts = [len(await rows_of(fresh, algorithm)) for algorithm in Algorithm]
        assert counts == [1, 1]
        assert len({(await desk.signing.signer(Algorithm.ACCESS)).row.kid for desk in desks}) == 1
    finally:
        for desk in desks:
            desk.close()


# Over a wire they do not all look at the same moment; who looks after another has rotated "at once" rotates once more.
@pytest.mark.parametrize("at_once", [False, pytest.param(True, marks=pytest.mark.sqlite)])
async def test_five_processes_that_rotate_at_once_make_one_new_key_of_each_algorithm(desk: Desk, at_once: bool) -> None:
    desks = [desk.neighbour() for _ in range(5)]
    try:
        answers = await asyncio.gather(*(other.signing.rotate_now(at_once=at_once) for other in desks))
        rows = [await rows_of(desk, algorithm) for algorithm in Algorithm]
        assert [len(of_one) for of_one in rows] == [2, 2]
        assert {kid for answer in answers for kid in answer} == {of_one[-1].kid for of_one in rows}
    finally:
        for other in desks:
            other.close()


async def test_every_process_hears_of_a_new_key_before_its_next_use(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    neighbour = desk.neighbour()
    try:
        assert len(await published(neighbour)) == 2
        await desk.signing.rotate_now(at_once=True)
        token = await desk.tokens.issue_short_term(ada)
        await neighbour.db.changes()
        assert len(await published(neighbour)) == 4
        assert await neighbour.tokens.find(token.token.reveal()) is not None
    finally:
        neighbour.close()


async def test_rotating_on_request_signs_after_the_lead_and_a_second_request_waits_for_the_first(desk: Desk) -> None:
    first = await desk.signing.rotate_now()
    assert await desk.signing.rotate_now() == first
    waiting = [row for row in await desk.db.all(ROWS, {}) if row.kid in first]
    assert {row.signs_from for row in waiting} == {desk.clock.now() + desk.settings.signing_key_lead}


async def test_rotating_at_once_signs_at_once_and_refuses_no_token_of_the_old_key(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    old = await desk.tokens.issue_access_token(identity=ada, client_id="c", scopes=ALL_SCOPES, grant_id=new_id())
    await desk.signing.rotate_now()
    fresh = await desk.signing.rotate_now(at_once=True)

    assert (await desk.signing.signer(Algorithm.ACCESS)).row.kid in fresh
    assert await desk.tokens.find(old.token.reveal()) is not None
    desk.clock.advance(desk.settings.signing_key_lead)  # the one that waited for its turn has lost it
    assert (await desk.signing.signer(Algorithm.ACCESS)).row.kid in fresh


async def test_every_new_key_is_in_the_audit_log(desk: Desk) -> None:
    await desk.signing.rotate_now()
    assert len(await desk.db.all(AUDITED, {})) == 4


async def test_no_private_key_is_readable_in_the_database_file(desk: Desk) -> None:
    rows = await desk.db.all(ROWS, {})
    for row in rows:
        assert b"PRIVATE" not in row.sealed_private
        assert set(json.loads(row.public_jwk)).isdisjoint({"d", "p", "q", "dp", "dq", "qi"})


async def test_a_signing_key_sealed_elsewhere_stops_the_start_with_one_sentence(desk: Desk, tmp_path: Path) -> None:
    elsewhere = open_installation(tmp_path / "elsewhere", Secret("x" * 40), desk.clock)
    stranger = desk.neighbour(keys=elsewhere)
    try:
        before = await desk.db.all(ROWS, {})
        with pytest.raises(UnreadableSigningKey, match="cannot be read") as refusal:
            await stranger.signing.ensure()
        assert isinstance(refusal.value, InstallationError)
        assert "\n" not in str(refusal.value)
        assert await desk.db.all(ROWS, {}) == before
    finally:
        stranger.close()


async def test_who_can_only_write_to_the_database_cannot_publish_a_key_of_their_own(desk: Desk) -> None:
    rows = await rows_of(desk, Algorithm.ACCESS)
    forged: dict[str, Any] = {**json.loads(rows[0].public_jwk), "x": "A" * 43}
    change = Command(update(signing_key).where(signing_key.c.kid == rows[0].kid).values(public_jwk=json.dumps(forged)))
    await desk.run(change, {})
    with pytest.raises(UnreadableSigningKey, match="was changed"):
        await desk.signing.ensure()
    assert await rows_of(desk, Algorithm.ACCESS) != rows


@pytest.mark.sqlite
async def test_which_key_signs_is_decided_without_a_query(desk: Desk) -> None:
    await desk.signing.rotate_now()
    await desk.tokens.jwks()
    statements: list[str] = []
    sqlite_of(desk.db)._reads.set_trace_callback(statements.append)
    desk.clock.advance(desk.settings.signing_key_lead)
    await desk.signing.signer(Algorithm.ACCESS)
    assert statements == []
    await desk.tokens.jwks()
    assert set(statements) == {"PRAGMA data_version"}


async def test_keys_that_another_process_made_are_published_at_the_next_request(desk: Desk) -> None:
    before = await desk.tokens.jwks()
    desk.db.listen(lambda _: desk.signing.forget())
    neighbour = desk.neighbour()
    try:
        kids = await neighbour.signing.rotate_now()
    finally:
        neighbour.close()
    published = await desk.tokens.jwks()
    assert all(kid.encode() in published and kid.encode() not in before for kid in kids)


async def test_making_keys_leaves_the_event_loop_free(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "busy")
    turns = 0
    try:
        making = asyncio.create_task(desk.signing.ensure())
        while not making.done():
            await asyncio.sleep(0.001)
            turns += 1
        await making
        assert turns >= 5
    finally:
        desk.close()


async def test_a_key_that_has_left_verifies_nothing_any_more(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    patient = desk.neighbour(access_token_ttl=10**9)  # no setting allows it: a token that would outlive its key
    try:
        issued = await patient.tokens.issue_access_token(
            identity=ada, client_id="c", scopes=ALL_SCOPES, grant_id=new_id()
        )
        old = await desk.signing.signer(Algorithm.ACCESS)
        await desk.signing.rotate_now(at_once=True)
        await desk.tokens.jwks()
        desk.clock.advance(remove_at(desk.clock.now()) - desk.clock.now() - 1)
        assert await desk.tokens.find(issued.token.reveal()) is not None
        desk.clock.advance(1)
        assert await desk.tokens.find(issued.token.reveal()) is None
        assert old.row.kid not in await published(desk)
    finally:
        patient.close()
