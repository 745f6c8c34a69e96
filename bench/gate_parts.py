"""Where the microseconds of a hot answer go: the gate without a server around it, whole and in its parts.

``.venv/bin/python bench/gate_parts.py`` needs nothing but the development packages. It prints microseconds of CPU time
for each call. ``--profile`` prints cProfile's table for the session answer instead.
"""

import cProfile
import logging
import pstats
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from typing import IO, Any, Final

from harness import Spread, surroundings, table, workplace
from people import House, api_key, inside, new_house, session, short_term_token, sign_in

from keystead.app import build_application
from keystead.gate.credentials import read_credential
from keystead.gate.door import Gate
from keystead.gate.request_log import RequestLog
from keystead.kernel.principal import Principal
from keystead.kernel.secrets import keyed_hash
from keystead.services import Services

ROUNDS: Final = 9
CALLS: Final = 10_000
BROWSER_LIKE: Final = [
    (b"host", b"auth.example.com"),
    (b"user-agent", b"python-httpx/0.28.1"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
]


def cost(call: Callable[[], object], calls: int = CALLS) -> Spread:
    """Return the microseconds of CPU time of one call, over several rounds."""
    found = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(calls):
            call()
        found.append((time.thread_time() - begin) / calls * 1e6)
    return Spread(found)


def scope_of(path: str, credential: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return a scope as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*BROWSER_LIKE, credential],
        "state": {},
    }


async def no_body() -> dict[str, Any]:
    """Stand in for the server's receive."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def no_answer(message: Any) -> None:
    """Stand in for the server's send."""


def ask(gate: Gate, scope: dict[str, Any]) -> None:
    """Send one request through the gate. Its hot answers never wait, so no event loop is needed."""
    try:
        gate({**scope, "headers": list(scope["headers"])}, no_body, no_answer).send(None)
    except StopIteration:
        return
    raise RuntimeError("a hot answer waited for something")


async def credentials(services: Services, house: House) -> dict[str, tuple[bytes, bytes]]:
    """Return a header with each kind of credential."""
    client = await services.oauth.clients.register({"client_name": "bench"})
    tokens = await sign_in(services, house, client.id)
    key = b64encode(((await api_key(services)) + ":").encode())
    return {
        "API key (Basic)": (b"authorization", b"Basic " + key),
        "short-term token": (b"authorization", b"Bearer " + (await short_term_token(services, house)).encode()),
        "access token": (b"authorization", b"Bearer " + tokens.access_token.reveal().encode()),
        "session cookie": (b"cookie", b"cloud.sso=" + (await session(services)).encode()),
    }


def whole(gate: Gate, headers: dict[str, tuple[bytes, bytes]]) -> None:
    """Print what an answer costs for each kind of credential."""
    rows = []
    for kind, header in headers.items():
        row = [kind]
        for path in ("/api/auth/session", "/verify"):
            scope = scope_of(path, header)
            ask(gate, scope)
            row.append(cost(lambda scope=scope: ask(gate, scope)).text(1))  # type: ignore[misc]
        rows.append(row)
    table(["answer, remembered", "/api/auth/session, µs", "/verify, µs"], rows)


def parts(gate: Any, services: Services, headers: dict[str, tuple[bytes, bytes]], file: IO[bytes]) -> None:
    """Print what each step costs by itself, for the API key."""
    scope = scope_of("/api/auth/session", headers["API key (Basic)"])
    presented = read_credential(scope["headers"], "pwt")
    if presented is None:
        raise RuntimeError("no credential")
    tokens = [*BROWSER_LIKE, headers["short-term token"]]
    principal: Principal = gate._authenticator.remembered(presented).principal
    counter = services.limiter.counter("api", "someone")
    logging.getLogger("keystead.requests").setLevel(logging.INFO)
    log = RequestLog(services.clock, file.fileno())
    pieces: dict[str, Callable[[], object]] = {
        "judge the transport": lambda: gate._entrance.judge(scope),
        "make a request id": gate._ids.new,
        "find the field with an API key and hash it": lambda: gate._authenticator.sight(scope["headers"]),
        "find the field with a token and hash it": lambda: gate._authenticator.sight(tokens),
        "read the credential": lambda: read_credential(scope["headers"], "pwt"),
        "hash an API key, to find it in the database": lambda: keyed_hash(bytes(32), presented.text),
        "ask the feed (PRAGMA data_version)": services.db.fresh,
        "look in the cache": lambda: gate._authenticator.cache.get(b"", 0),
        "charge the limit, with its headers": counter.charge,
        "note the last use": lambda: gate._last_use.note(principal, 0, "127.0.0.1"),
        "write a line of the log": lambda: log.tell(
            b"0" * 16, method="POST", path="/getServiceKeys/token", status=200, seconds=0.001, address="127.0.0.1"
        ),
        "read the clock": services.clock.now,
    }
    table(["step, by itself", "µs"], [[name, cost(piece).text(2)] for name, piece in pieces.items()])


async def measure(services: Services, house: House) -> None:
    """Print everything."""
    gate: Any = build_application(services, dev=True).asgi
    headers = await credentials(services, house)
    if "--profile" in sys.argv:
        scope = scope_of("/api/auth/session", headers["API key (Basic)"])
        ask(gate, scope)
        with cProfile.Profile() as profile:
            for _ in range(50_000):
                ask(gate, scope)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return
    surroundings("limits", "prometheus-client")
    whole(gate, headers)
    with (house.data / "requests.log").open("ab", buffering=0) as file:
        parts(gate, services, headers, file)


def main() -> None:
    """Measure the gate."""
    with workplace() as place:
        house = new_house(place / "data")
        inside(house.data, lambda services: measure(services, house))


if __name__ == "__main__":
    main()
