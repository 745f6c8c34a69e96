"""Fifteen thousand polls held by one process: the memory, the key checks beside them, and how soon all are answered.

``.venv/bin/python bench/held_polls.py [--polls N] [--hold SECONDS] [--quick]`` needs wrk, two cores and N open files
for a process. Each poll is a connection of its own, held by a small program on the load's core. First the key checks
are measured without any held poll, then with all of them; then every code is decided in one transaction, denied in one
run and approved in the other, and the answers are counted as they come.
"""

import asyncio
import resource
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

import uvloop
from harness import Row, keep, option, quick, rounds, say, surroundings, table, workplace
from hot_answers import SESSION, basic
from people import ADDRESS, EVERY_SCOPE, METADATA, House, api_key, inside, many, new_house
from servers import LOAD_CORE, Load, Served, keystead, need_wrk, pin, resident_mb, wrk

from keystead.db.installation import DATABASE_FILE
from keystead.oauth.service import DEVICE_CODE
from keystead.oauth.surfaces import TOKEN
from keystead.oauth.waiting import SUBJECT
from keystead.services import Services

POLLS: Final = option("polls", 1_000 if quick() else 15_000)
HOLD: Final = option("hold", 25)
ROUNDS: Final = rounds(2, 5)
SECONDS: Final = 1.0
SPARE_FILES: Final = 500
AT_ONCE: Final = 64
WAY: Final = "What a held poll takes is told in [held polls](../docs/decisions/held-polls.md)."
_CLIENT: Final = "parallel-cli"


@dataclass
class Clients:
    """Clients that poll on and on, each over one connection, until they are told something else than to go on."""

    address: tuple[str, int]
    requests: list[bytes]
    told: dict[str, int] = field(default_factory=dict)
    last: float = 0.0
    connected: int = 0

    async def arrive(self) -> None:
        """Connect and poll, a few at a time."""
        turn, everybody = asyncio.Semaphore(AT_ONCE), asyncio.Event()
        self.polling = [asyncio.ensure_future(self._poll(request, turn, everybody)) for request in self.requests]
        await everybody.wait()

    async def leave(self) -> None:
        """Wait until every one was told."""
        await asyncio.gather(*self.polling)

    async def _poll(self, request: bytes, turn: asyncio.Semaphore, everybody: asyncio.Event) -> None:
        async with turn:
            reader, writer = await asyncio.open_connection(*self.address, limit=2_048)
        self.connected += 1
        if self.connected == len(self.requests):
            everybody.set()
        while True:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if b"authorization_pending" not in body:
                break
            await asyncio.sleep(1)
        self.last = time.perf_counter()
        kind = head[9:12].decode() + (b"access_token" in body) * " with tokens"
        self.told[kind] = self.told.get(kind, 0) + 1
        writer.close()


