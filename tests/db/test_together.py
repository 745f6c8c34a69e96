"""Look-ups that come together are asked in few statements, none of which began before somebody it answers asked.

The statements here stop where the test says, so every order is the test's own. The last tests ask a real PostgreSQL.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from keystead.db import Database, DatabaseError, Transaction, insert_into
from keystead.db.postgres import PostgresDatabase
from keystead.db.statements import Command, LookUp
from keystead.db.tables import NO_POLICIES, api_key, signing_key
from keystead.db.tables import app as apps
from keystead.db.tables import organization as organizations
from keystead.db.tables import user as users
from keystead.db.together import MOST, UNDER_WAY, Together
from tests.db.storage import PostgresStorage


@dataclass(frozen=True)
class Titled:
    """What is looked up here."""

    title: str


TITLE = LookUp(select(api_key.c.title), Titled, by=api_key.c.secret_hash)
ADD_ORGANIZATION = Command(insert_into(organizations))
ADD_USER = Command(insert_into(users))
ADD_APP = Command(insert_into(apps))
ADD_KEY = Command(insert_into(api_key))


@dataclass
class Asked:
    """A statement that has begun: the values it asks for, what was true then, and how it is to end."""

    values: list[bytes]
    true: dict[bytes, Titled]
    end: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Rows:
    """A table that tests write into, and the statements that read it; each ends when the test lets it."""

    def __init__(self, patience: float = 60.0) -> None:
        self.true: dict[bytes, Titled] = {}
        self.statements: list[Asked] = []
        self.together = Together(self._ask, patience=patience)

    async def _ask(self, look_up: LookUp[Any], values: list[bytes]) -> dict[bytes, Titled]:
        asked = Asked(values, {value: self.true[value] for value in values if value in self.true})
        self.statements.append(asked)
        await asked.end
        return asked.true

    def look_up(self, value: bytes) -> "asyncio.Task[Titled | None]":
        """Look up as a request does, in a task of its own."""
        return asyncio.create_task(self.find(value))

    async def find(self, value: bytes) -> Titled | None:
        return await self.together.find(TITLE, value)

    async def begun(self, number: int) -> Asked:
        """Return the statement of this number once it has begun, and all that is ready has run."""
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(self.statements) > number
        return self.statements[number]


async def test_what_is_looked_up_in_one_turn_is_asked_in_one_statement_and_each_gets_its_own() -> None:
    rows = Rows()
    rows.true = {b"%d" % number: Titled(f"key {number}") for number in range(100) if number % 3}
    asking = [rows.look_up(b"%d" % number) for number in range(100)]
    first = await rows.begun(0)
    assert first.values == [b"%d" % number for number in range(100)]
    first.end.set_result(None)
    assert await asyncio.gather(*asking) == [rows.true.get(b"%d" % number) for number in range(100)]
    assert len(rows.statements) == 1


async def test_nobody_is_answered_by_a_statement_that_began_before_they_asked() -> None:
    rows = Rows()
    rows.true = {b"k": Titled("old")}
    early = rows.look_up(b"k")
    first = await rows.begun(0)
    del rows.true[b"k"]  # revoked, and told to whoever asked for that: who asks from now on must hear of it
    late = rows.look_up(b"k")
    second = await rows.begun(1)
    first.end.set_result(None)
    assert await early == Titled("old")
    assert not late.done()
    second.end.set_result(None)
    assert await late is None


async def test_no_more_statements_are_under_way_than_may_be_and_who_comes_meanwhile_shares_the_next() -> None:
    rows = Rows()
    asking = []
    for number in range(UNDER_WAY + 20):
        asking.append(rows.look_up(b"%d" % number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(rows.statements) == UNDER_WAY
    rows.statements[0].end.set_result(None)
    last = await rows.begun(UNDER_WAY)
    assert len(last.values) == 20
    for statement in rows.statements[1:]:
        statement.end.set_result(None)
    assert await asyncio.gather(*asking) == [None] * (UNDER_WAY + 20)
    assert len(rows.statements) == UNDER_WAY + 1


async def test_a_value_that_many_look_up_at_once_is_asked_for_once() -> None:
    rows = Rows()
    rows.true = {b"k": Titled("key")}
    asking = [rows.look_up(b"k") for _ in range(50)]
    first = await rows.begun(0)
    first.end.set_result(None)
    assert await asyncio.gather(*asking) == [Titled("key")] * 50
    assert [statement.values for statement in rows.statements] == [[b"k"]]


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    rows = Rows()
    rows.true = {b"a": Titled("a"), b"b": Titled("b"), b"c": Titled("c")}
    gone_before = rows.look_up(b"a")
    staying, leaving = rows.look_up(b"b"), rows.look_up(b"c")
    await asyncio.sleep(0)
    gone_before.cancel()
    first = await rows.begun(0)
    assert first.values == [b"b", b"c"]
    leaving.cancel()
    await asyncio.sleep(0)
    first.end.set_result(None)
    assert await staying == Titled("b")
    assert (gone_before.cancelled(), leaving.cancelled()) == (True, True)


async def test_when_all_have_left_nothing_is_asked_and_the_next_is_served() -> None:
    rows = Rows()
    leaving = [rows.look_up(b"k") for _ in range(3)]
    await asyncio.sleep(0)
    for one in leaving:
        one.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    assert rows.statements == []
    staying = rows.look_up(b"l")
    (await rows.begun(0)).end.set_result(None)
    assert await staying is None


async def test_a_fault_of_the_database_is_told_to_each_who_asked_and_to_nobody_else() -> None:
    rows = Rows()
    rows.true = {b"late": Titled("late")}
    asking = [rows.look_up(b"%d" % number) for number in range(5)]
    first = await rows.begun(0)
    for _ in range(UNDER_WAY - 1):  # so that who comes next has to wait
        asking.append(rows.look_up(b"other"))
        await rows.begun(len(rows.statements))
    late = rows.look_up(b"late")
    await asyncio.sleep(0)
    first.end.set_exception(DatabaseError())
    found = await asyncio.gather(*asking[:5], return_exceptions=True)
    assert [type(one) for one in found] == [DatabaseError] * 5
    assert len({id(one) for one in found}) == 5
    last = await rows.begun(UNDER_WAY)
    assert last.values == [b"late"]
    for statement in rows.statements[1:]:
        statement.end.set_result(None)
    assert await late == Titled("late")


async def test_who_waited_too_long_behind_a_statement_that_failed_is_told_as_well() -> None:
    rows = Rows(patience=0.0)
    asking = []
    for number in range(UNDER_WAY + 3):
        asking.append(rows.look_up(b"%d" % number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.sleep(0.002)  # the loop's clock counts milliseconds
    rows.statements[0].end.set_exception(DatabaseError())
    told = await asyncio.gather(asking[0], *asking[UNDER_WAY:], return_exceptions=True)
    assert [type(one) for one in told] == [DatabaseError] * 4
    assert len(rows.statements) == UNDER_WAY
    for statement in rows.statements[1:]:
        statement.end.set_result(None)
    assert await asyncio.gather(*asking[1:UNDER_WAY]) == [None] * (UNDER_WAY - 1)


async def test_a_mistake_of_ours_is_told_to_those_whom_it_concerns_and_the_next_are_served() -> None:
    rows = Rows()
    asking = [rows.look_up(b"%d" % number) for number in range(3)]
    first = await rows.begun(0)
    first.end.set_exception(TypeError("a mistake"))
    assert [str(one) for one in await asyncio.gather(*asking, return_exceptions=True)] == ["a mistake"] * 3
    late = rows.look_up(b"late")
    (await rows.begun(1)).end.set_result(None)
    assert await late is None


async def test_very_many_are_asked_in_portions_without_waiting_for_more() -> None:
    rows = Rows()
    asking = [rows.look_up(b"%d" % number) for number in range(2 * MOST + 1)]
    for number in range(3):
        (await rows.begun(number)).end.set_result(None)
    assert await asyncio.gather(*asking) == [None] * (2 * MOST + 1)
    assert [len(statement.values) for statement in rows.statements] == [MOST, MOST, 1]


async def test_whoever_waits_when_the_database_is_closed_is_told_that_there_is_no_answer() -> None:
    rows = Rows()
    asking = [rows.look_up(b"a")]
    await rows.begun(0)
    asking.append(rows.look_up(b"b"))
    await asyncio.sleep(0)
    rows.together.stop()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in found] == [DatabaseError] * 2
    await asyncio.gather(rows.together.finish(), return_exceptions=True)


async def test_who_comes_after_everything_was_stopped_is_told_at_once() -> None:
    rows = Rows()
    waiting = rows.look_up(b"a")
    await asyncio.sleep(0)  # it waits, and the statement has not begun
    rows.together.stop()
    for asked in (waiting, rows.look_up(b"b")):
        with pytest.raises(DatabaseError):
            await asyncio.wait_for(asked, 1)
    assert rows.statements == []


@pytest.mark.parametrize("column", [api_key.c.title, api_key.c.id, signing_key.c.sealed_private])
def test_only_a_unique_column_of_bytes_is_looked_up_together(column: Any) -> None:
    with pytest.raises(TypeError, match="is not a unique column of bytes"):
        LookUp(select(api_key.c.title), Titled, by=column)


# A real database


async def furnish(database: Database, keys: int) -> None:
    """Add so many keys of somebody."""

    async def work(tx: Transaction) -> None:
        company = {**NO_POLICIES, "created_at": 0}
        await tx.run(ADD_ORGANIZATION, {"id": "o", "name": "acme", "display_name": "Acme", **company})
        nothing = dict.fromkeys(column.name for column in users.c)
        known = {"id": "u", "username": "ada", "email": "a", "name": "Ada", "platform_admin": 0, "created_at": 0}
        await tx.run(ADD_USER, nothing | known)
        await tx.run(ADD_APP, {"id": "a", "organization_id": "o", "name": "app", "created_by": "u", "created_at": 0})
        row = dict.fromkeys(column.name for column in api_key.c)
        row |= {"app_id": "a", "organization_id": "o", "user_id": "u", "hint": "", "scopes": "", "created_at": 0}
        for number in range(keys):
            await tx.run(
                ADD_KEY, row | {"id": f"k{number}", "secret_hash": b"%032d" % number, "title": f"key {number}"}
            )

    await database.write(work)


async def title(database: Database, value: bytes) -> str | None:
    """Look a key's title up."""
    found: Titled | None = await database.one(TITLE, {"secret_hash": value})
    return None if found is None else found.title


