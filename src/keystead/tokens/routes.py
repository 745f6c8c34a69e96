"""The published key sets: two addresses, because some clients read RSA keys alone (contract, rule 18)."""

from typing import Any, Final

from fastapi import APIRouter, Response

from keystead.kernel.problems import RateLimited
from keystead.tokens.models import PublicKeys, RsaPublicKeys
from keystead.tokens.service import Tokens
from keystead.wire.documented import ANYWHERE, documented

LONGEST_CACHING: Final = 300
"""Seconds for which a verifier may keep a key set."""

_SCHEMA: Final[dict[str, Any]] = {"response_class": Response, "tags": ["Keys"]}


class KeySetRoutes:
    """GET /.well-known/jwks.json and GET /api/platform/keys. Both are public."""

    def __init__(self, tokens: Tokens, *, signing_key_lead: int) -> None:
        """Let verifiers keep a key set for less than the lead, so that they meet each key before it signs."""
        self._tokens = tokens
        self._headers = {"Cache-Control": f"public, max-age={min(LONGEST_CACHING, signing_key_lead // 2)}"}

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route(
            "/.well-known/jwks.json",
            self.jwks,
            methods=["GET"],
            summary="Every published signing key",
            operation_id="jwks",
            responses={200: {"model": PublicKeys}, **documented(*ANYWHERE)},
            **_SCHEMA,
        )
        router.add_api_route(
            "/api/platform/keys",
            self.platform_keys,
            methods=["GET"],
            summary="The published RSA signing keys",
            operation_id="platform_keys",
            responses={200: {"model": RsaPublicKeys}, **documented(*ANYWHERE, RateLimited)},
            **_SCHEMA,
        )
        return router

    async def jwks(self) -> Response:
        """Answer every published key, with which access tokens and short-term tokens are verified (RFC 7517)."""
        return self._answer(await self._tokens.jwks())

    async def platform_keys(self) -> Response:
        """Answer the RSA keys alone, with which short-term tokens are verified."""
        return self._answer(await self._tokens.platform_keys())

    def _answer(self, body: bytes) -> Response:
        return Response(body, media_type="application/json", headers=self._headers)
