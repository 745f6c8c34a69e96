"""The Account API's balance."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from keystead.balance.models import AddBalanceRequest, BalanceNow, BalanceResponse
from keystead.balance.service import Balance
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, PaymentRefused
from keystead.wire.access import allow_bearer
from keystead.wire.caller import caller_of
from keystead.wire.openapi import ERROR_RESPONSES, refusals

PREFIX: Final = "/service/v1"


class BalanceRoutes:
    """The balance under ``/service/v1``, mounted at ``/account``."""

    def __init__(self, balance: Balance) -> None:
        """Answer from ``balance``."""
        self._balance = balance

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["Balance"])
        router.add_api_route(
            "/balance",
            self.get_balance,
            methods=["GET"],
            summary="Read the balance",
            operation_id="get_balance",
            responses=ERROR_RESPONSES,
        )
        router.add_api_route(
            "/balance/add",
            self.add_balance,
            methods=["POST"],
            summary="Add to the balance",
            operation_id="add_balance",
            responses=refusals(PaymentRefused, Conflict),
        )
        return router

    async def get_balance(
        self, principal: Annotated[Principal, Depends(allow_bearer(Permission.BALANCE_READ))]
    ) -> BalanceResponse:
        """Answer the balance of your organization. Needs the scope `balance:read`."""
        return _body(await self._balance.get(principal.identity.organization_id))

    async def add_balance(
        self,
        body: AddBalanceRequest,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.BALANCE_ADD))],
    ) -> BalanceResponse:
        """Add to the balance of your organization and answer it.

        The same idempotency key is charged once, however often it is sent. Needs the scope `balance:add`.
        """
        found = await self._balance.add(
            principal, body.amount_cents, body.idempotency_key, address=caller_of(request.scope).address
        )
        return _body(found)


def _body(found: BalanceNow) -> BalanceResponse:
    return BalanceResponse(
        org_id=found.organization_id,
        credit_balance_cents=found.credit_cents,
        pending_debit_balance_cents=0,
        will_invoice=False,
    )