def counted(database: PostgresDatabase) -> list[int]:
    """Return a list that tells, for each statement from now on, how many values it asked for."""
    sizes: list[int] = []
    ask: Callable[..., Awaitable[Any]] = database._together._ask

    async def asking(look_up: LookUp[Any], values: list[bytes]) -> Any:
        sizes.append(len(values))
        return await ask(look_up, values)

    database._together._ask = asking
    return sizes


async def test_either_engine_looks_up_what_is_there_and_nothing_else(database: Database) -> None:
    await furnish(database, 3)
    wanted = [b"%032d" % number for number in (2, 0, 7, 1, 2)] + [b"", b"\0", b"x" * 5_000]
    found = await asyncio.gather(*(title(database, value) for value in wanted))
    assert found == ["key 2", "key 0", None, "key 1", "key 2", None, None, None]
    with pytest.raises(TypeError, match="missing or unknown parameters"):
        await database.one(TITLE, {"title": "key 1"})


async def test_a_hundred_look_ups_at_once_are_a_few_statements(postgres_storage: PostgresStorage) -> None:
    database = await postgres_storage.open()
    await furnish(database, 50)
    sizes = counted(database)
    found = await asyncio.gather(*(title(database, b"%032d" % n) for n in range(100)))
    assert found == [f"key {n}" if n < 50 else None for n in range(100)]
    assert (len(sizes) <= UNDER_WAY, sum(sizes)) == (True, 100)


