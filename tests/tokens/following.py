"""Asking for the list of revoked tokens without HTTP, and rows in it as some node commits them."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from joserfc.jwk import KeySet

from keystead.db import Command, Transaction, insert_into
from keystead.db.tables import revoked_token
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity
from keystead.kernel.scopes import Role
from keystead.tokens.followers import REVOKED_TOKENS, Followers
from keystead.tokens.models import IssuedShortTermToken, RevokedToken
from keystead.tokens.revocations import MOST_IDS, RevocationFeed
from tests.tokens.desk import PUBLIC_URL, Desk
from tests.tokens.verifier import Verifier

ADD: Final = Command(insert_into(revoked_token, "grant_id"))
SOON: Final = 5
"""Seconds within which a held request must be answered on a busy machine."""
LONG: Final = 25
"""Seconds that no test here waits for."""


async def verifier_of(desk: Desk) -> Verifier:
    return Verifier(frozenset({PUBLIC_URL}), KeySet.import_key_set(json.loads(await desk.tokens.jwks())))


async def ask(desk: Desk, verifier: Verifier, seconds: float = 0) -> set[str]:
    """Ask once and return the ids that were told."""
    answer = await desk.revocations.answer(verifier.following, seconds, asyncio.Event())
    return {token_id for token_id, _ in verifier.take(answer, desk.clock.now())["revoked"]}


async def follow(desk: Desk, verifier: Verifier) -> set[str]:
    """Ask until the list is whole and return the ids that were told."""
    told = await ask(desk, verifier)
    while verifier.answers[-1]["more"]:
        told |= await ask(desk, verifier)
    return told


async def take_back(desk: Desk, *rows: RevokedToken) -> None:
    """Commit rows as some node does, which read its clock earlier."""

    async def work(tx: Transaction) -> None:
        for row in rows:
            await tx.run(ADD, {"id": row.id, "revoked_at": row.revoked_at, "expires_at": row.expires_at})
        await tx.announce(REVOKED_TOKENS)

    await desk.db.write(work)


def row_of(desk: Desk, *, ago: int = 0, expires_in: int = 3_600) -> RevokedToken:
    return RevokedToken(new_id(), desk.clock.now() - ago, desk.clock.now() + expires_in)


async def issue(desk: Desk) -> tuple[Identity, IssuedShortTermToken]:
    ada = await desk.enrol(f"ada-{new_id()[-6:]}", Role.OWNER)
    return ada, await desk.tokens.issue_short_term(ada)


@contextmanager
def neighbour_of(desk: Desk) -> Iterator[Desk]:
    neighbour = desk.neighbour()
    try:
        yield neighbour
    finally:
        neighbour.close()


async def held(feed: RevocationFeed, times: int = 1) -> None:
    """Let the requests that were begun go on until so many are held."""
    for _ in range(1_000):
        if len(feed.followers) == times:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{len(feed.followers)} requests are held, not {times}")


def feed_of(desk: Desk, *, most_ids: int = MOST_IDS, most_held: int = 1) -> RevocationFeed:
    """Return another feed over the desk, with narrow bounds."""
    followers = Followers(desk.db.changes, most=most_held)
    desk.db.listen(followers.hear)
    return RevocationFeed(
        db=desk.db,
        clock=desk.clock,
        settings=desk.settings,
        signing=desk.signing,
        followers=followers,
        most_ids=most_ids,
    )
