"""The yardstick of ``postgres.py``, started by it: look-ups by asyncpg alone, of the statement that Keystead uses.

That is the one for a key whose owner is remembered, as the owner of all keys here is.

``looking_up.py URL FILE SECONDS CONNECTIONS`` reads the hashes of API keys from FILE, one a line in hexadecimal, looks
them up in turn, as many at a time as there are connections, each over its own, and prints how many a second as JSON.
"""

import asyncio
import json
import sys
import time
from itertools import cycle
from pathlib import Path

import asyncpg
import uvloop

from keystead.keys.store import KEY_BY_HASH


async def measure(url: str, hashes: list[bytes], seconds: float, connections: int) -> dict[str, float]:
    """Look up for a while."""
    opened = [await asyncpg.connect(url) for _ in range(connections)]
    sql, turns, done = KEY_BY_HASH.numbered.sql, cycle(hashes), 0
    for connection in opened:
        await connection.fetchrow(sql, next(turns))
    begin, spent = time.perf_counter(), time.process_time()

    async def ask(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        nonlocal done
        while time.perf_counter() < begin + seconds:
            if await connection.fetchrow(sql, next(turns)) is None:
                raise RuntimeError("a key was not found")
            done += 1

    await asyncio.gather(*(ask(connection) for connection in opened))
    took, spent = time.perf_counter() - begin, time.process_time() - spent
    for connection in opened:
        await connection.close()
    return {"rate": done / took, "cpu": spent / done * 1e6, "requests": done}


def main() -> None:
    """Measure once."""
    hashes = [bytes.fromhex(line) for line in Path(sys.argv[2]).read_text(encoding="utf-8").split()]
    found = uvloop.run(measure(sys.argv[1], hashes, float(sys.argv[3]), int(sys.argv[4])))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
