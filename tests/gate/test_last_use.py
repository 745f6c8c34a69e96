"""When a key was last used, and how often, is kept in batches, and costs no check anything (promise K2)."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from keystead.db.engine import DatabaseError
from keystead.gate import last_use
from keystead.gate.last_use import DAY, PORTION, WRITE_EVERY, Count, LastUse, Use
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.scopes import ALL_SCOPES
from tests.gate.serving import Furnished, ask, dump, furnished_server, new_key, open_database
from tests.support.server import KeysteadServer

IDENTITY = Identity("u1", "ada", "ada@example.com", "Ada", 0, None, "o1", "acme", "Acme", "owner")
NOW = 1_763_800_000
LONGEST_STALE = 120
MIDNIGHT = 1_763_769_600
"""A midnight in UTC, as Unix seconds."""


class Notebook:
    """Somewhere to write uses, which may be away."""

    def __init__(self) -> None:
        self.batches: list[list[Use]] = []
        self.away = False
        self.written = asyncio.Event()

    async def write(self, uses: list[Use]) -> None:
        """Keep a batch."""
        if self.away:
            raise DatabaseError("The database is away.")
        self.batches.append(uses)
        self.written.set()


class Tally:
    """Somewhere to count uses, which may be away, and may wait in the middle of a batch."""

    def __init__(self) -> None:
        self.counted: dict[tuple[str, int], int] = {}
        self.batches = 0
        self.away = False
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def count(self, counts: list[Count]) -> None:
        """Add a batch, or nothing of it."""
        if self.away:
            raise DatabaseError("The database is away.")
        self.begun.set()
        await self.go_on.wait()
        self.batches += 1
        for credential_id, day, times in counts:
            self.counted[credential_id, day] = self.counted.get((credential_id, day), 0) + times


def counting(notebook: Notebook, tally: Tally) -> LastUse:
    return LastUse({Method.API_KEY: notebook.write, Method.SESSION: notebook.write}, {Method.API_KEY: tally.count})


def principal(credential_id: str, method: Method = Method.API_KEY) -> Principal:
    return Principal(IDENTITY, method, ALL_SCOPES, credential_id, None)


async def test_a_thousand_uses_of_a_key_are_one_write_of_the_last_of_them() -> None:
    notebook = Notebook()
    uses = LastUse({Method.API_KEY: notebook.write})
    for second in range(1_000):
        uses.note(principal("k1"), NOW + second, f"192.0.2.{second % 250}")
        uses.note(principal("k2"), NOW, "192.0.2.1")
        uses.note(principal("t1", Method.ACCESS_TOKEN), NOW, "192.0.2.1")
    await uses.write()
    await uses.write()
    assert notebook.batches == [[("k1", NOW + 999, "192.0.2.249"), ("k2", NOW, "192.0.2.1")]]


async def test_what_could_not_be_written_is_written_with_the_next_batch_unless_something_newer_is_known() -> None:
    notebook = Notebook()
    uses = LastUse({Method.API_KEY: notebook.write})
    uses.note(principal("k1"), NOW, "192.0.2.1")
    uses.note(principal("k2"), NOW, "192.0.2.1")
    notebook.away = True
    await uses.write()
    uses.note(principal("k1"), NOW + 60, "192.0.2.2")
    notebook.away = False
    await uses.write()
    assert notebook.batches == [[("k1", NOW + 60, "192.0.2.2"), ("k2", NOW, "192.0.2.1")]]


async def test_a_batch_is_written_at_least_every_two_minutes_and_at_most_every_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 60 <= WRITE_EVERY <= LONGEST_STALE
    monkeypatch.setattr(last_use, "WRITE_EVERY", 0.01)
    notebook = Notebook()
    uses = LastUse({Method.API_KEY: notebook.write})
    writing = asyncio.create_task(uses.write_for_ever())
    for number in range(3):
        uses.note(principal("k1"), NOW + number, "192.0.2.1")
        await asyncio.wait_for(notebook.written.wait(), 10)
        notebook.written.clear()
    writing.cancel()
    assert [batch[0][1] for batch in notebook.batches] == [NOW, NOW + 1, NOW + 2]


@pytest.fixture
def server(furnished: Furnished, tmp_path: Path) -> Iterator[KeysteadServer]:
    with furnished_server(furnished, tmp_path) as one:
        yield one


def test_a_check_writes_nothing_and_its_time_and_address_are_there_when_the_server_has_stopped(
    server: KeysteadServer,
) -> None:
    key_id, key = new_key(server.data, server.url, "ada")
    with closing(open_database(server.data)) as database:
        version = database.execute("PRAGMA data_version").fetchone()
        for _ in range(50):
            assert httpx.get(f"{server.url}/verify", headers={"x-api-key": key}).status_code == 200
        assert database.execute("PRAGMA data_version").fetchone() == version
    assert ask(server.data, "SELECT last_used_at FROM api_key WHERE id = ?", key_id) == [None]
    assert server.stop() == 0
    assert ask(server.data, "SELECT last_used_address FROM api_key WHERE id = ?", key_id) == ["127.0.0.1"]
    assert ask(server.data, "SELECT last_used_at FROM api_key WHERE id = ?", key_id)[0] > NOW


async def test_a_busy_minute_is_written_in_portions_and_what_was_written_is_not_written_again() -> None:
    written: list[list[Use]] = []

    async def writer(portion: list[Use]) -> None:
        if len(written) == 2:
            written.append([])
            raise DatabaseError
        written.append(portion)

    uses = LastUse({Method.API_KEY: writer})
    for number in range(PORTION * 3):
        uses.note(principal(f"key-{number:04}"), number, "192.0.2.1")
    await uses.write()
    await uses.write()
    assert [len(portion) for portion in written] == [PORTION, PORTION, 0, PORTION]
    assert sorted(use for portion in written for use in portion) == [
        (f"key-{number:04}", number, "192.0.2.1") for number in range(PORTION * 3)
    ]


# How often


async def test_every_use_of_a_key_is_counted_once_and_other_credentials_are_not() -> None:
    tally = Tally()
    uses = counting(Notebook(), tally)
    for number in range(1_000):
        uses.note(principal("k1"), MIDNIGHT + number, "192.0.2.1")
    uses.note(principal("k2"), MIDNIGHT, "192.0.2.1")
    uses.note(principal("s1", Method.SESSION), MIDNIGHT, "192.0.2.1")
    uses.note(principal("t1", Method.ACCESS_TOKEN), MIDNIGHT, "192.0.2.1")
    await uses.write()
    await uses.write()
    assert (tally.counted, tally.batches) == ({("k1", MIDNIGHT): 1_000, ("k2", MIDNIGHT): 1}, 1)


async def test_a_use_counts_for_its_own_day_whenever_it_is_written() -> None:
    notebook, tally = Notebook(), Tally()
    uses = counting(notebook, tally)
    for at in (-2, -1, 0, 1, DAY - 1, DAY):
        uses.note(principal("k1"), MIDNIGHT + at, "192.0.2.1")
    await uses.write()
    assert tally.counted == {("k1", MIDNIGHT - DAY): 2, ("k1", MIDNIGHT): 3, ("k1", MIDNIGHT + DAY): 1}
    assert notebook.batches == [[("k1", MIDNIGHT + DAY, "192.0.2.1")]]


@pytest.mark.parametrize("what", ["last use", "count"])
async def test_a_failure_to_write_loses_no_count_and_counts_none_twice(what: str) -> None:
    notebook, tally = Notebook(), Tally()
    uses = counting(notebook, tally)
    for number in range(3):
        for _ in range(5):
            uses.note(principal("k1"), MIDNIGHT + number * DAY, "192.0.2.1")
        notebook.away, tally.away = what == "last use", what == "count"
        await uses.write()
        assert tally.counted == {}
    notebook.away = tally.away = False
    await uses.write()
    await uses.write()
    assert tally.counted == {("k1", MIDNIGHT + number * DAY): 5 for number in range(3)}


async def test_who_stops_while_a_batch_is_written_counts_it_once() -> None:
    tally = Tally()
    tally.go_on.clear()
    uses = counting(Notebook(), tally)
    uses.note(principal("k1"), MIDNIGHT, "192.0.2.1")
    first = asyncio.create_task(uses.write())
    await asyncio.wait_for(tally.begun.wait(), 10)
    uses.note(principal("k1"), MIDNIGHT + 1, "192.0.2.1")
    first.cancel()
    last = asyncio.create_task(uses.write())
    await asyncio.wait({first})
    tally.go_on.set()
    await asyncio.wait_for(last, 10)
    assert (tally.counted, tally.batches) == ({("k1", MIDNIGHT): 2}, 2)


async def test_a_day_that_ends_while_its_count_is_written_loses_nothing() -> None:
    tally = Tally()
    tally.go_on.clear()
    uses = counting(Notebook(), tally)
    uses.note(principal("k1"), MIDNIGHT, "192.0.2.1")
    writing = asyncio.create_task(uses.write())
    await asyncio.wait_for(tally.begun.wait(), 10)
    uses.note(principal("k1"), MIDNIGHT + 1, "192.0.2.1")
    uses.note(principal("k1"), MIDNIGHT + DAY, "192.0.2.1")
    tally.go_on.set()
    await asyncio.wait_for(writing, 10)
    await uses.write()
    assert tally.counted == {("k1", MIDNIGHT): 2, ("k1", MIDNIGHT + DAY): 1}


async def test_the_counts_of_a_busy_minute_are_written_in_portions() -> None:
    tally = Tally()
    uses = counting(Notebook(), tally)
    for number in range(PORTION * 2 + 1):
        uses.note(principal(f"key-{number:04}"), MIDNIGHT, "192.0.2.1")
    await uses.write()
    assert (len(tally.counted), tally.batches) == (PORTION * 2 + 1, 3)


def test_a_server_counts_every_check_that_it_answered(server: KeysteadServer) -> None:
    key_id, key = new_key(server.data, server.url, "ada")
    with httpx.Client(base_url=server.url, headers={"x-api-key": key}) as client:
        answers = [client.get(path).status_code for path in ("/verify", "/api/auth/session") * 25]
    assert httpx.get(f"{server.url}/verify", headers={"x-api-key": key[:-1] + "!"}).status_code == 401
    assert server.stop() == 0
    assert answers == [200] * 50
    assert sum(ask(server.data, "SELECT uses FROM key_use WHERE api_key_id = ?", key_id)) == 50


def test_counted_uses_are_no_change_to_a_test_that_holds_that_nothing_changes(server: KeysteadServer) -> None:
    _, key = new_key(server.data, server.url, "ada")
    before = dump(server.data)
    assert httpx.get(f"{server.url}/verify", headers={"x-api-key": key}).status_code == 200
    assert server.stop() == 0
    assert ask(server.data, "SELECT uses FROM key_use") == [1]
    assert dump(server.data) == before
