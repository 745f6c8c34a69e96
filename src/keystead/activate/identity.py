"""Who the caller is, in a word: for programs that need a name and nothing else. /api/auth/session tells the rest."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from keystead.activate.shapes import UNKEPT
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Problem, RateLimited, TwoCredentials, Unauthenticated
from keystead.wire.access import allow
from keystead.wire.documented import ANYWHERE, NO_STORE, documented

BY_ANY: Final[dict[str, Any]] = {"security": [{"bearer": []}, {"basic": []}, {"cookie": []}]}
"""The ``openapi_extra`` of a route that takes every kind of credential."""
BY_SESSION: Final[dict[str, Any]] = {"security": [{"cookie": []}]}
"""The same of a route that takes a browser session alone."""
KNOWN: Final[tuple[type[Problem], ...]] = (*ANYWHERE, TwoCredentials, Unauthenticated, RateLimited)
"""What every route that asks for a credential may answer."""

_Known = Annotated[Principal, Depends(allow(Permission.IDENTITY))]


class IdentityRoutes:
    """GET /api/auth/whoami, /api/auth/whoami/organization and /api/ping."""

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Identity"])
        router.add_api_route(
            "/api/auth/whoami",
            self.whoami,
            methods=["GET"],
            response_model=str,
            summary="What is the user called?",
            operation_id="whoami",
            responses={200: {"headers": NO_STORE}, **documented(*KNOWN)},
            openapi_extra=BY_ANY,
        )
        router.add_api_route(
            "/api/auth/whoami/organization",
            self.whoami_organization,
            methods=["GET"],
            response_model=str,
            summary="What is the organization called?",
            operation_id="whoami_organization",
            responses={200: {"headers": NO_STORE}, **documented(*KNOWN)},
            openapi_extra=BY_ANY,
        )
        router.add_api_route(
            "/api/ping",
            self.ping,
            methods=["GET"],
            status_code=204,
            response_class=Response,
            summary="Is the credential good?",
            operation_id="ping",
            responses={204: {"headers": NO_STORE}, **documented(*KNOWN)},
            openapi_extra=BY_ANY,
        )
        return router

    async def whoami(self, principal: _Known) -> Response:
        """Answer the user name as a JSON string."""
        return JSONResponse(principal.identity.username, headers=UNKEPT)

    async def whoami_organization(self, principal: _Known) -> Response:
        """Answer the name of the organization that the credential is for, as a JSON string."""
        return JSONResponse(principal.identity.organization, headers=UNKEPT)

    async def ping(self, _: _Known) -> Response:
        """Answer nothing, to whoever has a good credential; the call counts as a use of it."""
        return Response(status_code=204, headers=UNKEPT)
