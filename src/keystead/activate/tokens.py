"""Short-term tokens: GET /api/auth/token."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from keystead.activate.identity import BY_ANY
from keystead.activate.shapes import UNKEPT
from keystead.kernel.permissions import Permission, check_permission
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    CrossSite,
    FieldProblem,
    Forbidden,
    Impersonating,
    InsufficientScope,
    InvalidParameters,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
)
from keystead.tokens.service import Tokens
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, NO_STORE, documented
from keystead.wire.forms import parse_parameters
from keystead.wire.origin import check_same_site

_LONGEST: Final = 24
_HOURS: Final = re.compile("[0-9]{1,3}")
_NO_HEIR: Final = (
    "A short-term token makes no other one: it would live for ever by handing itself on. Use an API key, an access "
    "token or a browser session."
)
_TTL: Final[dict[str, Any]] = {
    "name": "ttl",
    "in": "query",
    "required": False,
    "description": "For how many hours the token is valid.",
    "schema": {"type": "integer", "minimum": 1, "maximum": _LONGEST, "default": _LONGEST},
}


class AuthTokenRoutes:
    """GET /api/auth/token. It makes something, so a page of another site must not get a browser to ask."""

    def __init__(self, tokens: Tokens, *, public_url: str) -> None:
        """Serve pages of ``public_url`` and programs."""
        self._tokens = tokens
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["Authentication"])
        router.add_api_route(
            "/api/auth/token",
            self.token,
            methods=["GET"],
            response_model=str,
            summary="Create a short-term token",
            operation_id="get_auth_token",
            responses={
                200: {"headers": NO_STORE},
                **documented(
                    *ANYWHERE,
                    TwoCredentials,
                    Unauthenticated,
                    CrossSite,
                    Impersonating,
                    CredentialNotAllowed,
                    InsufficientScope,
                    Forbidden,
                    Conflict,
                    InvalidParameters,
                    RateLimited,
                ),
            },
            openapi_extra={**BY_ANY, "parameters": [_TTL]},
        )
        return router

    async def token(
        self, request: Request, principal: Annotated[Principal, Depends(allow(Permission.IDENTITY))]
    ) -> JSONResponse:
        """Make a short-term token, a signed JWT that says where this server is. It is shown in this answer alone.

        With a browser session it can do what your role allows. With an API key, or an access token that has the scope
        `tokens:create`, it can do what that one can do, but not make another token, and ends with it. A short-term
        token makes no other one. It is valid for `ttl` hours, unless the server's setting is shorter.
        """
        _check_may_ask(principal)
        if principal.method is Method.SESSION:
            check_same_site(request.headers, self._public_url)
        lifetime = 3_600 * _hours(parse_parameters(request.scope["query_string"]).get("ttl"))
        address = caller_of(request.scope).address
        issued = await self._tokens.issue_for(principal, lifetime=lifetime, address=address)
        return JSONResponse(issued.token.reveal(), headers=UNKEPT)


def _check_may_ask(principal: Principal) -> None:
    """Raise CredentialNotAllowed, with what to do instead, or InsufficientScope."""
    try:
        check_permission(principal, Permission.MAKE_TOKEN)
    except CredentialNotAllowed:
        raise CredentialNotAllowed(_NO_HEIR) from None


def _hours(text: str | None) -> int:
    """Return for how many hours a token is asked for. Raises InvalidParameters."""
    if text is None:
        return _LONGEST
    if _HOURS.fullmatch(text) is None or not 1 <= int(text) <= _LONGEST:
        sentence = f"The parameter 'ttl' is a whole number of hours from 1 to {_LONGEST}."
        raise InvalidParameters(sentence, fields=[FieldProblem("query", "ttl", "range", sentence)])
    return int(text)
