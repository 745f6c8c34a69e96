"""Acting as somebody else, for the operators of the installation: begun with a reason, and told to the person."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import Response
from fastapi.security import APIKeyCookie
from pydantic import Field

from keystead.activate.shapes import UNKEPT, Sent, body_of, described
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    InvalidParameters,
    NotFound,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from keystead.sessions.cookies import DEVICE_COOKIE, SESSION_COOKIE, set_acting_cookie, set_cookies
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.models import IMPERSONATE_PATH, LONGEST_REASON
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, NO_STORE, documented

_declared = APIKeyCookie(
    name=SESSION_COOKIE, scheme_name="cookie", description="The session that a sign-in begins.", auto_error=False
)
_COOKIE_SET: Final[dict[str, Any]] = NO_STORE | {
    "Set-Cookie": {
        "description": "The session that goes on.",
        "required": True,
        "schema": {"type": "string"},
    }
}
_ALWAYS: Final = (*ANYWHERE, TwoCredentials, Unauthenticated, CrossSite, CredentialNotAllowed, Conflict, RateLimited)
_Administers = Annotated[Principal, Depends(allow(Permission.ADMINISTER))]
_Cookie = Annotated[str | None, Security(_declared)]


class ImpersonationStart(Sent):
    """The body that names as whom to act."""

    username: str = Field(description="The user name or the e-mail address.", min_length=1, max_length=320)
    reason: str = Field(
        description="Why, on one line of printable characters. The person reads it.",
        min_length=1,
        max_length=LONGEST_REASON,
    )


class ImpersonationRoutes:
    """POST and DELETE /api/sso/impersonate."""

    def __init__(self, impersonating: Impersonating, *, session_lifetime: int) -> None:
        """Let operators act by ``impersonating``; their own session's cookie is kept for ``session_lifetime``."""
        self._impersonating = impersonating
        self._lifetime = session_lifetime

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Sign-in"])
        router.add_api_route(
            IMPERSONATE_PATH,
            self.start,
            methods=["POST"],
            status_code=204,
            response_class=Response,
            summary="Act as somebody else",
            operation_id="start_impersonation",
            responses={
                204: {"headers": _COOKIE_SET},
                **documented(*_ALWAYS, Forbidden, NotFound, UnsupportedMediaType, InvalidParameters),
            },
            openapi_extra=described(ImpersonationStart),
        )
        router.add_api_route(
            IMPERSONATE_PATH,
            self.stop,
            methods=["DELETE"],
            status_code=204,
            response_class=Response,
            summary="Stop acting as somebody else",
            operation_id="stop_impersonation",
            responses={204: {"headers": _COOKIE_SET}, **documented(*_ALWAYS)},
        )
        return router

    async def start(self, request: Request, principal: _Administers, _: _Cookie) -> Response:
        """Act as a person for an hour at most: the session shows what they see, and changes nothing in their name.

        For operators of the installation. The reason stands in the audit log and is told to the person. Your own
        session waits until you stop.
        """
        body = await body_of(request, ImpersonationStart)
        acting = await self._impersonating.start(
            principal,
            body.username,
            body.reason,
            address=caller_of(request.scope).address,
            user_agent=request.headers.get("user-agent", ""),
        )
        response = Response(status_code=204, headers=UNKEPT)
        set_acting_cookie(response, acting)
        return response

    async def stop(self, request: Request, principal: _Administers, _: _Cookie) -> Response:
        """End the session that acts as somebody, and go on in your own name with a new session."""
        renewed = await self._impersonating.stop(
            principal,
            address=caller_of(request.scope).address,
            device_cookie=request.cookies.get(DEVICE_COOKIE),
        )
        response = Response(status_code=204, headers=UNKEPT)
        set_cookies(response, renewed, lifetime=self._lifetime)
        return response
