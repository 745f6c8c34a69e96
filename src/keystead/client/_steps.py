"""Conversations: what the SDK does, described once, and carried out by a thread or by a task.

A conversation is a generator. It yields what is to be done next, a request, a pause, or work that may wait for a disk
or a lock, and is given what came of it. ``carry_out`` does these things in the calling thread, ``carry_out_async`` in a
task of asyncio or trio. So there is one description of each call, and the two ways of calling cannot drift apart.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from keystead.client._http import Answer, Request

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from anyio.lowlevel import RunVar

T = TypeVar("T")

_MOST_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request; gives its Answer. A NetworkError is thrown into the conversation."""

    request: Request


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Block:
    """Do work that may wait for a disk, a lock or another process; gives what it returns."""

    work: Callable[[], Any]


Step: TypeAlias = Ask | Pause | Block
Conversation: TypeAlias = Generator[Step, Any, T]


class Line(Protocol):
    """What carries requests to a server."""

    def send(self, request: Request) -> Answer:
        """Send a request and return the answer. Raises NetworkError."""


class AsyncLine(Protocol):
    """What carries requests to a server, for tasks."""

    async def send(self, request: Request) -> Answer:
        """Send a request and return the answer. Raises NetworkError."""


def ask(request: Request) -> Conversation[Answer]:
    """Send a request and return its answer. Raises NetworkError."""
    answer: Answer = yield Ask(request)
    return answer


def pause(seconds: float) -> Conversation[None]:
    """Wait."""
    yield Pause(seconds)


def block(work: Callable[[], T]) -> Conversation[T]:
    """Do work that may block, and return what it returns."""
    found: T = yield Block(work)
    return found


def carry_out(conversation: Conversation[T], line: Line) -> T:
    """Carry a conversation out in this thread, and return what it returns."""

    def do(step: Step) -> Any:
        if isinstance(step, Ask):
            return line.send(step.request)
        return time.sleep(step.seconds) if isinstance(step, Pause) else step.work()

    try:
        step = next(conversation)
        while True:
            try:
                found = do(step)
            except Exception as error:
                step = conversation.throw(error)
            else:
                step = conversation.send(found)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        conversation.close()


async def carry_out_async(conversation: Conversation[T], line: AsyncLine) -> T:
    """Carry a conversation out in this task, under asyncio or trio, and return what it returns."""
    from anyio import sleep

    async def do(step: Step) -> Any:
        if isinstance(step, Ask):
            return await line.send(step.request)
        return await sleep(step.seconds) if isinstance(step, Pause) else await in_thread(step.work)

    try:
        step = next(conversation)
        while True:
            try:
                found = await do(step)
            except Exception as error:
                step = conversation.throw(error)
            else:
                step = conversation.send(found)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        conversation.close()


async def in_thread(work: Callable[[], T]) -> T:
    """Do work that may block in a thread, and return what it returns.

    A task that is cancelled does not wait for it: a refresh that is under way goes on and is stored.
    """
    from anyio.to_thread import run_sync

    return await run_sync(work, abandon_on_cancel=True, limiter=_our_threads())


def _our_threads() -> "CapacityLimiter":
    """Return what bounds our threads in this event loop: few, so that many who wait for a refresh leave others free."""
    from anyio import CapacityLimiter

    variable = _variable()
    try:
        return variable.get()
    except LookupError:
        limiter = CapacityLimiter(_MOST_THREADS)
        variable.set(limiter)
        return limiter


@cache
def _variable() -> "RunVar[CapacityLimiter]":
    from anyio.lowlevel import RunVar

    return RunVar("keystead.threads")