def raise_limit() -> None:
    """Let this process, and the server that it starts, have a connection for each poll."""
    wanted = POLLS + SPARE_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < wanted:
        sys.exit(f"This bench needs {wanted} open files; the limit here is {hard}. Try fewer --polls.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def issue(services: Services) -> list[str]:
    """Make a code for every poll."""
    await services.oauth.clients.register(METADATA)
    issued = await many(POLLS, lambda: services.oauth.devices.issue(_CLIENT, EVERY_SCOPE, ADDRESS))
    return [codes.device_code.reveal() for codes in issued]


def request_of(code: str, host: str) -> bytes:
    """Return a whole poll."""
    body = urlencode({"grant_type": DEVICE_CODE, "client_id": _CLIENT, "device_code": code})
    head = f"POST {TOKEN} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def decide_all(house: House, *, approve: bool) -> float:
    """Decide every pending code in one transaction, and return when that was committed."""
    now = int(time.time())
    decided = ("approved", house.organization_id, EVERY_SCOPE) if approve else ("denied", None, None)
    with closing(sqlite3.connect(house.data / DATABASE_FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT OR IGNORE INTO client (id, name, platform, first_approved_at) VALUES (?, ?, '', ?)",
            (_CLIENT, _CLIENT, now),
        )
        connection.execute(
            "INSERT INTO revocation (subject, at) SELECT ? || id, ? FROM device_authorization WHERE state = 'pending'",
            (SUBJECT, now),
        )
        connection.execute(
            "UPDATE device_authorization SET state = ?, organization_id = ?, granted_scopes = ?, decided_at = ?, "
            "decided_by = ?, decided_session = 'bench' WHERE state = 'pending'",
            (*decided, now, house.user_id),
        )
        connection.execute("COMMIT")
    return time.perf_counter()


def checks(served: Served, key: str) -> float:
    """Return key checks a second."""
    return wrk(served, SESSION, Load(SECONDS, 16, headers=(f"Authorization: {basic(key)}",)))["rate"]


def row_of(approve: bool, held: float, share: float, spread: str, took: float) -> Row:
    """Return the line of the results for one run."""
    return Row(
        f"{POLLS:,} held polls on one node, then {'approved' if approve else 'denied'} at once",
        "under 250 MB; key checks at 0.7 of their rate without them; all answered within 2 s",
        f"{held:.0f} MB; {share:.2f} ({spread}); {took:.2f} s",
        held < 250 and share >= 0.7 and took <= 2,
        WAY,
    )


async def one_run(house: House, served: Served, codes: list[str], *, approve: bool) -> list[str]:
    """Hold all the polls, look at the process, decide, and return a row of the table."""
    pin(LOAD_CORE)()
    key = (house.data / "key").read_text(encoding="utf-8")
    host = urlsplit(served.url)
    idle = resident_mb(served.pid)
    without = [await asyncio.to_thread(checks, served, key) for _ in range(ROUNDS)]
    clients = Clients((host.hostname or "", host.port or 0), [request_of(code, host.netloc) for code in codes])
    began = time.perf_counter()
    await clients.arrive()
    arrived = time.perf_counter() - began
    await asyncio.sleep(1)
    held = resident_mb(served.pid)
    beside = [await asyncio.to_thread(checks, served, key) for _ in range(ROUNDS)]
    decided = await asyncio.to_thread(decide_all, house, approve=approve)
    await clients.leave()
    told = ", ".join(f"{times:,} times {kind}" for kind, times in sorted(clients.told.items()))
    share = sorted(beside)[ROUNDS // 2] / sorted(without)[ROUNDS // 2]
    figures = [f"{arrived:.1f}", f"{idle:.0f}", f"{held:.0f}", f"{(held - idle) * 1024 / len(codes):.1f}"]
    took = clients.last - decided
    spread = f"{min(beside) / max(without):.2f} to {max(beside) / min(without):.2f}"
    keep(row_of(approve, held, share, spread, took))
    after = [f"{share:.2f}", f"{took:.2f}", f"{resident_mb(served.pid):.0f}", told]
    return ["approved" if approve else "denied", *figures, *after]


def main() -> None:
    """Measure held polls."""
    need_wrk()
    raise_limit()
    surroundings("uvicorn", "uvloop")
    rows = []
    with workplace() as place:
        for approve in (False, True):
            house = new_house(place / ("approved" if approve else "denied"))
            codes = inside(house.data, issue)
            (house.data / "key").write_text(inside(house.data, api_key), encoding="utf-8")
            settings = {"KEYSTEAD_DEVICE_POLL_HOLD": str(HOLD), "KEYSTEAD_DEVICE_CODE_TTL": "3600"}
            with keystead(house, **settings) as served:
                rows.append(uvloop.run(one_run(house, served, codes, approve=approve)))
    head = ["decided", "polls held after, s", "idle, MB", "holding, MB", "KB a poll", "key checks, of those without"]
    say(f"{POLLS:,} polls, held for at most {HOLD} s.")
    say()
    table([*head, "last answer after, s", "then, MB", "answers"], rows)


if __name__ == "__main__":
    main()
