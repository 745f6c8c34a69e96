"""When a code was last polled: remembered at once, written soon after, with one write for a poll at most (D2)."""

import asyncio

import pytest

from keystead.kernel.problems import AuthorizationPending, ExpiredToken, SlowDown
from tests.oauth.conftest import Open
from tests.oauth.faults import locked
from tests.oauth.polling import HELD, answer_of, ask, written
from tests.support.installation import Installation


async def test_a_poll_that_gives_no_tokens_is_one_write_of_one_row_at_most(opened: Open) -> None:
    house = opened(device_code_ttl=60)
    client = await house.register()
    pending, denied, used = [await house.issue(client) for _ in range(3)]
    view = await house.look_up(denied.user_code.reveal())
    assert view is not None
    await house.decide(view, approve=False)
    await house.approve(used)
    await house.poll(used, client)
    cost = {}
    for name, codes in (("pending", pending), ("slow_down", pending), ("denied", denied), ("used", used)):
        units, rows = house.db.units, house.db.rows_changed
        await answer_of(ask(house, codes, client))
        await written(house)
        cost[name] = (house.db.units - units, house.db.rows_changed - rows)
    house.clock.advance(60)
    units, rows = house.db.units, house.db.rows_changed
    assert await answer_of(ask(house, pending, client)) is ExpiredToken
    await written(house)
    cost["expired"] = (house.db.units - units, house.db.rows_changed - rows)
    assert cost == {"pending": (1, 1), "slow_down": (1, 1), "denied": (0, 0), "used": (0, 0), "expired": (0, 0)}


async def test_a_poll_that_is_told_to_go_on_waits_for_no_write_and_many_are_written_in_one(house: Installation) -> None:
    client = await house.register()
    codes = [await house.issue(client) for _ in range(20)]
    units, rows = house.db.units, house.db.rows_changed
    for one in codes:
        assert await answer_of(ask(house, one, client)) is AuthorizationPending
    assert (house.db.units - units, house.db.rows_changed - rows) == (0, 0)
    await written(house)
    assert (house.db.units - units, house.db.rows_changed - rows) == (1, 20)
    assert len(house.services.oauth.polls.arrivals) == 0


async def test_arrivals_are_written_by_themselves_soon_after(opened: Open) -> None:
    house, neighbour = opened(), opened()
    client = await house.register()
    codes = await house.issue(client)
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    writing = house.services.oauth.polls.arrivals._task
    assert writing is not None
    await asyncio.wait_for(writing, HELD)
    assert await answer_of(ask(neighbour, codes, client)) is SlowDown


@pytest.mark.sqlite
async def test_an_arrival_that_could_not_be_written_is_written_with_the_next_batch(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.db.sqlite.BUSY_TIMEOUT_MS", 20)
    house, neighbour = opened(), opened()
    client = await house.register()
    codes = await house.issue(client)
    with locked(house):
        assert await answer_of(ask(house, codes, client)) is AuthorizationPending
        await written(house)
    assert len(house.services.oauth.polls.arrivals) == 1
    await written(house)
    assert await answer_of(ask(neighbour, codes, client)) is SlowDown


async def test_of_arrivals_that_cannot_be_written_only_so_many_are_remembered(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.oauth.arrivals.MOST", 3)
    house = opened()
    client = await house.register()
    codes = [await house.issue(client) for _ in range(5)]
    for one in codes:
        await answer_of(ask(house, one, client))
    assert len(house.services.oauth.polls.arrivals) == 3
    assert await answer_of(ask(house, codes[0], client)) is AuthorizationPending
    assert await answer_of(ask(house, codes[4], client)) is SlowDown


async def test_a_held_poll_writes_once_too_unless_it_redeems(opened: Open) -> None:
    house = opened(device_poll_hold=0.05)
    client = await house.register()
    codes = await house.issue(client)
    units = house.db.units
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    await written(house)
    assert house.db.units - units == 1
