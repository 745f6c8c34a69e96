"""Payment providers: what the balance asks of one, and the embedded one, which grants credit and takes no money."""

from dataclasses import dataclass
from typing import Protocol

from keystead.balance import store
from keystead.db import Database, Transaction, UniqueViolation
from keystead.kernel.clock import Clock
from keystead.kernel.problems import PaymentRefused
from keystead.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider is asked to take: ``amount_cents`` from an organization, for a user, under our reference."""

    reference: str
    organization_id: str
    user_id: str
    amount_cents: int


class PaymentProvider(Protocol):
    """Somebody who takes payments."""

    async def charge(self, charge: Charge) -> str:
        """Take the payment and return the provider's own reference to it.

        It must be idempotent by ``charge.reference``: asked again, at once or after a crash, it takes nothing more and
        answers the same, and it refuses a reference that comes back with another amount. Raises PaymentRefused when
        nothing was or will be taken under this reference unless asked again, and Unavailable when it cannot know.
        """
        ...


class OperatorCreditProvider:
    """The embedded provider: no money moves. It grants each organization credit up to the operator's limit."""

    def __init__(self, *, db: Database, clock: Clock, settings: Settings) -> None:
        """Grant at most ``settings.credit_limit_cents`` to each organization, ever."""
        self._db = db
        self._clock = clock
        self._limit = settings.credit_limit_cents

    async def charge(self, charge: Charge) -> str:
        """Grant credit once for each reference. Raises PaymentRefused beyond the limit."""

        async def work(tx: Transaction) -> None:
            granted = await tx.one(store.GRANTED, {"reference": charge.reference})
            if granted is not None:
                _check_same(granted, charge.amount_cents)
                return
            await self._draw(tx, charge)
            await tx.run(
                store.GRANT,
                {
                    "reference": charge.reference,
                    "organization_id": charge.organization_id,
                    "amount_cents": charge.amount_cents,
                    "created_at": self._clock.now(),
                },
            )

        try:
            await self._db.write(work)
        except UniqueViolation:  # another node granted this very reference between our look and our insert
            granted = await self._db.one(store.GRANTED, {"reference": charge.reference})
            _check_same(granted, charge.amount_cents)
        return f"operator-credit:{charge.reference}"

    async def _draw(self, tx: Transaction, charge: Charge) -> None:
        # The first draw of an organization makes its row, so the statement's own condition does not see it.
        drawn = charge.amount_cents <= self._limit and await tx.run(
            store.DRAW,
            {
                "organization_id": charge.organization_id,
                "amount_cents": charge.amount_cents,
                "limit_cents": self._limit,
            },
        )
        if not drawn:
            raise PaymentRefused(
                f"This would pass the limit of {self._limit} cents that the operator of this service grants an "
                "organization. Ask the operator, or try a smaller amount."
            )


def _check_same(granted_cents: int | None, asked_cents: int) -> None:
    if granted_cents != asked_cents:
        raise PaymentRefused("This payment was begun with another amount. Start a new one.")
