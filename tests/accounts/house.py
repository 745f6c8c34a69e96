"""An installation with the rooms accounts and sessions set up over it, as the server does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, literal_column, select, update

from keystead.accounts.passwords import Cost, PasswordHasher
from keystead.accounts.service import Accounts
from keystead.audit.models import AuditEvent
from keystead.audit.service import AuditLog
from keystead.db import Command, Query, Transaction
from keystead.db.installation import Keys
from keystead.db.tables import audit_event, user
from keystead.factors.service import Factors
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.sessions.service import Sessions
from keystead.wire.limiter import Limiter
from tests.support.clock import ManualClock
from tests.support.engine import POSTGRES, OpenDatabase, open_database, open_keys

CHEAP: Final = Cost(memory=64, passes=1)
"""Argon2id as quick as it gets."""
PASSWORD: Final = Secret("correct horse battery staple")
WRONG: Final = Secret("a wrong password")

_DISABLE = Command(update(user).where(user.c.id == bindparam("user_id")).values(disabled_at=1))
_EVENTS = Query(select(audit_event).order_by(literal_column("ctid" if POSTGRES else "rowid")), AuditEvent)


@dataclass(frozen=True)
class House:
    """One process over an installation."""

    directory: Path
    clock: ManualClock
    settings: Settings
    keys: Keys
    db: OpenDatabase
    audit: AuditLog
    accounts: Accounts
    factors: Factors
    sessions: Sessions

    async def add_ada(self, *, password: Secret | None = PASSWORD, organization: str | None = "acme") -> str:
        """Add ada, who owns acme, and return her id."""
        if organization is not None:
            await self.accounts.create_organization(organization)
        return await self.accounts.create_user(
            username="ada", email="ada@example.com", organization=organization, role=Role.OWNER, password=password
        )

    async def disable(self, user_id: str) -> None:
        """Disable a user."""

        async def work(tx: Transaction) -> None:
            await tx.run(_DISABLE, {"user_id": user_id})

        await self.db.write(work)

    async def events(self) -> list[AuditEvent]:
        """Return the whole audit log, the oldest event first."""
        return await self.db.all(_EVENTS, {})

    def heard(self) -> list[str]:
        """Return a list to which the subject of each change is added from now on, whenever ``fresh`` is called."""
        subjects: list[str] = []
        self.db.listen(subjects.append)
        self.db.fresh()
        subjects.clear()
        return subjects


@contextmanager
def open_house(directory: Path, *, cost: Cost = CHEAP, **settings: Any) -> Iterator[House]:
    """Open the installation in ``directory``, making one where there is none."""
    clock = ManualClock()
    keys = open_keys(directory, clock)
    chosen = Settings.model_validate({"limit_sign_in": "100000/minute", **settings})
    db = open_database(directory, clock=clock)
    audit = AuditLog(clock=clock)
    passwords = PasswordHasher(parallel=2, waiting=8, cost=cost)
    accounts = Accounts(db=db, clock=clock, audit=audit, passwords=passwords, settings=chosen)
    factors = Factors(db=db, clock=clock, keys=keys, settings=chosen, audit=audit)
    sessions = Sessions(
        db=db,
        clock=clock,
        keys=keys,
        settings=chosen,
        accounts=accounts,
        audit=audit,
        limiter=Limiter(chosen, clock),
        factors=factors,
    )
    try:
        yield House(directory, clock, chosen, keys, db, audit, accounts, factors, sessions)
    finally:
        passwords.close()
        db.close()
