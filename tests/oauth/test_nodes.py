"""Device sign-in over three nodes that share PostgreSQL, where every question to the database lets others go first."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import bindparam, func, select

from keystead.db import Query
from keystead.db.tables import device_authorization, oauth_grant, user
from keystead.kernel.clock import SystemClock
from keystead.kernel.problems import AuthorizationPending, InvalidClient, InvalidGrant, Problem, SlowDown
from keystead.kernel.scopes import Role
from keystead.kernel.settings import Settings
from keystead.oauth.models import Decision, DeviceCodes, TokenRequest, TokenSet
from keystead.oauth.service import DEVICE_CODE, REFRESH_TOKEN
from keystead.services import Services, open_services
from tests.support.clock import ManualClock
from tests.support.cluster import MASTER_SECRET, furnish
from tests.support.installation import ADDRESS, EVERY_SCOPE, METADATA, tokens_from

HELD: Final = 20.0
NODES: Final = 3
INTERVAL: Final = 2

_ADA = Query(select(user.c.id).where(user.c.username == "ada"), str)
_INTERVALS = Query(select(device_authorization.c.interval), int)
_GRANTS_OF = Query(
    select(func.count()).select_from(oauth_grant).where(oauth_grant.c.client_id == bindparam("client")), int
)


@dataclass(frozen=True)
class Nodes:
    """Three nodes in this process, each with a pool and a place in the feed of its own, and one clock."""

    nodes: list[Services]
    clock: ManualClock
    acme: str
    ada: str

    async def register(self, name: str = "parallel-cli") -> str:
        """Register a client and return its id."""
        return (await self.nodes[0].oauth.clients.register({**METADATA, "client_name": name})).id

    async def issue(self, client: str, node: int = 0) -> DeviceCodes:
        """Start a device authorization."""
        return await self.nodes[node].oauth.devices.issue(client, EVERY_SCOPE, ADDRESS)

    async def poll(self, codes: DeviceCodes, client: str, node: int = 0) -> type[Problem] | TokenSet:
        """Poll once."""
        request = TokenRequest(DEVICE_CODE, client, codes.device_code.reveal(), None, None)
        return await self._ask(request, node)

    async def refresh(self, token: str, node: int = 0) -> type[Problem] | TokenSet:
        """Present a refresh token."""
        return await self._ask(TokenRequest(REFRESH_TOKEN, None, None, token, None, ADDRESS), node)

    async def approve(self, codes: DeviceCodes, node: int = 0) -> bool:
        """Look a code up and approve it."""
        devices = self.nodes[node].oauth.devices
        view = await devices.look_up(codes.user_code.reveal(), self.ada, ADDRESS)
        decision = Decision(True, self.acme, self.ada, "session", ADDRESS)
        return view is not None and await devices.decide(view, decision, Role.OWNER, "Acme")

    async def _ask(self, request: TokenRequest, node: int) -> type[Problem] | TokenSet:
        try:
            return await tokens_from(self.nodes[node].oauth, request, asyncio.Event().wait)
        except Problem as problem:
            return type(problem)


@pytest.fixture
async def nodes(postgres_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    """Give three nodes; the test may name settings of theirs."""
    acme = await asyncio.to_thread(furnish, tmp_path, postgres_url)
    given: dict[str, Any] = {"public_url": "https://auth.example.com", "device_poll_interval": INTERVAL}
    given |= {"limit_wrong_codes": 1_000, "limit_wrong_codes_address": 1_000}
    shared = {"master_secret": MASTER_SECRET, "database_url": postgres_url, "device_poll_hold": 0}
    settings = Settings.model_validate({**given, **shared, **getattr(request, "param", {})})
    clock = ManualClock(SystemClock().now())  # the signing keys are of today
    opened = [open_services(tmp_path, settings, clock) for _ in range(NODES)]
    try:
        for services in opened:
            await services.db.start()
        ada = await opened[0].db.one(_ADA, {})
        await opened[0].signing_keys.ensure()
        yield Nodes(opened, clock, acme, ada or "")
    finally:
        for services in opened:
            await services.oauth.aclose()
            await services.aclose()


async def test_polls_at_the_same_moment_get_one_pending_from_each_node_at_most_and_the_rest_make_the_interval_longer(
    nodes: Nodes,
) -> None:
    client = await nodes.register()
    codes = await nodes.issue(client)
    answers = Counter(await asyncio.gather(*(nodes.poll(codes, client, n % NODES) for n in range(30))))
    assert set(answers) == {AuthorizationPending, SlowDown}
    assert 1 <= answers[AuthorizationPending] <= NODES
    assert await nodes.nodes[0].db.all(_INTERVALS, {}) == [INTERVAL + 5 * answers[SlowDown]]
    for services in nodes.nodes:
        await services.oauth.polls.arrivals.write()
    nodes.clock.advance(INTERVAL)
    assert [await nodes.poll(codes, client, node) for node in range(NODES)] == [SlowDown] * NODES


async def test_a_client_that_waits_the_interval_is_never_slowed_down_whichever_node_it_comes_to(nodes: Nodes) -> None:
    client = await nodes.register()
    codes = await nodes.issue(client)
    answers: Counter[object] = Counter()
    for turn in range(60):
        answers[await nodes.poll(codes, client, turn % NODES)] += 1
        nodes.clock.advance(INTERVAL)
    assert answers == {AuthorizationPending: 60}


async def test_another_node_knows_of_a_poll_once_its_arrival_is_written(nodes: Nodes) -> None:
    client = await nodes.register()
    codes = [await nodes.issue(client) for _ in range(20)]
    first = await asyncio.gather(*(nodes.poll(one, client, 0) for one in codes))
    await nodes.nodes[0].oauth.polls.arrivals.write()
    second = await asyncio.gather(*(nodes.poll(one, client, 1) for one in codes))
    assert (set(first), set(second)) == ({AuthorizationPending}, {SlowDown})


@pytest.mark.parametrize("nodes", [{"device_poll_hold": HELD}], indirect=True)
async def test_no_decision_falls_between_the_look_of_a_poll_and_its_place_in_the_waiting_room(nodes: Nodes) -> None:
    client = await nodes.register()
    await nodes.approve(await nodes.issue(client))  # makes what all sign-ins share

    async def one(turn: int) -> object:
        codes = await nodes.issue(client)
        poll = asyncio.create_task(nodes.poll(codes, client, turn % NODES))
        await asyncio.sleep(random.uniform(0, 0.01))  # noqa: S311 - somewhere in the poll's way
        assert await nodes.approve(codes, (turn + turn // NODES) % NODES)
        return type(await asyncio.wait_for(poll, HELD / 2))

    answers = Counter([await one(turn) for turn in range(40)])
    assert answers == {TokenSet: 40}


@pytest.mark.parametrize("nodes", [{"device_poll_hold": HELD, "database_pool": 2}], indirect=True)
async def test_many_held_polls_that_are_decided_at_one_moment_are_all_answered_with_tokens(nodes: Nodes) -> None:
    client = await nodes.register()
    await nodes.approve(await nodes.issue(client))
    codes = [await nodes.issue(client) for _ in range(150)]
    polls = [asyncio.create_task(nodes.poll(one, client)) for one in codes]
    while len(nodes.nodes[0].oauth.waiting) < len(codes):  # noqa: ASYNC110 - the room tells nobody
        await asyncio.sleep(0.01)
    for one in codes:
        assert await nodes.approve(one, 1)
    nodes.nodes[0].oauth.waiting.release()
    answers = Counter([type(answer) for answer in await asyncio.gather(*polls)])
    assert answers == {TokenSet: 150}


async def test_of_many_redemptions_over_all_nodes_one_gives_tokens(nodes: Nodes) -> None:
    client = await nodes.register()
    codes = await nodes.issue(client)
    assert await nodes.approve(codes)
    answers = await asyncio.gather(*(nodes.poll(codes, client, n % NODES) for n in range(30)))
    assert sum(isinstance(answer, TokenSet) for answer in answers) == 1
    assert {answer for answer in answers if not isinstance(answer, TokenSet)} == {InvalidGrant}
    assert await nodes.nodes[0].db.one(_GRANTS_OF, {"client": client}) == 1


async def test_of_refreshes_reuse_and_sign_out_at_one_moment_nothing_is_left_that_refreshes(nodes: Nodes) -> None:
    client = await nodes.register()
    for turn in range(6):
        codes = await nodes.issue(client)
        assert await nodes.approve(codes)
        first = await nodes.poll(codes, client)
        assert isinstance(first, TokenSet)
        tokens = [first.refresh_token.reveal()]
        for _ in range(4):
            found = await nodes.refresh(tokens[-1])
            assert isinstance(found, TokenSet)
            tokens.append(found.refresh_token.reveal())
        asked = [nodes.refresh(tokens[-1], n % NODES) for n in range(6)]
        if turn % 2:
            ending: Any = nodes.nodes[turn % NODES].oauth.grants.revoke(tokens[0])
        else:
            ending = nodes.refresh(tokens[0], turn % NODES)
        *answers, _ = await asyncio.gather(*asked, ending)
        given = {one.refresh_token.reveal() for one in answers if isinstance(one, TokenSet)}
        assert len(given) <= 1
        assert {type(one) if isinstance(one, TokenSet) else one for one in answers} <= {TokenSet, InvalidGrant}
        left = [await nodes.refresh(token, n % NODES) for n, token in enumerate([*tokens, *given])]
        assert set(left) == {InvalidGrant}


async def test_a_client_that_is_deleted_amid_its_sign_ins_ends_with_none_that_can_be_approved(nodes: Nodes) -> None:
    async def start(client: str, turn: int) -> DeviceCodes | None:
        try:
            return await nodes.issue(client, turn % NODES)
        except InvalidClient:
            return None

    for turn in range(5):
        client = await nodes.register(f"client {turn}")
        starting = [start(client, n) for n in range(12)]
        deleting = nodes.nodes[turn % NODES].oauth.clients.delete(client)
        *started, _ = await asyncio.gather(*starting[:6], *starting[6:], deleting)
        approved = [await nodes.approve(codes) for codes in started if codes is not None]
        assert not any(approved)
        answers = [await nodes.poll(codes, client) for codes in started if codes is not None]
        assert set(answers) <= {InvalidGrant}
