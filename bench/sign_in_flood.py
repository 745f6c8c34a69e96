"""What a flood of sign-ins does to key checks (promise W6): hashing passwords must not starve them.

``.venv/bin/python bench/sign_in_flood.py [--quick]`` needs wrk and two cores. About a thousand wrong sign-ins a second
come from 128 connections while four others ask ``/verify`` about an API key. The server has one core for everything,
the hashes included. With the usual limits most of the flood is refused before a password is hashed; without limits as
many are hashed as the server allows itself, and the rest is refused because the queue is full.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Final

from harness import Case, Row, Spread, in_turn, keep, quick, rounds, surroundings, table, workplace
from hot_answers import VERIFY, basic
from people import api_key, inside, new_house
from servers import HERE, LOAD_CORE, Load, Served, keystead, need_wrk, pin, wrk

from keystead.kernel.settings import Settings

ROUNDS: Final = rounds(2, 7)
SECONDS: Final = 2.0 if quick() else 3.0
CONNECTIONS: Final = 128
RATE: Final = 1_050
"""Sign-ins a second that are tried, so that a thousand are left when some answers take a while."""
LONGEST_MS: Final = 10.0
WAY: Final = (
    "The server has one core for all of it, and a refusal costs more than a check "
    "([hot answers](../docs/decisions/hot-answers.md))."
)


def amid_flood(served: Served, load: Load) -> dict[str, float]:
    """Put load on key checks while others sign in, and say how many did so a second."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS + 2:g}s", "-s", "sign_in.lua"]
    running = subprocess.Popen(  # noqa: S603 - wrk, which was looked for
        [*command, f"{served.url}/api/sso/password/login"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
        env={**os.environ, "EXPECTED": "400", "CONNECTIONS": str(CONNECTIONS), "RATE": str(RATE)},
        preexec_fn=pin(LOAD_CORE),  # noqa: PLW1509 - it takes no lock
    )
    found = wrk(served, VERIFY, load)
    output, _ = running.communicate(timeout=30)
    told = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return {**found, "sign_ins": told["requests"] / told["seconds"]}


def row_of(name: str, figures: Mapping[str, Spread]) -> Row:
    """Return the line of the results for one kind of flood."""
    p99, sign_ins = figures["p99"], figures["sign_ins"]
    return Row(
        f"key checks amid a flood of 1,000 wrong sign-ins a second, {name}",
        f"p99 under {LONGEST_MS:.0f} ms",
        f"{p99.text(2)} ms, amid {sign_ins.median:,.0f} sign-ins a second",
        p99.median < LONGEST_MS,
        WAY,
    )


def main() -> None:
    """Measure key checks beside the flood."""
    need_wrk()
    surroundings("uvicorn", "argon2-cffi")
    usual = Settings.model_fields["limit_sign_in"].default
    with workplace() as place:
        house = new_house(place / "data")
        checks = Load(SECONDS, 4, headers=(f"Authorization: {basic(inside(house.data, api_key))}",))
        limited = new_house(place / "limited")
        others = Load(SECONDS, 4, headers=(f"Authorization: {basic(inside(limited.data, api_key))}",))
        with keystead(house) as free, keystead(limited, KEYSTEAD_LIMIT_SIGN_IN=usual) as bounded:
            cases: dict[str, Case] = {
                "none": lambda: wrk(free, VERIFY, checks),
                "usual limits": lambda: amid_flood(bounded, others),
                "no limits": lambda: amid_flood(free, checks),
            }
            found = in_turn(ROUNDS, cases)
        rows = []
        for name, figures in found.items():
            sign_ins = figures["sign_ins"].text() if "sign_ins" in figures else ""
            latencies = [figures[p].text(2) for p in ("p50", "p99")]
            rows.append([name, sign_ins, figures["rate"].text(), *latencies])
        keep(*(row_of(name, figures) for name, figures in found.items() if "sign_ins" in figures))
        table(["flood", "sign-ins a second", "checks a second", "p50, ms", "p99, ms"], rows)


if __name__ == "__main__":
    main()
