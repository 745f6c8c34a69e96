"""The list of revoked tokens: who follows it hears of every one, whatever the clocks and commits do (promise V2)."""

import asyncio

import pytest
from sqlalchemy import select

from keystead.db import Query
from keystead.db.tables import revoked_token
from keystead.kernel.problems import NotFound
from keystead.tokens.cursors import OLDEST, OVERLAP
from keystead.tokens.models import RevokedToken
from keystead.tokens.revocations import MOST_IDS, TRUSTED
from tests.tokens.desk import PUBLIC_URL, Desk
from tests.tokens.following import LONG, SOON, ask, feed_of, follow, issue, row_of, take_back, verifier_of
from tests.tokens.verifier import RefusedAnswer

ROWS = Query(select(revoked_token.c.id, revoked_token.c.revoked_at, revoked_token.c.expires_at), RevokedToken)


# What is told


async def test_a_verifier_refuses_a_token_once_it_has_heard_that_it_was_taken_back(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    ada, issued = await issue(desk)
    _, other = await issue(desk)
    await ask(desk, verifier)
    assert verifier.accepts(issued.token.reveal(), desk.clock.now())
    await desk.tokens.revoke_short_term(issued.id, ada)
    assert await ask(desk, verifier) == {issued.id}
    assert not verifier.accepts(issued.token.reveal(), desk.clock.now())
    assert verifier.accepts(other.token.reveal(), desk.clock.now())


async def test_the_first_answer_is_the_whole_list_and_the_next_one_is_not(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    rows = [row_of(desk, ago=ago) for ago in (80_000, 3_000, OVERLAP)]
    await take_back(desk, *rows)
    assert await ask(desk, verifier) == {row.id for row in rows}
    assert await ask(desk, verifier) == set()
    assert [claims["full"] for claims in verifier.answers] == [True, False]


async def test_an_answer_says_who_gave_it_and_for_how_long_it_may_be_trusted(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await ask(desk, verifier)
    (claims,) = verifier.answers
    assert claims.keys() == {"iss", "iat", "exp", "after", "full", "revoked", "more", "next"}
    assert (claims["iss"], claims["iat"], claims["exp"]) == (PUBLIC_URL, desk.clock.now(), desk.clock.now() + TRUSTED)


async def test_nothing_is_accepted_from_a_list_that_is_too_old(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    _, issued = await issue(desk)
    await ask(desk, verifier)
    desk.clock.advance(TRUSTED + 59)
    assert verifier.accepts(issued.token.reveal(), desk.clock.now())
    desk.clock.advance(1)
    assert not verifier.accepts(issued.token.reveal(), desk.clock.now())


async def test_an_answer_to_another_question_is_seen_to_be_one(desk: Desk) -> None:
    one, other = await verifier_of(desk), await verifier_of(desk)
    await ask(desk, one)
    desk.clock.advance(1)
    await ask(desk, other)
    theirs = await desk.revocations.answer(other.following, 0, asyncio.Event())
    with pytest.raises(RefusedAnswer):
        one.take(theirs, desk.clock.now())
    assert other.take(theirs, desk.clock.now())["revoked"] == []


async def test_the_list_is_no_token(desk: Desk) -> None:
    answer = await desk.revocations.answer("", 0, asyncio.Event())
    assert await desk.tokens.find(answer.decode()) is None


@pytest.mark.sqlite
async def test_a_token_is_told_of_until_two_minutes_after_it_expired(desk: Desk) -> None:
    row = row_of(desk, expires_in=100)
    await take_back(desk, row)
    desk.clock.advance(220)
    assert await ask(desk, await verifier_of(desk)) == {row.id}
    desk.clock.advance(1)
    assert await ask(desk, await verifier_of(desk)) == set()
    await take_back(desk, row_of(desk))  # each write takes a bite out of what has expired
    for _ in range(20):
        await take_back(desk)
    assert row.id not in {kept.id for kept in await desk.db.all(ROWS, {})}


async def test_a_token_that_is_taken_back_twice_is_one_row(desk: Desk) -> None:
    ada, issued = await issue(desk)
    await desk.tokens.revoke_short_term(issued.id, ada)
    with pytest.raises(NotFound):
        await desk.tokens.revoke_short_term(issued.id, ada)
    assert await desk.db.all(ROWS, {}) == [RevokedToken(issued.id, desk.clock.now(), issued.expires_at)]


# Pages


async def test_a_long_list_comes_in_pages_that_tell_every_id_once(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    same_second = [row_of(desk, ago=500) for _ in range(MOST_IDS + 500)]
    others = [row_of(desk, ago=ago) for ago in range(200, 700)]
    await take_back(desk, *same_second, *others)
    told = await follow(desk, verifier)
    assert told == {row.id for row in [*same_second, *others]}
    assert len(verifier.told) == len(told)
    assert [(claims["full"], claims["more"]) for claims in verifier.answers] == [(True, True), (False, False)]
    assert len(verifier.answers[0]["revoked"]) == MOST_IDS


async def test_a_page_that_is_one_of_many_is_never_held(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await take_back(desk, *(row_of(desk, ago=500) for _ in range(MOST_IDS)))
    await ask(desk, verifier)
    assert verifier.answers[-1]["more"]
    async with asyncio.timeout(SOON):
        assert await ask(desk, verifier, LONG) == set()
    assert not verifier.answers[-1]["more"]


async def test_a_row_that_the_pages_have_passed_is_told_by_the_answer_after_them(desk: Desk) -> None:
    small = feed_of(desk, most_ids=2)
    verifier = await verifier_of(desk)

    async def page() -> None:
        verifier.take(await small.answer(verifier.following, 0, asyncio.Event()), desk.clock.now())

    await take_back(desk, *(row_of(desk, ago=ago) for ago in (4, 3, 2, 1)))
    await page()
    late = row_of(desk, ago=10)
    desk.clock.advance(5)
    await take_back(desk, late)
    desk.clock.advance(600)  # a slow reader
    while verifier.answers[-1]["more"]:
        await page()
    assert late.id not in verifier.revoked
    await page()
    assert late.id in verifier.revoked


# Clocks and commits


async def test_another_row_of_the_second_of_the_last_answer_is_told_at_once(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    first, second = row_of(desk), row_of(desk)
    await take_back(desk, first)
    assert await ask(desk, verifier) == {first.id}
    await take_back(desk, second)
    async with asyncio.timeout(SOON):
        assert second.id in await ask(desk, verifier, LONG)


@pytest.mark.parametrize("behind", [1, 60, OVERLAP - 1])
async def test_a_row_that_became_visible_late_is_told_at_once(desk: Desk, behind: int) -> None:
    verifier = await verifier_of(desk)
    await take_back(desk, row_of(desk))
    await ask(desk, verifier)
    late = row_of(desk, ago=behind)
    await take_back(desk, late)
    async with asyncio.timeout(SOON):
        assert late.id in await ask(desk, verifier, LONG)


async def test_a_row_from_a_node_whose_clock_is_ahead_hides_none_from_a_node_that_is_behind(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    ahead, behind = row_of(desk, ago=-30), row_of(desk, ago=30)
    await take_back(desk, ahead)
    assert await ask(desk, verifier) == {ahead.id}
    desk.clock.advance(1)
    await take_back(desk, behind)
    async with asyncio.timeout(SOON):
        assert behind.id in await ask(desk, verifier, LONG)


async def test_the_overlap_is_told_again_and_what_is_older_is_not(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    row = row_of(desk)
    await take_back(desk, row)
    assert await ask(desk, verifier) == {row.id}
    desk.clock.advance(OVERLAP - 1)
    assert await ask(desk, verifier) == {row.id}
    desk.clock.advance(1)
    assert await ask(desk, verifier) == {row.id}  # the last answer was begun before
    assert await ask(desk, verifier) == set()


@pytest.mark.parametrize(
    "after",
    [
        "nonsense",
        "-1.0",
        "1.2.3",
        "0.0",
        "99999999999.0",
        f"{10**40}.0",
        "١٧٦٣٨٠٠٠٠٠.0",
        "1763800000.0.5.not-an-id-not-an-id-not-an-id-not-an-",
        "1763800000.0\n",
    ],
)
async def test_a_cursor_that_cannot_be_read_gives_the_whole_list_at_once(desk: Desk, after: str) -> None:
    row = row_of(desk, ago=50_000)
    await take_back(desk, row)
    async with asyncio.timeout(SOON):
        answer = await desk.revocations.answer(after, LONG, asyncio.Event())
    claims = (await verifier_of(desk)).take(answer, desk.clock.now())
    assert (claims["full"], claims["after"], claims["revoked"]) == (True, "", [[row.id, row.expires_at]])


async def test_a_verifier_that_was_away_for_longer_than_tokens_live_begins_anew(desk: Desk) -> None:
    verifier = await verifier_of(desk)
    await take_back(desk, row_of(desk))
    await ask(desk, verifier)
    desk.clock.advance(OLDEST)
    await ask(desk, verifier)
    assert not verifier.answers[-1]["full"]
    desk.clock.advance(OLDEST + 1)
    await ask(desk, verifier)
    assert verifier.answers[-1]["full"]
    assert verifier.revoked == {}
