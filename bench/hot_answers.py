"""The two hottest answers, beside a bare ASGI application that gives the same bytes on the same server.

``.venv/bin/python bench/hot_answers.py [--quick] [--keys 1000000]`` needs wrk and two cores. For each credential kind
and path it prints requests a second, the server's CPU time for one, and p50 and p99 in ms with 16 connections that
never pause, so that the latencies hold the queue as well. Then API keys that are not remembered: of a million the
server remembers as many as it may, and others are asked for in turn; of a thousand it may remember a hundred.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

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
from people import House, api_key, fill_with_keys, inside, new_house, session, short_term_token, sign_in
from recorded import record
from servers import Load, Served, bare, forgetful, keystead, need_wrk, wrk
from serving import REMEMBERED

from keystead.gate.cache import MOST_ENTRIES
from keystead.services import Services

ROUNDS: Final = rounds(3, 7)
SECONDS: Final = 1.0 if quick() else 2.0
KEYS: Final = option("keys", 100_000 if quick() else 1_000_000)
ASKED: Final = min(KEYS, 10 * MOST_ENTRIES)
"""Far more than are remembered or were here lately: the first fill the cache, the others are asked for in turn."""
FEW: Final = 1_000
SESSION: Final = "/api/auth/session"
VERIFY: Final = "/verify"
WAY: Final = "What is left is told step by step in [hot answers](../docs/decisions/hot-answers.md)."
_turns: dict[Path, int] = {}


def basic(key: str) -> str:
    """Return the value of an Authorization header that carries an API key as curl sends it."""
    return "Basic " + b64encode(f"{key}:".encode()).decode()


async def credentials(services: Services, house: House) -> dict[str, str]:
    """Return a header line with each kind of credential."""
    client = await services.oauth.clients.register({"client_name": "bench"})
    tokens = await sign_in(services, house, client.id)
    return {
        "API key (Basic)": f"Authorization: {basic(await api_key(services))}",
        "short-term token": f"Authorization: Bearer {await short_term_token(services, house)}",
        "access token": f"Authorization: Bearer {tokens.access_token.reveal()}",
        "session cookie": f"Cookie: cloud.sso={await session(services)}",
    }


def cases(served: Served, others: Mapping[str, Served], headers: Mapping[str, str]) -> dict[str, Case]:
    """Return what is measured in turn: each path bare, then with each credential."""
    found: dict[str, Case] = {}
    for path, other in others.items():
        load = Load(SECONDS, headers=(headers["API key (Basic)"],))
        found[f"{path}, bare ASGI"] = lambda path=path, other=other, load=load: wrk(other, path, load)  # type: ignore[misc]
        for kind, header in headers.items():
            own = replace(load, headers=(header,))
            found[f"{path}, {kind}"] = lambda path=path, own=own: wrk(served, path, own)  # type: ignore[misc]
    return found


def asking_in_turn(served: Served, path: str, place: Path) -> Case:
    """Return what asks for the keys in a file in one endless turn, which goes on where the last round ended."""

    def case() -> Mapping[str, float]:
        load = Load(SECONDS, script="lines.lua", arguments=("header", str(place)), start=_turns.get(place, 0))
        found = wrk(served, path, load)
        _turns[place] = load.start + int(found["requests"])
        return found

    return case


def fill_the_cache(served: Served, place: Path, keys: int) -> None:
    """Ask for each of the keys in a file, so that no others find room."""
    ask = asking_in_turn(served, SESSION, place)
    while _turns.get(place, 0) < keys:
        ask()


def tell(found: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print the table, each row against the bare row of its path."""
    counted = all(figures["instructions"].median for figures in found.values())
    rows = []
    for name, figures in found.items():
        base = f"{name.partition(',')[0]}, bare ASGI"
        row = [name, figures["rate"].text(), ratio(found, name, base), figures["cpu"].text(1)]
        row += [ratio(found, base, name, "cpu"), *([ratio(found, base, name, "instructions")] if counted else [])]
        rows.append([*row, *(figures[p].text(2) for p in ("p50", "p99")), ratio(found, name, base, "p99")])
    head = ["answer", "requests a second", "of bare", "CPU, µs", "of bare, by CPU"]
    table([*head, *(["by instructions"] if counted else []), "p50, ms", "p99, ms", "p99, of bare"], rows)


