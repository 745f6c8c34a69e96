"""PostgreSQL does what tests of ours stand on: it answers, dies, hangs, comes back and is followed."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import asyncpg
import pytest

from tests.support.postgres import NOT_DURABLE, PostgresServer, database_of, home
from tests.support.processes import MachineError, alive, wait_for

NewPostgres = Callable[..., PostgresServer]


async def value(url: str, sql: str) -> object:
    """Return one value as a client of the database sees it."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_database_answers_to_a_role_that_is_no_superuser(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        row = await connection.fetchrow("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
        await connection.execute("CREATE TABLE apple (id integer)")
    finally:
        await connection.close()
    assert row is not None
    assert tuple(row) == ("keystead", False)


def test_every_test_has_an_empty_database_of_its_own(postgres_server: PostgresServer, postgres_url: str) -> None:
    tables = postgres_server.fetch("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", postgres_url)
    other = postgres_server.create_database()
    postgres_server.execute("CREATE TABLE pear (id integer)", other)
    postgres_server.drop_database(other)

    assert tables == [("0",)]
    assert postgres_server.fetch("SELECT to_regclass('pear')", postgres_url) == [("",)]
    known = postgres_server.fetch("SELECT datname FROM pg_database")
    assert (database_of(postgres_url),) in known
    assert (database_of(other),) not in known


async def test_a_database_may_be_a_copy_of_another(postgres_server: PostgresServer, postgres_url: str) -> None:
    postgres_server.execute("CREATE TABLE plum (id integer); INSERT INTO plum VALUES (3), (4)", postgres_url)
    copy = postgres_server.create_database(template=database_of(postgres_url))
    postgres_server.execute("DELETE FROM plum", postgres_url)

    assert postgres_server.fetch("SELECT id FROM plum ORDER BY id", copy) == [("3",), ("4",)]
    postgres_server.drop_database(copy)


def test_a_statement_that_fails_says_why(postgres_server: PostgresServer) -> None:
    with pytest.raises(MachineError, match='relation "nowhere" does not exist'):
        postgres_server.execute("SELECT * FROM nowhere")
    assert postgres_server.fetch("SELECT 'a,b', NULL, E'c\"\\nd'") == [("a,b", "", 'c"\nd')]


async def test_two_servers_do_not_disturb_each_other(new_postgres: NewPostgres) -> None:
    one, other = new_postgres(NOT_DURABLE), new_postgres(NOT_DURABLE)
    for server in (one, other):
        url = server.create_database("same")
        server.execute(f"CREATE TABLE port AS SELECT {server.port} AS number", url)
    assert await value(one.url("same"), "SELECT number FROM port") == one.port
    assert await value(other.url("same"), "SELECT number FROM port") == other.port

    one.kill()
    assert not one.running
    assert await value(other.url("same"), "SELECT number FROM port") == other.port


async def test_a_wrong_password_is_refused_where_passwords_are_asked_for(new_postgres: NewPostgres) -> None:
    server = new_postgres(NOT_DURABLE, authentication="scram-sha-256")
    url = server.create_database()
    assert await value(url, "SELECT 1") == 1
    assert await value(server.administrator_url(), "SELECT 1") == 1

    scheme, _, rest = url.partition("keystead:")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await value(f"{scheme}keystead:wrong@{rest.partition('@')[2]}", "SELECT 1")


async def test_a_kill_loses_nothing_that_was_committed(new_postgres: NewPostgres) -> None:
    server = new_postgres()
    url = server.create_database()
    server.execute("CREATE TABLE line (id integer PRIMARY KEY)", url)
    committed = 0
    enough = asyncio.Event()

    async def write() -> None:
        nonlocal committed
        connection = await asyncpg.connect(url)
        try:
            while True:
                await connection.execute("INSERT INTO line VALUES ($1)", committed + 1)
                committed += 1
                if committed == 20:
                    enough.set()
        finally:
            connection.terminate()

    writer = asyncio.create_task(write())
    await enough.wait()
    pids = server.processes()
    await asyncio.to_thread(server.kill)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await writer
    assert len(pids) > 5
    assert alive(pids) == []

    port = server.port
    server.start()
    assert server.port == port
    kept = {int(number) for (number,) in server.fetch("SELECT id FROM line", url)}
    assert kept >= set(range(1, committed + 1))
    assert "automatic recovery in progress" in server.log_text()


