"""The OpenID provider of this API: what can be asked about a token, and of whom it is.

Codes and tokens are given out by the endpoints of ``oauth/routes.py``, which both surfaces share; where everything is,
``discovery.py`` says; ``device_decisions.py`` is the person's side.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from keystead.activate.identity import KNOWN
from keystead.activate.shapes import ABSENT, UNKEPT, Shape
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    CredentialNotAllowed,
    Impersonating,
    Problem,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from keystead.kernel.scopes import format_scopes
from keystead.oauth.introspection import TokenFacts
from keystead.oauth.openapi import INTROSPECT_FORM, openid_refusals
from keystead.oauth.service import OAuth
from keystead.oauth.surfaces import INTROSPECT, openid_scope
from keystead.wire.access import allow
from keystead.wire.asgi import read_body
from keystead.wire.documented import ANYWHERE, NO_STORE, documented
from keystead.wire.forms import parse_form, required

USERINFO: Final = "/api/oidc/userinfo"

_CHALLENGE: Final = 'Bearer realm="keystead"'
_INVALID_TOKEN: Final = f'{_CHALLENGE}, error="invalid_token"'
_CHALLENGED: Final[dict[str, Any]] = {
    "WWW-Authenticate": {
        "description": "Which credential to send (RFC 6750, section 3).",
        "required": True,
        "schema": {"type": "string"},
    }
}


class Introspected(Shape):
    """What is true of a token (RFC 7662, section 2.2). Of one that is not good, nothing but that."""

    active: bool = Field(description="Whether the token is good now.")
    client_id: str | None = Field(None, description="The client that it was issued to, if it was to one.")
    exp: int | None = Field(None, description="Until when it is good, in Unix seconds.")
    iat: int | None = Field(None, description="When it was issued, in Unix seconds; absent where that is not known.")
    iss: str | None = Field(None, description="Who issued it.")
    scope: str | None = Field(None, description="What it can do.")
    sub: str | None = Field(None, description="The id of the user that it stands for.")
    token_type: str | None = Field(None, description="Bearer; absent for a refresh token.", examples=["Bearer"])
    aud: list[str] | None = Field(None, description="Who it is for.")


class UserInfo(Shape):
    """Who signed in (OpenID Connect Core 1.0, section 5.3.2)."""

    sub: str = Field(description="The user's id, which never changes.")
    preferred_username: str = Field(description="The user name.")
    name: str = Field(description="The user's own name.")
    email: str = Field(description="The user's e-mail address.")
    organization: str = Field(description="The name of the organization that the sign-in is for.")


class _BearerRoute(APIRoute):
    """A route that says which credential it takes in every refusal of another one (RFC 6750, section 3)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler."""
        handle = super().get_route_handler()

        async def challenging(request: Request) -> Response:
            try:
                return await handle(request)
            except (Unauthenticated, CredentialNotAllowed) as problem:
                sent = isinstance(problem, CredentialNotAllowed) or "authorization" in request.headers
                problem.headers.setdefault("WWW-Authenticate", _INVALID_TOKEN if sent else _CHALLENGE)
                raise

        return challenging


class OpenIdRoutes:
    """POST /api/oidc/introspect, and GET and POST /api/oidc/userinfo."""

    def __init__(self, oauth: OAuth) -> None:
        """Answer about the tokens of ``oauth`` and of whoever issues others."""
        self._introspection = oauth.introspection

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["OpenID"])
        router.add_api_route(
            INTROSPECT,
            self.introspect,
            methods=["POST"],
            response_model=Introspected,
            summary="Ask whether a token is good (RFC 7662)",
            operation_id="introspect",
            responses={
                200: {"headers": NO_STORE},
                **openid_refusals(
                    *ANYWHERE,
                    TwoCredentials,
                    Unauthenticated,
                    CredentialNotAllowed,
                    UnsupportedMediaType,
                    RateLimited,
                ),
            },
            openapi_extra={"security": [{"bearer": []}, {"basic": []}], **INTROSPECT_FORM},
            **ABSENT,
        )
        told = APIRouter(tags=["OpenID"], route_class=_BearerRoute)
        for method in ("GET", "POST"):
            told.add_api_route(
                USERINFO,
                self.userinfo,
                methods=[method],
                response_model=UserInfo,
                summary="Who signed in?",
                operation_id=f"{method.lower()}_userinfo",
                responses=_challenged({200: {"headers": NO_STORE}, **documented(*KNOWN, *_REFUSES)}),
                openapi_extra={"security": [{"bearer": []}]},
                **ABSENT,
            )
        router.include_router(told)
        return router

    async def introspect(
        self,
        request: Request,
        response: Response,
        principal: Annotated[Principal, Depends(allow(Permission.INTROSPECT))],
    ) -> Introspected:
        """Answer whether a token is good now, and what it is good for: access, short-term and refresh tokens.

        It takes an API key or a bearer token, and answers about tokens of that credential's organization; an operator's
        credential is answered about every token. Of any other text it says that it is not active. What was taken back
        is seen at once.
        """
        form = parse_form(await read_body(request.receive), request.headers.get("content-type", ""))
        response.headers.update(UNKEPT)
        found = await self._introspection.look(required(form, "token"), principal)
        return Introspected(active=False) if found is None else _told(found)

    async def userinfo(
        self, response: Response, principal: Annotated[Principal, Depends(allow(Permission.USERINFO))]
    ) -> UserInfo:
        """Answer who signed in, to whoever has an access token of the sign-in. No other credential is taken."""
        response.headers.update(UNKEPT)
        identity = principal.identity
        return UserInfo(
            sub=identity.user_id,
            preferred_username=identity.username,
            name=identity.name,
            email=identity.email,
            organization=identity.organization,
        )


_REFUSES: Final[tuple[type[Problem], ...]] = (Impersonating, CredentialNotAllowed)


def _challenged(responses: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Document the challenge of a 401; a 403 has one as well, unless it is about how the request came."""
    responses[401] = {**responses[401], "headers": _CHALLENGED}
    return responses


def _told(found: TokenFacts) -> Introspected:
    scope = format_scopes(found.scopes)
    return Introspected(
        active=True,
        client_id=found.client_id,
        exp=found.expires_at,
        iat=found.issued_at,
        iss=found.issuer,
        scope=openid_scope(scope) if found.opaque else scope,
        sub=found.user_id,
        token_type=found.token_type,
        aud=[found.audience],
    )
