"""What a flood of sign-ins does to key checks (promise W6): hashing passwords must not starve them.

``.venv/bin/python bench/sign_in_flood.py [--quick]`` needs wrk and two cores. About a thousand wrong sign-ins a second
come from 16 connections while four others ask ``/verify`` about an API key. The server has one core for everything,
the hashes included. With the usual limits most of the flood is refused before a password is hashed; without limits as
many are hashed as the server allows itself, and the rest is refused because the queue is full.
"""

import json
import os
import subprocess
from typing import Final

from harness import Case, in_turn, quick, surroundings, table, workplace
from hot_answers import VERIFY, basic
from people import api_key, inside, new_house
from servers import HERE, LOAD_CORE, Load, Served, keystead, need_wrk, pin, wrk

from keystead.kernel.settings import Settings

ROUNDS: Final = 2 if quick() else 9
SECONDS: Final = 2.0 if quick() else 4.0


def amid_flood(served: Served, load: Load) -> dict[str, float]:
    """Put load on key checks while others sign in, and say how many did so a second."""
    command = ["wrk", "-t", "1", "-c", "16", "-d", f"{SECONDS + 2:g}s", "-s", "sign_in.lua"]
    running = subprocess.Popen(  # noqa: S603 - wrk, which was looked for
        [*command, f"{served.url}/api/sso/password/login"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
        env={**os.environ, "EXPECTED": "400"},
        preexec_fn=pin(LOAD_CORE),  # noqa: PLW1509 - it takes no lock
    )
    found = wrk(served, VERIFY, load)
    output, _ = running.communicate(timeout=30)
    told = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return {**found, "sign_ins": told["requests"] / told["seconds"]}


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
        table(["flood", "sign-ins a second", "checks a second", "p50, ms", "p99, ms"], rows)


if __name__ == "__main__":
    main()
