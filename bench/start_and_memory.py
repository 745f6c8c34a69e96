"""How soon the server is ready, and how much memory it takes, idle and after a million checks (promises O4 and O5).

``.venv/bin/python bench/start_and_memory.py [--rows N] [--quick]`` needs wrk and two cores. Starts are taken in turn:
an empty installation, and one with N API keys and N grants (a million unless told otherwise).
"""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from harness import Row, Spread, in_turn, keep, option, quick, rounds, say, surroundings, table, workplace
from hot_answers import SESSION, basic
from people import ADDRESS, EVERY_SCOPE, House, fill_with_keys, new_house
from servers import Load, Served, cpu_seconds, keystead, need_wrk, resident_mb, wrk

from keystead.db.installation import DATABASE_FILE

ROUNDS: Final = rounds(2, 7)
ROWS: Final = option("rows", 50_000 if quick() else 1_000_000)
CHECKS: Final = 50_000 if quick() else 1_000_000
REMEMBERED: Final = 25_000
"""API keys that take turns in the checks: more than are remembered, so the memory for that is full as well."""
IDLE_SECONDS: Final = 5 if quick() else 30
READY_WITHIN: Final = 1.5
IDLE_MB: Final = 100
BUSY_MB: Final = 200
GRANT: Final = """
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :rows)
    INSERT INTO oauth_grant (id, client_id, user_id, organization_id, scopes, address, created_at, expires_at,
                             generation, rotated_at, refresh_expires_at)
    SELECT printf('%08x-0000-7000-8000-%012x', n, n), 'bench', :user, :organization, :scopes, :address, :now,
           :now + 7776000 + n, 1, :now, :now + 604800
    FROM number
"""


def add_grants(house: House, number: int) -> None:
    """Add rows of grants, a million in some seconds."""
    now = int(time.time())
    values = {"rows": number, "user": house.user_id, "organization": house.organization_id, "now": now}
    with closing(sqlite3.connect(house.data / DATABASE_FILE)) as connection, connection:
        connection.execute("INSERT INTO client VALUES ('bench', 'bench', '', ?)", (now,))
        connection.execute(GRANT, {**values, "scopes": EVERY_SCOPE, "address": ADDRESS})


def start(house: House) -> dict[str, float]:
    """Start the server once and return seconds until it said that it is ready, and what it used until then."""
    with keystead(house) as served:
        return {"wall": served.ready_after, "cpu": cpu_seconds(served.pid), "memory": resident_mb(served.pid)}


def idle(served: Served) -> float:
    """Return the share of a core that the server uses while nobody asks for anything, in percent."""
    time.sleep(1)
    before = cpu_seconds(served.pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(served.pid) - before) / IDLE_SECONDS * 100


def tell_starts(found: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print how soon the server was ready, and keep it."""
    rows = []
    for name, figures in found.items():
        rows.append([name, figures["wall"].text(2), figures["cpu"].text(2), figures["memory"].text()])
        wall = figures["wall"]
        met = wall.median <= READY_WITHIN
        way = "Python reads some hundred modules at each start."
        keep(Row(f"start to ready, {name}", f"at most {READY_WITHIN} s", f"{wall.text(2)} s", met, way))
    table(["installation", "ready after, s", "CPU until then, s", "memory then, MB"], rows)


def tell_memory(served: Served, keys: Load) -> None:
    """Print how much memory a process takes, idle and after many checks, and keep it."""
    share, before, asked = idle(served), resident_mb(served.pid), 0.0
    while asked < CHECKS:
        asked += wrk(served, SESSION, keys)["requests"]
    after = resident_mb(served.pid)
    say(f"Idle for {IDLE_SECONDS} s: {share:.2f} % of a core, {before:.0f} MB.")
    say(f"After {asked:,.0f} checks with {REMEMBERED:,} API keys: {after:.0f} MB.")
    way = "See what is remembered, in [hot answers](../docs/decisions/hot-answers.md)."
    held = f"{before:.0f} MB, and {share:.2f} % of a core"
    keep(
        Row("memory of a worker, idle", f"at most {IDLE_MB} MB", held, before <= IDLE_MB, way),
        Row(
            f"memory of a worker after {CHECKS:,} checks",
            f"at most {BUSY_MB} MB",
            f"{after:.0f} MB",
            after <= BUSY_MB,
            way,
        ),
    )


def main() -> None:
    """Measure start and memory."""
    need_wrk()
    surroundings("uvicorn")
    with workplace() as place:
        empty, large = new_house(place / "empty"), new_house(place / "large")
        keys = fill_with_keys(large, ROWS, REMEMBERED)
        add_grants(large, ROWS)
        name = f"{ROWS:,} API keys and as many grants"
        tell_starts(in_turn(ROUNDS, {"empty": lambda: start(empty), name: lambda: start(large)}))
        (place / "keys").write_text("".join(basic(key) + "\n" for key in keys), encoding="utf-8")
        with keystead(large) as served:
            tell_memory(served, Load(5, script="lines.lua", arguments=("header", str(place / "keys"))))


if __name__ == "__main__":
    main()
