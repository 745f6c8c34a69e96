"""What the PostgreSQL engine promises when the database is killed, hangs or refuses (promises R8, V1, V5)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from keystead.db import Command, DatabaseError, Transaction, UniqueViolation, follower, insert_into
from keystead.db.feed import EVERYTHING
from keystead.db.migrate import migrate_postgres
from keystead.db.postgres import PostgresDatabase
from keystead.db.sweeping import Errand, Sweeping
from keystead.db.tables import device_authorization, revocation
from keystead.kernel.problems import InvalidRequest
from keystead.kernel.secrets import Secret
from tests.db.storage import ADD, COUNTER, COUNTERS, NAMES, Counter, PostgresStorage
from tests.db.test_cleanup import row_of
from tests.db.test_contract import adding, announcing
from tests.support.cable import Cable
from tests.support.clock import ManualClock
from tests.support.cluster import through
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for

Condition = Callable[[], bool]
GOODBYE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keystead'"
APPEND_NUMBERED = Command(insert_into(revocation))


async def until(condition: Condition, seconds: float = 10.0) -> float:
    """Wait until a condition is true, at most so long, and return how long it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError
        await asyncio.sleep(0.002)
    return time.monotonic() - started


@asynccontextmanager
async def opened(url: str, *, pool: int = 10, notify: bool = True) -> AsyncIterator[PostgresDatabase]:
    """Open a database as a server does, and let it follow the feed."""
    database = PostgresDatabase(Secret(url), clock=ManualClock(), pool=pool, notify=notify)
    await database.start()
    try:
        yield database
    finally:
        await database.aclose()


@pytest.fixture
def own(new_postgres: Callable[..., PostgresServer]) -> PostgresServer:
    """Give a PostgreSQL that the test may kill."""
    return new_postgres()


@pytest.fixture
async def own_url(own: PostgresServer) -> str:
    url = own.create_database()
    await migrate_postgres(url)
    return url


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


async def test_nothing_is_trusted_before_the_feed_was_read_nor_a_second_after(
    own: PostgresServer, own_url: str
) -> None:
    database = PostgresDatabase(Secret(own_url), clock=ManualClock())
    assert not database.fresh()
    await database.start()
    try:
        assert database.fresh()
        own.pause()
        assert await until(lambda: not database.fresh()) < 1.0
        own.resume()
        await until(database.fresh)
        own.kill()
        assert await until(lambda: not database.fresh()) < 1.0
        own.start()
        await until(database.fresh)
    finally:
        await database.aclose()


@pytest.mark.parametrize(("notify", "within"), [(True, 0.1), (False, 1.0)], ids=["notified", "polled"])
async def test_others_hear_of_a_change_soon(postgres_storage: PostgresStorage, notify: bool, within: float) -> None:
    await postgres_storage.open()
    async with (
        opened(postgres_storage.location, notify=notify) as one,
        opened(postgres_storage.location, notify=notify) as other,
    ):
        heard: list[str] = []
        other.listen(heard.append)
        waits = []
        for n in range(20):
            await one.write(announcing(f"user:{n}"))
            waits.append(await until(lambda n=n: f"user:{n}" in heard))  # type: ignore[misc]
    assert sorted(waits)[10] < within


async def test_what_was_missed_while_cut_off_is_heard_before_anything_is_trusted_again(
    own: PostgresServer, own_url: str
) -> None:
    async with opened(own_url) as database:
        heard: list[tuple[str, bool]] = []
        database.listen(lambda subject: heard.append((subject, database.fresh())))
        own.kill()
        await until(lambda: not database.fresh())
        own.start()
        own.execute("INSERT INTO revocation (subject, at) VALUES ('user:a', 1)", own_url.rpartition("/")[2])
        await until(database.fresh)
    assert heard == [(EVERYTHING, False)]


