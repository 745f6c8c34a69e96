"""The token endpoint as it is, the same work through FastAPI, and a bare ASGI application that answers the same bytes.

``.venv/bin/python bench/token_endpoint.py [--quick]`` needs wrk and two cores. Refreshes: 16 chains at once, each
presenting what it was given last; each is durable before it is answered, and so is each device code. Polls: device
codes that nobody has decided, in turn, answered at once (KEYSTEAD_DEVICE_POLL_HOLD=0); their arrivals are written ten
times a second. The log goes to a file, as it does in service; a last row is without it.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from harness import Case, Row, Spread, in_turn, keep, quick, ratio, rounds, shares, surroundings, table, workplace
from people import ADDRESS, EVERY_SCOPE, METADATA, inside, many, new_house, sign_in
from recorded import record
from servers import Load, Served, bare, keystead, need_wrk, through_fastapi, wrk

from keystead.oauth.service import DEVICE_CODE
from keystead.oauth.surfaces import DEVICE_CODE as ISSUE
from keystead.oauth.surfaces import TOKEN
from keystead.services import Services

ROUNDS: Final = rounds(2, 7)
SECONDS: Final = 1.0 if quick() else 2.0
CHAINS: Final = 16
CODES: Final = 15_000 if quick() else 45_000
"""So many that a code's turn comes again only after its interval, and all of them are known by sight."""
SETTINGS: Final = {"KEYSTEAD_DEVICE_POLL_HOLD": "0", "KEYSTEAD_DEVICE_CODE_TTL": "3600"}
WAY: Final = (
    "The look at a poll's row, the writing of its arrival, and a line in the log ([polls](../docs/decisions/polls.md))."
)
PACKAGES: Final = ("uvicorn", "uvloop", "fastapi", "starlette", "joserfc", "cryptography")


class Desk:
    """An installation with device codes that nobody has decided, and chains of refreshes."""

    def __init__(self, place: Path, name: str) -> None:
        """Furnish it."""
        self.house = new_house(place / name)
        self.client = ""
        self.chains: list[str] = []
        self.codes = inside(self.house.data, self._furnish)
        self.file = place / f"{name}.polls"
        self.file.write_text("".join(self.poll_of(code) + "\n" for code in self.codes[1:]), encoding="utf-8")
        self.issuing = place / f"{name}.codes"
        form = urlencode({"client_id": self.client, "scope": EVERY_SCOPE})
        self.issuing.write_text(form + "\n", encoding="utf-8")

    async def _furnish(self, services: Services) -> list[str]:
        self.client = (await services.oauth.clients.register(METADATA)).id
        issued = await many(CODES + 1, lambda: services.oauth.devices.issue(self.client, EVERY_SCOPE, ADDRESS))
        await self._begin_chains(services)
        return [one.device_code.reveal() for one in issued]

    async def _begin_chains(self, services: Services) -> None:
        signed_in = await many(CHAINS, lambda: sign_in(services, self.house, self.client))
        self.chains = [one.refresh_token.reveal() for one in signed_in]

    def poll_of(self, code: str) -> str:
        """Return the form of a poll."""
        return urlencode({"grant_type": DEVICE_CODE, "client_id": self.client, "device_code": code})

    def refresh_of(self, token: str) -> str:
        """Return the form of a refresh."""
        return urlencode({"grant_type": "refresh_token", "client_id": self.client, "refresh_token": token})

    def refresh(self, served: Served) -> dict[str, float]:
        """Run a round of refreshes. Its last tokens are not known here, so every round gets chains of its own."""
        inside(self.house.data, self._begin_chains)
        arguments = (self.client, *self.chains)
        return wrk(served, TOKEN, Load(SECONDS, CHAINS, CHAINS, script="refresh.lua", arguments=arguments))

    def poll(self, served: Served) -> dict[str, float]:
        """Run a round of polls."""
        arguments = ("body", str(self.file))
        return wrk(served, TOKEN, Load(SECONDS, CHAINS, script="lines.lua", arguments=arguments, expected=400))

    def issue(self, served: Served) -> dict[str, float]:
        """Run a round of device codes."""
        return wrk(served, ISSUE, Load(SECONDS, CHAINS, script="lines.lua", arguments=("body", str(self.issuing))))


def rows_of(found: Mapping[str, Mapping[str, Spread]]) -> list[Row]:
    """Return the lines of the results."""
    share = shares(found, "poll, as it is", "poll, bare ASGI")
    by_cpu = shares(found, "poll, bare ASGI", "poll, as it is", "cpu")
    both, met = f"{share.text(2)}, by CPU time {by_cpu.text(2)}", min(share.median, by_cpu.median) >= 0.4
    wanted = (
        ("device code issued, durable, SQLite", found["device code, as it is"]["rate"], 2_000),
        (f"refresh rotation, {CHAINS} chains at once, durable, SQLite", found["refresh, as it is"]["rate"], 3_000),
    )
    return [
        Row("device token poll, pending, not held", "at least 0.4 of bare ASGI", both, met, WAY),
        *(Row(what, f"at least {least:,} a second", rate.text(), rate.median >= least) for what, rate, least in wanted),
    ]


def tell(found: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print the table, each row against the endpoint as it is."""
    rows = []
    for name, figures in found.items():
        times = ratio(found, name, f"{name.partition(',')[0]}, as it is")
        latencies = [figures[p].text(1) for p in ("p50", "p99")]
        rows.append([name, figures["rate"].text(), times, figures["cpu"].text(), *latencies])
    table(["request", "requests a second", "of as it is", "CPU, µs", "p50, ms", "p99, ms"], rows)


def main() -> None:
    """Measure the token endpoint."""
    need_wrk()
    surroundings(*PACKAGES)
    with workplace() as place, ExitStack() as running:
        plain, fast, silent = Desk(place, "plain"), Desk(place, "fastapi"), Desk(place, "silent")
        direct = running.enter_context(keystead(plain.house, **SETTINGS))
        through = running.enter_context(through_fastapi(fast.house, **SETTINGS))
        quiet = running.enter_context(keystead(silent.house, KEYSTEAD_LOG_LEVEL="WARNING", **SETTINGS))
        refreshed = record(direct, "POST", TOKEN, place / "refreshed.json", body=plain.refresh_of(plain.chains[0]))
        pending = record(direct, "POST", TOKEN, place / "pending.json", body=plain.poll_of(plain.codes[0]))
        refreshes = running.enter_context(bare(refreshed))
        polls = running.enter_context(bare(pending))
        cases: dict[str, Case] = {
            "refresh, as it is": lambda: plain.refresh(direct),
            "refresh, through FastAPI": lambda: fast.refresh(through),
            "refresh, as it is without the log": lambda: silent.refresh(quiet),
            "refresh, bare ASGI": lambda: plain.refresh(refreshes),
            "device code, as it is": lambda: plain.issue(direct),
            "poll, as it is": lambda: plain.poll(direct),
            "poll, through FastAPI": lambda: fast.poll(through),
            "poll, as it is without the log": lambda: silent.poll(quiet),
            "poll, bare ASGI": lambda: plain.poll(polls),
        }
        found = in_turn(ROUNDS, cases)
        tell(found)
        keep(*rows_of(found))


if __name__ == "__main__":
    main()
