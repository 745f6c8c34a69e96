"""The Account API's devices: what a person signed in. Each route needs the scope that its description names."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field

from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import NotFound
from keystead.kernel.scopes import Scope, grantable, stored_scopes
from keystead.oauth.connected import ConnectedDevice, ConnectedDevices
from keystead.wire.access import allow_bearer
from keystead.wire.bodies import Deleted
from keystead.wire.caller import caller_of
from keystead.wire.openapi import ERROR_RESPONSES, refusals

PREFIX: Final = "/service/v1"

_DeviceId = Annotated[UUID, Path(description="The id of a device or program that you signed in.")]


class DeviceItem(BaseModel):
    """A device or program that you signed in."""

    device_id: str = Field(description="The id of the sign-in.")
    client_name: str = Field(description="What the program calls itself; nobody has verified it.")
    platform: str = Field(description="What it said it runs on; empty when it did not say.")
    address: str = Field(description="The address from which the sign-in was asked for.")
    org_name: str = Field(description="The organization's name as people see it.")
    scopes: list[str] = Field(description="What it may do.")
    created_at: int = Field(description="When the sign-in was approved, in Unix seconds.")
    last_used_at: int = Field(description="When its tokens were last renewed, in Unix seconds.")
    expires_at: int = Field(description="When it ends unless its tokens are renewed before, in Unix seconds.")
    current: bool = Field(description="Whether this is the device whose access token asks.")


class DeviceList(BaseModel):
    """What GET /devices answers."""

    devices: list[DeviceItem] = Field(description="What you signed in, the oldest first.")


class DeviceRoutes:
    """Devices under ``/service/v1``, mounted at ``/account``."""

    def __init__(self, devices: ConnectedDevices) -> None:
        """Answer from ``devices``."""
        self._devices = devices

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["Devices"])
        router.add_api_route(
            "/devices",
            self.list_devices,
            methods=["GET"],
            summary="List what you signed in",
            operation_id="list_devices",
            responses=ERROR_RESPONSES,
        )
        router.add_api_route(
            "/devices/{device_id}",
            self.sign_device_out,
            methods=["DELETE"],
            summary="Sign a device out",
            operation_id="sign_device_out",
            responses=refusals(NotFound),
        )
        return router

    async def list_devices(
        self, principal: Annotated[Principal, Depends(allow_bearer(Permission.DEVICES_READ))]
    ) -> DeviceList:
        """Answer the devices and programs that you signed in, the oldest first. Needs the scope `devices:read`."""
        return DeviceList(devices=[_item(device, principal) for device in await self._devices.list_own(principal)])

    async def sign_device_out(
        self,
        device_id: _DeviceId,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.DEVICES_DELETE))],
    ) -> Deleted:
        """Sign a device or program out. Needs the scope `devices:delete`.

        Its refresh token and the short-term tokens that it made stop working at once; its access token lives on until
        it expires.
        """
        await self._devices.sign_out(principal, str(device_id), address=caller_of(request.scope).address)
        return Deleted(deleted=True)


def _item(device: ConnectedDevice, principal: Principal) -> DeviceItem:
    scopes = grantable(stored_scopes(device.scopes), principal.role)
    return DeviceItem(
        device_id=device.id,
        client_name=device.client_name,
        platform=device.platform,
        address=device.address,
        org_name=device.organization,
        scopes=[scope.value for scope in Scope if scope in scopes],
        created_at=device.created_at,
        last_used_at=device.last_used_at,
        expires_at=min(device.expires_at, device.refresh_expires_at),
        current=device.id == principal.grant_id,
    )