async def test_a_change_that_commits_late_is_heard_although_later_numbers_were_heard_before(
    postgres_storage: PostgresStorage,
) -> None:
    database = await postgres_storage.open()
    heard: list[str] = []
    database.listen(heard.append)
    slow = await asyncpg.connect(postgres_storage.location)
    await slow.execute("BEGIN; INSERT INTO revocation (subject, at) VALUES ('user:slow', 1)")
    await database.write(announcing("user:quick"))
    assert heard == ["user:quick"]
    await slow.execute("COMMIT")
    await database.changes()
    assert heard == ["user:quick", "user:slow"]
    await slow.close()


async def test_a_node_that_starts_beside_an_open_transaction_hears_of_it_when_it_commits(
    postgres_storage: PostgresStorage,
) -> None:
    first = await postgres_storage.open()
    slow = await asyncpg.connect(postgres_storage.location)
    await slow.execute("BEGIN; INSERT INTO revocation (subject, at) VALUES ('user:slow', 1)")
    await first.write(announcing("user:quick"))
    late = await postgres_storage.open()
    heard: list[str] = []
    late.listen(heard.append)
    await slow.execute("COMMIT")
    await late.changes()
    assert heard == ["user:slow"]
    await slow.close()


async def test_a_node_that_was_away_for_longer_than_the_feed_is_kept_forgets_everything(
    postgres_storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await postgres_storage.open()
    heard: list[str] = []
    database.listen(heard.append)
    monkeypatch.setattr(follower, "_LONGEST_AWAY", 0.0)
    await database.changes()
    assert heard == [EVERYTHING]


# Cleaning up


async def test_one_node_at_a_time_cleans_up_and_another_follows_when_it_is_gone(
    postgres_storage: PostgresStorage,
) -> None:
    databases = [await postgres_storage.open() for _ in range(3)]
    clock = postgres_storage.clock
    errands = [Errand(database, clock, "clean-up") for database in databases]
    taken = await asyncio.gather(*(errand.mine() for errand in errands))
    assert sorted(taken) == [False, False, True]
    holder = taken.index(True)
    clock.advance(59)
    assert [await errand.mine() for errand in errands] == taken
    clock.advance(61)
    others = [errand for n, errand in enumerate(errands) if n != holder]
    assert await others[0].mine()
    assert not await errands[holder].mine()


async def test_expired_rows_leave_a_shared_database_in_bites(postgres_storage: PostgresStorage) -> None:
    database = await postgres_storage.open()
    now = postgres_storage.clock.now()
    rows = [row_of(device_authorization, "expires_at", now - 1, n) for n in range(3_000)]
    await database.run_all(Command(insert_into(device_authorization)), rows)
    sweeping = Sweeping(database, postgres_storage.clock, 86_400)
    await sweeping.sweep()
    assert postgres_storage.fetch("SELECT count(*) FROM device_authorization") == [(3_000,)]
    postgres_storage.clock.advance(86_400)
    await sweeping.sweep()
    assert postgres_storage.fetch("SELECT count(*) FROM device_authorization") == [(0,)]


async def test_a_node_that_starts_looks_back_no_further_than_something_may_still_come(
    postgres_storage: PostgresStorage,
) -> None:
    """Numbers of failed transactions of long ago are not waited for, whatever the numbers are."""
    database, now = await postgres_storage.open(), postgres_storage.clock.now()

    async def append(tx: Transaction, seq: int, at: int, subject: str = "user:old") -> None:
        await tx.run(APPEND_NUMBERED, {"seq": seq, "subject": subject, "at": at})

    for seq, at in ((10, now - 3_000), (10**15, now - 200), (10**15 + 7, now - 100), (10**15 + 9, now)):
        await database.write(lambda tx, seq=seq, at=at: append(tx, seq, at))  # type: ignore[misc]
    late = await postgres_storage.open()
    heard: list[str] = []
    late.listen(heard.append)
    assert late._follower._heard.floor == 10**15
    await database.write(lambda tx: append(tx, 10**15 + 8, now, "user:late"))
    await late.changes()
    assert heard == ["user:late"]