async def test_a_server_that_stops_and_starts_is_the_same(new_postgres: NewPostgres) -> None:
    server = new_postgres(NOT_DURABLE)
    url = server.create_database()
    server.execute("CREATE TABLE fig AS SELECT 5 AS id", url)
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        await value(url, "SELECT 1")
    with pytest.raises(MachineError, match="does not run"):
        server.stop()

    server.settings["max_connections"] = "50"
    server.restart()
    assert server.fetch("SELECT id FROM fig", url) == [("5",)]
    assert server.fetch("SHOW max_connections") == [("50",)]
    with pytest.raises(MachineError, match="runs already"):
        server.start()


async def test_a_client_of_a_server_that_is_held_waits_until_it_goes_on(new_postgres: NewPostgres) -> None:
    server = new_postgres(NOT_DURABLE)
    connection = await asyncpg.connect(server.create_database())
    server.pause()
    waiting = asyncio.create_task(connection.fetchval("SELECT 7"))
    newcomer = asyncio.create_task(value(server.administrator_url(), "SELECT 8"))
    _, still = await asyncio.wait({waiting, newcomer}, timeout=0.3)
    assert still == {waiting, newcomer}

    server.resume()
    assert await asyncio.wait_for(waiting, 10) == 7
    assert await asyncio.wait_for(newcomer, 10) == 8
    await connection.close()


async def test_a_held_server_can_be_stopped_and_killed(new_postgres: NewPostgres) -> None:
    server = new_postgres(NOT_DURABLE)
    server.pause()
    server.stop()
    server.start()
    server.pause()
    pids = server.processes()
    server.kill()
    assert alive(pids) == []

    server.start()
    assert server.fetch("SELECT 1") == [("1",)]


async def test_a_standby_follows_and_can_be_promoted(new_postgres: NewPostgres) -> None:
    primary = new_postgres(NOT_DURABLE)
    url = primary.create_database()
    primary.execute("CREATE TABLE pea AS SELECT 1 AS id", url)
    with primary.standby() as standby:
        primary.execute("INSERT INTO pea VALUES (2)", url)
        standby.catch_up()
        assert standby.fetch("SELECT id FROM pea ORDER BY id", url) == [("1",), ("2",)]
        with pytest.raises(MachineError, match="read-only"):
            standby.execute("INSERT INTO pea VALUES (3)", url)

        primary.restart()
        primary.execute("INSERT INTO pea VALUES (3)", url)
        standby.catch_up()
        primary.kill()
        standby.promote()
        standby.execute("INSERT INTO pea VALUES (4)", url)
        assert await value(standby.url(database_of(url)), "SELECT 9") == 9
        assert len(standby.fetch("SELECT id FROM pea", url)) == 4


def test_a_server_that_cannot_start_says_why(new_postgres: NewPostgres) -> None:
    with pytest.raises(MachineError, match='unrecognized configuration parameter "no_such_setting"'):
        new_postgres({"no_such_setting": "on"})


def test_nothing_of_a_server_is_left_but_its_log(tmp_path: Path) -> None:
    before = shared_memory()
    with PostgresServer(tmp_path, NOT_DURABLE) as server:
        pids = server.processes()
        data = server.data
        server.kill()
        server.start()
        pids += server.processes()
        assert len(alive(pids)) > 5
    assert alive(pids) == []
    assert [path.name for path in tmp_path.iterdir()] == ["postgres.log"]
    wait_for(lambda: not data.parent.exists(), "an end of its data")
    assert not [line for line in shared_memory() - before if set(line.split()) & set(map(str, pids))]


def test_what_a_killed_run_left_is_removed_by_the_next_and_nothing_else_is(postgres_server: PostgresServer) -> None:
    program = "from tests.support.postgres import home; print(home(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, text=True) as run:
        assert run.stdout is not None
        left = Path(run.stdout.readline().strip())
        assert left.is_dir()
        run.kill()
    assert left.is_dir()

    later = subprocess.run([sys.executable, "-c", program], input="\n", stdout=PIPE, text=True, check=True)
    assert not left.exists()
    assert not Path(later.stdout.strip()).exists()
    assert home().is_dir()
    assert postgres_server.fetch("SELECT 1") == [("1",)]


def shared_memory() -> set[str]:
    """Return the system's list of shared memory, a line for each piece, with the process that made it."""
    return set(Path("/proc/sysvipc/shm").read_text(encoding="utf-8").splitlines()[1:])
