"""A program that opens a storage in a process of its own: to listen there, or to write until it is killed."""

import asyncio
import sys
from itertools import count
from pathlib import Path

from keystead.db import Database, Transaction
from keystead.db.postgres import PostgresDatabase
from keystead.db.sqlite import SqliteDatabase
from keystead.kernel.clock import SystemClock
from keystead.kernel.secrets import Secret
from tests.db.storage import ADD

WRITERS = 8


def say(text: str) -> None:
    """Print a line that is on its way before this returns."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def listen(database: Database) -> None:
    """Say what was heard, once asked to."""
    database.listen(say)
    say("listening")
    sys.stdin.readline()
    await database.changes()


async def write(database: Database) -> None:
    """Add rows for ever, several at a time, and say each name once it was acknowledged."""

    async def keep_writing(writer: int) -> None:
        for number in count():
            name = f"{writer}-{number}"

            async def work(tx: Transaction, name: str = name) -> None:
                await tx.run(ADD, {"fingerprint": name, "generation": 0})

            await database.write(work)
            say(name)

    await asyncio.gather(*(keep_writing(writer) for writer in range(WRITERS)))


def open_at(location: str) -> Database:
    """Open a file by its path, or PostgreSQL by its address."""
    if location.startswith("postgresql://"):
        return PostgresDatabase(Secret(location), clock=SystemClock())
    return SqliteDatabase(Path(location), clock=SystemClock())


async def main() -> None:
    """Do what the command line says: ``listen PLACE`` or ``write PLACE``."""
    database = open_at(sys.argv[2])
    await database.changes()
    await {"listen": listen, "write": write}[sys.argv[1]](database)
    await database.aclose()


if __name__ == "__main__":
    asyncio.run(main())