async def test_a_look_up_goes_on_when_its_connection_is_lost(postgres_storage: PostgresStorage) -> None:
    database = await postgres_storage.open()
    await furnish(database, 5)
    lost = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keystead'"
    for _ in range(3):
        found = await asyncio.gather(*(title(database, b"%032d" % n) for n in range(5)))
        assert found == [f"key {n}" for n in range(5)]
        assert postgres_storage.fetch(lost)


async def test_a_unit_of_work_does_not_look_up_beside_its_transaction(postgres_storage: PostgresStorage) -> None:
    database = await postgres_storage.open()

    async def work(tx: Transaction) -> None:
        await database.one(TITLE, {"secret_hash": b""})

    with pytest.raises(RuntimeError, match="reads through its transaction"):
        await database.write(work)


async def test_a_database_that_is_closed_answers_what_it_was_asked_and_no_more(
    postgres_storage: PostgresStorage,
) -> None:
    database = await postgres_storage.open()
    await furnish(database, 1)
    asked = asyncio.create_task(title(database, b"%032d" % 0))
    await asyncio.sleep(0)
    await database.aclose()
    assert await asked == "key 0"
    with pytest.raises(DatabaseError):
        await title(database, b"")


async def test_who_asks_in_the_very_turn_in_which_the_last_statements_end_is_asked_for() -> None:
    rows = Rows()
    rows.true = {b"late": Titled("late")}
    loop = asyncio.get_running_loop()
    asking = []
    for number in range(UNDER_WAY):
        asking.append(rows.look_up(b"%d" % number))
        await rows.begun(number)
    late: list[asyncio.Future[Titled | None]] = []
    for statement in rows.statements:
        statement.end.set_result(None)
    loop.call_soon(lambda: late.append(rows.together.find(TITLE, b"late")))  # behind the ends, before what they cause
    statement = await rows.begun(UNDER_WAY)
    statement.end.set_result(None)
    assert await late[0] == Titled("late")
    assert await asyncio.gather(*asking) == [None] * UNDER_WAY


async def test_who_asked_just_before_the_end_is_told_that_there_is_no_answer() -> None:
    rows = Rows()
    asked = rows.together.find(TITLE, b"k")
    rows.together.stop()
    with pytest.raises(DatabaseError):
        await asked
    assert rows.statements == []
