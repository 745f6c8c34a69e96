"""An installation with a few people in it, and the tokens room set up over it as the server does."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from keystead.accounts.passwords import PasswordHasher
from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db import Command, Transaction, insert_into
from keystead.db.installation import Keys
from keystead.db.tables import NO_POLICIES, membership, organization, user
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity
from keystead.kernel.scopes import Role
from keystead.kernel.settings import Settings
from keystead.tokens.followers import Followers
from keystead.tokens.revocations import RevocationFeed
from keystead.tokens.service import Tokens
from keystead.tokens.signing_keys import SigningKeys
from tests.support.clock import ManualClock
from tests.support.engine import OpenDatabase, open_database, open_keys

PUBLIC_URL = "https://auth.example.com"


@dataclass(frozen=True)
class Desk:
    """One process over an installation."""

    directory: Path
    clock: ManualClock
    settings: Settings
    keys: Keys
    db: OpenDatabase
    signing: SigningKeys
    tokens: Tokens
    revocations: RevocationFeed

    def neighbour(self, *, keys: Keys | None = None, clock: ManualClock | None = None, **settings: Any) -> "Desk":
        """Return another process over the same installation, perhaps with other settings or a clock. Close it."""
        changed = self.settings.model_copy(update=settings)
        return _desk(self.directory, clock or self.clock, changed, keys or self.keys)

    async def enrol(self, username: str, role: Role, organization_id: str | None = None) -> Identity:
        """Add a person to an organization, or to a new one."""
        person, company = new_id(), organization_id or new_id()
        now = self.clock.now()
        if organization_id is None:
            await self.insert(
                organization, id=company, name=company, display_name="Acme", created_at=now, **NO_POLICIES
            )
        await self.insert(
            user,
            id=person,
            username=username,
            email=f"{username}@example.com",
            name=username.title(),
            password_hash=None,
            password_updated_at=None,
            platform_admin=0,
            disabled_at=None,
            created_at=now,
        )
        await self.insert(membership, user_id=person, organization_id=company, role=role.value, created_at=now)
        email = f"{username}@example.com"
        return Identity(person, username, email, username.title(), 0, None, company, company, "Acme", role.value)

    async def insert(self, table: Table, **row: Any) -> None:
        """Add a row."""
        command = Command(insert_into(table, *(c.name for c in table.columns if c.name not in row)))
        await self.run(command, row)

    async def run(self, command: Command, parameters: dict[str, Any]) -> None:
        """Run one command in a unit of work of its own."""

        async def work(tx: Transaction) -> None:
            await tx.run(command, parameters)

        await self.db.write(work)

    def close(self) -> None:
        """Close the database."""
        self.db.close()


def open_desk(directory: Path, **settings: Any) -> Desk:
    """Open the installation in ``directory``, making one where there is none."""
    clock = ManualClock()
    keys = open_keys(directory, clock)
    return _desk(directory, clock, Settings(public_url=PUBLIC_URL).model_copy(update=settings), keys)


def as_role(identity: Identity, role: Role) -> Identity:
    """Return the identity as the database tells it once the person has another role."""
    return replace(identity, role=role.value)


def _desk(directory: Path, clock: ManualClock, settings: Settings, keys: Keys) -> Desk:
    db = open_database(directory, clock=clock)
    audit = AuditLog(clock=clock)
    signing = SigningKeys(db=db, clock=clock, keys=keys, settings=settings, audit=audit)
    db.listen(lambda subject: signing.forget() if subject in {"signing-keys", "*"} else None)
    passwords = PasswordHasher(parallel=1, waiting=0)
    accounts = Accounts(db=db, clock=clock, audit=audit, passwords=passwords, settings=settings)
    tokens = Tokens(db=db, clock=clock, settings=settings, signing=signing, accounts=accounts, audit=audit)
    followers = Followers(db.changes)
    db.listen(followers.hear)
    revocations = RevocationFeed(db=db, clock=clock, settings=settings, signing=signing, followers=followers)
    return Desk(directory, clock, settings, keys, db, signing, tokens, revocations)
