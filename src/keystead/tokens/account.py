"""The Account API's short-term tokens: everybody's own. Each route needs the scope that its description names."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.tokens.models import CreatedTokenBody, TokenItem, TokenList
from keystead.tokens.service import Tokens
from keystead.wire.access import allow_bearer
from keystead.wire.bodies import Deleted
from keystead.wire.caller import caller_of
from keystead.wire.documented import NO_STORE
from keystead.wire.openapi import ERROR_RESPONSES, refusals

PREFIX: Final = "/service/v1"

_TokenId = Annotated[UUID, Path(description="The id of one of your short-term tokens.")]


class TokenRoutes:
    """Short-term tokens under ``/service/v1``, mounted at ``/account``."""

    def __init__(self, tokens: Tokens) -> None:
        """Answer from ``tokens``."""
        self._tokens = tokens

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["Short-term tokens"])
        router.add_api_route(
            "/tokens",
            self.list_tokens,
            methods=["GET"],
            summary="List your short-term tokens",
            operation_id="list_tokens",
            responses=ERROR_RESPONSES,
        )
        router.add_api_route(
            "/tokens",
            self.create_token,
            methods=["POST"],
            summary="Create a short-term token",
            operation_id="create_token",
            responses={**refusals(Conflict), 200: {"headers": NO_STORE}},
        )
        router.add_api_route(
            "/tokens/{token_id}",
            self.revoke_token,
            methods=["DELETE"],
            summary="Revoke a short-term token",
            operation_id="revoke_token",
            responses=refusals(NotFound),
        )
        return router

    async def list_tokens(
        self, principal: Annotated[Principal, Depends(allow_bearer(Permission.TOKENS_READ))]
    ) -> TokenList:
        """Answer your short-term tokens that are valid, the newest first. Needs the scope `tokens:read`."""
        found = await self._tokens.list_short_term(principal.identity)
        return TokenList(
            tokens=[
                TokenItem(token_id=token.id, created_at=token.created_at, expires_at=token.expires_at)
                for token in found
            ]
        )

    async def create_token(
        self,
        request: Request,
        response: Response,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.TOKENS_CREATE))],
    ) -> CreatedTokenBody:
        """Make a short-term token with an access token. It is shown in this answer alone. Needs `tokens:create`.

        It has the scopes of the access token but `tokens:create`, lives for 24 hours unless the server says otherwise,
        and ends before when the sign-in behind the access token ends. A short-term token makes no other one. A sign-in
        makes at most 100 of them in that time.
        """
        issued = await self._tokens.issue_derived(principal, address=caller_of(request.scope).address)
        response.headers["Cache-Control"] = "no-store"
        return CreatedTokenBody(
            token_id=issued.id,
            created_at=issued.created_at,
            expires_at=issued.expires_at,
            raw_token=issued.token.reveal(),
        )

    async def revoke_token(
        self,
        token_id: _TokenId,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.TOKENS_DELETE))],
    ) -> Deleted:
        """Revoke one of your short-term tokens, which stops working at once. Needs the scope `tokens:delete`."""
        await self._tokens.revoke_short_term(
            str(token_id), principal.identity, address=caller_of(request.scope).address
        )
        return Deleted(deleted=True)
