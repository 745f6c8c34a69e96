"""What the PostgreSQL engine promises when the database is killed, hangs or refuses (promises R8, V1, V5)."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from keystead.db import DatabaseError, Transaction, UniqueViolation
from keystead.db.postgres import PostgresDatabase
from keystead.kernel.problems import InvalidRequest
from tests.db.postgres_node import opened
from tests.db.storage import ADD, COUNTER, COUNTERS, NAMES, Counter, PostgresStorage
from tests.db.test_contract import adding
from tests.support.cable import Cable
from tests.support.cluster import through
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for

GOODBYE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keystead'"


async def find(database: PostgresDatabase, who: str) -> Counter | None:
    return await database.one(COUNTER, {"who": who})


async def outcome(work: Coroutine[Any, Any, object]) -> object:
    try:
        return await work
    except Exception as error:
        return error


async def test_a_database_that_is_away_is_told_as_503_within_the_patience_of_a_client(
    own: PostgresServer, own_url: str
) -> None:
    async with opened(own_url) as database:
        await database.write(adding("a"))
        own.kill()
        started = time.monotonic()
        found = await asyncio.gather(
            outcome(database.all(NAMES, {})), outcome(database.write(adding("b"))), outcome(database.changes())
        )
        assert [type(one) for one in found] == [DatabaseError] * 3
        assert time.monotonic() - started < 4.5
        refusal = found[0]
        assert isinstance(refusal, DatabaseError)
        assert (refusal.status, int(refusal.headers["Retry-After"]) >= 1) == (503, True)
        own.start()
        await database.write(adding("c"))
        assert await database.all(NAMES, {}) == ["a", "c"]


async def test_a_unit_of_work_that_lost_its_connection_is_begun_again_and_done_once(
    postgres_storage: PostgresStorage,
) -> None:
    database = await postgres_storage.open()
    attempts = 0

    async def work(tx: Transaction) -> str:
        nonlocal attempts
        attempts += 1
        await adding("a")(tx)
        if attempts == 1:
            postgres_storage.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            )
        await adding("b")(tx)
        return "done"

    assert await database.write(work) == "done"
    assert attempts == 2
    assert await database.all(NAMES, {}) == ["a", "b"]


async def test_a_unit_of_work_that_met_a_row_which_it_could_not_see_is_begun_again_and_sees_it(
    postgres_storage: PostgresStorage,
) -> None:
    inserted, looked = asyncio.Event(), asyncio.Event()

    async def first(tx: Transaction) -> None:
        await tx.run(ADD, {"fingerprint": "a", "generation": 1})
        inserted.set()
        await looked.wait()

    async def second(tx: Transaction) -> Counter | None:
        found = await tx.one(COUNTER, {"who": "a"})
        looked.set()
        if found is None:
            await tx.run(ADD, {"fingerprint": "a", "generation": 2})
        return found

    database = await postgres_storage.open()
    async with asyncio.timeout(10):
        begun = asyncio.create_task(database.write(first))
        await inserted.wait()
        found = await database.write(second)
        await begun
        refused = await outcome(database.write(adding("a")))
    assert found == Counter("a", 1)
    assert isinstance(refused, UniqueViolation)


async def test_a_commit_whose_answer_was_lost_is_told_as_503_and_not_repeated(
    own: PostgresServer, own_url: str
) -> None:
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await adding("a")(tx)

    connection = await asyncpg.connect(own_url)
    await connection.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON client_generation DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    async with opened(own_url) as database:
        writing = asyncio.create_task(outcome(database.write(work)))
        ended = False
        while not ended:
            ended = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            )
        assert isinstance(await writing, DatabaseError)
        assert attempts == 1
    await connection.close()


async def test_a_database_that_hangs_is_told_as_503_and_serves_again_when_it_wakes(
    own: PostgresServer, own_url: str
) -> None:
    async with opened(own_url) as database:
        await database.write(adding("a"))
        own.pause()
        started = time.monotonic()
        found = await asyncio.gather(outcome(database.all(NAMES, {})), outcome(database.write(adding("b"))))
        assert [type(one) for one in found] == [DatabaseError] * 2
        assert time.monotonic() - started < 4.8
        own.resume()
        assert "a" in await database.all(NAMES, {})


@pytest.mark.parametrize(
    "act", [lambda database: find(database, "a"), lambda database: database.write(adding("b"))], ids=["read", "write"]
)
async def test_who_asks_between_the_servers_goodbye_and_the_end_of_the_connection_is_answered(
    own: PostgresServer, own_url: str, act: Callable[[PostgresDatabase], Coroutine[Any, Any, object]]
) -> None:
    with Cable(own.port) as cable:
        async with opened(through(own_url, cable.port), notify=False) as database:
            await database.write(adding("a"))
            cable.keep_ends()
            told = len(own.fetch(GOODBYE))  # the event loop stands still, and the goodbyes wait to be read
            wait_for(lambda: cable.heard(b"terminating connection") == told, "the goodbyes")
            for _ in range(4):
                await asyncio.sleep(0)  # now it is read
            found = await outcome(act(database))
            cable.mend()
    assert found is not None
    assert not isinstance(found, Exception)


async def test_more_questions_than_connections_wait_for_their_turn(postgres_storage: PostgresStorage) -> None:
    await postgres_storage.open()
    async with opened(postgres_storage.location, pool=2) as database:
        await asyncio.gather(*(database.write(adding(f"{n:02}")) for n in range(30)))
        found = await asyncio.gather(*(find(database, f"{n:02}") for n in range(30)))
    assert [row.fingerprint for row in found if row] == [f"{n:02}" for n in range(30)]
    assert postgres_storage.fetch("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'") == [(0,)]


async def test_who_gives_up_in_the_middle_of_a_unit_of_work_leaves_nothing_behind(
    postgres_storage: PostgresStorage,
) -> None:
    database = await postgres_storage.open()
    reached = asyncio.Event()

    async def endless(tx: Transaction) -> None:
        await adding("a")(tx)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(database.write(endless))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.write(adding("b")) == 1
    assert await database.all(NAMES, {}) == ["b"]


async def test_a_unit_of_work_that_goes_on_after_an_error_is_not_called_done(
    postgres_storage: PostgresStorage,
) -> None:
    database = await postgres_storage.open()

    async def careless(tx: Transaction) -> None:
        await adding("a")(tx)
        await asyncio.gather(adding("a")(tx), return_exceptions=True)

    with pytest.raises(RuntimeError, match="went on after an error"):
        await database.write(careless)
    assert await database.all(NAMES, {}) == []


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\x00"], ids=["nul", "surrogate", "only nul"])
async def test_text_that_cannot_be_stored_is_the_callers_mistake(postgres_storage: PostgresStorage, text: str) -> None:
    database = await postgres_storage.open()
    found = await asyncio.gather(
        outcome(find(database, text)),
        outcome(database.write(adding(text))),
        outcome(database.run(ADD, {"fingerprint": text, "generation": 0})),
    )
    for refusal in found:
        assert isinstance(refusal, InvalidRequest)
        assert text not in str(refusal)
    assert await database.all(COUNTERS, {}) == []


# The feed
