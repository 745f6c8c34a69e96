"""Where people are signed in to an organization: their own sessions, and for its leaders everybody's, with devices."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field

from keystead.activate.identity import BY_ANY, BY_SESSION, KNOWN
from keystead.activate.shapes import ABSENT, UNKEPT, Sent, Shape, described, iso, optional_body_of
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    Impersonating,
    InsufficientScope,
    InvalidParameters,
    NotFound,
    UnsupportedMediaType,
)
from keystead.organizations.service import Organizations
from keystead.organizations.signed_in import SignIn
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import NO_STORE, documented

PATH: Final = "/api/organizations/{organization}/users/{user}/login-sessions"
PW_CLI: Final = "pw-cli"
"""The client id of the command line that this API's clients know by name."""
_TIME: Final[dict[str, Any]] = {"format": "date-time"}
_ENDS: Final = (*KNOWN, CredentialNotAllowed, CrossSite, Impersonating, Forbidden, NotFound)

_Organization = Annotated[str, Path(description="The organization's name.")]
_User = Annotated[str, Path(description="The user name of one of its members, or your own.")]
_Id = Annotated[str, Path(description="The id of a session or a device in the person's list.")]
_Reader = Annotated[Principal, Depends(allow(Permission.LOGIN_SESSIONS_READ))]
_Ender = Annotated[Principal, Depends(allow(Permission.LOGIN_SESSIONS_END))]


class LoginSession(Shape):
    """A browser in which somebody is signed in, or, in another person's list, a device."""

    id: str = Field(description="The id of the session, or of the device's sign-in.")
    current: bool = Field(description="Whether this is the session that asks.")
    created_at: str = Field(serialization_alias="createdAt", description="When it began.", json_schema_extra=_TIME)
    last_used_at: str = Field(
        serialization_alias="lastUsedAt",
        description="When it was last used, at most two minutes stale; for a device, when its tokens were renewed.",
        json_schema_extra=_TIME,
    )
    expires_at: str = Field(
        serialization_alias="expiresAt",
        description="When it ends unless it is used before.",
        json_schema_extra=_TIME,
    )
    ip_address: str | None = Field(
        default=None, serialization_alias="ipAddress", description="Where it began; told to its owner alone."
    )
    user_agent: str | None = Field(
        default=None, serialization_alias="userAgent", description="What the browser called itself."
    )
    device_name: str | None = Field(
        default=None,
        serialization_alias="deviceName",
        description="What the device calls itself; nobody has verified it. Absent for a browser.",
    )
    client: Literal["pw-cli"] | None = Field(
        default=None, description="Which command line the device is signed in with, where it is one that is built in."
    )


class EndOptions(Sent):
    """The body with which sessions may be ended."""

    include_resources: bool | None = Field(
        default=None,
        alias="includeResources",
        description="Accepted and without effect: there are no compute resources here.",
    )


class LoginSessionRoutes:
    """The addresses under ``.../login-sessions``."""

    def __init__(self, organizations: Organizations) -> None:
        """Answer from ``organizations``, which says who may see and end whose."""
        self._organizations = organizations

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Login sessions"])
        router.add_api_route(
            PATH,
            self.list_sessions,
            methods=["GET"],
            response_model=list[LoginSession],
            summary="List where somebody is signed in",
            operation_id="list_login_sessions",
            responses={200: {"headers": NO_STORE}, **documented(*KNOWN, InsufficientScope, Forbidden, NotFound)},
            openapi_extra=BY_ANY,
            **ABSENT,
        )
        ending: dict[str, Any] = {"methods": ["DELETE"], "status_code": 204, "response_class": Response}
        router.add_api_route(
            PATH,
            self.end_sessions,
            summary="End all sessions of somebody but the one that asks",
            operation_id="end_login_sessions",
            responses=documented(*_ENDS, UnsupportedMediaType, InvalidParameters),
            openapi_extra={**BY_SESSION, **described(EndOptions, required=False)},
            **ending,
        )
        router.add_api_route(
            PATH + "/{session_id}",
            self.end_session,
            summary="End a session, or sign a device out",
            operation_id="end_login_session",
            responses=documented(*_ENDS),
            openapi_extra=BY_SESSION,
            **ending,
        )
        return router

    async def list_sessions(
        self, organization: _Organization, user: _User, principal: _Reader, response: Response
    ) -> list[LoginSession]:
        """Answer a person's sessions in an organization, the oldest first.

        Your own come with the addresses from which they began; your devices are listed under connected applications.
        Owners and admins see those of their organization's members with their devices, operators everybody's. A token
        and an API key need the scope `sessions:read`.
        """
        response.headers.update(UNKEPT)
        return [_shown(one) for one in await self._organizations.sign_ins(principal, organization, user)]

    async def end_sessions(
        self, organization: _Organization, user: _User, request: Request, principal: _Ender
    ) -> Response:
        """End a person's sessions in an organization, except the one that asks.

        Of somebody else the devices are signed out as well, with every token issued to them; access tokens that others
        verify by themselves live on until they expire. Owners and admins do this to members, owners alone to owners,
        operators to everybody.
        """
        await optional_body_of(request, EndOptions)
        address = caller_of(request.scope).address
        await self._organizations.end_sign_ins(principal, organization, user, address)
        return Response(status_code=204)

    async def end_session(
        self, organization: _Organization, user: _User, session_id: _Id, request: Request, principal: _Ender
    ) -> Response:
        """End one session, which may be the one that asks, or sign one device out with every token issued to it."""
        address = caller_of(request.scope).address
        await self._organizations.end_sign_in(principal, organization, user, session_id, address)
        return Response(status_code=204)


def _shown(one: SignIn) -> LoginSession:
    return LoginSession(
        id=one.id,
        current=one.current,
        created_at=iso(one.created_at),
        last_used_at=iso(one.last_used_at),
        expires_at=iso(one.expires_at),
        ip_address=one.address or None,
        user_agent=one.user_agent or None,
        device_name=one.device_name or None,
        client=PW_CLI if one.client_id == PW_CLI else None,
    )
