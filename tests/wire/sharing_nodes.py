"""Several limiters of one process, as nodes over one Valkey or Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr
from redis.asyncio import Redis

from keystead.kernel.clock import SystemClock
from keystead.kernel.problems import RateLimited
from keystead.kernel.settings import Settings
from keystead.wire.limiter import NAMES, PATIENCE_MS, Limiter
from keystead.wire.windows import Allowance

PATIENT_MS: Final = 30_000
"""For tests of what is counted: a machine that is busy with other things does not make the storage "away"."""
KEY: Final = b"the installation's own key, 32 by"


def new_node(url: str, limit: str, *, patience_ms: int = PATIENT_MS, key: bytes = KEY) -> Limiter:
    """Return a node with this limit for every name."""
    limits: dict[str, Any] = {f"limit_{name}": limit for name in NAMES}
    return Limiter(Settings(valkey_url=SecretStr(url), **limits), SystemClock(), key=key, patience_ms=patience_ms)


@asynccontextmanager
async def new_nodes(
    url: str, limit: str, count: int = 3, *, patience_ms: int = PATIENT_MS
) -> AsyncIterator[list[Limiter]]:
    """Give nodes that share this limit, and close them."""
    nodes = [new_node(url, limit, patience_ms=patience_ms) for _ in range(count)]
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.aclose()


def hasty_nodes(url: str, limit: str, count: int = 3) -> Any:
    """Give nodes that wait for the storage as long as a server does."""
    return new_nodes(url, limit, count, patience_ms=PATIENCE_MS)


@dataclass(frozen=True, slots=True)
class Charged:
    """What came of one charge, and how long it took."""

    answer: Allowance | RateLimited
    seconds: float

    @property
    def let_in(self) -> bool:
        """Whether it was let through."""
        return isinstance(self.answer, Allowance)


async def charge(node: Limiter, name: str, key: str = "somebody") -> Charged:
    """Charge once. Anything but an allowance and a refusal is raised: it would be a 500."""
    begin = time.perf_counter()
    answer: Allowance | RateLimited
    try:
        answer = await node.charge(name, key)
    except RateLimited as refusal:
        answer = refusal
    return Charged(answer, time.perf_counter() - begin)


async def together(nodes: Iterable[Limiter], name: str, key: str = "somebody") -> list[Charged]:
    """Charge once at each of these nodes, all at the same time."""
    return await asyncio.gather(*(charge(node, name, key) for node in nodes))


async def flood(nodes: Sequence[Limiter], name: str, times: int, key: str = "somebody") -> list[Charged]:
    """Charge so many times at once, evenly over the nodes."""
    return await together([nodes[number % len(nodes)] for number in range(times)], name, key)


def let_in(charges: Iterable[Charged]) -> int:
    """Return how many were let through."""
    return sum(charged.let_in for charged in charges)


async def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as something has happened."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 - what happens is in another process
            await asyncio.sleep(0.005)


async def stored(url: str) -> dict[str, tuple[int, int]]:
    """Return every key of the storage with its value and the milliseconds that it will live."""
    client: Any
    async with Redis.from_url(url, protocol=2) as client:
        names = [bytes(name).decode() for name in await client.keys("*")]
        return {name: (int(await client.get(name) or 0), await client.pttl(name)) for name in names}


async def asks(url: str) -> int:
    """Return how often the storage was asked since the last time."""
    async with Redis.from_url(url, protocol=2) as client:
        found = await client.info("commandstats")
        await client.config_resetstat()
        return int(found.get("cmdstat_eval", {}).get("calls", 0))
