"""The clients that a person let in, each with the devices that are signed in with it, and letting them in no more."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field

from keystead.activate.identity import BY_ANY, KNOWN
from keystead.activate.shapes import ABSENT, UNKEPT, Shape, iso
from keystead.kernel.ids import is_id
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import CrossSite, Impersonating, InsufficientScope, NotFound
from keystead.oauth.connected import ConnectedDevice, ConnectedDevices
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import NO_STORE, documented

PATH: Final = "/api/oidc/connected-apps"
_ENDS: Final = (*KNOWN, InsufficientScope, CrossSite, Impersonating, NotFound)
_TIME: Final[dict[str, Any]] = {"format": "date-time"}

_ClientId = Annotated[str, Path(description="The client id of an application that you signed in with.")]
_DeviceId = Annotated[str, Path(description="The id of a device that is signed in with it.")]
_Reader = Annotated[Principal, Depends(allow(Permission.CONNECTED_READ))]
_Ender = Annotated[Principal, Depends(allow(Permission.CONNECTED_END))]


class AppDevice(Shape):
    """A device or program that is signed in."""

    id: str = Field(description="The id of the sign-in.")
    current: bool = Field(description="Whether this is the device whose access token asks.")
    signed_in_at: str = Field(
        serialization_alias="signedInAt", description="When the sign-in was approved.", json_schema_extra=_TIME
    )
    device_name: str | None = Field(
        default=None,
        serialization_alias="deviceName",
        description="What the device calls itself, or else what it said it runs on; nobody has verified it.",
    )
    expires_at: str = Field(
        serialization_alias="expiresAt",
        description="When it is signed out unless it is used before.",
        json_schema_extra=_TIME,
    )
    ip_address: str | None = Field(
        default=None, serialization_alias="ipAddress", description="The address from which the sign-in was asked for."
    )
    last_used_at: str = Field(
        serialization_alias="lastUsedAt", description="When its tokens were last renewed.", json_schema_extra=_TIME
    )


class ConnectedApp(Shape):
    """A client that you let in."""

    client_id: str = Field(serialization_alias="clientId", description="The client's id.")
    name: str = Field(description="What the client calls itself; nobody has verified it.")
    scopes: list[str] = Field(description="What its devices may do, each at least one of them.")
    granted_at: str = Field(
        serialization_alias="grantedAt", description="When you first let it in.", json_schema_extra=_TIME
    )
    last_used_at: str = Field(
        serialization_alias="lastUsedAt",
        description="When one of its devices last renewed its tokens.",
        json_schema_extra=_TIME,
    )
    sign_in_disabled: bool | None = Field(
        default=None,
        serialization_alias="signInDisabled",
        description="True once an operator has switched the client off; what is signed in stays so.",
    )
    devices: list[AppDevice] = Field(description="What is signed in with it, the oldest first.")


class ConnectedApps(Shape):
    """What is answered to who asks for them."""

    apps: list[ConnectedApp] = Field(description="The clients that you let in, in the order in which you did.")


class ConnectedRoutes:
    """The addresses under ``/api/oidc/connected-apps``."""

    def __init__(self, connected: ConnectedDevices) -> None:
        """Answer from ``connected``."""
        self._connected = connected

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Connected applications"])
        router.add_api_route(
            PATH,
            self.list_apps,
            methods=["GET"],
            response_model=ConnectedApps,
            summary="List the applications that you let in",
            operation_id="list_connected_apps",
            responses={200: {"headers": NO_STORE}, **documented(*KNOWN, InsufficientScope)},
            openapi_extra=BY_ANY,
            **ABSENT,
        )
        ending: dict[str, Any] = {
            "methods": ["DELETE"],
            "status_code": 204,
            "response_class": Response,
            "responses": documented(*_ENDS),
            "openapi_extra": BY_ANY,
        }
        router.add_api_route(
            PATH + "/{client_id}",
            self.disconnect,
            summary="Disconnect an application",
            operation_id="disconnect_app",
            **ending,
        )
        router.add_api_route(
            PATH + "/{client_id}/devices/{device_id}",
            self.sign_out,
            summary="Sign a device out of an application",
            operation_id="sign_out_connected_device",
            **ending,
        )
        return router

    async def list_apps(self, principal: _Reader, response: Response) -> ConnectedApps:
        """Answer the applications that you let in, with the devices that are signed in with each.

        A session sees those of all your organizations, another credential those of its own. A token and an API key need
        the scope `devices:read`.
        """
        response.headers.update(UNKEPT)
        return ConnectedApps(apps=list(_apps(await self._connected.list_in_reach(principal), principal.grant_id)))

    async def disconnect(self, client_id: _ClientId, request: Request, principal: _Ender) -> Response:
        """Sign every device out of an application, with every token issued to it, as far as you see them in the list.

        An access token that others verify by themselves lives on until it expires. A token and an API key need the
        scope `devices:delete`.
        """
        _check_text(client_id)
        await self._connected.disconnect(principal, client_id, address=caller_of(request.scope).address)
        return Response(status_code=204)

    async def sign_out(
        self, client_id: _ClientId, device_id: _DeviceId, request: Request, principal: _Ender
    ) -> Response:
        """Sign one device out of an application, with every token issued to it; your other devices stay signed in."""
        _check_text(client_id)
        if not is_id(device_id):
            raise NotFound("You have no device with this id that is signed in.")
        address = caller_of(request.scope).address
        await self._connected.sign_out(principal, device_id, client_id=client_id, address=address)
        return Response(status_code=204)


def _check_text(client_id: str) -> None:
    """Raise NotFound for what no column of text can hold, and so names nothing."""
    if not client_id.isascii() or not client_id.isprintable():
        raise NotFound("You have signed nothing in with a client of this id.")


def _apps(devices: Iterable[ConnectedDevice], asking: str | None) -> Iterable[ConnectedApp]:
    """Yield the clients of these devices, the one that was let in first first."""
    by_client: dict[str, list[ConnectedDevice]] = {}
    for device in devices:
        by_client.setdefault(device.client_id, []).append(device)
    for client_id, its in by_client.items():
        yield _app(client_id, its, asking)


def _app(client_id: str, devices: Sequence[ConnectedDevice], asking: str | None) -> ConnectedApp:
    granted = dict.fromkeys(scope for device in devices for scope in device.scopes.split())
    return ConnectedApp(
        client_id=client_id,
        name=devices[0].client_name,
        scopes=list(granted),
        granted_at=iso(min(device.created_at for device in devices)),
        last_used_at=iso(max(device.last_used_at for device in devices)),
        sign_in_disabled=None if devices[0].switched_off_at is None else True,
        devices=[
            AppDevice(
                id=device.id,
                current=device.id == asking,
                signed_in_at=iso(device.created_at),
                device_name=device.device_name or device.platform or None,
                expires_at=iso(device.ends_at),
                ip_address=device.address or None,
                last_used_at=iso(device.last_used_at),
            )
            for device in devices
        ],
    )
