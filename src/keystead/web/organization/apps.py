"""The apps of an organization, and every key in them, whoever made it: an admin sees and revokes all (promise K8)."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Conflict, InvalidParameters, NotFound
from keystead.kernel.scopes import Scope
from keystead.keys.models import LONGEST_NAME, ApiKey, App
from keystead.keys.service import Keys
from keystead.web.asking import leader, messages, path_id
from keystead.web.frame import DONE, ORGANIZATION, Confirm, Frames, SettingsPage, Visitor, done, page
from keystead.web.parts import Shown, part

PATH: Final = f"{ORGANIZATION}/apps"
NO_APP: Final = "There is no such app in your organization."
NO_KEY: Final = "There is no such API key in this app. It may have been revoked already."

DONE["app-created"] = "The app is created. Keys can go into it now."
DONE["app-deleted"] = "The app and its keys are deleted. The keys are refused from now on."
DONE["app-key-revoked"] = "The key is revoked. It is refused from now on."


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLine:
    """An app and how many keys are in it; ``created_at`` is in Unix seconds."""

    name: str
    keys: int
    created_at: int
    url: str
    delete_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppsPage(SettingsPage):
    """Every app, and the form for another; ``name`` is what was typed and ``error`` what is wrong with it."""

    template: ClassVar[str] = "organization/apps.html"
    apps: tuple[AppLine, ...]
    shown: Shown
    name: str = ""
    error: str = ""
    longest: int = LONGEST_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """A key of an app. Times are in Unix seconds; ``state`` is empty for a key like any other."""

    title: str
    hint: str
    creator: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    last_used_address: str | None
    state: Literal["", "expired", "rotated", "exposed"]
    revoke_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPage(SettingsPage):
    """One app with its keys."""

    template: ClassVar[str] = "organization/app.html"
    name: str
    created_at: int
    keys: tuple[KeyLine, ...]
    shown: Shown
    url: str
    delete_url: str
    back: str = PATH


class AppPages:
    """The pages under ``/settings/organization/apps``."""

    def __init__(self, *, frames: Frames, keys: Keys) -> None:
        """Show what ``keys`` knows."""
        self._frames = frames
        self._keys = keys

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH, self.create, methods=["POST"])
        router.add_route(PATH + "/{app}", self.show_app, methods=["GET"])
        router.add_route(PATH + "/{app}/delete", self.ask, methods=["GET"])
        router.add_route(PATH + "/{app}/delete", self.delete, methods=["POST"])
        router.add_route(PATH + "/{app}/keys/{key}/revoke", self.ask_key, methods=["GET"])
        router.add_route(PATH + "/{app}/keys/{key}/revoke", self.revoke_key, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show every app."""
        visitor = leader(self._frames, request)
        return page(await self._view(visitor))

    async def create(self, request: Request) -> Response:
        """Make an app."""
        visitor = leader(self._frames, request)
        form = await visitor.form()
        visitor.check_scope(Scope.APPS_CREATE)
        name = form.get("name", "")
        try:
            await self._keys.create_app(visitor.principal, name, address=visitor.address)
        except InvalidParameters as problem:
            error = messages(problem).get("app_name", problem.detail)
            return page(await self._view(visitor, name, error), InvalidParameters.status)
        except Conflict as problem:
            return page(await self._view(visitor, name, problem.detail), Conflict.status)
        return done(PATH, "app-created")

    async def show_app(self, request: Request) -> Response:
        """Show an app with its keys."""
        visitor = leader(self._frames, request)
        app, keys = await self._app(visitor, request)
        now = self._frames.now()
        some = part(request, _url(app.id), keys, lambda key: (key.title, key.hint, key.username, key.email))
        return page(
            AppPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                name=app.name,
                created_at=app.created_at,
                keys=tuple(_key_line(key, now) for key in some.items),
                shown=some.shown,
                url=_url(app.id),
                delete_url=_delete_url(app.id),
            )
        )

    async def ask(self, request: Request) -> Response:
        """Ask whether to delete an app."""
        visitor = leader(self._frames, request)
        app, keys = await self._app(visitor, request)
        live = "It holds no keys." if not keys else f"{_counted(len(keys))} in it will be refused at once."
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=f"Delete the app {app.name}?",
                sentences=(live, "Programs that use them stop working. This cannot be undone.")
                if keys
                else (live, "This cannot be undone."),
                action=_delete_url(app.id),
                button="Delete the app" if not keys else f"Delete the app and {_counted(len(keys))}",
                cancel=PATH,
            )
        )

    async def delete(self, request: Request) -> Response:
        """Delete an app with its keys."""
        visitor = leader(self._frames, request)
        await visitor.form()
        visitor.check_scope(Scope.APPS_DELETE)
        await self._keys.delete_app(visitor.principal, path_id(request, "app", NO_APP), address=visitor.address)
        return done(PATH, "app-deleted")

    async def ask_key(self, request: Request) -> Response:
        """Ask whether to revoke a key."""
        visitor = leader(self._frames, request)
        wanted = path_id(request, "key", NO_KEY)
        app, keys = await self._app(visitor, request)
        key = next((one for one in keys if one.id == wanted), None)
        if key is None:
            raise NotFound(NO_KEY)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=f"Revoke the key {key.title}?",
                sentences=(
                    f"It was made by {key.username} and is shown as {key.hint} in the app {app.name}.",
                    "Programs that use it are refused at once. This cannot be undone.",
                ),
                action=_revoke_url(key),
                button="Revoke the key",
                cancel=_url(app.id),
            )
        )

    async def revoke_key(self, request: Request) -> Response:
        """Revoke a key."""
        visitor = leader(self._frames, request)
        await visitor.form()
        visitor.check_scope(Scope.KEYS_DELETE)
        app_id, key_id = path_id(request, "app", NO_APP), path_id(request, "key", NO_KEY)
        await self._keys.delete_key(visitor.principal, app_id, key_id, address=visitor.address)
        return done(_url(app_id), "app-key-revoked")

    async def _view(self, visitor: Visitor, name: str = "", error: str = "") -> AppsPage:
        apps = await self._keys.list_apps(visitor.principal)
        some = part(visitor.request, PATH, apps, lambda app: (app.name,))
        keys = Counter(key.app_id for key in await self._keys.list_all_keys(visitor.principal))
        return AppsPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            apps=tuple(_line(app, keys[app.id]) for app in some.items),
            shown=some.shown,
            name=name,
            error=error,
        )

    async def _app(self, visitor: Visitor, request: Request) -> tuple[App, list[ApiKey]]:
        """Return the app in the path with its keys. Raises NotFound for one of another organization as well."""
        wanted = path_id(request, "app", NO_APP)
        found = await self._keys.list_apps(visitor.principal)
        app = next((one for one in found if one.id == wanted), None)
        if app is None:
            raise NotFound(NO_APP)
        return app, await self._keys.list_keys(visitor.principal, app.id)


def _line(app: App, keys: int) -> AppLine:
    return AppLine(
        name=app.name, keys=keys, created_at=app.created_at, url=_url(app.id), delete_url=_delete_url(app.id)
    )


def _key_line(key: ApiKey, now: int) -> KeyLine:
    return KeyLine(
        title=key.title,
        hint=key.hint,
        creator=key.username,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        last_used_address=key.last_used_address,
        state=_state(key, now),
        revoke_url=_revoke_url(key),
    )


def _state(key: ApiKey, now: int) -> Literal["", "expired", "rotated", "exposed"]:
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if key.exposed_at is not None:
        return "exposed"
    return "" if key.successor_id is None else "rotated"


def _counted(keys: int) -> str:
    return "1 key" if keys == 1 else f"{keys} keys"


def _url(app_id: str) -> str:
    return f"{PATH}/{app_id}"


def _delete_url(app_id: str) -> str:
    return f"{PATH}/{app_id}/delete"


def _revoke_url(key: ApiKey) -> str:
    return f"{PATH}/{key.app_id}/keys/{key.id}/revoke"
