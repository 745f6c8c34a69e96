"""The person's side of device sign-in over JSON: what does a code ask for, and is it approved? The page asks the same.

A code that nobody was given counts as a guess, here as on the page (promise D6). It stands in the body, so that no log
has it.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from keystead.activate.identity import BY_SESSION, KNOWN
from keystead.activate.shapes import ABSENT, UNKEPT, Sent, Shape, body_of, described, refused
from keystead.kernel.clock import Clock
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    Impersonating,
    InvalidParameters,
    NotFound,
    Problem,
    UnauthorizedClient,
    UnsupportedMediaType,
)
from keystead.oauth.devices import Devices
from keystead.oauth.models import Decision, DeviceState, DeviceView
from keystead.oauth.user_codes import read_user_code
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import NO_STORE, documented

_CODE: Final = Field(
    alias="userCode",
    description="The code that the device shows. Case, spaces and dashes make no difference.",
    examples=["BCDF-GHJK"],
)
_NO_CODE: Final = "A code has eight letters, such as BCDF-GHJK. Type it as the device shows it."
_UNKNOWN: Final = "There is no sign-in with this code. Check it, or start again on the device."
_TOO_LATE: Final = "This sign-in was decided already, or its time is over. Start again on the device."

_Session = Annotated[Principal, Depends(allow(Permission.DECIDE_DEVICE))]


class DeviceCode(Sent):
    """The body that asks what a code is for."""

    user_code: str = _CODE


class DeviceDecision(Sent):
    """The body that decides about a sign-in."""

    approve: bool = Field(description="Whether the device may act for you; false refuses it for good.")
    user_code: str = _CODE


class AskingClient(Shape):
    """What asks for a sign-in."""

    client_name: str = Field(
        serialization_alias="clientName", description="What the program calls itself; nobody has verified it."
    )


class Decided(Shape):
    """What became of a sign-in."""

    approved: bool = Field(description="Whether it was approved.")


class DeviceDecisionRoutes:
    """POST /api/oidc/device/lookup and POST /api/oidc/device/decision. The gate holds them to pages of this site."""

    def __init__(self, devices: Devices, clock: Clock) -> None:
        """Decide about the sign-ins of ``devices``."""
        self._devices = devices
        self._clock = clock

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Device sign-in"])
        router.add_api_route(
            "/api/oidc/device/lookup",
            self.look_up,
            methods=["POST"],
            response_model=AskingClient,
            summary="What asks for a sign-in?",
            operation_id="look_up_device",
            responses=_responses(),
            openapi_extra={**BY_SESSION, **described(DeviceCode)},
            **ABSENT,
        )
        router.add_api_route(
            "/api/oidc/device/decision",
            self.decide,
            methods=["POST"],
            response_model=Decided,
            summary="Approve or refuse a sign-in",
            operation_id="decide_device",
            responses=_responses(Forbidden, UnauthorizedClient),
            openapi_extra={**BY_SESSION, **described(DeviceDecision)},
            **ABSENT,
        )
        return router

    async def look_up(self, request: Request, response: Response, principal: _Session) -> AskingClient:
        """Answer the name of the client whose sign-in has this code, while it can be decided."""
        body = await body_of(request, DeviceCode)
        found = await self._find(request, principal, body.user_code)
        response.headers.update(UNKEPT)
        return AskingClient(client_name=found.client.name)

    async def decide(self, request: Request, response: Response, principal: _Session) -> Decided:
        """Approve or refuse the sign-in that has this code, in the session's organization, which the grant keeps (D12).

        The page for devices does the same. It shows what the device asks for first: show people no less.
        """
        body = await body_of(request, DeviceDecision)
        found = await self._find(request, principal, body.user_code)
        identity = principal.identity
        decision = Decision(
            approve=body.approve,
            organization_id=identity.organization_id,
            user_id=identity.user_id,
            session_id=principal.credential_id,
            address=caller_of(request.scope).address,
        )
        if not await self._devices.decide(found, decision, principal.role, identity.organization_display_name):
            raise Conflict(_TOO_LATE)
        response.headers.update(UNKEPT)
        return Decided(approved=body.approve)

    async def _find(self, request: Request, principal: Principal, typed: str) -> DeviceView:
        """Return the sign-in behind a typed code.

        Raises InvalidParameters for what is no code, NotFound, RateLimited, and Conflict for one that is decided or
        expired.
        """
        user_code = read_user_code(typed)
        if user_code is None:
            raise refused("userCode", "malformed", _NO_CODE)
        address = caller_of(request.scope).address
        found = await self._devices.look_up(user_code, principal.identity.user_id, address)
        if found is None:
            raise NotFound(_UNKNOWN)
        pending = found.authorization.state == DeviceState.PENDING
        if not pending or self._clock.now() >= found.authorization.expires_at:
            raise Conflict(_TOO_LATE)
        return found


def _responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    refusals = documented(
        *KNOWN,
        CrossSite,
        Impersonating,
        CredentialNotAllowed,
        *problems,
        NotFound,
        Conflict,
        UnsupportedMediaType,
        InvalidParameters,
    )
    return {200: {"headers": NO_STORE}, **refusals}
