"""The storage in which nodes share their rate limits: Valkey, or Redis from which it comes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from keystead.kernel.secrets import Secret
from keystead.kernel.settings import SettingsError

PREFIX: Final = "keystead:"
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}
_COUNT: Final = """
local found = {}
for place, key in ipairs(KEYS) do
  local total = redis.call('INCRBY', key, ARGV[2 * place - 1])
  local life = redis.call('PTTL', key)
  if life < 0 then
    life = ARGV[2 * place]
    redis.call('PEXPIRE', key, life)
  end
  found[2 * place - 1] = total
  found[2 * place] = tonumber(life)
end
return found
"""
"""Adds to each counter and returns what is in it and how many milliseconds it has left to live."""


class StorageError(Exception):
    """The storage was not reached in time, or does not count. The text names the kind of failure and nothing else."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Add ``amount`` to the counter of ``words``; when there is none it begins and lives for ``life_ms``."""

    words: tuple[str, ...]
    amount: int
    life_ms: int


@dataclass(frozen=True, slots=True)
class Count:
    """What a counter holds, the ask included, and the milliseconds until the storage forgets it."""

    total: int
    life_ms: int


class Valkey:
    """Counters in one server, by names from which no address and no credential can be read."""

    def __init__(self, url: Secret, key: bytes, patience_ms: int) -> None:
        """Take the address, which may hold a password. Nothing is reached yet.

        Counters are named by a hash under ``key``, the installation's. Raises SettingsError for what is no address.
        """
        parts = urlsplit(url.reveal())
        address = urlunsplit(parts._replace(scheme=_SCHEMES.get(parts.scheme, parts.scheme)))
        try:
            self._client: Any = Redis.from_url(  # its commands are not typed
                address,
                socket_timeout=None,  # `count` has a time-out of its own
                socket_connect_timeout=patience_ms / 1000,
                retry=Retry(NoBackoff(), 0),  # once more could count twice
                protocol=2,
            )
        except ValueError:
            # The library's words repeat parts of the address.
            raise SettingsError(
                ["valkey_url: this is no address; write special characters of a password as %2F and the like"]
            ) from None
        self._key = key

    async def count(self, asks: Sequence[Ask], seconds: float) -> list[Count]:
        """Add to all these counters in one step. Raises StorageError after ``seconds`` at the latest.

        What was sent may have been counted even when it raises.
        """
        names = [self._name(ask.words) for ask in asks]
        numbers = [number for ask in asks for number in (ask.amount, ask.life_ms)]
        try:
            async with asyncio.timeout(seconds):
                found = await self._client.execute_command("EVAL", _COUNT, len(names), *names, *numbers)
            return [Count(*pair) for pair in zip(found[::2], found[1::2], strict=True)]
        except Exception as error:  # whatever it is, requests go on without the storage
            raise StorageError(type(error).__name__) from None

    async def aclose(self) -> None:
        """Close the connections."""
        try:
            await self._client.aclose()
        except Exception as error:  # a server that hangs is no reason not to stop
            raise StorageError(type(error).__name__) from None

    def _name(self, words: tuple[str, ...]) -> str:
        text = "\0".join(words).encode("utf-8", "surrogatepass")
        return PREFIX + blake2b(text, key=self._key, digest_size=16, person=b"limits").hexdigest()