def rows_of(found: Mapping[str, Mapping[str, Spread]], many: str, few: str) -> list[Row]:
    """Return the lines of the results: each credential on each path, and keys that are not remembered.

    A share has to hold by the rate and by the server's CPU time: on a busy machine, or where the load is what is slow,
    the rate alone may say yes too easily.
    """
    rows = []
    for name in found:
        base = f"{name.partition(',')[0]}, bare ASGI"
        rate, cpu = shares(found, name, base), shares(found, base, name, "cpu")
        text, least = f"{rate.text(2)}, by CPU time {cpu.text(2)}", min(rate.median, cpu.median)
        if name == many:
            cost = shares(found, many, few, "cpu")
            aim = f"at least 0.4 of bare ASGI; at most 1.3 times the cost among {FEW:,}"
            what = f"API key not in the cache, {KEYS:,} keys of a thousand people in the table, SQLite"
            rows.append(Row(what, aim, f"{text}; cost {cost.text(2)}", least >= 0.4 and cost.median <= 1.3, WAY))
        elif name != base and not name.endswith("not remembered"):
            p99 = shares(found, name, base, "p99")
            aim = "at least 0.75 of bare ASGI; p99 at most twice"
            met = least >= 0.75 and p99.median <= 2
            rows.append(Row(f"{name}, warm", aim, f"{text}; p99 {p99.text(2)} times", met, WAY))
    return rows


def filled(place: Path, keys: int, remembered: int) -> House:
    """Return an installation with so many API keys.

    In the file ``<place>.first`` are those that are to fill the cache, in ``<place>.keys`` those to ask for then.
    """
    house = new_house(place)
    known = [basic(key) + "\n" for key in fill_with_keys(house, keys, min(keys, ASKED))]
    place.with_suffix(".first").write_text("".join(known[:remembered]), encoding="utf-8")
    place.with_suffix(".keys").write_text("".join(known[remembered:]), encoding="utf-8")
    return house


def main() -> None:
    """Measure the hot answers."""
    need_wrk()
    surroundings("uvicorn", "uvloop", "httptools")
    with workplace() as place:
        many, few = place / "many", place / "few"
        house, small = filled(many, KEYS, MOST_ENTRIES), filled(few, FEW, REMEMBERED)
        headers = inside(house.data, lambda services: credentials(services, house))
        with keystead(house) as served:
            sent = headers["API key (Basic)"]
            one = record(served, "GET", SESSION, place / "session.json", header=sent)
            two = record(served, "GET", VERIFY, place / "verify.json", header=sent)
            with bare(one) as other, bare(two) as another, forgetful(small) as little:
                measured = cases(served, {SESSION: other, VERIFY: another}, headers)
                fill_the_cache(served, many.with_suffix(".first"), MOST_ENTRIES)
                fill_the_cache(little, few.with_suffix(".first"), REMEMBERED)
                for path in (SESSION, VERIFY):
                    measured[f"{path}, {KEYS:,} keys, not remembered"] = asking_in_turn(
                        served, path, many.with_suffix(".keys")
                    )
                measured[f"{SESSION}, {FEW:,} keys, not remembered"] = asking_in_turn(
                    little, SESSION, few.with_suffix(".keys")
                )
                found = in_turn(ROUNDS, measured)
        tell(found)
        among = [f"{SESSION}, {number:,} keys, not remembered" for number in (KEYS, FEW)]
        keep(*rows_of(found, *among))
        say(f"Among {KEYS:,} keys the CPU time is so many times that among {FEW:,}: {ratio(found, *among, 'cpu')}.")


if __name__ == "__main__":
    main()
