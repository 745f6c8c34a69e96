"""The storage contract: what every engine promises to every room. Written once, run on each engine."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from keystead.db import Database, Transaction, UniqueViolation
from keystead.kernel.problems import InvalidGrant
from tests.db.storage import (
    ADD,
    ADD_ORGANIZATION,
    COUNTER,
    COUNTERS,
    INCREMENT,
    NAMES,
    ORGANIZATIONS,
    SET,
    STEP,
    Counter,
    Organization,
    Storage,
    company,
)

Work = Callable[[Transaction], Coroutine[Any, Any, Any]]


def adding(who: str, number: int = 0) -> Work:
    async def work(tx: Transaction) -> int:
        return await tx.run(ADD, {"fingerprint": who, "generation": number})

    return work


def announcing(*subjects: str) -> Work:
    async def work(tx: Transaction) -> None:
        for subject in subjects:
            await tx.announce(subject)

    return work


async def incremented(tx: Transaction) -> int:
    await tx.run(INCREMENT, {"who": "a", "by": 1})
    found = await tx.one(COUNTER, {"who": "a"})
    return found.generation if found else -1


async def test_what_is_written_is_read_as_a_record(database: Database) -> None:
    assert await database.write(adding("a", 5)) == 1
    assert await database.one(COUNTER, {"who": "a"}) == Counter("a", 5)
    assert await database.all(COUNTERS, {}) == [Counter("a", 5)]


async def test_what_is_not_there_is_read_as_none(database: Database) -> None:
    assert await database.one(COUNTER, {"who": "nobody"}) is None
    assert await database.all(COUNTERS, {}) == []


async def test_a_statement_that_lacks_a_value_or_has_one_too_many_is_refused(database: Database) -> None:
    for parameters in ({}, {"who": "a", "what": "b"}, {"whom": "a"}):
        with pytest.raises(TypeError, match="parameters"):
            await database.one(COUNTER, parameters)
    assert await database.all(COUNTERS, {}) == []


async def test_text_numbers_and_nothing_keep_their_value(database: Database) -> None:
    for number, name in enumerate(["", "ä€😀", '\'; DROP TABLE "user"; --', "a\x7fb", "x" * 2_000]):
        await database.write(adding(name, 2**62 + number))
        assert await database.one(COUNTER, {"who": name}) == Counter(name, 2**62 + number)


async def test_a_unit_of_work_reads_what_it_wrote(database: Database) -> None:
    async def work(tx: Transaction) -> list[Counter]:
        await adding("a", 1)(tx)
        await incremented(tx)
        return await tx.all(COUNTERS, {})

    assert await database.write(work) == [Counter("a", 2)]


async def test_a_command_tells_how_many_rows_it_touched(database: Database) -> None:
    await database.write(adding("a"))

    async def work(tx: Transaction) -> list[int]:
        return [await tx.run(INCREMENT, {"who": who, "by": 1}) for who in ("a", "nobody")]

    assert await database.write(work) == [1, 0]


async def test_a_unit_of_work_that_fails_undoes_its_own_writes(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await adding("a")(tx)
        await tx.announce("user:a")
        raise InvalidGrant("No.")

    with pytest.raises(InvalidGrant):
        await database.write(work)
    assert await database.all(COUNTERS, {}) == []


async def test_a_unit_of_work_that_fails_undoes_no_neighbours_writes(database: Database) -> None:
    async def failing(tx: Transaction) -> None:
        await adding("b")(tx)
        raise InvalidGrant("No.")

    works = [adding("a"), failing, adding("c"), failing, adding("d")]
    outcomes = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, InvalidGrant, int, InvalidGrant, int]
    assert await database.all(NAMES, {}) == ["a", "c", "d"]


async def test_a_refusal_that_is_returned_keeps_its_writes(database: Database) -> None:
    async def work(tx: Transaction) -> InvalidGrant:
        await adding("a")(tx)
        return InvalidGrant("No.")

    assert isinstance(await database.write(work), InvalidGrant)
    assert await database.all(NAMES, {}) == ["a"]


async def test_a_value_that_must_be_unique_is_refused_the_second_time(database: Database) -> None:
    async def work(tx: Transaction, row: dict[str, object]) -> int:
        return await tx.run(ADD_ORGANIZATION, row)

    await database.write(lambda tx: work(tx, company("acme")))
    for row in (company("acme", "another id"), company("another name", "id-acme")):
        with pytest.raises(UniqueViolation):
            await database.write(lambda tx, row=row: work(tx, row))  # type: ignore[misc]
    assert await database.all(ORGANIZATIONS, {}) == [Organization("id-acme", "acme", "Acme", None, 0, 0, 0, 7)]


async def test_a_unit_of_work_ends_undone_with_its_unique_violation(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await adding("before")(tx)
        await tx.run(ADD_ORGANIZATION, company("acme"))
        await tx.run(ADD_ORGANIZATION, company("acme"))

    with pytest.raises(UniqueViolation):
        await database.write(work)
    assert await database.all(NAMES, {}) == []
    assert await database.all(ORGANIZATIONS, {}) == []


async def test_a_command_by_itself_is_durable_and_tells_how_many_rows_it_touched(storage: Storage) -> None:
    database = await storage.open()
    assert await database.run(ADD, {"fingerprint": "a", "generation": 1}) == 1
    assert [await database.run(INCREMENT, {"who": who, "by": 1}) for who in ("a", "nobody")] == [1, 0]
    assert storage.fetch("SELECT generation FROM client_generation") == [(2,)]
    with pytest.raises(UniqueViolation):
        await database.run(ADD, {"fingerprint": "a", "generation": 1})


async def test_one_command_runs_for_many_rows(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]
    rows = [{"fingerprint": f"{n:03}", "generation": n} for n in range(200)]
    await databases[0].run_all(ADD, rows)
    increments = [{"who": f"{n:03}", "by": 1} for n in range(200)]
    await asyncio.gather(*(databases[n % 3].run_all(INCREMENT, increments) for n in range(6)))
    assert await databases[0].all(COUNTERS, {}) == [Counter(f"{n:03}", n + 6) for n in range(200)]
    await databases[0].run_all(ADD, [])
    assert len(await databases[0].all(COUNTERS, {})) == 200


async def test_of_many_conditional_commands_at_once_one_finds_its_condition_true(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]
    await databases[0].write(adding("a"))
    step = {"who": "a", "expected": 0, "to": 1}
    touched = await asyncio.gather(*(databases[n % 3].run(STEP, step) for n in range(60)))
    assert sorted(touched) == [0] * 59 + [1]


async def test_two_units_of_work_that_each_read_what_the_other_writes_do_not_both_succeed(storage: Storage) -> None:
    """Neither sees the other's row in a snapshot; both together are what no order of the two could bring about."""
    one, other = await storage.open(), await storage.open()

    def alone(name: str) -> Work:
        async def work(tx: Transaction) -> bool:
            if await tx.all(NAMES, {}):
                return False
            await adding(name)(tx)
            return True

        return work

    outcomes = await asyncio.gather(*(place.write(alone(f"{n}")) for n, place in enumerate((one, other) * 10)))
    assert sorted(outcomes) == [False] * 19 + [True]


