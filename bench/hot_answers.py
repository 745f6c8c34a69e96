"""The two hottest answers, beside a bare ASGI application that gives the same bytes on the same server.

``.venv/bin/python bench/hot_answers.py [--quick]`` needs wrk and two cores. For each credential kind and path it prints
requests a second, the server's CPU time for one, and p50 and p99 in ms with 16 connections that never pause, so that
the latencies hold the queue as well. The last rows are API keys that are not remembered: as many as there are, in turn.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from harness import Case, Spread, in_turn, quick, ratio, say, surroundings, table, workplace
from people import House, api_key, inside, many, new_house, session, short_term_token, sign_in
from recorded import record
from servers import Load, Served, bare, keystead, need_wrk, wrk

from keystead.app import Services

ROUNDS: Final = 2 if quick() else 9
SECONDS: Final = 1.0 if quick() else 2.0
KEYS: Final = 25_000 if quick() else 100_000
"""More than are remembered, so that asking for them in turn never finds one that is."""
SESSION: Final = "/api/auth/session"
VERIFY: Final = "/verify"


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


def tell(found: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print the table, each row against the bare row of its path."""
    rows = []
    for name, figures in found.items():
        times = ratio(found, name, f"{name.partition(',')[0]}, bare ASGI")
        latencies = [figures[p].text(2) for p in ("p50", "p99")]
        rows.append([name, figures["rate"].text(), times, figures["cpu"].text(1), *latencies])
    table(["answer", "requests a second", "of bare", "CPU, µs", "p50, ms", "p99, ms"], rows)


def main() -> None:
    """Measure the hot answers."""
    need_wrk()
    surroundings("uvicorn", "uvloop", "httptools")
    with workplace() as place:
        house = new_house(place / "data")
        headers = inside(house.data, lambda services: credentials(services, house))
        keys = inside(house.data, lambda services: many(KEYS, lambda: api_key(services)))
        (place / "keys").write_text("".join(basic(key) + "\n" for key in keys), encoding="utf-8")
        cold = Load(SECONDS, script="lines.lua", arguments=("header", str(place / "keys")))
        with keystead(house) as served:
            sent = headers["API key (Basic)"]
            one = record(served, "GET", SESSION, place / "session.json", header=sent)
            two = record(served, "GET", VERIFY, place / "verify.json", header=sent)
            with bare(one) as other_session, bare(two) as other_verify:
                measured = cases(served, {SESSION: other_session, VERIFY: other_verify}, headers)
                for path in (SESSION, VERIFY):
                    measured[f"{path}, API key not remembered"] = lambda path=path: wrk(served, path, cold)  # type: ignore[misc]
                tell(in_turn(ROUNDS, measured))
        say(f"{KEYS:,} API keys in the table.")


if __name__ == "__main__":
    main()
