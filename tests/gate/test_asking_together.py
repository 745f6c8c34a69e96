"""Keys that many requests present at once are looked up together, and a revoke at any step of that holds (V1, V4, K1).

Two nodes over one PostgreSQL: here keys are checked, elsewhere they are revoked.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keystead.db import DatabaseError
from keystead.db.postgres import PostgresDatabase
from keystead.db.together import UNDER_WAY
from keystead.gate.authenticator import Authenticator
from keystead.gate.credentials import Kind, Presented
from keystead.kernel.clock import SystemClock
from keystead.kernel.problems import Unauthenticated
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import new_api_key
from keystead.kernel.settings import Settings
from keystead.services import Services, open_services

KEYS = 100


@dataclass
class Statements:
    """The statements that look keys up. When ``held``, what was read is handed over only when ``let_go`` is set."""

    sizes: list[int] = field(default_factory=list)
    held: bool = False
    read: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    fault: Exception | None = None

    def watch(self, database: PostgresDatabase) -> None:
        """Watch those of a database."""
        real: Callable[..., Awaitable[Any]] = database._together._ask

        async def ask(look_up: Any, values: list[bytes]) -> Any:
            self.sizes.append(len(values))
            if self.fault is not None:
                raise self.fault
            found = await real(look_up, values)
            self.read.set()
            if self.held:
                await self.let_go.wait()
            return found

        database._together._ask = ask


@dataclass(frozen=True)
class Nodes:
    """Two nodes, the keys of one person by their ids, and the statements of the node that checks them."""

    here: Services
    elsewhere: Services
    keys: dict[str, Presented]
    statements: Statements
    authenticator: Authenticator

    async def answers(self, presented: list[Presented]) -> list[str]:
        """Check credentials at once, and return the id of each key, or the name of its refusal."""
        found = await asyncio.gather(*(self.authenticator.entry(one) for one in presented), return_exceptions=True)
        return [type(one).__name__ if isinstance(one, BaseException) else one.principal.credential_id for one in found]


@pytest.fixture
async def nodes(postgres_url: str, tmp_path: Path) -> AsyncIterator[Nodes]:
    """Give two nodes; the one here has met the keys' owner and follows the feed."""
    settings = Settings.model_validate(
        {"public_url": "https://auth.example.com", "database_url": postgres_url, "master_secret": "x" * 40}
    )
    elsewhere = open_services(tmp_path, settings, SystemClock())
    here = open_services(tmp_path, settings, SystemClock())
    await elsewhere.accounts.create_organization("acme", "Acme")
    await elsewhere.accounts.create_user(username="ada", email="ada@example.com", organization="acme", role=Role.OWNER)
    made = [await elsewhere.keys.create_key_for_user("ada", "test") for _ in range(KEYS + 1)]
    first, *others = [(one.record.id, Presented(Kind.API_KEY, one.secret.reveal())) for one in made]
    authenticator = Authenticator(
        db=here.db,
        clock=here.clock,
        key=here.keys_of_installation.credentials,
        keys=here.keys,
        tokens=here.tokens,
        access=here.oauth.access,
        sessions=here.sessions,
    )
    statements = Statements()
    assert isinstance(here.db, PostgresDatabase)
    statements.watch(here.db)
    await here.db.start()
    await authenticator.entry(first[1])
    statements.sizes.clear()
    statements.read.clear()
    yield Nodes(here, elsewhere, dict(others), statements, authenticator)
    await here.aclose()
    await elsewhere.aclose()


async def test_a_hundred_keys_that_come_at_once_are_a_few_statements_and_then_remembered(nodes: Nodes) -> None:
    presented = list(nodes.keys.values())
    assert await nodes.answers(presented) == list(nodes.keys)
    assert (len(nodes.statements.sizes) <= UNDER_WAY, sum(nodes.statements.sizes)) == (True, KEYS)
    assert await nodes.answers(presented) == list(nodes.keys)
    assert sum(nodes.statements.sizes) == KEYS


async def test_one_key_that_comes_a_hundred_times_at_once_is_looked_up_once(nodes: Nodes) -> None:
    key_id, presented = next(iter(nodes.keys.items()))
    assert await nodes.answers([presented] * KEYS) == [key_id] * KEYS
    assert sum(nodes.statements.sizes) == 1


async def test_keys_that_nobody_has_are_refused_and_spoil_nothing_for_the_others(nodes: Nodes) -> None:
    strangers = [Presented(Kind.API_KEY, new_api_key("pwt", "https://auth.example.com").reveal()) for _ in range(20)]
    strangers += [Presented(Kind.API_KEY, text) for text in ("pwt_\0.", "pwt_abc.d", "")]
    mixed = [one for pair in zip(strangers, nodes.keys.values(), strict=False) for one in pair]
    expected = [one for key_id in list(nodes.keys)[: len(strangers)] for one in ("Unauthenticated", key_id)]
    assert await nodes.answers(mixed) == expected


async def test_a_key_that_is_revoked_while_it_is_looked_up_with_others_is_not_remembered(nodes: Nodes) -> None:
    revoked, *others = nodes.keys
    nodes.statements.held = True
    under_way = asyncio.create_task(nodes.answers(list(nodes.keys.values())))
    await nodes.statements.read.wait()
    await nodes.elsewhere.keys.revoke_key(revoked)
    # Who asks from now on waits for a statement that begins now, whatever those before it have read.
    late = asyncio.create_task(nodes.answers([nodes.keys[revoked], nodes.keys[others[0]]]))
    await asyncio.sleep(0)
    await nodes.here.db.changes()
    nodes.statements.held = False
    nodes.statements.let_go.set()
    assert (await under_way)[1:] == others
    assert await late == ["Unauthenticated", others[0]]
    assert nodes.authenticator.remembered(nodes.keys[revoked]) is None
    with pytest.raises(Unauthenticated):
        await nodes.authenticator.entry(nodes.keys[revoked])


async def test_a_client_that_goes_away_takes_nothing_from_those_who_asked_with_it(nodes: Nodes) -> None:
    nodes.statements.held = True
    asking = [asyncio.create_task(nodes.authenticator.entry(one)) for one in nodes.keys.values()]
    await nodes.statements.read.wait()
    for one in asking[::2]:
        one.cancel()
    nodes.statements.let_go.set()
    found = await asyncio.gather(*asking[1::2])
    assert [one.principal.credential_id for one in found] == list(nodes.keys)[1::2]
    assert all(one.cancelled() for one in asking[::2])


async def test_a_fault_is_told_to_each_and_remembered_by_nobody(nodes: Nodes) -> None:
    nodes.statements.fault = DatabaseError()
    assert await nodes.answers(list(nodes.keys.values())) == ["DatabaseError"] * KEYS
    nodes.statements.fault = None
    assert await nodes.answers(list(nodes.keys.values())) == list(nodes.keys)
