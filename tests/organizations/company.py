"""Two organizations with their people, and what tells whether a credential of theirs is let in.

Ada and olga own acme, alan and amy are its admins, bob and ben its members. Eve owns evil, where bob is a member too.
Root is an operator, with an organization of its own. Everybody has a password that nobody knows: sessions begin behind
the sign-in page.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import bindparam, select, update

from keystead.app import build_application
from keystead.audit.models import AuditEvent
from keystead.db import Command, Query
from keystead.db.tables import audit_event, membership, session, user
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.keys.models import App, CreatedKey
from keystead.organizations.service import Organizations
from keystead.sessions.models import SignedIn, Visit
from tests.support.installation import PUBLIC_URL, Installation, Person, Template, make_template

ADDRESS: Final = "192.0.2.7"
PEOPLE: Final = (
    ("olga", "acme", Role.OWNER),
    ("alan", "acme", Role.ADMIN),
    ("amy", "acme", Role.ADMIN),
    ("ben", "acme", Role.MEMBER),
    ("eve", "evil", Role.OWNER),
    ("root", "desk", Role.OWNER),
)

_PASSWORDS = Command(update(user).values(password_hash="a password", password_updated_at=1))
_OPERATOR = Command(update(user).where(user.c.username == "root").values(platform_admin=1))
_PROVEN = Command(update(session).where(session.c.id == bindparam("session_id")).values(second_factor=1))
_WITHOUT_PASSWORD = Command(update(session).where(session.c.id == bindparam("session_id")).values(password=0))
_IDS = Query(select(user.c.id).where(user.c.username == bindparam("username")), str)
_EVENTS = Query(select(audit_event).order_by(audit_event.c.at, audit_event.c.id), AuditEvent)


@dataclass(frozen=True)
class Row:
    """Somebody and their role."""

    username: str
    role: str


_MEMBERSHIPS = Query(
    select(user.c.username, membership.c.role)
    .join(membership, membership.c.user_id == user.c.id)
    .where(membership.c.organization_id == bindparam("organization_id")),
    Row,
)


@dataclass(frozen=True)
class Company:
    """One process over the installation."""

    house: Installation

    @property
    def organizations(self) -> Organizations:
        """What is tested."""
        return self.house.services.organizations

    def neighbour(self, **settings: Any) -> "Company":
        """Return another process over the same installation. Close it."""
        return Company(self.house.neighbour(**settings))

    def close(self) -> None:
        """Close the database."""
        self.house.close()

    # People

    async def id_of(self, name: str) -> str:
        """Return a person's id."""
        found = await self.house.db.one(_IDS, {"username": name})
        if found is None:
            raise LookupError(name)
        return found

    async def identity(self, name: str, organization: str = "acme") -> Identity:
        """Return who somebody is in an organization."""
        joined = await self.house.services.accounts.organization_by_name(organization)
        found = await self.house.services.accounts.identity(await self.id_of(name), joined.id)
        if found is None:
            raise LookupError(name)
        return found

    async def principal(self, name: str, organization: str = "acme", credential_id: str = "a session") -> Principal:
        """Return somebody in a session."""
        identity = await self.identity(name, organization)
        return Principal(identity, Method.SESSION, ROLE_SCOPES[Role(identity.role)], credential_id, None)

    async def operator(self, credential_id: str = "a session") -> Principal:
        """Return the operator."""
        return await self.principal("root", "desk", credential_id)

    async def keyholder(self, name: str, organization: str = "acme") -> Principal:
        """Return somebody in a session that they began with a passkey."""
        begun = await self.session(name, passkey=True)
        return await self.principal(name, organization, begun.session_id)

    async def roles(self, organization: str = "acme") -> dict[str, str]:
        """Return the role of every member."""
        joined = await self.house.services.accounts.organization_by_name(organization)
        rows = await self.house.db.all(_MEMBERSHIPS, {"organization_id": joined.id})
        return {row.username: row.role for row in rows}

    async def owners(self) -> set[str]:
        """Return who owns acme."""
        return {name for name, role in (await self.roles()).items() if role == "owner"}

    # Credentials

    async def session(self, name: str, *, second_factor: bool = False, passkey: bool = False) -> SignedIn:
        """Begin a session in the organization that somebody joined first, ``passkey``: as with one and no password."""
        begun = await self.house.services.sessions.begin_for(await self.id_of(name), Visit(address=ADDRESS))
        if not isinstance(begun, SignedIn):
            raise LookupError(name)
        if second_factor or passkey:
            await self.house.db.run(_PROVEN, {"session_id": begun.session_id})
        if passkey:
            await self.house.db.run(_WITHOUT_PASSWORD, {"session_id": begun.session_id})
        return begun

    async def app(self, name: str = "Reports", owner: str = "ada", organization: str = "acme") -> App:
        """Make an app."""
        return await self.house.services.keys.create_app(await self.principal(owner, organization), name)

    async def key(self, app: App, name: str, organization: str = "acme", **options: Any) -> CreatedKey:
        """Make an API key in somebody's name."""
        creator = await self.principal(name, organization)
        return await self.house.services.keys.create_key(creator, app.id, "laptop", **options)

    async def short_term(self, name: str, organization: str = "acme") -> str:
        """Make a short-term token."""
        made = await self.house.services.tokens.issue_short_term(await self.identity(name, organization))
        return made.token.reveal()

    async def device(self, name: str) -> "tuple[str, str]":
        """Sign a device in, and return its access token and its refresh token."""
        identity = await self.identity(name)
        tokens = await self.house.sign_in(person=Person(identity.user_id, Role(identity.role)))
        return tokens.access_token.reveal(), tokens.refresh_token.reveal()

    async def everything(self, name: str, app: App) -> dict[str, dict[str, str]]:
        """Give somebody one credential of each kind, as the header that presents it."""
        key = await self.key(app, name, scopes=ROLE_SCOPES[Role((await self.identity(name)).role)])
        access, _ = await self.device(name)
        return {
            "session": cookie(await self.session(name)),
            "key": {"x-api-key": key.secret.reveal()},
            "short-term token": bearer(await self.short_term(name)),
            "access token": bearer(access),
        }

    # What was done

    async def events(self, kind: str) -> list[AuditEvent]:
        """Return the audit events of a type, the oldest first."""
        return [event for event in await self.house.db.all(_EVENTS, {}) if event.type == kind]

    async def disable(self, name: str) -> None:
        """Disable somebody, past every question."""
        await self.house.disable(Person(await self.id_of(name), Role.MEMBER))


