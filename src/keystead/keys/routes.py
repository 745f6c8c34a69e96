"""The Account API's apps and API keys. Each needs a bearer token with the scope that its description names."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.keys.models import (
    ApiKey,
    AppItem,
    AppList,
    CreatedApp,
    CreatedKey,
    CreatedKeyBody,
    KeyItem,
    KeyList,
    NewApp,
    NewKey,
    NewTitle,
    RotatedKeyBody,
    Rotation,
)
from keystead.keys.service import Keys
from keystead.wire.access import allow_bearer
from keystead.wire.bodies import Deleted
from keystead.wire.caller import caller_of
from keystead.wire.documented import NO_STORE
from keystead.wire.openapi import ERROR_RESPONSES, refusals

PREFIX: Final = "/service/v1"

_AppId = Annotated[UUID, Path(description="The id of an app of your organization.")]
_KeyId = Annotated[UUID, Path(description="The id of an API key in that app.")]
_MissingOr = refusals(NotFound)


class AppsRoutes:
    """Apps and API keys under ``/service/v1``, mounted at ``/account``."""

    def __init__(self, keys: Keys) -> None:
        """Answer from ``keys``."""
        self._keys = keys

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX)
        self._add_apps(router)
        self._add_keys(router)
        return router

    def _add_apps(self, router: APIRouter) -> None:
        router.add_api_route(
            "/apps",
            self.list_apps,
            methods=["GET"],
            tags=["Apps"],
            summary="List apps",
            operation_id="list_apps",
            responses=ERROR_RESPONSES,
        )
        router.add_api_route(
            "/apps",
            self.create_app,
            methods=["POST"],
            tags=["Apps"],
            summary="Create an app",
            operation_id="create_app",
            responses=refusals(Conflict),
        )
        router.add_api_route(
            "/apps/{app_id}",
            self.delete_app,
            methods=["DELETE"],
            tags=["Apps"],
            summary="Delete an app with its API keys",
            operation_id="delete_app",
            responses=_MissingOr,
        )

    def _add_keys(self, router: APIRouter) -> None:
        keys, key = "/apps/{app_id}/keys", "/apps/{app_id}/keys/{api_key_id}"
        router.add_api_route(
            keys,
            self.list_keys,
            methods=["GET"],
            tags=["API keys"],
            summary="List the API keys of an app",
            operation_id="list_api_keys",
            responses=_MissingOr,
        )
        router.add_api_route(
            keys,
            self.create_key,
            methods=["POST"],
            tags=["API keys"],
            summary="Create an API key",
            operation_id="create_api_key",
            responses={**_MissingOr, 200: {"headers": NO_STORE}},
        )
        router.add_api_route(
            "/keys",
            self.list_all_keys,
            methods=["GET"],
            tags=["API keys"],
            summary="List the API keys of all apps",
            operation_id="list_all_api_keys",
            responses=ERROR_RESPONSES,
        )
        router.add_api_route(
            key,
            self.rename_key,
            methods=["PATCH"],
            tags=["API keys"],
            summary="Rename an API key",
            operation_id="rename_api_key",
            responses=_MissingOr,
        )
        router.add_api_route(
            key + "/rotate",
            self.rotate_key,
            methods=["POST"],
            tags=["API keys"],
            summary="Replace an API key with a new one",
            operation_id="rotate_api_key",
            responses={**refusals(NotFound, Conflict), 200: {"headers": NO_STORE}},
        )
        router.add_api_route(
            key,
            self.delete_key,
            methods=["DELETE"],
            tags=["API keys"],
            summary="Delete an API key",
            operation_id="delete_api_key",
            responses=_MissingOr,
        )

    async def list_apps(self, principal: Annotated[Principal, Depends(allow_bearer(Permission.APPS_READ))]) -> AppList:
        """Answer the apps of your organization, the oldest first. Needs the scope `apps:read`."""
        found = await self._keys.list_apps(principal)
        return AppList(
            apps=[
                AppItem(app_name=app.name, org_name=app.organization, app_id=app.id, org_id=app.organization_id)
                for app in found
            ]
        )

    async def create_app(
        self,
        body: NewApp,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.APPS_CREATE))],
    ) -> CreatedApp:
        """Make an app in your organization. Needs the scope `apps:create`."""
        app = await self._keys.create_app(principal, body.app_name, address=caller_of(request.scope).address)
        return CreatedApp(app_id=app.id)

    async def delete_app(
        self,
        app_id: _AppId,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.APPS_DELETE))],
    ) -> Deleted:
        """Delete an app together with its API keys, which stop working at once. Needs the scope `apps:delete`."""
        await self._keys.delete_app(principal, str(app_id), address=caller_of(request.scope).address)
        return Deleted(deleted=True)

    async def list_keys(
        self, app_id: _AppId, principal: Annotated[Principal, Depends(allow_bearer(Permission.KEYS_READ))]
    ) -> KeyList:
        """Answer the API keys of an app without their secrets, the oldest first. Needs the scope `keys:read`."""
        found = await self._keys.list_keys(principal, str(app_id))
        return KeyList(keys=[_item(key) for key in found])

    async def list_all_keys(
        self, principal: Annotated[Principal, Depends(allow_bearer(Permission.KEYS_READ))]
    ) -> KeyList:
        """Answer the API keys of every app without their secrets, the oldest first. Needs the scope `keys:read`."""
        return KeyList(keys=[_item(key) for key in await self._keys.list_all_keys(principal)])

    async def create_key(
        self,
        app_id: _AppId,
        body: NewKey,
        request: Request,
        response: Response,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.KEYS_CREATE))],
    ) -> CreatedKeyBody:
        """Make an API key in your own name. It is shown in this answer alone. Needs the scope `keys:create`.

        Where your organization says how long API keys live, a longer `expires_in` is refused.
        """
        made = await self._keys.create_key(
            principal,
            str(app_id),
            body.api_key_name,
            lives_for=body.expires_in,
            or_longest=True,
            address=caller_of(request.scope).address,
        )
        response.headers["Cache-Control"] = "no-store"
        return CreatedKeyBody(**_created(made))

    async def rename_key(
        self,
        app_id: _AppId,
        api_key_id: _KeyId,
        body: NewTitle,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.KEYS_UPDATE))],
    ) -> KeyItem:
        """Give an API key another title. A member renames only their own. Needs the scope `keys:update`."""
        renamed = await self._keys.changes.rename(
            principal, str(app_id), str(api_key_id), body.api_key_name, address=caller_of(request.scope).address
        )
        return _item(renamed)

    async def rotate_key(
        self,
        app_id: _AppId,
        api_key_id: _KeyId,
        body: Rotation,
        request: Request,
        response: Response,
        *,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.KEYS_ROTATE))],
    ) -> RotatedKeyBody:
        """Put a new API key in the place of one, which goes on working for the overlap. Needs `keys:rotate`.

        The new key has the same title, app, owner, scopes and expiry, and is shown in this answer alone; it ends
        earlier where your organization says how long API keys live. The old one ends after the overlap, or at its
        expiry if that comes first. A key is rotated once; afterwards its successor is. A member rotates only their own
        keys, and nobody the key of somebody who may do more than they.
        """
        found = await self._keys.changes.rotate(
            principal, str(app_id), str(api_key_id), body.overlap_seconds, address=caller_of(request.scope).address
        )
        response.headers["Cache-Control"] = "no-store"
        return RotatedKeyBody(**_created(found.made), predecessor_expires_at=found.predecessor_expires_at)

    async def delete_key(
        self,
        app_id: _AppId,
        api_key_id: _KeyId,
        request: Request,
        principal: Annotated[Principal, Depends(allow_bearer(Permission.KEYS_DELETE))],
    ) -> Deleted:
        """Delete an API key, which stops working at once. A member deletes only their own. Needs `keys:delete`."""
        await self._keys.delete_key(principal, str(app_id), str(api_key_id), address=caller_of(request.scope).address)
        return Deleted(deleted=True)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "api_key_id": key.id,
        "api_key_name": key.title,
        "app_id": key.app_id,
        "app_name": key.app_name,
        "created_by_user_id": key.user_id,
        "created_by_user_email": key.email,
        "created_at": key.created_at,
        "display_value": key.hint,
    }


def _item(key: ApiKey) -> KeyItem:
    return KeyItem(
        **_shown(key), expires_at=key.expires_at, last_used_at=key.last_used_at, successor_id=key.successor_id
    )


def _created(made: CreatedKey) -> dict[str, Any]:
    return {**_shown(made.record), "raw_api_key": made.secret.reveal(), "expires_at": made.record.expires_at}
