"""An installation as the server builds it, over a real SQLite file, with a clock that the test moves.

It is made once and copied for each test, because its first signing keys take a while. In the organization acme are ada,
who owns it, and bob, who is a member. Nobody has a password: these tests begin behind the sign-in page.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Table, bindparam, delete, func, select, update

from keystead.audit.models import AuditEvent
from keystead.db import Command, Query, Transaction
from keystead.db.installation import Keys
from keystead.db.statements import Parameters
from keystead.db.tables import audit_event, membership, metadata, user
from keystead.kernel.problems import AuthorizationPending
from keystead.kernel.scopes import ALL_SCOPES, Role, format_scopes
from keystead.kernel.settings import Settings
from keystead.oauth.models import Decision, DeviceCodes, DeviceView, TokenRequest, TokenSet
from keystead.oauth.service import DEVICE_CODE, REFRESH_TOKEN, OAuth
from keystead.oauth.waiting import UntilGone
from keystead.services import Services, build_services
from tests.support.clock import ManualClock
from tests.support.engine import OpenDatabase, branch, duplicate, open_database, open_keys

T = TypeVar("T")

PUBLIC_URL: Final = "https://auth.example.com"
ADDRESS: Final = "192.0.2.7"
EVERY_SCOPE: Final = format_scopes(ALL_SCOPES)
METADATA: Final = {"client_name": "parallel-cli", "platform": {"system": "Linux", "machine": "x86_64"}}
AGES: Final = 3_000_000_000
"""A lifetime in seconds that no test outlives."""

_DISABLE = Command(update(user).where(user.c.id == bindparam("user_id")).values(disabled_at=bindparam("at")))
_SET_ROLE = Command(
    update(membership).where(membership.c.user_id == bindparam("person")).values(role=bindparam("new_role"))
)
_LEAVE = Command(delete(membership).where(membership.c.user_id == bindparam("person")))
_EVENTS = Query(select(audit_event).order_by(audit_event.c.at, audit_event.c.id), AuditEvent)
_COUNTS = {table.name: Query(select(func.count()).select_from(table), int) for table in metadata.sorted_tables}


async def tokens_from(oauth: OAuth, request: TokenRequest, until_gone: UntilGone) -> TokenSet:
    """Return the tokens that a token request gets. Raises what its client is told instead, AuthorizationPending too."""
    found = await oauth.exchange(request, until_gone)
    if found is None:
        raise AuthorizationPending()
    return found


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with one membership."""

    id: str
    role: Role


