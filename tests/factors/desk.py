"""The room of factors over a house, and what a person does at it."""

from dataclasses import dataclass
from typing import Final

import pyotp

from keystead.db import Transaction
from keystead.factors.service import Factors
from keystead.kernel.secrets import Secret
from tests.accounts.house import House
from tests.factors.authenticator import Authenticator

ORIGIN: Final = "https://auth.example.com"


@dataclass(frozen=True)
class App:
    """A person's authenticator app."""

    secret: str

    def code(self, at: int) -> str:
        """Return what the app shows at a Unix second."""
        return pyotp.TOTP(self.secret).at(at)


@dataclass(frozen=True)
class Desk:
    """The room, and two people."""

    house: House
    factors: Factors
    ada: str
    bob: str

    @property
    def now(self) -> int:
        """The time in Unix seconds."""
        return self.house.clock.now()

    async def add_app(self, user_id: str) -> tuple[App, tuple[Secret, ...]]:
        """Add an authenticator app, and go on to a moment at which it shows a code that was not used."""
        new = self.factors.new_totp(user_id, "somebody")
        app = App(new.secret.reveal())
        codes = await self.factors.add_totp(user_id, new.sealed, app.code(self.now))
        self.house.clock.advance(60)
        return app, codes

    async def add_passkey(
        self, user_id: str, authenticator: Authenticator, name: str = "This laptop"
    ) -> tuple[Secret, ...]:
        """Add a passkey of the authenticator."""
        passkeys = (await self.factors.summary(user_id)).passkeys
        options = self.factors.registration_options(user_id, "somebody", passkeys)
        return await self.factors.add_passkey(user_id, authenticator.create(options.json), options.challenge, name)

    async def use_totp(self, user_id: str, code: str) -> bool:
        """Use a code in a transaction of its own."""

        async def work(tx: Transaction) -> bool:
            return await self.factors.use_totp(tx, user_id, code)

        return await self.house.db.write(work)

    async def use_recovery_code(self, user_id: str, code: str) -> bool:
        """Use a recovery code in a transaction of its own."""

        async def work(tx: Transaction) -> bool:
            return await self.factors.use_recovery_code(tx, user_id, code, address="192.0.2.1")

        return await self.house.db.write(work)

    async def use_passkey(self, answer: str, challenge: bytes, user_id: str | None = None) -> str | None:
        """Use a passkey's answer in a transaction of its own."""

        async def work(tx: Transaction) -> str | None:
            return await self.factors.use_passkey(tx, answer, challenge, user_id, address="192.0.2.1")

        return await self.house.db.write(work)

    async def event_types(self) -> list[str]:
        """Return the types of the events of this room, the oldest first."""
        rooms = ("totp:", "passkey:", "recovery-", "second-factor:")
        return [event.type for event in await self.house.events() if event.type.startswith(rooms)]
