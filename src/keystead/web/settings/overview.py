"""The overview: who somebody is here, where they can switch to, what expires soon, and what went on lately."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.audit.models import AuditEvent
from keystead.audit.service import AuditLog
from keystead.db import Database
from keystead.keys.models import ApiKey
from keystead.keys.service import Keys
from keystead.keys.use import DayOfUse
from keystead.oauth.connected import ConnectedDevice, ConnectedDevices
from keystead.sessions.impersonating import Impersonating
from keystead.web.charts import Chart, Series, bar_chart, whole
from keystead.web.frame import SETTINGS, Frames, SettingsPage, Visitor, page
from keystead.web.parts import Shown, stretch
from keystead.web.settings.expiry import DAY
from keystead.web.settings.keys import PATH as KEYS_PATH
from keystead.web.settings.keys import SOON

DAYS: Final = 30
"""The days of the picture of use."""
SIGN_INS: Final = 5
"""So many of the newest sign-ins are shown."""
ENDING: Final = 10
"""So many of what ends soon are shown, the first to end first."""
LOOKED_AT: Final = 100
"""So many of a person's newest events are looked at to find them."""
SIGNED_IN: Final = "session:create"


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipLine:
    """An organization that one belongs to, one's role there, and whether it is the one that is shown."""

    id: str
    name: str
    role: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingLine:
    """Something that ends at ``at``, in Unix seconds, ``unless`` something happens, and where one can do something."""

    what: str
    name: str
    unless: str = ""
    at: int
    url: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLine:
    """A sign-in; ``new_device`` is for a browser that was not known before. ``at`` is in Unix seconds."""

    at: int
    address: str
    new_device: bool
    second_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedLine:
    """An operator acted as the person, for a reason. ``at`` is in Unix seconds."""

    at: int
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPage(SettingsPage):
    """The overview. ``chart`` is None while nothing was used; ``new_here`` is for who has neither keys nor devices.

    ``more_ending`` counts what ends soon but after all that is in ``ending``. ``acted`` tells which operators acted as
    the person of late.
    """

    template: ClassVar[str] = "settings/overview.html"
    name: str
    username: str
    email: str
    memberships: tuple[MembershipLine, ...]
    shown: Shown
    ending: tuple[EndingLine, ...]
    more_ending: int
    sign_ins: tuple[SignInLine, ...]
    chart: Chart | None
    new_here: bool
    acted: tuple[ActedLine, ...] = ()


class OverviewPages:
    """The page ``/settings``."""

    def __init__(
        self,
        *,
        frames: Frames,
        db: Database,
        audit: AuditLog,
        keys: Keys,
        connected: ConnectedDevices,
        impersonating: Impersonating,
    ) -> None:
        """Show what the services know."""
        self._frames = frames
        self._db = db
        self._audit = audit
        self._keys = keys
        self._connected = connected
        self._impersonating = impersonating

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(include_in_schema=False)
        router.add_route(SETTINGS, self.show, methods=["GET"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the overview."""
        visitor = self._frames.visitor(request)
        identity, now = visitor.principal.identity, self._frames.now()
        memberships = await self._frames.memberships(visitor)
        keys = await self._keys.own.all(identity)
        first_day = (now // DAY - DAYS + 1) * DAY
        uses = await self._keys.uses(identity.organization_id, identity.user_id, first_day)
        devices = await self._connected.list_everywhere(identity.user_id)
        events = await self._audit.of_user(self._db, identity.user_id, LOOKED_AT)
        acted = await self._impersonating.told(identity.user_id)
        ending = _ending(visitor, keys, devices, now)
        some = stretch(request, SETTINGS, memberships, "organization")
        return page(
            OverviewPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(SETTINGS),
                name=identity.name,
                username=identity.username,
                email=identity.email,
                memberships=tuple(
                    MembershipLine(
                        id=one.organization_id,
                        name=one.organization_display_name,
                        role=one.role,
                        current=one.organization_id == identity.organization_id,
                    )
                    for one in some.items
                ),
                shown=some.shown,
                ending=ending[:ENDING],
                more_ending=max(0, len(ending) - ENDING),
                sign_ins=tuple(line for line in map(_sign_in, events) if line is not None)[:SIGN_INS],
                chart=_chart(uses, first_day),
                new_here=not keys and not devices,
                acted=tuple(
                    ActedLine(at=one.at, operator=one.actor or "", reason=json.loads(one.detail)["reason"])
                    for one in acted
                ),
            )
        )


def _ending(
    visitor: Visitor, keys: Sequence[ApiKey], devices: Sequence[ConnectedDevice], now: int
) -> tuple[EndingLine, ...]:
    """Return what ends within the next days, the first to end first."""
    lines = [
        EndingLine(
            what="API key",
            name=f"{key.title} ({key.hint})",
            at=key.expires_at,
            url=f"{KEYS_PATH}/{key.id}/rotate" if key.successor_id is None else KEYS_PATH,
            label="Rotate" if key.successor_id is None else "See your keys",
        )
        for key in keys
        if key.expires_at is not None and now < key.expires_at <= now + SOON
    ]
    lines += [
        EndingLine(
            what="Device",
            name=device.client_name,
            at=device.expires_at,
            url=f"{SETTINGS}/devices",
            label="See your devices",
        )
        for device in devices
        if now < device.expires_at <= now + SOON
    ]
    # Whoever acts as the person is told so above; no use of theirs makes that session longer.
    session_ends = None if visitor.principal.impersonator else visitor.principal.expires_at
    if session_ends is not None and session_ends <= now + SOON:
        url = f"{SETTINGS}/sessions"
        lines.append(
            EndingLine(
                what="This browser",
                name="your sign-in",
                unless="unless you use it before",
                at=session_ends,
                url=url,
                label="See your browsers",
            )
        )
    return tuple(sorted(lines, key=lambda line: line.at))


def _sign_in(event: AuditEvent) -> SignInLine | None:
    """Return a sign-in; None for any other event, also for a session that took the place of another one."""
    detail = json.loads(event.detail)
    if event.type != SIGNED_IN or "known_device" not in detail:
        return None
    return SignInLine(
        at=event.at,
        address=event.address or "",
        new_device=not detail["known_device"],
        second_factor="second_factor" in detail,
    )


def _chart(uses: Sequence[DayOfUse], first_day: int) -> Chart | None:
    """Return the picture of the uses of all keys, one bar a day; None when there was none."""
    days = [first_day + number * DAY for number in range(DAYS)]
    counted = dict.fromkeys(days, 0)
    for one in uses:
        if one.day in counted:  # a clock that is ahead may have counted tomorrow already
            counted[one.day] += one.uses
    total, most = sum(counted.values()), max(counted.values())
    if not total:
        return None
    busiest = next(day for day, number in counted.items() if number == most)
    return bar_chart(
        id="uses",
        title=f"Requests with your API keys in the last {DAYS} days",
        sentence=f"{whole(total)} {'request' if total == 1 else 'requests'}, most of them on {_day(busiest)} "
        f"({whole(most)}). Days are those of UTC; today is not over.",
        heading="Day",
        labels=[_day(day) for day in days],
        series=[Series(name="Requests", values=list(counted.values()))],
    )


def _day(at: int) -> str:
    day = datetime.fromtimestamp(at, UTC)
    return f"{day.day} {day:%B}"