@dataclass(frozen=True)
class Installation:
    """One process over an installation."""

    directory: Path
    clock: ManualClock
    keys: Keys
    db: OpenDatabase
    services: Services
    acme: str
    ada: Person
    bob: Person

    def neighbour(self, **settings: Any) -> "Installation":
        """Return another process over the same file, perhaps with other settings. Close it."""
        changed = self.services.settings.model_copy(update=settings)
        return _opened(self.directory, self.clock, changed, self.keys, (self.acme, self.ada, self.bob))

    def branch(self, directory: Path) -> "Installation":
        """Return a copy of the installation as it is now, to see what would happen. Close it."""
        branch(self.directory, directory)
        people = (self.acme, self.ada, self.bob)
        return _opened(directory, self.clock, self.services.settings, self.keys, people)

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    # The client's side

    async def register(self, name: str = "parallel-cli") -> str:
        """Register a client and return its id."""
        return (await self.services.oauth.clients.register({**METADATA, "client_name": name})).id

    async def issue(self, client_id: str, scope: str | None = EVERY_SCOPE, address: str = ADDRESS) -> DeviceCodes:
        """Start a device authorization."""
        return await self.services.oauth.devices.issue(client_id, scope, address)

    async def poll(
        self,
        codes: DeviceCodes,
        client_id: str | None,
        gone: asyncio.Event | None = None,
        wait: int | None = None,
    ) -> TokenSet:
        """Poll with a device code, as the token endpoint does."""
        request = TokenRequest(DEVICE_CODE, client_id, codes.device_code.reveal(), None, None, wait=wait)
        return await tokens_from(self.services.oauth, request, (gone or asyncio.Event()).wait)

    async def refresh(
        self, token: str, client_id: str | None = None, scope: str | None = None, address: str = ADDRESS
    ) -> TokenSet:
        """Present a refresh token, as the token endpoint does."""
        request = TokenRequest(REFRESH_TOKEN, client_id, None, token, scope, address)
        return await tokens_from(self.services.oauth, request, asyncio.Event().wait)

    async def revoke(self, token: str) -> None:
        """Sign a client out."""
        await self.services.oauth.grants.revoke(token, address=ADDRESS)

    # The person's side

    async def look_up(self, user_code: str, person: Person | None = None, address: str = ADDRESS) -> DeviceView | None:
        """Look at a code, as the page does for whoever is signed in; ada without ``person``."""
        return await self.services.oauth.devices.look_up(user_code, (person or self.ada).id, address)

    async def decide(
        self, view: DeviceView, person: Person | None = None, *, approve: bool = True, organization: str | None = None
    ) -> bool:
        """Decide about a sign-in that was looked at, for acme unless another organization's id is given."""
        who = person or self.ada
        decision = Decision(approve, organization or self.acme, who.id, "session", ADDRESS)
        return await self.services.oauth.devices.decide(view, decision, who.role, "Acme")

    async def approve(self, codes: DeviceCodes, person: Person | None = None) -> bool:
        """Type a code and approve it."""
        view = await self.look_up(codes.user_code.reveal(), person)
        return view is not None and await self.decide(view, person)

    async def sign_in(
        self, client_id: str | None = None, person: Person | None = None, scope: str | None = EVERY_SCOPE
    ) -> TokenSet:
        """Go the whole way: codes, approval, tokens."""
        client_id = client_id or await self.register()
        codes = await self.issue(client_id, scope)
        await self.approve(codes, person)
        return await self.poll(codes, client_id)

    # What an operator does, and what only a test may see

    async def run(self, command: Command, parameters: Parameters) -> int:
        """Run one command in a unit of work of its own."""

        async def work(tx: Transaction) -> int:
            return await tx.run(command, parameters)

        return await self.db.write(work)

    async def disable(self, person: Person, *, at: int | None = 1) -> None:
        """Disable a user; with ``at=None`` enable them again."""
        await self.run(_DISABLE, {"user_id": person.id, "at": at})

    async def set_role(self, person: Person, role: Role) -> None:
        """Give somebody another role."""
        await self.run(_SET_ROLE, {"person": person.id, "new_role": role.value})

    async def remove(self, person: Person) -> None:
        """End somebody's membership."""
        await self.run(_LEAVE, {"person": person.id})

    async def events(self, kind: str) -> list[AuditEvent]:
        """Return the audit events of a type, the oldest first."""
        return [event for event in await self.db.all(_EVENTS, {}) if event.type == kind]

    async def rows(self, *tables: Table) -> Counter[str]:
        """Return how many rows there are in each of ``tables``, or in every table."""
        names = [table.name for table in tables] or list(_COUNTS)
        return Counter({name: await self.db.one(_COUNTS[name], {}) or 0 for name in names})


@dataclass(frozen=True)
class Template:
    """An installation to copy from. Its keys open every copy."""

    directory: Path
    keys: Keys
    people: tuple[str, Person, Person]

    def copy_to(self, directory: Path, **settings: Any) -> Installation:
        """Open a copy in ``directory``; unless told otherwise, polls are answered at once and signing keys last."""
        duplicate(self.directory, directory)
        return _opened(directory, ManualClock(), _settings(**settings), self.keys, self.people)


def make_template(directory: Path) -> Template:
    """Make the installation that the others are copied from."""
    clock, settings = ManualClock(), _settings()
    keys = open_keys(directory, clock)
    db = open_database(directory, clock=clock, audit_kept=AGES)
    services = build_services(settings, clock, db, keys)
    try:
        people = asyncio.run(_move_in(services))
    finally:
        db.close()
    return Template(directory, keys, people)


async def _move_in(services: Services) -> tuple[str, Person, Person]:
    await services.signing_keys.ensure()
    acme = await services.accounts.create_organization("acme", "Acme")
    ids = [
        await services.accounts.create_user(username=name, email=f"{name}@example.com", organization="acme", role=role)
        for name, role in (("ada", Role.OWNER), ("bob", Role.MEMBER))
    ]
    return acme, Person(ids[0], Role.OWNER), Person(ids[1], Role.MEMBER)


def _settings(**changed: Any) -> Settings:
    usual = {"public_url": PUBLIC_URL, "device_poll_hold": 0, "signing_key_ttl": AGES, "audit_retention": AGES}
    return Settings.model_validate({**usual, **changed})


def _opened(
    directory: Path, clock: ManualClock, settings: Settings, keys: Keys, people: tuple[str, Person, Person]
) -> Installation:
    db = open_database(directory, clock=clock, audit_kept=settings.audit_retention)
    services = build_services(settings, clock, db, keys)
    return Installation(directory, clock, keys, db, services, *people)
