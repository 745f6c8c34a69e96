"""Whoever follows the list misses nothing, in any order of commits and requests over two nodes (promises V2 and J5).

The nodes' clocks differ by up to a minute. A row's time is read by one of them, and its commit comes up to half a
minute later, in any order with others. Pages are short, so that much happens between two of them.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from joserfc.jwk import KeySet
from sqlalchemy import delete

from keystead.db import Command, Transaction, insert_into
from keystead.db.tables import revoked_token
from keystead.kernel.ids import new_id
from keystead.tokens.cursors import OLDEST, read_cursor
from keystead.tokens.followers import REVOKED_TOKENS, Followers
from keystead.tokens.revocations import RevocationFeed
from tests.support.clock import ManualClock
from tests.tokens.desk import PUBLIC_URL, Desk
from tests.tokens.verifier import Verifier

ADD = Command(insert_into(revoked_token, "grant_id"))
CLEAR = Command(delete(revoked_token))
LATEST_COMMIT = 30
PAGE = 3
BEGINS = 1_763_801_000
LONGEST = 20 * 86_400
"""Seconds that a story takes at most: the first signing key signs all that time."""
SECONDS = st.sampled_from([0, 1, 1, 2, 10, 29, 29, 59, 60, 61, 119, 120, 121, 600, OLDEST + 200])
APART = st.sampled_from([-60, 60, -60, 60, -59, 59, -30, 30, -1, 0, 1])
NODES = st.integers(0, 1)
STEPS = st.one_of(
    st.tuples(st.just("begin"), NODES),
    st.tuples(st.just("commit"), st.integers(0, 9)),
    st.tuples(st.just("ask"), NODES),
    st.tuples(st.just("pass"), SECONDS),
)


async def clear(tx: Transaction) -> None:
    await tx.run(CLEAR, {})
    await tx.announce(REVOKED_TOKENS)


@dataclass(frozen=True)
class Two:
    """Two nodes over one installation, each with a clock of its own."""

    desks: tuple[Desk, Desk]
    feeds: tuple[RevocationFeed, RevocationFeed]
    keys: KeySet


@dataclass
class Run:
    """One story: the rows whose commit is still to come, and what a verifier must have heard when a list is whole."""

    two: Two
    verifier: Verifier
    pending: list[tuple[str, int, int]] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)
    time: int = 0

    async def step(self, kind: str, value: int) -> None:
        if kind == "begin":
            self.pending.append((new_id(), self.two.desks[value].clock.now(), self.time))
        elif kind == "commit" and self.pending:
            await self.commit(self.pending.pop(value % len(self.pending)))
        elif kind == "ask":
            await self.ask(value)
        elif kind == "pass" and self.time + value < LONGEST:
            for row in [row for row in self.pending if self.time + value - row[2] > LATEST_COMMIT]:
                self.pending.remove(row)
                await self.commit(row)
            self.time += value
            for desk in self.two.desks:
                desk.clock.advance(value)

    async def commit(self, row: tuple[str, int, int]) -> None:
        token_id, revoked_at, _ = row

        async def work(tx: Transaction) -> None:
            await tx.run(ADD, {"id": token_id, "revoked_at": revoked_at, "expires_at": revoked_at + 10 * OLDEST})
            await tx.announce(REVOKED_TOKENS)

        await self.two.desks[0].db.write(work)
        self.committed.add(token_id)

    async def ask(self, node: int) -> None:
        now, feed = self.two.desks[node].clock.now(), self.two.feeds[node]
        if not self.verifier.answers or not self.verifier.answers[-1]["more"]:
            self.owed = set(self.committed)
            await self.check_that_news_are_seen(feed, now)
        claims = self.verifier.take(await feed.answer(self.verifier.following, 0, asyncio.Event()), now)
        if claims["full"]:
            self.owed = set(self.committed)
        if not claims["more"]:
            assert self.owed <= set(self.verifier.revoked)

    async def check_that_news_are_seen(self, feed: RevocationFeed, now: int) -> None:
        """A request would not be held: there is something that this verifier was never told."""
        cursor = read_cursor(self.verifier.following, now)
        if cursor is not None and self.committed - set(self.verifier.told):
            assert await feed._is_behind(cursor)


@pytest.fixture
def two(desk: Desk, runner: asyncio.Runner) -> Iterator[Two]:
    other = desk.neighbour(clock=ManualClock())
    feeds = []
    for one in (desk, other):
        followers = Followers(one.db.changes)
        one.db.listen(followers.hear)
        parts = {"db": one.db, "clock": one.clock, "settings": one.settings, "signing": one.signing}
        feeds.append(RevocationFeed(**parts, followers=followers, most_ids=PAGE))  # type: ignore[arg-type]
    keys = KeySet.import_key_set(json.loads(runner.run(desk.tokens.jwks())))
    yield Two((desk, other), (feeds[0], feeds[1]), keys)
    other.close()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(apart=APART, steps=st.lists(STEPS, min_size=5, max_size=60))
def test_a_verifier_that_follows_over_two_nodes_misses_nothing_in_any_order(
    two: Two, runner: asyncio.Runner, apart: int, steps: list[tuple[str, int]]
) -> None:
    for desk, begins in zip(two.desks, (BEGINS, BEGINS + apart), strict=True):
        desk.clock.advance(begins - desk.clock.now())

    async def story() -> None:
        await two.desks[0].db.write(clear)
        run = Run(two, Verifier(frozenset({PUBLIC_URL}), two.keys))
        for kind, value in steps:
            await run.step(kind, value)
        while run.pending:
            await run.commit(run.pending.pop())
        await run.ask(0)
        while run.verifier.answers[-1]["more"]:
            await run.ask(1)
        await run.ask(1)
        while run.verifier.answers[-1]["more"]:
            await run.ask(0)
        assert run.committed <= set(run.verifier.revoked)

    runner.run(story())
    assert len(steps) >= 5
