"""Requests that were read before a look at the feed share it; whoever comes later looks again (promise V1)."""

import asyncio

import pytest

from keystead.gate.looks import Looks


class Feed:
    """Counts how often it was looked at. ``known`` is what the last look heard of."""

    def __init__(self) -> None:
        self.looks = 0
        self.committed = 0
        self.known = 0
        self.away = False

    def look(self) -> bool:
        """Hear of what was committed."""
        self.looks += 1
        self.known = self.committed
        return not self.away


async def ask(feed: Feed, looks: Looks) -> bool:
    """Ask as the first step of a request does: was everything heard of that is committed?"""
    return looks.fresh() and feed.known == feed.committed


async def test_requests_that_were_read_together_share_a_look() -> None:
    feed = Feed()
    looks = Looks(feed.look)
    looks.share(asyncio.get_running_loop())
    assert all(await asyncio.gather(*(ask(feed, looks) for _ in range(16))))
    assert feed.looks == 1


async def test_each_request_by_itself_has_a_look_of_its_own() -> None:
    feed = Feed()
    looks = Looks(feed.look)
    looks.share(asyncio.get_running_loop())
    for number in range(5):
        assert await asyncio.create_task(ask(feed, looks))
        await asyncio.sleep(0)
        assert feed.looks == number + 1


async def test_a_request_that_is_read_after_a_look_hears_of_what_was_committed_since() -> None:
    feed = Feed()
    looks = Looks(feed.look)
    loop = asyncio.get_running_loop()
    looks.share(loop)
    answers: list[asyncio.Task[bool]] = []

    async def first() -> bool:
        found = await ask(feed, looks)
        # What happens now is later than the look: a revoke is committed, and a request that was sent after it is read.
        feed.committed += 1
        answers.extend(loop.create_task(ask(feed, looks)) for _ in range(3))
        return found

    assert await loop.create_task(first())
    assert await asyncio.gather(*answers) == [True] * 3
    assert feed.looks == 2


async def test_where_nobody_said_that_requests_are_scheduled_every_request_looks() -> None:
    feed = Feed()
    looks = Looks(feed.look)
    assert all(await asyncio.gather(*(ask(feed, looks) for _ in range(4))))
    assert feed.looks == 4


async def test_where_tasks_begin_before_their_turn_every_request_looks() -> None:
    feed = Feed()
    looks = Looks(feed.look)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, work, **options: asyncio.Task(work, loop=loop, **options))
    try:
        looks.share(loop)
    finally:
        loop.set_task_factory(None)
    assert all(await asyncio.gather(*(ask(feed, looks) for _ in range(4))))
    assert feed.looks == 4


@pytest.mark.parametrize("shared", [False, True])
async def test_a_look_that_could_not_be_trusted_is_shared_with_nobody(*, shared: bool) -> None:
    feed = Feed()
    looks = Looks(feed.look)
    if shared:
        looks.share(asyncio.get_running_loop())
    feed.away = True
    assert not any(await asyncio.gather(ask(feed, looks), ask(feed, looks)))
    feed.away = False
    assert await ask(feed, looks)
    assert feed.looks == 3
