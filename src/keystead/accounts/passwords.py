"""Passwords: hashed with Argon2id, a few at a time, so that sign-ins cannot starve anything else (promises W5, W6)."""

import asyncio
import base64
import logging
import os
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from keystead.accounts.rules import normal_password
from keystead.kernel.problems import RateLimited, retry_after
from keystead.kernel.secrets import Secret

T = TypeVar("T")

_PRIORITY: Final = 10
"""The "nice" value of the hashing threads. On two busy cores, under 1,000 sign-ins a second, it takes the median key
check from 3 ms to 0.6 ms and the slowest hundredth from 30 ms to 19 ms; 19 instead of 10 changes nothing more."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cost:
    """The parameters of Argon2id (RFC 9106, section 3.1): memory in KiB, passes over it, lanes."""

    memory: int
    passes: int
    lanes: int = 1


STANDARD: Final = Cost(memory=32_768, passes=2)
"""32 MiB, 2 passes, 1 lane: about 32 ms on one core of a 2-core machine, against 15 ms for OWASP's least (19 MiB, 2, 1)
and 105 ms for RFC 9106's second recommendation (64 MiB, 3 passes). glibc gives a block of this size back at once."""


class Verdict(Enum):
    """What came of a password."""

    WRONG = "wrong"
    RIGHT = "right"
    RIGHT_AND_OLD = "right, but hashed with other parameters than today's"


class PasswordHasher:
    """Hashes and verifies passwords in threads of its own, ``parallel`` at a time, ``waiting`` more in the queue.

    Whoever comes from a device that is known has a queue of their own, as long, which is served first: a flood of
    strangers cannot keep them out (W5). A hasher belongs to one event loop.
    """

    def __init__(self, *, parallel: int, waiting: int, cost: Cost = STANDARD) -> None:
        """Use ``cost`` for new hashes; hashes of any other cost are still verified."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory, parallelism=cost.lanes, hash_len=32, salt_len=16
        )
        self._nobodys = _hash_of_nothing(cost)
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="passwords", initializer=_step_back)
        self._free = parallel
        self._longest = waiting
        self._known: deque[asyncio.Future[None]] = deque()
        self._strangers: deque[asyncio.Future[None]] = deque()

    async def hash(self, password: Secret) -> str:
        """Return the hash of a password, with its salt and parameters in it. Raises RateLimited.

        Only the operator, somebody who is signed in, and somebody whom a letter let in sets a password: they wait in
        the queue of the known.
        """
        text = normal_password(password).reveal()
        return await self._run(lambda: self._argon2.hash(text), known=True)

    async def verify(self, stored: str | None, password: Secret, *, known: bool = False) -> Verdict:
        """Tell whether a password is the one that ``stored`` was made of. Raises RateLimited when too many wait.

        Without ``stored`` the same work is done against a hash of nothing, so that an unknown user takes as long as a
        wrong password.
        """
        text = normal_password(password).reveal()
        against = stored or self._nobodys
        return await self._run(lambda: self._verdict(against, text), known=known)

    def close(self) -> None:
        """Wait for the hashes that run, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verdict(self, stored: str, text: str) -> Verdict:
        try:
            self._argon2.verify(stored, text)
        except VerifyMismatchError:
            return Verdict.WRONG
        except (VerificationError, InvalidHashError):
            _log.error("a stored password hash cannot be read: set the person's password anew")
            return Verdict.WRONG
        return Verdict.RIGHT_AND_OLD if self._argon2.check_needs_rehash(stored) else Verdict.RIGHT

    async def _run(self, work: Callable[[], T], *, known: bool) -> T:
        await self._turn(self._known if known else self._strangers)
        job = asyncio.get_running_loop().run_in_executor(self._pool, work)
        job.add_done_callback(lambda _: self._next())
        return await asyncio.shield(job)  # a caller who goes away does not free the thread: the hash runs to its end

    async def _turn(self, lane: deque[asyncio.Future[None]]) -> None:
        """Wait for a free thread. Raises RateLimited when the queue is full."""
        if self._free > 0:
            self._free -= 1
            return
        if len(lane) >= self._longest:
            raise RateLimited("Too many people are signing in just now. Try again in a second.", headers=retry_after(1))
        waiter = asyncio.get_running_loop().create_future()
        lane.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the turn came in the same moment: hand it on
                self._next()
            elif waiter in lane:
                lane.remove(waiter)
            raise

    def _next(self) -> None:
        """Give a thread that has become free to whoever is first."""
        for lane in (self._known, self._strangers):
            while lane:
                waiter = lane.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return
        self._free += 1


def _step_back() -> None:
    """Let the machine run this thread after those that answer: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PRIORITY)


def _hash_of_nothing(cost: Cost) -> str:
    """Return a well-formed hash that no password has, with today's cost. Making it costs nothing."""

    def text(size: int) -> str:
        return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")

    return f"$argon2id$v=19$m={cost.memory},t={cost.passes},p={cost.lanes}${text(16)}${text(32)}"
