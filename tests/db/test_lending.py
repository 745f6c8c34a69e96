"""What is promised of connections that are lent: one borrower each, in the order of asking, and none is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from keystead.db import lending
from keystead.db.lending import Lending


@asynccontextmanager
async def lent_from(url: str, most: int, patience: float = 5.0) -> AsyncIterator[Lending]:
    """Give connections to a real database."""
    made = Lending(lambda: asyncpg.connect(url), most=most, patience=patience)
    try:
        yield made
    finally:
        made.terminate()


async def backends(url: str) -> int:
    """Return how many others are connected to the database."""
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        return count
    finally:
        await connection.close()


async def test_what_came_back_last_is_lent_first_and_no_more_are_opened_than_are_needed(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=5) as place:
        one, other = await place.borrow(), await place.borrow()
        place.give_back(one)
        place.give_back(other)
        assert await place.borrow() is other
        assert await backends(postgres_url) == 2


async def test_who_waits_gets_a_connection_in_the_order_of_asking(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=1) as place:
        only, served = await place.borrow(), list[int]()

        async def ask(number: int) -> None:
            connection = await place.borrow()
            served.append(number)
            place.give_back(connection)

        asking = [asyncio.create_task(ask(number)) for number in range(20)]
        await asyncio.sleep(0)
        place.give_back(only)
        await asyncio.gather(*asking)
        assert served == list(range(20))
        assert await backends(postgres_url) == 1


async def test_a_turn_that_came_to_somebody_who_has_just_left_goes_to_the_next(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=1) as place:
        only = await place.borrow()
        leaving, staying = (asyncio.create_task(place.borrow()) for _ in range(2))
        await asyncio.sleep(0)
        place.give_back(only)
        leaving.cancel()  # after the turn was given, before it was taken
        assert await staying is only
        assert leaving.cancelled()


async def test_who_waits_too_long_is_told_and_takes_nothing_along(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=1, patience=0.05) as place:
        only = await place.borrow()
        with pytest.raises(TimeoutError):
            await place.borrow()
        place.give_back(only)
        assert await place.borrow() is only


async def test_a_connection_that_was_cut_is_replaced_for_whoever_waits(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=1) as place:
        only = await place.borrow()
        waiting = asyncio.create_task(place.borrow())
        await asyncio.sleep(0)
        only.terminate()
        place.give_back(only)
        assert await (await waiting).fetchval("SELECT 1") == 1


async def test_a_place_is_free_again_after_a_connection_could_not_be_opened(postgres_url: str) -> None:
    refusing = True

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        if refusing:
            raise ConnectionRefusedError
        return await asyncpg.connect(postgres_url)

    place = Lending(connect, most=1, patience=5.0)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await place.borrow()
    refusing = False
    assert await (await place.borrow()).fetchval("SELECT 1") == 1
    place.terminate()


async def test_connections_that_nobody_needed_for_long_are_closed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lent_from(postgres_url, most=3) as place:
        monkeypatch.setattr(lending, "LONGEST_IDLE", 0.0)
        old = [await place.borrow() for _ in range(3)]
        for connection in old:
            place.give_back(connection)
        fresh = await place.borrow()
        assert fresh not in old
        assert all(connection.is_closed() for connection in old)
        assert await fresh.fetchval("SELECT 1") == 1


async def test_closing_waits_for_what_is_lent_and_lends_no_more(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=2) as place:
        busy, idle = await place.borrow(), await place.borrow()
        place.give_back(idle)
        closing = asyncio.create_task(place.close())
        assert await busy.fetchval("SELECT pg_sleep(0.05)::text") == ""
        assert not closing.done()
        with pytest.raises(asyncpg.InterfaceError):
            await place.borrow()
        place.give_back(busy)
        await closing
        assert busy.is_closed()
        assert idle.is_closed()


async def test_a_connection_is_never_lent_to_two_at_a_time(postgres_url: str) -> None:
    async with lent_from(postgres_url, most=3) as place:
        lent = set[object]()
        most = 0

        async def ask(number: int) -> None:
            nonlocal most
            connection = await place.borrow()
            if connection in lent:
                raise AssertionError
            lent.add(connection)
            most = max(most, len(lent))
            await connection.fetchval("SELECT 1")
            if number % 7 == 0:
                connection.terminate()
            lent.discard(connection)
            place.give_back(connection)

        asking = [asyncio.create_task(ask(number)) for number in range(200)]
        await asyncio.sleep(0)
        for task in asking[100::3]:  # they wait for their turn
            task.cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(one) for one in found} <= {type(None), asyncio.CancelledError}
        assert most == 3
        assert await (await place.borrow()).fetchval("SELECT 1") == 1
