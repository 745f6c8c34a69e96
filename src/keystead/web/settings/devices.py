"""Apps and devices: what a person has signed in with a code, how to sign it out, and which sign-in was copied."""

from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import NotFound
from keystead.kernel.scopes import DESCRIPTIONS, stored_scopes
from keystead.oauth.connected import ConnectedDevice, ConnectedDevices, ReuseAlarm
from keystead.web import views
from keystead.web.frame import DONE, SETTINGS, Confirm, Frames, SettingsPage, done, page
from keystead.web.pages import query_value
from keystead.web.render import exact_words, wait_words

PATH: Final = f"{SETTINGS}/devices"
A_PAGE: Final = 15
"""So many devices are on one page of the list, which stays below 60 KB with its styles and scripts."""
LONGEST_SEARCH: Final = 100

DONE["device-signed-out"] = "It is signed out. It has to be signed in again before it can act in your name."


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One device: the program's name and the device's, as they call themselves, its machine, and what it may do.

    The device's own name is empty where it gave none. Times are in Unix seconds. It ends at ``last_end_at``, or at
    ``ends_at`` already when it is not used before.
    """

    id: str
    name: str
    device_name: str
    machine: str
    address: str
    organization: str
    scopes: tuple[str, ...]
    granted_at: int
    last_used_at: int
    ends_at: int
    last_end_at: int
    sign_out_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesPage(SettingsPage):
    """The list, or the part of it that ``search`` finds; ``total`` counts all, ``found`` what is found."""

    template: ClassVar[str] = "settings/devices.html"
    devices: tuple[DeviceLine, ...]
    alarms: tuple[ReuseAlarm, ...]
    total: int
    found: int
    search: str
    newer_url: str
    older_url: str
    device_url: str


class ConnectedPages:
    """The pages under ``/settings/devices``."""

    def __init__(self, *, frames: Frames, connected: ConnectedDevices, access_token_ttl: int) -> None:
        """``access_token_ttl`` is for how many seconds a signed-out device may still hold a token that works."""
        self._frames = frames
        self._connected = connected
        self._access_token_ttl = access_token_ttl

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH + "/{device}/sign-out", self.ask, methods=["GET"])
        router.add_route(PATH + "/{device}/sign-out", self.sign_out, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show what is signed in, what was used last first."""
        visitor = self._frames.visitor(request)
        user_id = visitor.principal.identity.user_id
        devices = await self._connected.list_everywhere(user_id)
        alarms = await self._connected.alarms(user_id)
        search = query_value(request, "search").strip()[:LONGEST_SEARCH]
        found = sorted((one for one in devices if _fits(one, search)), key=_last_used_first)
        begin = _beginning(query_value(request, "after"), len(found))
        older = begin + A_PAGE if begin + A_PAGE < len(found) else None
        newer = max(0, begin - A_PAGE) if begin else None
        return page(
            DevicesPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                devices=tuple(_line(one) for one in found[begin : begin + A_PAGE]),
                alarms=tuple(alarms),
                total=len(devices),
                found=len(found),
                search=search,
                newer_url=_list_url(search, newer),
                older_url=_list_url(search, older),
                device_url=views.DEVICE_PATH,
            )
        )

    async def ask(self, request: Request) -> Response:
        """Ask whether to sign a device out."""
        visitor = self._frames.visitor(request)
        device = await self._connected.find(visitor.principal.identity.user_id, _id_in(request))
        until = wait_words(self._access_token_ttl)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=f"Sign out {_named(device)}?",
                sentences=(
                    *((f"It runs on {device.platform}.",) if device.device_name and device.platform else ()),
                    f"It was signed in to {device.organization} on {exact_words(device.created_at)}, "
                    f"from {device.address or 'an unknown address'}.",
                    "It can get no new tokens from now on, and short-term tokens that it made end at once. "
                    f"An access token that it holds already ends by itself within {until}.",
                    "You can sign it in again at any time.",
                ),
                action=_sign_out_url(device.id),
                button="Sign out",
                cancel=PATH,
            )
        )

    async def sign_out(self, request: Request) -> Response:
        """Sign a device out."""
        visitor = self._frames.visitor(request)
        await visitor.form()
        await self._connected.sign_out(visitor.principal, _id_in(request), address=visitor.address)
        return done(PATH, "device-signed-out")


def _id_in(request: Request) -> str:
    """Return the device's id in the path. Raises NotFound for what a text column cannot hold."""
    device = str(request.path_params["device"])
    if not device.isascii() or not device.isprintable():
        raise NotFound()
    return device


def _fits(device: ConnectedDevice, search: str) -> bool:
    """Whether what was searched for is in what is shown of a device."""
    shown = (device.client_name, device.device_name or "", device.platform, device.address, device.organization)
    return search.casefold() in "\n".join(shown).casefold()


def _last_used_first(device: ConnectedDevice) -> tuple[int, int, str]:
    return -device.last_used_at, -device.created_at, device.id


def _beginning(after: str, found: int) -> int:
    """Return where the page begins: a number in the address that is none, or too high, is the first page."""
    number = int(after) if after.isascii() and after.isdigit() and len(after) <= 6 else 0
    return number if number < found else 0


def _list_url(search: str, after: int | None) -> str:
    """Return the address of a page of the list; empty where there is none."""
    if after is None:
        return ""
    asked = {**({"search": search} if search else {}), **({"after": str(after)} if after else {})}
    return f"{PATH}?{urlencode(asked)}" if asked else PATH


def _sign_out_url(device_id: str) -> str:
    return f"{PATH}/{device_id}/sign-out"


def _named(device: ConnectedDevice) -> str:
    where = device.device_name or device.platform
    return f"{device.client_name} on {where}" if where else device.client_name


def _line(device: ConnectedDevice) -> DeviceLine:
    scopes = stored_scopes(device.scopes)
    return DeviceLine(
        id=device.id,
        name=device.client_name,
        device_name=device.device_name or "",
        machine=device.platform,
        address=device.address,
        organization=device.organization,
        scopes=tuple(sentence for scope, sentence in DESCRIPTIONS.items() if scope in scopes),
        granted_at=device.created_at,
        last_used_at=device.last_used_at,
        ends_at=min(device.expires_at, device.refresh_expires_at),
        last_end_at=device.expires_at,
        sign_out_url=_sign_out_url(device.id),
    )
