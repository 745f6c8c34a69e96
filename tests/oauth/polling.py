"""How the tests poll: as the token endpoint does, and told in the problems of the protocol."""

import asyncio
import re
from typing import Final

from keystead.kernel.problems import Problem
from keystead.oauth.models import DeviceCodes, TokenSet
from tests.support.installation import Installation

HELD: Final = 20.0
"""A hold in seconds that no test waits out."""
AT_ONCE: Final = 2.0
"""Seconds within which a held poll is answered once the person has decided (promise D3): far below the time for which a
poll is held, and far above a busy machine's pauses."""


async def answer_of(asked: "asyncio.Future[TokenSet] | asyncio.Task[TokenSet]") -> type[Problem] | TokenSet:
    """Return the tokens, or the kind of problem that there was instead."""
    try:
        return await asked
    except Problem as problem:
        return type(problem)


def ask(
    house: Installation, codes: DeviceCodes, client: str, gone: asyncio.Event | None = None, wait: int | None = None
) -> asyncio.Task[TokenSet]:
    """Begin a poll."""
    return asyncio.create_task(house.poll(codes, client, gone, wait))


async def held(house: Installation) -> None:
    """Return once the poll that was just started is waiting for the decision."""
    async with asyncio.timeout(AT_ONCE):
        while len(house.services.oauth.waiting) != 1:  # noqa: ASYNC110 - it is not told who comes in
            await asyncio.sleep(0)


async def written(house: Installation) -> None:
    """Return once this process has written the arrivals of polls, as it does ten times a second."""
    await house.services.oauth.polls.arrivals.write()


def seconds_in(text: str) -> int | None:
    """Return the number of seconds that a sentence names."""
    found = re.search(r"(\d+) seconds", text)
    return int(found[1]) if found else None
