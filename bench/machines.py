"""What benches start of other projects: PostgreSQL and Valkey, as the tests start them, and installations over them.

PostgreSQL keeps its promises here: ``fsync`` is on, and a commit is on the disk when it is told. It gets the cores that
neither the server nor the load has; on a machine of two cores it shares the load's.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests' machines are the benches' too

import asyncpg
from people import ADDRESS, EVERY_SCOPE, LIMITS, House
from servers import LOAD_CORE, cpu_seconds

from keystead.db.opening import database_url_of
from keystead.kernel.clock import SystemClock
from keystead.kernel.ids import new_id
from keystead.kernel.secrets import keyed_hash, new_api_key
from keystead.kernel.settings import FILE_NAME
from keystead.keys.service import DEFAULT_APP
from keystead.operate.installation import ADDRESS_FILE, read_settings
from keystead.services import Services, open_services
from tests.support.cluster import MASTER_SECRET, furnish
from tests.support.postgres import PostgresServer
from tests.support.processes import family, free_port
from tests.support.programs import POSTGRES, VALKEY, Requirement, is_missing

T = TypeVar("T")

ROOMY: Final = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
"""Settings of a server that holds a million keys: they stay in its memory, and no checkpoint falls into a round."""
ADA: Final = "SELECT id FROM \"user\" WHERE username = 'ada'"


def need(wanted: Requirement) -> None:
    """Stop with a plain sentence where a program is missing."""
    if is_missing(wanted):
        sys.exit(f"This bench needs {wanted.name}. On Debian and Ubuntu: apt-get install {wanted.package}.")


def need_postgres() -> None:
    """Stop with a plain sentence where PostgreSQL is missing."""
    need(POSTGRES)


def need_valkey() -> None:
    """Stop with a plain sentence where there is neither Valkey nor Redis."""
    need(VALKEY)


def shares_a_core() -> bool:
    """Tell whether PostgreSQL has no core of its own."""
    return (os.cpu_count() or 1) <= 2


def beside() -> str:
    """Return the words that a row adds where PostgreSQL has no core of its own."""
    return "; PostgreSQL shares a core with the load" if shares_a_core() else ""


@contextmanager
def postgres(place: Path, **settings: str) -> Iterator[PostgresServer]:
    """Run PostgreSQL on its cores."""
    cores = {LOAD_CORE} if shares_a_core() else set(range(2, os.cpu_count() or 3))
    with PostgresServer(place / "postgres", {**ROOMY, **settings}) as server:
        for pid in family(server.pid):
            os.sched_setaffinity(pid, cores)
        yield server


def postgres_seconds(server: PostgresServer) -> float:
    """Return the CPU time that all processes of PostgreSQL have used so far, those that ended included."""
    told = Path(f"/proc/{server.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ended = (int(told[13]) + int(told[14])) / os.sysconf("SC_CLK_TCK")
    return ended + sum(_seconds_so_far(pid) for pid in server.processes())


def _seconds_so_far(pid: int) -> float:
    """Return what a process has used; nothing for one that has just ended, as some of PostgreSQL's own do."""
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0


def shared_house(data: Path, url: str, settings: str = "") -> House:
    """Make an installation over an empty PostgreSQL database, with ada in it; ``settings`` are more lines of TOML."""
    data.mkdir(parents=True)
    port = free_port()
    shared = f'database_url = "{url}"\nmaster_secret = "{MASTER_SECRET}"\n'
    (data / FILE_NAME).write_text(LIMITS + shared + settings, encoding="utf-8")
    (data / ADDRESS_FILE).write_text(f"http://{ADDRESS}:{port}\n", encoding="utf-8")
    acme = furnish(data, url)
    return House(data, port, acme, asyncio.run(_value(url, ADA)))


def inside_shared(house: House, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` with the services of an installation, as one more node would."""

    async def whole() -> T:
        services = open_services(house.data, read_settings(house.data), SystemClock())
        try:
            return await work(services)
        finally:
            await services.aclose()

    return asyncio.run(whole())


async def _value(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def fill_shared_with_keys(services: Services, house: House, real: int, others: int) -> list[str]:
    """Put API keys of ada's into PostgreSQL. Return the texts of the ``real`` ones; nobody knows any of the others."""
    app = (await services.keys.create_key_for_user("ada", DEFAULT_APP)).record.app_id
    settings, secret = services.settings, services.keys_of_installation.credentials
    texts = [new_api_key(settings.api_key_prefix, settings.public_url).reveal() for _ in range(real)]
    owner = (app, house.organization_id, house.user_id, "bench", "abcd…wxyz", EVERY_SCOPE, 0)
    columns = ["id", "secret_hash", "app_id", "organization_id", "user_id", "title", "hint", "scopes", "created_at"]
    url = database_url_of(settings)
    connection = await asyncpg.connect("" if url is None else url.reveal())
    try:
        rows = [(new_id(), keyed_hash(secret, text), *owner) for text in texts]
        await connection.copy_records_to_table("api_key", records=rows, columns=columns)
        await connection.execute(
            f"INSERT INTO api_key ({', '.join(columns)}) "  # noqa: S608 - our own names
            "SELECT gen_random_uuid(), sha256(n::text::bytea), $1, $2, $3, $4, $5, $6, $7 "
            "FROM generate_series(1, $8::bigint) n",
            *owner,
            others,
            timeout=120,
        )
        await connection.execute("VACUUM ANALYZE", timeout=120)
    finally:
        await connection.close()
    return texts
