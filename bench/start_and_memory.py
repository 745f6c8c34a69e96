"""How soon the server is ready, and how much memory it takes, idle and after a million checks (promises O4 and O5).

``.venv/bin/python bench/start_and_memory.py [--keys N] [--quick]`` needs wrk and two cores. Starts are taken in turn:
an installation with nobody's keys, and one with N (100,000 unless told otherwise).
"""

import time
from typing import Final

from harness import in_turn, option, quick, say, surroundings, table, workplace
from hot_answers import SESSION, basic
from people import House, add_keys, api_key, inside, many, new_house
from servers import Load, Served, cpu_seconds, keystead, need_wrk, resident_mb, wrk

ROUNDS: Final = 2 if quick() else 9
KEYS: Final = option("keys", 100_000)
CHECKS: Final = 50_000 if quick() else 1_000_000
REMEMBERED: Final = 2_000 if quick() else 25_000
"""API keys that take turns in the checks: more than are remembered, so the memory for that is full as well."""
IDLE_SECONDS: Final = 5 if quick() else 60


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


def main() -> None:
    """Measure start and memory."""
    need_wrk()
    surroundings("uvicorn")
    with workplace() as place:
        empty, large = new_house(place / "empty"), new_house(place / "large")
        add_keys(large, KEYS)
        found = in_turn(ROUNDS, {"no API keys": lambda: start(empty), f"{KEYS:,} API keys": lambda: start(large)})
        rows = [
            [name, figures["wall"].text(2), figures["cpu"].text(2), figures["memory"].text()]
            for name, figures in found.items()
        ]
        table(["table", "ready after, s", "CPU until then, s", "memory then, MB"], rows)
        keys = inside(large.data, lambda services: many(REMEMBERED, lambda: api_key(services)))
        (place / "keys").write_text("".join(basic(key) + "\n" for key in keys), encoding="utf-8")
        with keystead(large) as served:
            share, before, asked = idle(served), resident_mb(served.pid), 0.0
            while asked < CHECKS:
                load = Load(5, script="lines.lua", arguments=("header", str(place / "keys")))
                asked += wrk(served, SESSION, load)["requests"]
            say(f"Idle for {IDLE_SECONDS} s: {share:.2f} % of a core, {before:.0f} MB.")
            say(f"After {asked:,.0f} checks with {REMEMBERED:,} API keys: {resident_mb(served.pid):.0f} MB.")


if __name__ == "__main__":
    main()
