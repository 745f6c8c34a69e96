"""The hot calls over PostgreSQL: API keys that are not remembered, refreshes and device codes.

``.venv/bin/python bench/postgres.py [--keys N] [--pool N] [--quick]`` needs wrk, PostgreSQL and two cores. Look-ups are
measured beside asyncpg by itself, which asks the same statement over as many connections from the server's core, and
beside a bare ASGI application that asks it once for each request: nothing that looks keys up one by one is quicker.
"PostgreSQL's CPU" is what all its processes used for one request: where it has no core of its own, that and the load's
own work are all that the other core has time for.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from harness import (
    Case,
    Row,
    Spread,
    in_turn,
    keep,
    option,
    quick,
    ratio,
    rounds,
    say,
    shares,
    surroundings,
    table,
    workplace,
)
from hot_answers import SESSION, basic
from machines import (
    beside,
    fill_shared_with_keys,
    inside_shared,
    need_postgres,
    postgres,
    postgres_seconds,
    shared_house,
)
from people import EVERY_SCOPE, METADATA, many, sign_in
from recorded import record
from servers import HERE, SERVER_CORE, Load, Served, keystead, looking_up, need_wrk, pin, wrk

from keystead.gate.cache import MOST_ENTRIES
from keystead.kernel.secrets import keyed_hash
from keystead.oauth.surfaces import DEVICE_CODE as ISSUE
from keystead.oauth.surfaces import TOKEN
from keystead.services import Services
from tests.support.postgres import PostgresServer

ROUNDS: Final = rounds(2, 7)
SECONDS: Final = 1.0 if quick() else 2.0
KEYS: Final = option("keys", 200_000 if quick() else 1_000_000)
FIRST: Final = MOST_ENTRIES
"""Keys that are asked for first, so that the server remembers as many as it may."""
IN_TURN: Final = min(KEYS - FIRST, 8 * MOST_ENTRIES)
"""Keys that are asked for in turn then: far more than were here lately, so that none of them is ever remembered."""
POOL: Final = option("pool", 16)
CHAINS: Final = 16
BARE: Final = "asyncpg alone"
LEAST: Final = "bare ASGI with a look-up by asyncpg"
LOOKED_UP: Final = "API key not remembered"
REFRESH: Final = "refresh"
CODES: Final = "device code"
LOOK_UP_WAY: Final = (
    "HTTP by itself takes more of the server's one core for a request than the driver takes for a look-up, and the "
    "gate's own work comes on top ([PostgreSQL](../docs/decisions/postgres.md))."
)
RATE_WAY: Final = (
    "Each answer waits for a commit, and PostgreSQL's processes, the load and the server share the cores "
    "([PostgreSQL](../docs/decisions/postgres.md))."
)


class Desk:
    """An installation over PostgreSQL with many API keys, a client, and chains of refreshes."""

    def __init__(self, place: Path, server: PostgresServer) -> None:
        """Furnish it."""
        self.url = server.create_database("bench")
        self.house = shared_house(place / "data", self.url, f"database_pool = {POOL}\n")
        self.server = server
        self.client = ""
        self.chains: list[str] = []
        self.first, self.keys, self.hashes = place / "first", place / "keys", place / "hashes"
        self.codes = place / "codes"
        self.turn, self.look_ups = 0, 0
        inside_shared(self.house, self._furnish)
        server.execute("CHECKPOINT")

    async def _furnish(self, services: Services) -> None:
        texts = await fill_shared_with_keys(services, self.house, FIRST + IN_TURN, KEYS - FIRST - IN_TURN)
        self.first.write_text("".join(basic(text) + "\n" for text in texts[:FIRST]), encoding="utf-8")
        self.keys.write_text("".join(basic(text) + "\n" for text in texts[FIRST:]), encoding="utf-8")
        secret = services.keys_of_installation.credentials
        self.hashes.write_text("\n".join(keyed_hash(secret, text).hex() for text in texts[FIRST:]), encoding="utf-8")
        self.client = (await services.oauth.clients.register(METADATA)).id
        form = urlencode({"client_id": self.client, "scope": EVERY_SCOPE})
        self.codes.write_text(form + "\n", encoding="utf-8")

    async def _begin_chains(self, services: Services) -> None:
        await sign_in(services, self.house, self.client)  # makes what all of them share
        signed_in = await many(CHAINS, lambda: sign_in(services, self.house, self.client))
        self.chains = [one.refresh_token.reveal() for one in signed_in]

    def alone(self) -> dict[str, float]:
        """Run a round of look-ups by asyncpg alone, on the server's core."""
        command = [sys.executable, str(HERE / "looking_up.py"), self.url, str(self.hashes), str(SECONDS), str(POOL)]
        before = postgres_seconds(self.server)
        told = subprocess.run(  # noqa: S603
            command,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=pin(SERVER_CORE),
        )
        found: dict[str, float] = json.loads(told.stdout)
        self.look_ups += int(found["requests"])
        return {**found, "postgres": (postgres_seconds(self.server) - before) / found["requests"] * 1e6}

    def fill_the_cache(self, served: Served) -> None:
        """Ask for the first keys, each at least once."""
        asked = 0
        while asked < FIRST:
            load = Load(SECONDS, POOL, script="lines.lua", arguments=("header", str(self.first)), start=asked)
            asked += int(wrk(served, SESSION, load)["requests"])

    def least(self, served: Served) -> dict[str, float]:
        """Run a round of the least that an application does which looks a key up for each request."""
        found = self._wrk(served, SESSION, Load(SECONDS, POOL))
        self.look_ups += int(found["requests"])
        return found

    def look_up(self, served: Served) -> dict[str, float]:
        """Run a round of checks of keys that are not remembered: it goes on where the last one ended."""
        arguments = ("header", str(self.keys))
        load = Load(SECONDS, POOL, script="lines.lua", arguments=arguments, start=self.turn)
        found = self._wrk(served, SESSION, load)
        self.turn = (self.turn + int(found["requests"])) % IN_TURN
        self.look_ups += int(found["requests"])
        return found

    def check_that_all_were_looked_up(self) -> None:
        """Stop when PostgreSQL was asked for fewer keys than were checked: then some were remembered after all.

        One in three thousand may have been here lately. PostgreSQL's processes tell what they counted when their
        connections are closed.
        """
        sql = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'uq_api_key_secret_hash'"
        ((scans,),) = self.server.fetch(sql, self.url)
        checked = FIRST + self.look_ups
        if int(scans) < 0.99 * checked:
            sys.exit(f"{checked:,} keys were checked, but PostgreSQL looked only {int(scans):,} up.")

    def refresh(self, served: Served) -> dict[str, float]:
        """Run a round of refreshes. Its last tokens are not known here, so every round gets chains of its own."""
        inside_shared(self.house, self._begin_chains)
        arguments = (self.client, *self.chains)
        return self._wrk(served, TOKEN, Load(SECONDS, CHAINS, CHAINS, script="refresh.lua", arguments=arguments))

    def issue(self, served: Served) -> dict[str, float]:
        """Run a round of device codes."""
        arguments = ("body", str(self.codes))
        return self._wrk(served, ISSUE, Load(SECONDS, CHAINS, script="lines.lua", arguments=arguments))

    def _wrk(self, served: Served, path: str, load: Load) -> dict[str, float]:
        before = postgres_seconds(self.server)
        found = wrk(served, path, load)
        return {**found, "postgres": (postgres_seconds(self.server) - before) / found["requests"] * 1e6}


