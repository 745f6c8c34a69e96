"""What charging a request costs: here, with few keys and with very many, and shared by nodes through Valkey or Redis.

``.venv/bin/python bench/limiter.py`` compares ours with the ``limits`` library. It prints microseconds of CPU time of
the whole process for each charge, threads of the library included, and for shared limits also the time from one charge
to the next. For these it starts a ``valkey-server`` or ``redis-server`` of its own, or leaves them out.
"""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from harness import Case, Row, Spread, in_turn, keep, quick, rounds, say, surroundings, table
from limits import parse
from limits.aio.storage.redis import RedisStorage
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from pydantic import SecretStr

from keystead.kernel.clock import SystemClock
from keystead.kernel.settings import Settings
from keystead.wire.limiter import Limiter
from keystead.wire.windows import Window

ROUNDS: Final = rounds(1, 5)
CHARGES: Final = 20_000 if quick() else 100_000
SHARED: Final = 500 if quick() else 2_000
AT_ONCE: Final = 100
KEYS: Final = (1, 1_000, 100_000)
LIMIT: Final = "1000000000/minute"
USUAL: Final = "1200/minute"
Charge = Callable[[str], Awaitable[object]]


def ours() -> Callable[[str], object]:
    """Return our charge."""
    limiter = Limiter(Settings(limit_api=LIMIT), SystemClock())
    return lambda key: limiter.charge_here("api", key)


def at_hand() -> Callable[[str], object]:
    """Return our charge where the key's window is at hand, as it is at the gate."""
    meter = Limiter(Settings(limit_api=LIMIT), SystemClock()).meter("api")
    windows: dict[str, Window] = {}

    def charge(key: str) -> object:
        windows[key], fields = meter.charge(key, windows.get(key))
        return fields

    return charge


def library() -> Callable[[str], object]:
    """Return the same with the library's strategy and storage: the hit, and what is left for the headers."""
    item, strategy = parse(LIMIT), FixedWindowRateLimiter(MemoryStorage())
    return lambda key: (strategy.hit(item, "api", key), strategy.get_window_stats(item, "api", key))


def charging(make: Callable[[], Callable[[str], object]], keys: int) -> dict[str, float]:
    """Return the microseconds of one charge when so many keys are charged in turn."""
    charge = make()
    names = [f"{number:032x}" for number in range(keys)]
    for name in names:
        charge(name)
    begin = time.process_time()
    for number in range(CHARGES):
        charge(names[number % keys])
    return {"cpu": (time.process_time() - begin) / CHARGES * 1e6}


def shared(url: str, name: str) -> tuple[Charge, Callable[[], Awaitable[None]]]:
    """Return our charge of a shared limit, and what closes it."""
    settings = Settings(valkey_url=SecretStr(url), limit_api=USUAL, limit_sign_in=USUAL)
    limiter = Limiter(settings, SystemClock(), patience_ms=5_000)
    return (lambda key: limiter.charge(name, key)), limiter.aclose


def shared_library(url: str) -> tuple[Charge, Callable[[], Awaitable[None]]]:
    """Return the least that the library can do: one step of its counter, and one question for the window's end."""
    storage = RedisStorage(f"async+{url}", implementation="redispy")

    async def charge(key: str) -> object:
        return await storage.incr(key, 60), await storage.get_expiry(key)

    return charge, storage.bridge.get_connection().aclose


def sharing(
    make: Callable[[], tuple[Charge, Callable[[], Awaitable[None]]]], keys: int, at_once: int
) -> dict[str, float]:
    """Return what one charge costs when ``keys`` are charged in turn, so many ``at_once``."""

    async def run() -> dict[str, float]:
        charge, close = make()
        names = [f"{time.time_ns()} {number}" for number in range(keys)]
        await charge("first")  # connects
        clock, begin = time.perf_counter(), time.process_time()
        for start in range(0, SHARED, at_once):
            if at_once == 1:
                await charge(names[start % keys])
            else:
                await asyncio.gather(*(charge(names[number % keys]) for number in range(start, start + at_once)))
        spent, took = time.process_time() - begin, time.perf_counter() - clock
        await close()
        return {"cpu": spent / SHARED * 1e6, "took": took / SHARED * 1e6}

    return asyncio.run(run())


@contextmanager
def storage() -> Iterator[str | None]:
    """Give the address of a storage of our own; None where there is no program for it."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def shared_cases(url: str) -> dict[str, Case]:
    """Return the cases of shared limits: few keys in turn, and many at once."""
    makers = {
        "ours, a hot limit": lambda: shared(url, "api"),
        "ours, each charge asked for": lambda: shared(url, "sign_in"),
        "limits": lambda: shared_library(url),
    }
    loads = {"10 keys, one after the other": (10, 1), f"10 keys, {AT_ONCE} at once": (10, AT_ONCE)}
    loads[f"a new key each, {AT_ONCE} at once"] = (SHARED, AT_ONCE)
    return {
        f"{name}; {load}": lambda make=make, keys=keys, at_once=at_once: sharing(make, keys, at_once)  # type: ignore[misc]
        for load, (keys, at_once) in loads.items()
        for name, make in makers.items()
    }


def row_of(how: str, found: Mapping[str, Mapping[str, Spread]], name: str) -> Row:
    """Return the line of the results for one way to count."""
    return Row(f"charging a request to its limit, {how}", "", f"{found[name]['cpu'].text(1)} µs of CPU", None)


def main() -> None:
    """Compare them."""
    surroundings("limits", "redis")
    makers = {"ours": ours, "ours, window at hand": at_hand, "limits": library}
    cases: dict[str, Case] = {
        f"{name}, {keys:,} keys": lambda make=make, keys=keys: charging(make, keys)  # type: ignore[misc]
        for keys in KEYS
        for name, make in makers.items()
    }
    found = in_turn(ROUNDS, cases)
    keep(row_of("counted in the process, 100,000 keys", found, "ours, window at hand, 100,000 keys"))
    table(["counting here", "µs of CPU a charge"], [[name, figures["cpu"].text(2)] for name, figures in found.items()])
    with storage() as url:
        if url is None:
            say("There is no valkey-server and no redis-server here, so shared limits were not measured.")
            return
        found = in_turn(ROUNDS, shared_cases(url))
    keep(row_of("shared over Valkey or Redis", found, f"ours, a hot limit; 10 keys, {AT_ONCE} at once"))
    rows = [[name, figures["cpu"].text(1), figures["took"].text(1)] for name, figures in found.items()]
    table(["counting over a storage on this machine", "µs of CPU a charge", "µs until the next"], rows)


if __name__ == "__main__":
    main()
