"""Redeeming: one code, one token pair, however many ask, and whatever happens to some of them (promise D9)."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest
from sqlalchemy import bindparam, delete, select

from keystead.db import Command, Query, Transaction
from keystead.db.tables import client as client_table
from keystead.db.tables import device_authorization, oauth_grant
from keystead.kernel.problems import AccessDenied, AuthorizationPending, InvalidGrant, Unavailable
from keystead.oauth import store
from keystead.oauth.models import DeviceCodes, TokenSet
from keystead.oauth.redeeming import GROUPS
from keystead.oauth.waiting import SUBJECT
from tests.oauth.conftest import Open
from tests.oauth.faults import locked
from tests.oauth.polling import HELD, answer_of, ask
from tests.support.installation import EVERY_SCOPE, Installation

MANY: Final = 40
_FORGET_CLIENT = Command(delete(client_table).where(client_table.c.id == bindparam("client")))
_STATES = Query(select(device_authorization.c.state), str)


async def issue_many(house: Installation, client: str, number: int = MANY) -> list[DeviceCodes]:
    return [await house.issue(client) for _ in range(number)]


async def approve_at_once(house: Installation, everyone: Sequence[DeviceCodes]) -> None:
    """Approve all of these in one unit of work, as nobody does by clicking: all who wait for them wake together."""
    views = [await house.look_up(codes.user_code.reveal()) for codes in everyone]

    async def work(tx: Transaction) -> None:
        for view in views:
            assert view is not None
            await house.services.oauth.clients.keep(tx, view.client, house.clock.now())
            decided = {
                "device_id": view.authorization.id,
                "now": house.clock.now(),
                "decided_state": "approved",
                "user_id": house.ada.id,
                "session_id": "session",
                "organization": house.acme,
                "granted": EVERY_SCOPE,
            }
            assert await tx.run(store.DECIDE, decided) == 1
            await tx.announce(SUBJECT + view.authorization.id)

    await house.db.write(work)


async def states(house: Installation) -> Counter[str]:
    return Counter(await house.db.all(_STATES, {}))


async def test_a_redemption_that_waits_too_long_for_its_turn_is_told_to_go_on_polling_and_loses_nothing(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.oauth.redeeming.LONGEST_TURN", 0.05)
    client = await house.register()
    codes = await house.issue(client)
    assert await house.approve(codes)
    redeeming, done = house.services.oauth.polls.redeeming, asyncio.Event()
    busy = [asyncio.create_task(asyncio.wait_for(done.wait(), HELD)) for _ in range(GROUPS)]
    redeeming._groups.update(busy)  # type: ignore[arg-type]
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    assert await states(house) == {"approved": 1}
    done.set()
    await asyncio.wait(busy)
    redeeming._groups.difference_update(busy)
    assert isinstance(await answer_of(ask(house, codes, client)), TokenSet)


@pytest.mark.parametrize("hold", [0, HELD], ids=["asked after the decision", "held"])
async def test_many_that_are_approved_at_one_moment_are_each_redeemed_once_and_each_leaves_its_record(
    opened: Open, hold: float
) -> None:
    house, neighbour = opened(device_poll_hold=hold), opened()
    client = await house.register()
    everyone = await issue_many(house, client)
    if not hold:
        await approve_at_once(neighbour, everyone)
    polls = [ask(house, codes, client) for codes in everyone]
    if hold:
        async with asyncio.timeout(HELD):
            while len(house.services.oauth.waiting) < MANY:  # noqa: ASYNC110 - the room tells nobody
                await asyncio.sleep(0)
        await approve_at_once(neighbour, everyone)
        await house.db.changes()
    answers = [await answer_of(poll) for poll in polls]
    tokens = [answer for answer in answers if isinstance(answer, TokenSet)]
    assert len(tokens) == MANY
    assert len({one.refresh_token.reveal() for one in tokens}) == MANY
    assert len({one.access_token.reveal() for one in tokens}) == MANY
    assert await house.rows(oauth_grant) == {"oauth_grant": MANY}
    events = await house.events("grant:open")
    assert len({event.target for event in events}) == len(events) == MANY
    assert await states(house) == {"consumed": MANY}
    again = [await answer_of(ask(neighbour, codes, client)) for codes in everyone]
    assert again == [InvalidGrant] * MANY
    refreshed = [await house.refresh(one.refresh_token.reveal(), client) for one in tokens]
    assert {one.organization for one in refreshed} == {"acme"}


@pytest.mark.sqlite  # elsewhere each is a unit of work of its own
async def test_many_that_are_approved_at_one_moment_are_redeemed_in_one_unit_of_work(house: Installation) -> None:
    client = await house.register()
    everyone = await issue_many(house, client)
    await approve_at_once(house, everyone)
    units = house.db.units
    answers = await asyncio.gather(*(answer_of(ask(house, codes, client)) for codes in everyone))
    assert {type(answer) for answer in answers} == {TokenSet}
    assert house.db.units - units == 1


async def test_somebody_who_may_no_longer_approve_spoils_no_other_redemption_of_the_same_moment(
    house: Installation,
) -> None:
    client = await house.register()
    everyone = await issue_many(house, client, 9)
    for number, codes in enumerate(everyone):
        assert await house.approve(codes, house.bob if number == 4 else house.ada)
    await house.disable(house.bob)
    answers = await asyncio.gather(*(answer_of(ask(house, codes, client)) for codes in everyone))
    assert answers.pop(4) is AccessDenied
    assert {type(answer) for answer in answers} == {TokenSet}
    assert await states(house) == {"consumed": 8, "approved": 1}
    await house.disable(house.bob, at=None)
    assert isinstance(await answer_of(ask(house, everyone[4], client)), TokenSet)


async def test_one_that_fails_for_a_reason_that_nobody_foresaw_fails_alone(house: Installation) -> None:
    client, broken = await house.register(), await house.register("another")
    everyone = [await house.issue(broken if number == 2 else client) for number in range(9)]
    await approve_at_once(house, everyone)
    await house.run(_FORGET_CLIENT, {"client": broken})  # so its grant would belong to no client
    polls = [ask(house, codes, broken if number == 2 else client) for number, codes in enumerate(everyone)]
    answers = await asyncio.gather(*polls, return_exceptions=True)
    assert "constraint" in str(answers.pop(2)).lower()
    assert {type(answer) for answer in answers} == {TokenSet}
    assert await states(house) == {"consumed": 8, "approved": 1}
    assert await house.rows(oauth_grant) == {"oauth_grant": 8}


async def test_clients_that_have_gone_redeem_nothing_and_those_that_have_not_redeem_with_them(
    house: Installation,
) -> None:
    client = await house.register()
    everyone = await issue_many(house, client, 10)
    await approve_at_once(house, everyone)
    gone = asyncio.Event()
    gone.set()
    polls = [ask(house, codes, client, gone if number % 2 else None) for number, codes in enumerate(everyone)]
    answers = await asyncio.gather(*map(answer_of, polls))
    assert [answer is AuthorizationPending for answer in answers] == [False, True] * 5
    assert {type(answer) for answer in answers[::2]} == {TokenSet}
    assert await states(house) == {"consumed": 5, "approved": 5}
    again = [await answer_of(ask(house, codes, client)) for codes in everyone[1::2]]
    assert {type(answer) for answer in again} == {TokenSet}


async def test_of_codes_that_were_asked_for_twice_at_one_moment_each_gives_tokens_once(house: Installation) -> None:
    client = await house.register()
    everyone = await issue_many(house, client, 10)
    await approve_at_once(house, everyone)
    answers = await asyncio.gather(*(answer_of(ask(house, codes, client)) for codes in everyone * 3))
    for number in range(10):
        told = Counter(TokenSet if isinstance(one, TokenSet) else one for one in answers[number::10])
        assert told == {TokenSet: 1, InvalidGrant: 2}
    assert await house.rows(oauth_grant) == {"oauth_grant": 10}


@pytest.mark.sqlite
async def test_while_the_database_cannot_write_everybody_is_told_to_try_again_and_nothing_is_lost(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.db.sqlite.BUSY_TIMEOUT_MS", 20)
    house = opened()
    client = await house.register()
    everyone = await issue_many(house, client, 10)
    await approve_at_once(house, everyone)
    with locked(house):
        answers = await asyncio.gather(*(answer_of(ask(house, codes, client)) for codes in everyone))
    assert all(isinstance(answer, type) and issubclass(answer, Unavailable) for answer in answers)
    assert await states(house) == {"approved": 10}
    again = await asyncio.gather(*(answer_of(ask(house, codes, client)) for codes in everyone))
    assert {type(answer) for answer in again} == {TokenSet}


@pytest.mark.parametrize("hold", [0, HELD], ids=["answered at once", "held"])
async def test_of_a_hundred_parallel_redemptions_over_three_processes_exactly_one_succeeds(
    opened: Open, hold: float
) -> None:
    processes = [opened(device_poll_hold=hold) for _ in range(3)]
    house = processes[0]
    client = await house.register()
    codes = await house.issue(client)
    assert await house.approve(codes)
    polls = [ask(processes[n % 3], codes, client) for n in range(100)]
    answers = [await answer_of(poll) for poll in polls]
    successes = [answer for answer in answers if isinstance(answer, TokenSet)]
    assert len(successes) == 1
    assert Counter(answer for answer in answers if not isinstance(answer, TokenSet)) == {InvalidGrant: 99}
    assert await house.rows(oauth_grant) == {"oauth_grant": 1}


async def test_a_used_code_stays_used_and_its_tokens_go_on_working(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes)
    tokens = await house.poll(codes, client)
    for _ in range(3):
        assert await answer_of(ask(house, codes, client)) is InvalidGrant
        house.clock.advance(codes.expires_in)
    assert (await house.refresh(tokens.refresh_token.reveal(), client)).organization == "acme"
