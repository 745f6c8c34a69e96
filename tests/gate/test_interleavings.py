"""A look-up that is under way while its credential is revoked, at every point where either can stop (promise V4).

The look-up stops before and after each of its reads. Between any two of those steps another node revokes the
credential, and at the same or any later step this node hears of it. Whatever the order, what was revoked is not
remembered.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from keystead.gate.authenticator import Authenticator
from keystead.gate.credentials import Kind, Presented
from keystead.kernel.clock import SystemClock
from keystead.kernel.problems import Unauthenticated
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.services import Services, build_services, open_services

PASSWORD = "correct horse battery staple"


class Stepped:
    """A database whose reads stop before and after, until somebody lets them go one step further."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.step_by_step = False
        self.stopped = asyncio.Event()
        self._go_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def fresh(self) -> bool:
        """Trust what was heard: hearing is a step of its own here."""
        return True

    async def one(self, query: Any, parameters: Any) -> Any:
        """Read, stopping on both sides."""
        await self._stop()
        found = await self._real.one(query, parameters)
        await self._stop()
        return found

    async def _stop(self) -> None:
        if self.step_by_step:
            self._go_on.clear()
            self.stopped.set()
            await self._go_on.wait()

    async def let_go(self, task: "asyncio.Task[Any]") -> bool:
        """Wait until ``task`` stops, then let it go one step; False when it has ended."""
        stopping = asyncio.ensure_future(self.stopped.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not self.stopped.is_set():
            return False
        self.stopped.clear()
        self._go_on.set()
        return True


@dataclass(frozen=True, slots=True)
class Nodes:
    """Two nodes over one database: here look-ups are stopped, elsewhere credentials are revoked."""

    stepped: Stepped
    here: Services
    elsewhere: Services

    def authenticator(self) -> Authenticator:
        """Return an authenticator that remembers nothing yet."""
        return Authenticator(
            db=self.here.db,
            clock=self.here.clock,
            key=self.here.keys_of_installation.credentials,
            keys=self.here.keys,
            tokens=self.here.tokens,
            access=self.here.oauth.access,
            sessions=self.here.sessions,
        )


@pytest.fixture(params=["sqlite", "postgres"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Nodes]:
    """Give two nodes over an installation with one person in it, on each engine in turn."""
    settings: dict[str, Any] = {"public_url": "https://auth.example.com", "limit_sign_in": "100000/minute"}
    if request.param == "postgres":
        settings |= {"database_url": request.getfixturevalue("postgres_url"), "master_secret": "x" * 40}
    chosen = Settings.model_validate(settings)
    elsewhere = open_services(tmp_path, chosen, SystemClock())
    opened = open_services(tmp_path, chosen, SystemClock())
    stepped = Stepped(opened.db)
    here = build_services(chosen, SystemClock(), stepped, opened.keys_of_installation)
    await elsewhere.accounts.create_organization("acme", "Acme")
    await elsewhere.accounts.create_user(
        username="ada", email="ada@example.com", organization="acme", role=Role.OWNER, password=Secret(PASSWORD)
    )
    await stepped.changes()
    yield Nodes(stepped, here, elsewhere)
    await opened.aclose()
    await elsewhere.aclose()


Revocable = tuple[Presented, Callable[[], Coroutine[Any, Any, None]]]


async def an_api_key(services: Services) -> Revocable:
    created = await services.keys.create_key_for_user("ada", "test")
    return Presented(Kind.API_KEY, created.secret.reveal()), lambda: services.keys.revoke_key(created.record.id)


async def a_session(services: Services) -> Revocable:
    begun = await services.sessions.sign_in("ada", Secret(PASSWORD), address="192.0.2.1", user_agent="test")
    return Presented(Kind.SESSION, begun.secret.reveal()), lambda: services.sessions.sign_out(begun.session_id)


async def everything_of_the_person(services: Services) -> Revocable:
    """A new password ends every session at once, in the name of the person."""
    begun = await services.sessions.sign_in("ada", Secret(PASSWORD), address="192.0.2.1", user_agent="test")
    return (
        Presented(Kind.SESSION, begun.secret.reveal()),
        lambda: services.sessions.set_password("ada", Secret(PASSWORD)),
    )


@pytest.mark.parametrize("make", [an_api_key, a_session, everything_of_the_person])
async def test_at_whatever_point_of_a_look_up_a_revoke_falls_it_is_not_remembered(
    nodes: Nodes, make: Callable[[Services], Coroutine[Any, Any, Revocable]]
) -> None:
    orders = 0
    for revoked_at in count():
        longest = -1
        for heard_at in count(revoked_at):
            presented, revoke = await make(nodes.elsewhere)
            await nodes.stepped.changes()
            authenticator = nodes.authenticator()
            nodes.stepped.step_by_step = True
            look_up = asyncio.create_task(authenticator.entry(presented))
            step = 0
            while await nodes.stepped.let_go(look_up):
                if step == revoked_at:
                    await revoke()
                if step == heard_at:
                    await nodes.stepped.changes()
                step += 1
            nodes.stepped.step_by_step = False
            with contextlib.suppress(Unauthenticated):
                await look_up
            longest = step
            if step <= revoked_at:
                await revoke()
            if step <= heard_at:
                await nodes.stepped.changes()
            assert authenticator.remembered(presented) is None
            with pytest.raises(Unauthenticated):
                await authenticator.entry(presented)
            orders += 1
            if heard_at > step:
                break
        if revoked_at > longest:
            break
    assert orders >= 6
