"""People who come in by steps, at a house that has a name."""

import asyncio
from dataclasses import dataclass
from typing import Final

from keystead.accounts.models import User
from keystead.factors.models import NewTotp
from keystead.kernel.principal import Principal
from keystead.kernel.secrets import Secret
from keystead.sessions.models import OpenStep, Refused, SignedIn, StepNeeded, Visit
from tests.accounts.house import PASSWORD, House
from tests.factors.authenticator import Authenticator
from tests.factors.desk import ORIGIN, App, Desk

HOME: Final = "192.0.2.7"
VISIT: Final = Visit(address=HOME, user_agent="Test/1.0")


@dataclass(frozen=True)
class Entrance:
    """The house, ada of acme in it, and her authenticator app if she has one."""

    house: House
    ada: str
    app: App
    recovery_codes: tuple[Secret, ...] = ()

    @property
    def code(self) -> str:
        """What ada's app shows now."""
        return self.app.code(self.house.clock.now())

    @property
    def wrong_code(self) -> str:
        """A code that her app does not show, now or a moment ago or soon."""
        near = {self.app.code(self.house.clock.now() + 30 * steps) for steps in range(-2, 3)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in near)

    async def begin(self, password: Secret = PASSWORD, visit: Visit = VISIT) -> SignedIn | StepNeeded:
        """Show a password, as the sign-in page does."""
        return await self.house.sessions.sign_in_by_steps("ada", password, visit)

    async def step(self, visit: Visit = VISIT) -> str:
        """Show the right password, and return the cookie of the step that follows."""
        begun = await self.begin(visit=visit)
        if not isinstance(begun, StepNeeded):
            raise TypeError("the password alone began a session")
        return begun.step.reveal()

    async def finish(self, step: str, code: str, visit: Visit = VISIT) -> SignedIn | Refused:
        """Show a code of the app."""
        return await self.house.sessions.steps.show_code(step, code, visit)

    async def enter(self, visit: Visit = VISIT) -> SignedIn:
        """Sign in with password and code, half a minute later, so that the code is new."""
        self.house.clock.advance(30)
        return signed_in(await self.finish(await self.step(visit), self.code, visit))

    async def look(self, step: str) -> OpenStep:
        """Return what the page of a step shows."""
        found = await self.house.sessions.steps.look(step)
        if found is None:
            raise LookupError("the step has ended")
        return found

    async def user(self) -> User:
        """Return ada."""
        found = await self.house.accounts.user_by_id(self.ada)
        if found is None:
            raise LookupError("ada")
        return found

    async def principal(self, session: SignedIn) -> Principal:
        """Return whose session this is."""
        found = await self.house.sessions.find(session.secret.reveal())
        if found is None:
            raise LookupError("the session has ended")
        return found

    async def lives(self, session: SignedIn) -> bool:
        """Tell whether a session works."""
        return await self.house.sessions.find(session.secret.reveal()) is not None

    async def add_passkey(self) -> Authenticator:
        """Give ada a passkey."""
        phone = Authenticator(ORIGIN)
        await self.desk.add_passkey(self.ada, phone)
        return phone

    @property
    def desk(self) -> Desk:
        """The room of factors, for ada."""
        return Desk(self.house, self.house.factors, self.ada, self.ada)


def signed_in(outcome: SignedIn | StepNeeded | Refused) -> SignedIn:
    """Return the session that something led to. Raises TypeError when there is none."""
    if not isinstance(outcome, SignedIn):
        raise TypeError(f"no session: {outcome}")
    return outcome


async def open_entrance(house: House, *, app: bool = True) -> Entrance:
    """Let ada move in, with an authenticator app unless she is to have none."""
    ada = await house.add_ada()
    nothing = Entrance(house, ada, App("A" * 32))
    if not app:
        return nothing
    made, codes = await nothing.desk.add_app(ada)
    return Entrance(house, ada, made, codes)


def code_of(new: NewTotp, now: int) -> str:
    """Return what an app shows that has just scanned the picture."""
    return App(new.secret.reveal()).code(now)


async def at_once(*work: object) -> list[object]:
    """Run several at once and return what came of each, a problem too."""
    return await asyncio.gather(*work, return_exceptions=True)  # type: ignore[call-overload, no-any-return]