async def test_of_many_who_add_the_same_unique_value_at_once_one_succeeds(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]

    async def work(tx: Transaction) -> int:
        return await tx.run(ADD_ORGANIZATION, company("acme"))

    outcomes = await asyncio.gather(*(databases[n % 3].write(work) for n in range(60)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["UniqueViolation"] * 59 + ["int"]


async def test_a_hundred_writers_at_once_lose_no_increment(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]
    await databases[0].write(adding("a"))
    seen = await asyncio.gather(*(databases[n % 3].write(incremented) for n in range(100)))
    assert sorted(seen) == list(range(1, 101))
    assert await databases[0].one(COUNTER, {"who": "a"}) == Counter("a", 100)


async def test_read_and_write_in_one_unit_of_work_lose_no_increment(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]
    await databases[0].write(adding("a"))

    async def read_then_write(tx: Transaction) -> None:
        found = await tx.one(COUNTER, {"who": "a"})
        await tx.run(SET, {"who": "a", "to": found.generation + 1 if found else -1})

    await asyncio.gather(*(databases[n % 3].write(read_then_write) for n in range(100)))
    assert await databases[1].one(COUNTER, {"who": "a"}) == Counter("a", 100)


async def test_a_value_is_returned_only_after_others_can_see_what_was_written(storage: Storage) -> None:
    database = await storage.open()
    for number in range(50):
        await database.write(adding(f"{number:02}"))
        assert storage.fetch("SELECT count(*) FROM client_generation") == [(number + 1,)]


async def test_a_read_sees_every_write_that_has_returned(storage: Storage) -> None:
    writer, reader = await storage.open(), await storage.open()
    for number in range(50):
        await writer.write(adding(f"{number:02}"))
        assert await reader.one(COUNTER, {"who": f"{number:02}"}) is not None


async def test_a_caller_who_gives_up_waiting_disturbs_nobody(database: Database) -> None:
    impatient = [asyncio.create_task(database.write(adding(f"{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for task in impatient:
        task.cancel()
    await asyncio.gather(*impatient, return_exceptions=True)
    assert await database.write(adding("patient")) == 1
    assert "patient" in await database.all(NAMES, {})


async def test_an_announcement_is_heard_in_this_process_and_in_others(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]
    heard: list[list[str]] = [[], [], []]
    for database, ears in zip(databases, heard, strict=True):
        database.listen(ears.append)
    await databases[0].write(announcing("user:a", "signing-keys"))
    await databases[1].write(announcing("grant:b"))
    for database in databases:
        await database.changes()
    assert heard == [["user:a", "signing-keys", "grant:b"]] * 3


async def test_an_announcement_is_heard_by_a_program_that_runs_elsewhere(storage: Storage) -> None:
    database = await storage.open()
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.db.elsewhere", "listen", storage.location, stdin=PIPE, stdout=PIPE
    )
    try:
        assert program.stdout is not None
        assert await program.stdout.readline() == b"listening\n"
        await database.write(announcing("user:a", "session:b"))
        heard, _ = await asyncio.wait_for(program.communicate(b"catch up\n"), 20)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert heard.split() == [b"user:a", b"session:b"]


async def test_nothing_is_heard_twice_and_nothing_of_what_failed(storage: Storage) -> None:
    database = await storage.open()
    heard: list[str] = []
    database.listen(heard.append)

    async def failing(tx: Transaction) -> None:
        await tx.announce("user:nobody")
        raise InvalidGrant("No.")

    await asyncio.gather(database.write(announcing("user:a")), database.write(failing), return_exceptions=True)
    for _ in range(3):
        await database.changes()
    await database.write(announcing("user:b"))
    await database.changes()
    assert heard == ["user:a", "user:b"]


async def test_a_process_hears_nothing_of_what_was_before_it_started(storage: Storage) -> None:
    await (await storage.open()).write(announcing("user:a"))
    late = await storage.open()
    heard: list[str] = []
    late.listen(heard.append)
    await late.changes()
    assert heard == []


async def test_a_unit_of_work_takes_no_second_connection(database: Database) -> None:
    """Promise O6: a request that held two connections could wait for itself."""

    async def reads_outside(_: Transaction) -> object:
        return await database.one(COUNTER, {"who": "a"})

    async def reads_all_outside(_: Transaction) -> object:
        return await database.all(COUNTERS, {})

    async def writes_inside(_: Transaction) -> object:
        return await database.write(adding("a"))

    for work in (reads_outside, reads_all_outside, writes_inside):
        with pytest.raises(RuntimeError):
            await database.write(work)
    assert await database.write(adding("b")) == 1
    assert await database.all(NAMES, {}) == ["b"]


async def test_a_mistake_of_ours_is_not_told_as_an_outage(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(ADD, {"fingerprint": None, "generation": 1})

    with pytest.raises(Exception, match=r"(?i)not.null"):
        await database.write(work)
    assert await database.all(NAMES, {}) == []
