"""The balance of an organization, adding to it once however often the form is sent, and every change of it."""

import re
import secrets
from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.balance.models import LARGEST_AMOUNT, LedgerPlace, ToldEntry
from keystead.balance.service import Balance
from keystead.kernel.problems import Conflict, InvalidParameters, PaymentRefused
from keystead.kernel.scopes import Scope
from keystead.web.asking import PAGE, leader, messages, page_url, place
from keystead.web.frame import DONE, ORGANIZATION, Frames, SettingsPage, Visitor, done, page

PATH: Final = f"{ORGANIZATION}/balance"
_AMOUNT: Final = re.compile(r"\$?\s*([0-9]{1,7})(?:[.,]([0-9]{1,2}))?\Z")
_KEY_BYTES: Final = 18

DONE["balance-added"] = "The amount is added to the balance."


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLine:
    """A change of the balance: amounts in dollars, when in Unix seconds, by whom, and the provider's reference."""

    at: int
    amount: str
    after: str
    username: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancePage(SettingsPage):
    """The balance, the form that adds to it, and the ledger from ``first`` on.

    ``key`` is the form's idempotency key: however often this form is sent, it is charged once (promise K4).
    """

    template: ClassVar[str] = "organization/balance.html"
    balance: str
    entries: tuple[EntryLine, ...]
    newest_url: str = ""
    older_url: str = ""
    key: str
    amount: str = ""
    error: str = ""
    most: str


class BalancePages:
    """The page ``/settings/organization/balance``."""

    def __init__(self, *, frames: Frames, balance: Balance) -> None:
        """Show what ``balance`` knows."""
        self._frames = frames
        self._balance = balance

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH, self.add, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the balance and its changes."""
        visitor = leader(self._frames, request)
        return page(await self._view(visitor))

    async def add(self, request: Request) -> Response:
        """Add to the balance."""
        visitor = leader(self._frames, request)
        form = await visitor.form()
        visitor.check_scope(Scope.BALANCE_ADD)
        typed, key = form.get("amount", ""), form.get("key", "")
        cents = cents_in(typed)
        if cents is None:
            sentence = f"Type an amount in dollars, for instance 25 or 25.00, up to {dollars(LARGEST_AMOUNT)}."
            return page(await self._view(visitor, typed, sentence, key), InvalidParameters.status)
        try:
            await self._balance.add(visitor.principal, cents, key, address=visitor.address)
        except InvalidParameters as problem:
            said = messages(problem)
            if "amount_cents" in said:
                return page(await self._view(visitor, typed, _TOO_MUCH, key), InvalidParameters.status)
            sentence = "This form was not complete. Nothing was added. Look at the amount and send it again."
            return page(await self._view(visitor, typed, sentence), InvalidParameters.status)
        except Conflict:
            sentence = (
                "This form was sent before with another amount, which is in the list below or on its way there. "
                "To add this amount as well, send it again."
            )
            return page(await self._view(visitor, typed, sentence), Conflict.status)
        except PaymentRefused as problem:
            return page(await self._view(visitor, typed, problem.detail), PaymentRefused.status)
        return done(PATH, "balance-added")

    async def _view(self, visitor: Visitor, amount: str = "", error: str = "", key: str = "") -> BalancePage:
        organization_id = visitor.principal.identity.organization_id
        before = place(visitor.request)
        now = await self._balance.get(organization_id)
        found = await self._balance.ledger_page(organization_id, LedgerPlace(*before) if before else None, PAGE)
        older = found.older
        return BalancePage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            balance=dollars(now.credit_cents),
            entries=tuple(map(_line, found.entries)),
            newest_url=PATH if before else "",
            older_url=page_url(PATH, {}, older.created_at, older.id) if older else "",
            key=key or secrets.token_urlsafe(_KEY_BYTES),
            amount=amount,
            error=error,
            most=dollars(LARGEST_AMOUNT),
        )


def cents_in(typed: str) -> int | None:
    """Return the cents in an amount as people write it, "25", "25.5", "$25.00" or "25,00"; None for any other text."""
    found = _AMOUNT.match(typed.strip())
    if found is None or not found[0].isascii():
        return None
    return 100 * int(found[1]) + int((found[2] or "").ljust(2, "0"))


def dollars(cents: int) -> str:
    """Return an amount as people write it: -1,234.50 dollars is "-$1,234.50"."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}${whole:,}.{rest:02}"


_TOO_MUCH: Final = f"Add at least {dollars(1)} and at most {dollars(LARGEST_AMOUNT)} at a time."


def _line(entry: ToldEntry) -> EntryLine:
    return EntryLine(
        at=entry.created_at,
        amount=("+" if entry.amount_cents > 0 else "") + dollars(entry.amount_cents),
        after=dollars(entry.balance_after_cents),
        username=entry.username,
        reference=entry.provider_reference,
    )