def tell(found: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print the table."""
    rows = []
    for name, figures in found.items():
        times = ratio(found, name, BARE) if name in (BARE, LEAST, LOOKED_UP) else ""
        latencies = [figures[p].text(1) if p in figures else "" for p in ("p50", "p99")]
        used = [figures[one].text() for one in ("cpu", "postgres")]
        rows.append([name, figures["rate"].text(), times, *used, *latencies])
    table(["request", "a second", f"of {BARE}", "CPU, µs", "PostgreSQL's CPU, µs", "p50, ms", "p99, ms"], rows)


def rows_of(found: Mapping[str, Mapping[str, Spread]]) -> list[Row]:
    """Return the lines of the results."""
    share = shares(found, LOOKED_UP, BARE)
    rates = f"{found[LOOKED_UP]['rate'].median:,.0f} of {found[BARE]['rate'].median:,.0f} a second"
    looked_up = Row(
        f"API key not in the cache, {KEYS:,} keys of one owner in the table, PostgreSQL",
        "at least 0.6 of asyncpg's bare look-ups",
        f"{share.text(2)}; {rates}{beside()}",
        share.median >= 0.6,
        LOOK_UP_WAY,
    )
    least, of_least = shares(found, LEAST, BARE), shares(found, LOOKED_UP, LEAST)
    return [
        looked_up,
        Row(
            "the same beside bare ASGI that looks one key up for each request by asyncpg, and does nothing else",
            "",
            f"{of_least.text(2)} of its rate, which is {least.text(2)} of asyncpg's",
            None,
        ),
        _rate_row(f"refresh rotation, {CHAINS} chains at once, durable, PostgreSQL", found[REFRESH]["rate"], 1_500),
        _rate_row("device code issued, durable, PostgreSQL", found[CODES]["rate"], 2_000),
    ]


def _rate_row(what: str, rate: Spread, least: int) -> Row:
    return Row(what, f"at least {least:,} a second", rate.text() + beside(), rate.median >= least, RATE_WAY)


def main() -> None:
    """Measure over PostgreSQL."""
    need_wrk()
    need_postgres()
    surroundings("uvicorn", "uvloop", "asyncpg")
    with workplace() as place, postgres(place) as server:
        desk = Desk(place, server)
        ((version,),) = server.fetch("SHOW server_version")
        say(f"PostgreSQL {version}; {KEYS:,} API keys in the table; {POOL} connections.")
        say()
        with keystead(desk.house) as served:
            desk.fill_the_cache(served)
            with desk.keys.open(encoding="utf-8") as lines:
                sent = f"Authorization: {next(lines).strip()}"
            recorded = record(served, "GET", SESSION, place / "session.json", header=sent)
            with looking_up(recorded, desk.url, desk.hashes) as least:
                cases: dict[str, Case] = {
                    BARE: desk.alone,
                    LEAST: lambda: desk.least(least),
                    LOOKED_UP: lambda: desk.look_up(served),
                    REFRESH: lambda: desk.refresh(served),
                    CODES: lambda: desk.issue(served),
                }
                found = in_turn(ROUNDS, cases)
        desk.check_that_all_were_looked_up()
        tell(found)
        keep(*rows_of(found))


if __name__ == "__main__":
    main()
