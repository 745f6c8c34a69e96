"""What a node hears of the changes of others over PostgreSQL, and what it may believe meanwhile (promises V1, V5)."""

import asyncio

import asyncpg
import pytest

from keystead.db import Command, Transaction, follower, insert_into
from keystead.db.feed import EVERYTHING
from keystead.db.postgres import PostgresDatabase
from keystead.db.sweeping import Errand, Sweeping
from keystead.db.tables import device_authorization, revocation
from keystead.kernel.secrets import Secret
from tests.db.postgres_node import opened, until
from tests.db.storage import PostgresStorage
from tests.db.test_cleanup import row_of
from tests.db.test_contract import announcing
from tests.support.clock import ManualClock
from tests.support.postgres import PostgresServer

APPEND_NUMBERED = Command(insert_into(revocation))


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
