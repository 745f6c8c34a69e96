"""What a flood of sign-ins does to key checks (promise W6): hashing passwords must not starve them.

``.venv/bin/python bench/sign_in_flood.py [--quick]`` needs wrk and two cores. About a thousand wrong sign-ins a second
come from 16 connections while four others ask ``/verify`` about an API key. The server has one core for everything,
the hashes included. With the usual limits most of the flood is refused before a password is hashed; without limits as
many are hashed as the server allows itself, and the rest is refused because the queue is full.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from harness import Case, in_turn, quick, surroundings, table, workplace
from hot_answers import VERIFY, basic
from people import api_key, inside, new_house
from servers import HERE, LOAD_CORE, Load, Served, keystead, need_wrk, pin, wrk

from keystead.kernel.settings import Settings

ROUNDS: Final = 2 if quick() else 9
SECONDS: Final = 2.0 if quick() else 4.0


@contextmanager
def flood(served: Served) -> Iterator[None]:
    """Sign in as fast as that, meanwhile."""
    command = ["wrk", "-t", "1", "-c", "16", "-d", f"{SECONDS + 2:g}s", "-s", "sign_in.lua"]
    running = subprocess.Popen(  # noqa: S603
        [*command, f"{served.url}/api/sso/password/login"],
        stdout=subprocess.DEVNULL,
        cwd=HERE,
        env={**os.environ, "EXPECTED": "400"},
        preexec_fn=pin(LOAD_CORE),  # noqa: PLW1509
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait(10)


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

            def flooded(served: Served, load: Load) -> dict[str, float]:
                with flood(served):
                    return wrk(served, VERIFY, load)

            cases: dict[str, Case] = {
                "none": lambda: wrk(free, VERIFY, checks),
                "a thousand a second, usual limits": lambda: flooded(bounded, others),
                "a thousand a second, no limits": lambda: flooded(free, checks),
            }
            found = in_turn(ROUNDS, cases)
        rows = [
            [name, figures["rate"].text(), figures["p50"].text(2), figures["p99"].text(2)]
            for name, figures in found.items()
        ]
        table(["sign-ins", "checks a second", "p50, ms", "p99, ms"], rows)


if __name__ == "__main__":
    main()
