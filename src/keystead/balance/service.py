"""The use cases of the balance: reading it, and adding to it exactly once."""

from typing import Final

from keystead.audit.service import AuditLog
from keystead.balance import rules, store
from keystead.balance.models import BalanceNow, LedgerEntry, LedgerPage, LedgerPlace, TopUp
from keystead.balance.payments import Charge, PaymentProvider
from keystead.db import Database, Transaction, UniqueViolation
from keystead.db.engine import Reader
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Principal
from keystead.kernel.problems import PaymentRefused, Unavailable

AFTER_ALL: Final = LedgerPlace(253_402_300_800, "")
"""The place before which every entry stands: the Unix second in which the year 9999 has ended."""


class Balance:
    """The prepaid balance of organizations.

    Adding is three steps, each of which may be repeated: the intention is written down, the provider is asked under a
    reference that follows from organization and idempotency key, the ledger and the balance are written together and
    the intention removed. A kill before the provider was asked, or before the ledger was written, leaves the intention;
    the same request sent again goes on from there, and the provider, which knows the reference, takes nothing more.
    """

    def __init__(self, *, db: Database, clock: Clock, payments: PaymentProvider, audit: AuditLog) -> None:
        """Ask ``payments`` for the money."""
        self._db = db
        self._clock = clock
        self._payments = payments
        self._audit = audit

    async def get(self, organization_id: str) -> BalanceNow:
        """Return an organization's balance."""
        return await _balance(self._db, organization_id)

    async def ledger(self, organization_id: str) -> list[LedgerEntry]:
        """Return every change of an organization's balance, the oldest first; their sum is the balance."""
        return await self._db.all(store.LEDGER, {"organization_id": organization_id})

    async def ledger_page(self, organization_id: str, before: LedgerPlace | None, most: int) -> LedgerPage:
        """Return the newest changes of an organization's balance before a place; ``most`` of them at most."""
        place = before or AFTER_ALL
        asked = {"organization_id": organization_id, "created_at": place.created_at, "id": place.id, "most": most + 1}
        found = await self._db.all(store.LEDGER_PAGE, asked)
        older = LedgerPlace(found[most - 1].created_at, found[most - 1].id) if len(found) > most else None
        return LedgerPage(tuple(found[:most]), older)

    async def add(
        self, principal: Principal, amount_cents: int, idempotency_key: str, *, address: str | None = None
    ) -> BalanceNow:
        """Add to the balance of the principal's organization and return it.

        However often and from however many places the same key is sent, it is charged once (K4). Raises
        InvalidParameters, Conflict for a key that stands for another amount, and PaymentRefused, after which nothing
        was charged and the key may be used again.
        """
        rules.check_amount(amount_cents)
        rules.check_idempotency_key(idempotency_key)
        begun = await self._begin(principal, amount_cents, idempotency_key)
        if isinstance(begun, BalanceNow):
            return begun
        try:
            provider_reference = await self._payments.charge(
                Charge(begun.id, begun.organization_id, begun.user_id, begun.amount_cents)
            )
        except PaymentRefused:
            await self._forget(begun)
            raise
        return await self._settle(begun, provider_reference, address)

    async def _begin(self, principal: Principal, amount_cents: int, idempotency_key: str) -> TopUp | BalanceNow:
        """Write down what is intended and return it, or the balance when the ledger has this payment already."""
        organization_id = principal.identity.organization_id
        row = {
            "id": rules.reference_of(organization_id, idempotency_key),
            "organization_id": organization_id,
            "amount_cents": amount_cents,
            "idempotency_key": idempotency_key,
            "user_id": principal.identity.user_id,
            "created_at": self._clock.now(),
        }

        async def work(tx: Transaction) -> TopUp | BalanceNow:
            settled = await _entry(tx, organization_id, idempotency_key)
            if settled is not None:
                rules.check_same_amount(settled.amount_cents, amount_cents)
                return await _balance(tx, organization_id)
            await tx.run(store.BEGIN, row)
            begun = await tx.one(store.BEGUN, {"top_up_id": row["id"]})
            if begun is None:
                raise Unavailable()
            rules.check_same_amount(begun.amount_cents, amount_cents)
            return begun

        return await self._db.write(work)

    async def _settle(self, paid: TopUp, provider_reference: str, address: str | None) -> BalanceNow:
        """Write ledger and balance together. The ledger's unique key lets one of many repeated requests do it."""

        async def work(tx: Transaction) -> BalanceNow:
            credit = await tx.one(
                store.CREDIT, {"organization_id": paid.organization_id, "amount_cents": paid.amount_cents}
            )
            if credit is None:
                raise Unavailable()
            entry = {
                "id": new_id(),
                "organization_id": paid.organization_id,
                "amount_cents": paid.amount_cents,
                "balance_after_cents": credit,
                "idempotency_key": paid.idempotency_key,
                "provider_reference": provider_reference,
                "user_id": paid.user_id,
                "created_at": self._clock.now(),
            }
            await tx.run(store.APPEND, entry)
            await tx.run(store.FORGET, {"top_up_id": paid.id})
            await self._record(tx, paid, provider_reference, address)
            return BalanceNow(paid.organization_id, credit)

        try:
            return await self._db.write(work)
        except UniqueViolation:
            return await self._settled_elsewhere(paid)

    async def _settled_elsewhere(self, paid: TopUp) -> BalanceNow:
        """Answer for a request whose twin wrote the ledger first; what this one had written is undone."""
        entry = await _entry(self._db, paid.organization_id, paid.idempotency_key)
        if entry is None:
            raise Unavailable()
        rules.check_same_amount(entry.amount_cents, paid.amount_cents)
        return await _balance(self._db, paid.organization_id)

    async def _forget(self, refused: TopUp) -> None:
        async def work(tx: Transaction) -> None:
            await tx.run(store.FORGET, {"top_up_id": refused.id})

        await self._db.write(work)

    async def _record(self, tx: Transaction, paid: TopUp, provider_reference: str, address: str | None) -> None:
        await self._audit.record(
            tx,
            "balance:add",
            actor_id=paid.user_id,
            organization_id=paid.organization_id,
            target=paid.organization_id,
            address=address,
            amount_cents=paid.amount_cents,
            provider_reference=provider_reference,
        )


async def _balance(reader: Reader, organization_id: str) -> BalanceNow:
    found = await reader.one(store.BALANCE, {"organization_id": organization_id})
    return found or BalanceNow(organization_id, 0)


async def _entry(reader: Reader, organization_id: str, idempotency_key: str) -> LedgerEntry | None:
    return await reader.one(
        store.ENTRY_BY_KEY, {"organization_id": organization_id, "idempotency_key": idempotency_key}
    )
