"""Requests for the list of revoked tokens that are held: woken by a revocation, and by nothing else (promise V2)."""

import asyncio

import pytest

from keystead.db import Transaction
from keystead.tokens.followers import PACE
from keystead.tokens.revocations import MOST_COUNTED, TRUSTED
from tests.support.engine import sqlite_of
from tests.tokens.desk import Desk
from tests.tokens.following import (
    LONG,
    SOON,
    ask,
    feed_of,
    follow,
    held,
    issue,
    neighbour_of,
    row_of,
    take_back,
    verifier_of,
)


async def test_a_held_request_is_answered_when_a_token_is_taken_back(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    ada, issued = await issue(desk)
    await ask(desk, verifier)
    asking = asyncio.create_task(ask(desk, verifier, LONG))
    await held(desk.revocations)
    await desk.tokens.revoke_short_term(issued.id, ada)
    async with asyncio.timeout(SOON):
        assert await asking == {issued.id}
    assert len(desk.revocations.followers) == 0


async def test_a_held_request_is_answered_when_another_process_takes_a_token_back(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    ada, issued = await issue(desk)
    await ask(desk, verifier)
    asking = asyncio.create_task(ask(desk, verifier, LONG))
    await held(desk.revocations)
    with neighbour_of(desk) as neighbour:
        await neighbour.tokens.revoke_short_term(issued.id, ada)
        async with asyncio.timeout(SOON):
            assert await asking == {issued.id}


async def test_a_request_is_not_held_for_longer_than_it_asks_for_and_the_answer_is_a_heartbeat(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    desk.clock.advance(20)
    async with asyncio.timeout(SOON):
        assert await ask(desk, verifier, 0.05) == set()
    assert verifier.trusted_until == desk.clock.now() + TRUSTED


async def test_other_changes_wake_nobody(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    asking = asyncio.create_task(ask(desk, verifier, LONG))
    await held(desk.revocations)

    async def work(tx: Transaction) -> None:
        await tx.announce("signing-keys")

    await desk.db.write(work)
    await desk.db.changes()
    await asyncio.sleep(0)
    assert not asking.done()
    desk.revocations.close()
    await asking


async def test_a_node_that_does_not_know_what_it_missed_looks_and_holds_on(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    asking = asyncio.create_task(ask(desk, verifier, LONG))
    await held(desk.revocations)
    desk.revocations.followers.hear("*")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    row = row_of(desk)
    await take_back(desk, row)
    async with asyncio.timeout(SOON):
        assert await asking == {row.id}


async def test_a_client_that_goes_away_leaves_its_place_at_once_and_gets_nothing(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    gone = asyncio.Event()
    asking = asyncio.create_task(desk.revocations.answer(verifier.following, LONG, gone))
    await held(desk.revocations)
    gone.set()
    async with asyncio.timeout(SOON):
        assert await asking == b""
    assert len(desk.revocations.followers) == 0


async def test_a_server_that_stops_answers_whom_it_holds_and_holds_nobody_more(desk: Desk) -> None:
    one, other = await verifier_of(desk), await verifier_of(desk)
    await ask(desk, one)
    await ask(desk, other)
    asking = asyncio.create_task(ask(desk, one, LONG))
    await held(desk.revocations)
    desk.revocations.close()
    async with asyncio.timeout(SOON):
        assert await asking == set()
        assert await ask(desk, other, LONG) == set()


async def test_whoever_finds_no_place_is_answered_at_once(desk: Desk) -> None:
    feed = feed_of(desk, most_held=1)
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    asking = asyncio.create_task(feed.answer(verifier.following, LONG, asyncio.Event()))
    await held(feed)
    async with asyncio.timeout(SOON):
        verifier.take(await feed.answer(verifier.following, LONG, asyncio.Event()), desk.clock.now())
    assert verifier.answers[-1]["revoked"] == []
    feed.close()
    await asking


@pytest.mark.sqlite
async def test_many_who_wait_for_the_same_cost_one_look(desk: Desk) -> None:
    verifiers = [await verifier_of(desk) for _ in range(50)]
    for verifier in verifiers:
        await ask(desk, verifier)
    asking = [asyncio.create_task(ask(desk, verifier, LONG)) for verifier in verifiers]
    await held(desk.revocations, 50)
    statements: list[str] = []
    sqlite_of(desk.db)._reads.set_trace_callback(lambda sql: statements.append(sql) if "revoked_token" in sql else None)
    row = row_of(desk)
    await take_back(desk, row)
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*asking) == [{row.id}] * 50
    sqlite_of(desk.db)._reads.set_trace_callback(None)
    assert len(statements) <= 6  # a count, a count and a page, and that once more if the second changed meanwhile


async def test_a_storm_is_told_four_times_a_second_and_whole(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    started = asyncio.get_running_loop().time()
    rows = [row_of(desk) for _ in range(200)]

    async def storm() -> None:
        for row in rows:
            await take_back(desk, row)

    storming = asyncio.create_task(storm())
    while len(verifier.revoked) < len(rows):
        async with asyncio.timeout(SOON):
            await ask(desk, verifier, LONG)
    await storming
    assert set(verifier.revoked) == {row.id for row in rows}
    paced = (asyncio.get_running_loop().time() - started) / PACE
    assert len(verifier.answers) - 1 <= paced + 2


async def test_more_rows_than_are_counted_still_wake_whoever_waits(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await take_back(desk, *(row_of(desk) for _ in range(MOST_COUNTED)))
    await follow(desk, verifier)
    asking = asyncio.create_task(ask(desk, verifier, LONG))
    await held(desk.revocations)
    row = row_of(desk)
    await take_back(desk, row)
    async with asyncio.timeout(SOON):
        await asking
    await follow(desk, verifier)
    assert row.id in verifier.revoked