class Node:
    """A process that answers over HTTP and remembers whom it let in."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """Ask by ``client``."""
        self._client = client

    async def status(self, credential: dict[str, str]) -> int:
        """Return the status with which a credential is answered."""
        return (await self._client.get("/verify", headers=credential)).status_code

    async def scopes(self, credential: dict[str, str]) -> str:
        """Return what a credential may do."""
        answer = await self._client.get("/verify", headers=credential)
        return str(answer.headers.get("x-keystead-scopes", answer.status_code))


@asynccontextmanager
async def node(company: Company) -> AsyncIterator[Node]:
    """Give the whole application of a process."""
    application = build_application(company.house.services, dev=False)
    transport = httpx.ASGITransport(app=application.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False) as client:
        yield Node(client)


def cookie(begun: SignedIn) -> dict[str, str]:
    """Return the header that presents a session."""
    return {"Cookie": f"cloud.sso={begun.secret.reveal()}"}


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


async def move_in(house: Installation) -> None:
    """Add the people."""
    accounts = house.services.accounts
    for organization in ("evil", "desk"):
        await accounts.create_organization(organization)
    for name, organization, role in PEOPLE:
        await accounts.create_user(username=name, email=f"{name}@example.com", organization=organization, role=role)
    evil = await accounts.organization_by_name("evil")
    await accounts.add_membership(house.bob.id, evil.id, Role.MEMBER)
    await house.run(_PASSWORDS, {})
    await house.run(_OPERATOR, {})


def make_company(directory: Path) -> Template:
    """Make the installation that the others are copied from."""
    template = make_template(directory / "bare")
    house = template.copy_to(directory / "company")
    try:
        asyncio.run(move_in(house))
    finally:
        house.close()
    return Template(directory / "company", template.keys, template.people)
