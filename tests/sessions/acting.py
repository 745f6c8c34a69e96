"""A house in which root operates the installation and ada owns acme, and root's ways to act as her."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Update, bindparam, select, update

from keystead.db import Command, Query, Transaction
from keystead.db.tables import organization, session, user
from keystead.kernel.principal import Principal
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.mail.service import Mailer
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.models import Acting, SignedIn, Visit
from tests.accounts.house import PASSWORD, House
from tests.sessions.entering import HOME, signed_in

REASON: Final = "request 4711: the balance looks wrong"
DESK: Final = "192.0.2.99"
BROWSER: Final = "Operator/1.0"
_OPERATES = Command(update(user).where(user.c.id == bindparam("user_id")).values(platform_admin=bindparam("operates")))
_ENABLED = Command(update(user).where(user.c.id == bindparam("user_id")).values(disabled_at=None))
_REMOVED = Command(session.delete().where(session.c.id == bindparam("session_id")))
_HOLDERS = Query(select(session.c.user_id).order_by(session.c.created_at, session.c.id), str)


@dataclass(frozen=True)
class Theatre:
    """The house, the ids of those in it, and the room that lets operators act."""

    house: House
    root: str
    ada: str
    stage: Impersonating

    async def enter(self, username: str = "root") -> SignedIn:
        """Sign somebody in with their password."""
        visit = Visit(address=HOME, user_agent="Test/1.0")
        return signed_in(await self.house.sessions.sign_in_by_steps(username, PASSWORD, visit))

    async def principal(self, secret: Secret) -> Principal:
        """Return whose session this is. Raises LookupError for one that has ended."""
        found = await self.house.sessions.find(secret.reveal())
        if found is None:
            raise LookupError("the session has ended")
        return found

    async def lives(self, begun: SignedIn | Acting) -> bool:
        """Tell whether a session works."""
        return await self.house.sessions.find(begun.secret.reveal()) is not None

    async def act(self, own: SignedIn, username: str = "ada", reason: str = REASON) -> Acting:
        """Act as somebody from a session of one's own."""
        principal = await self.principal(own.secret)
        return await self.stage.start(principal, username, reason, address=DESK, user_agent=BROWSER)

    async def acting(self) -> tuple[SignedIn, Acting]:
        """Sign root in and act as ada; return the session that waits and the one that acts."""
        own = await self.enter()
        return own, await self.act(own)

    async def stop(self, acting: Acting) -> SignedIn:
        """Stop acting."""
        return await self.stage.stop(await self.principal(acting.secret), address=DESK)

    async def change(self, command: Command, **values: Any) -> None:
        """Change a row as another process would."""

        async def work(tx: Transaction) -> None:
            await tx.run(command, values)

        await self.house.db.write(work)

    async def operates(self, user_id: str, *, operates: bool) -> None:
        """Let somebody operate the installation, or no more."""
        await self.change(_OPERATES, user_id=user_id, operates=int(operates))

    async def enable(self, user_id: str) -> None:
        """Enable a disabled user."""
        await self.change(_ENABLED, user_id=user_id)

    async def asks(self, **policy: int) -> None:
        """Let acme ask something of those who come in."""
        wanted: Update = update(organization).where(organization.c.name == bindparam("called")).values(**policy)
        await self.change(Command(wanted), called="acme")

    async def remove(self, session_id: str) -> None:
        """Remove the row of a session and tell nobody."""
        await self.change(_REMOVED, session_id=session_id)

    async def holders(self) -> list[str]:
        """Return whose each session is that there is a row of."""
        return await self.house.db.all(_HOLDERS, {})


async def open_theatre(house: House, mailer: Mailer | None = None) -> Theatre:
    """Let ada and root move in."""
    ada = await house.add_ada()
    await house.accounts.create_organization("operators")
    root = await house.accounts.create_user(
        username="root",
        email="root@example.com",
        organization="operators",
        role=Role.OWNER,
        password=PASSWORD,
        platform_admin=True,
    )
    stage = Impersonating(
        db=house.db,
        clock=house.clock,
        keys=house.keys,
        settings=house.settings,
        accounts=house.accounts,
        audit=house.audit,
        mailer=mailer or Mailer(settings=house.settings, clock=house.clock),
    )
    return Theatre(house, root, ada, stage)
