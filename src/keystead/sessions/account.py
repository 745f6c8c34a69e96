"""The Account API's browser sessions: everybody's own. Each route needs the scope that its description names."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request

from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import NotFound
from keystead.sessions.models import SessionItem, SessionList
from keystead.sessions.service import Sessions
from keystead.wire.access import allow_bearer
from keystead.wire.bodies import Deleted
from keystead.wire.caller import caller_of
from keystead.wire.openapi import ERROR_RESPONSES, refusals

PREFIX: Final = "/service/v1"

_SessionId = Annotated[UUID, Path(description="The id of one of your sessions.")]


class BrowserRoutes:
    """Sessions under ``/service/v1``, mounted at ``/account``."""

    def __init__(self, sessions: Sessions) -> None:
        """Answer from ``sessions``."""
        self._sessions = sessions

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["Sessions"])
        router.add_api_route(
            "/sessions",
            self.list_sessions,
            methods=["GET"],
            summary="List your sessions",
            operation_id="list_sessions",
            responses=ERROR_RESPONSES,
        )
        router.add_api_route(
            "/sessions/{session_id}",
            self.end_session,
            methods=["DELETE"],
            summary="End a session",
            operation_id="end_session",
            responses=refusals(NotFound),
        )
        return router

    async def list_sessions(
        self, principal: Annotated[Principal, Depends(allow_bearer(Permission.SESSIONS_READ))]
    ) -> SessionList:
        """Answer the browsers in which you are signed in, the oldest first. Needs the scope `sessions:read`."""
        return SessionList(
            sessions=[
                SessionItem(
                    session_id=one.id,
                    created_at=one.created_at,
                    last_used_at=one.last_used_at,
                    expires_at=one.expires_at,
                    address=one.address,
                    user_agent=one.user_agent,
                )
                for one in await self._sessions.list_own(principal.identity)
            ]
        )

    async def end_session(
        self,
        session_id: _SessionId,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.SESSIONS_DELETE))],
    ) -> Deleted:
        """Sign yourself out of a browser, at once. Needs the scope `sessions:delete`."""
        await self._sessions.end_own(str(session_id), principal.identity, address=caller_of(request.scope).address)
        return Deleted(deleted=True)
