"""What ``keystead doctor`` looks at where the database, and perhaps the limits, are shared by nodes."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg

from keystead.db.master_secret import InstallationError
from keystead.db.migrate import NEWEST, postgres_revision
from keystead.db.shared_installation import check_master_secret, connected
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.operate.finding import Finding
from keystead.operate.installation import master_secret_of

CLOCKS_DIFFER: Final = 60
_SPARE_CONNECTIONS: Final = 10
_DURABLE: Final = {"fsync": "on", "full_page_writes": "on"}


def examine_shared(data: Path, settings: Settings, url: Secret) -> list[Finding]:
    """Check the PostgreSQL database of an installation, and its Valkey when it has one."""
    return asyncio.run(_all(data, settings, url))


async def _all(data: Path, settings: Settings, url: Secret) -> list[Finding]:
    found = []
    try:
        async with connected(url.reveal()) as connection:
            found = [finding async for finding in _database(connection, data, settings)]
    except InstallationError as error:
        found = [Finding("database", str(error))]
    except asyncpg.PostgresError as error:
        found.append(Finding("database", f"It answers with an error: {type(error).__name__}."))
    if settings.valkey_url is not None:
        found.append(await _valkey(settings.valkey_url.get_secret_value()))
    return found


async def _database(connection: Any, data: Path, settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("database")
    yield await _durability(connection)
    yield await _connections(connection, settings)
    yield await _clock(connection)
    revision = await postgres_revision(connection)
    if revision != NEWEST:
        yield Finding(
            "database version",
            f"It is {revision or 'empty'}, this program works with {NEWEST}: start a server to bring it up to date, or "
            "install the version of Keystead that was used last.",
        )
        return
    yield Finding("database version")
    try:
        await check_master_secret(connection, data, master_secret_of(settings))
    except InstallationError as error:
        yield Finding("master secret", str(error))
    else:
        yield Finding("master secret")


async def _durability(connection: Any) -> Finding:
    """An answer is sent after its commit, so a commit must be on a disk."""
    wrong = [
        f"{name} is {value}"
        for name, value in [(name, await _setting(connection, name)) for name in (*_DURABLE, "synchronous_commit")]
        if value == "off"
    ]
    if not wrong:
        return Finding("durability")
    return Finding(
        "durability", f"{' and '.join(wrong)}: what was acknowledged could be lost. Set it to on in postgresql.conf."
    )


async def _connections(connection: Any, settings: Settings) -> Finding:
    most = int(await _setting(connection, "max_connections") or 0)
    needed = settings.database_pool + 1
    if most and most < needed + _SPARE_CONNECTIONS:
        return Finding(
            "connections",
            f"PostgreSQL takes {most}, and each process of Keystead may use {needed}: raise max_connections, or set "
            "KEYSTEAD_DATABASE_POOL lower.",
        )
    return Finding("connections")


async def _clock(connection: Any) -> Finding:
    theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::bigint")
    apart = abs(int(time.time()) - int(theirs))
    if apart > CLOCKS_DIFFER:
        return Finding("clock", f"It is {apart} seconds from the database's: set both, for instance with NTP.")
    return Finding("clock")


async def _setting(connection: Any, name: str) -> str | None:
    """Return a setting of the database; None where it does not know the name, as other makes may not."""
    found = await connection.fetchval("SELECT current_setting($1, true)", name)
    return None if found is None else str(found)


async def _valkey(url: str) -> Finding:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    address = url.replace("valkeys://", "rediss://", 1).replace("valkey://", "redis://", 1)
    client = Redis.from_url(address, socket_timeout=2, socket_connect_timeout=2)
    try:
        await client.ping()
    except (RedisError, OSError, ValueError) as error:
        return Finding(
            "limits",
            f"The Valkey or Redis in KEYSTEAD_VALKEY_URL does not answer ({type(error).__name__}): until it does, each "
            "node counts by itself.",
        )
    finally:
        await client.aclose()
    return Finding("limits")
