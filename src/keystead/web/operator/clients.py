"""Every client that somebody signed in with, for operators, and the switch that lets nobody sign in with one."""

from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import NotFound
from keystead.oauth.clients import Clients
from keystead.oauth.switching import ListedClient
from keystead.web.asking import operator, path_text
from keystead.web.frame import DONE, OPERATOR, Confirm, Frames, SettingsPage, done, page
from keystead.web.parts import Shown, part

PATH: Final = f"{OPERATOR}/clients"
_NONE: Final = "There is no client with this id."

DONE["client-off"] = "Nobody can sign in with this client any more. What is signed in stays."
DONE["client-on"] = "People can sign in with this client again."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLine:
    """A client; times are in Unix seconds, ``off_since`` is None while people may sign in with it."""

    name: str
    platform: str
    id: str
    built_in: bool
    first_approved_at: int | None
    sign_ins: int
    off_since: int | None
    off_by: str
    switch_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientsPage(SettingsPage):
    """The clients that are known here."""

    template: ClassVar[str] = "operator/clients.html"
    clients: tuple[ClientLine, ...]
    shown: Shown


class ClientPages:
    """The pages under ``/settings/operator/clients``."""

    def __init__(self, *, frames: Frames, clients: Clients) -> None:
        """Show what ``clients`` knows."""
        self._frames = frames
        self._clients = clients

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH + "/{client}/switch-off", self.ask_off, methods=["GET"])
        router.add_route(PATH + "/{client}/switch-off", self.switch_off, methods=["POST"])
        router.add_route(PATH + "/{client}/switch-on", self.ask_on, methods=["GET"])
        router.add_route(PATH + "/{client}/switch-on", self.switch_on, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show every client."""
        visitor = operator(self._frames, request)
        found = await self._clients.all_clients(visitor.principal)
        some = part(request, PATH, found, lambda one: (one.name, one.platform, one.id))
        return page(
            ClientsPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                clients=tuple(map(_line, some.items)),
                shown=some.shown,
            )
        )

    async def ask_off(self, request: Request) -> Response:
        """Ask whether to switch a client off."""
        return await self._ask(
            request,
            "Switch {} off?",
            "Nobody can sign in with it any more. What is signed in stays so, until people sign it out.",
            "switch-off",
            "Switch the client off",
        )

    async def switch_off(self, request: Request) -> Response:
        """Switch a client off."""
        visitor = operator(self._frames, request)
        await visitor.form()
        await self._clients.switch_off(path_text(request, "client"), visitor.principal, visitor.address)
        return done(PATH, "client-off")

    async def ask_on(self, request: Request) -> Response:
        """Ask whether to switch a client on."""
        return await self._ask(
            request,
            "Switch {} on again?",
            "People can sign in with it again.",
            "switch-on",
            "Switch the client on",
        )

    async def switch_on(self, request: Request) -> Response:
        """Switch a client on."""
        visitor = operator(self._frames, request)
        await visitor.form()
        await self._clients.switch_on(path_text(request, "client"), visitor.principal, visitor.address)
        return done(PATH, "client-on")

    async def _ask(self, request: Request, title: str, sentence: str, action: str, button: str) -> Response:
        visitor = operator(self._frames, request)
        wanted = path_text(request, "client")
        found = await self._clients.all_clients(visitor.principal)
        client = next((one for one in found if one.id == wanted), None)
        if client is None:
            raise NotFound(_NONE)
        on = f" on {client.platform}" if client.platform else ""
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=title.replace("{}", client.name),
                sentences=(
                    f"It calls itself {client.name}{on}, and {_counted(client.grants)} with it now.",
                    sentence,
                ),
                action=f"{_url(client.id)}/{action}",
                button=button,
                cancel=PATH,
                harmless=action == "switch-on",
            )
        )


def _counted(sign_ins: int) -> str:
    return "1 device is signed in" if sign_ins == 1 else f"{sign_ins} devices are signed in"


def _line(found: ListedClient) -> ClientLine:
    action = "switch-off" if found.switched_off_at is None else "switch-on"
    return ClientLine(
        name=found.name,
        platform=found.platform,
        id=found.id,
        built_in=found.built_in,
        first_approved_at=found.first_approved_at,
        sign_ins=found.grants,
        off_since=found.switched_off_at,
        off_by=found.switched_off_by or "",
        switch_url=f"{_url(found.id)}/{action}",
    )


def _url(client_id: str) -> str:
    return f"{PATH}/{quote(client_id, safe='')}"
