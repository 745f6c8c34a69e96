"""The audit log of an organization: what was done by whom, page by page, and as a file."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from keystead.accounts.service import Accounts
from keystead.audit.models import END_OF_TIME, AuditFilters, AuditPage, AuditPlace, ToldEvent
from keystead.audit.service import LOOKED_AT, AuditLog
from keystead.db import Database
from keystead.web.asking import DAY, PAGE, day, leader, page_url, place
from keystead.web.frame import ORGANIZATION, Choice, Frames, SettingsPage, Visitor, page
from keystead.web.organization import spreadsheets
from keystead.web.pages import query_value
from keystead.web.render import machine_time
from keystead.web.settings.events import sentence

PATH: Final = f"{ORGANIZATION}/audit"
FILE_PATH: Final = f"{ORGANIZATION}/audit.csv"
MOST_ROWS: Final = 100_000
"""Events in one file."""
_BITE: Final = 1_000
_LONGEST: Final = 320
_NOBODY: Final = "-"
"""The id that no user has."""
_KINDS: Final = (
    ("", "Everything"),
    ("key", "API keys"),
    ("app", "Apps"),
    ("balance", "Balance"),
    ("device", "Device approvals"),
    ("grant", "Devices and programs"),
    ("invitation", "Invitations"),
    ("membership", "Members"),
    ("organization", "Organization and policies"),
    ("session", "Sign-ins with a browser"),
    ("token", "Tokens"),
)

_COLUMNS: Final = ("time", "person", "what", "type", "target", "address", "detail", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address of the page asks for, as it was typed."""

    type: str = ""
    person: str = ""
    since: str = ""
    until: str = ""
    target: str = ""

    def parameters(self) -> dict[str, str]:
        """Return the query of an address that asks for the same."""
        return {
            "type": self.type,
            "person": self.person,
            "from": self.since,
            "to": self.until,
            "target": self.target,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One thing that was done; ``at`` is in Unix seconds, ``person`` is empty for the operator on the host."""

    at: int
    sentence: str
    person: str
    address: str
    target: str
    target_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLogPage(SettingsPage):
    """Some events and the filters they fit. ``looked_until`` is set where a look ended before it had found enough."""

    template: ClassVar[str] = "organization/audit.html"
    asked: Asked
    filtered: bool
    kinds: tuple[Choice, ...]
    errors: dict[str, str]
    events: tuple[EventLine, ...]
    newest_url: str
    older_url: str
    looked_until: int | None
    looked_at: int = LOOKED_AT
    file_url: str
    most_rows: int = MOST_ROWS


class AuditPages:
    """The page ``/settings/organization/audit`` and the file ``/settings/organization/audit.csv``."""

    def __init__(self, *, frames: Frames, audit: AuditLog, accounts: Accounts, db: Database) -> None:
        """Read ``audit`` over ``db``; ``accounts`` knows people by their names."""
        self._frames = frames
        self._audit = audit
        self._accounts = accounts
        self._db = db

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(FILE_PATH, self.file, methods=["GET"])
        return router

    async def show(self, request: Request) -> Response:
        """Show a page of events."""
        visitor = leader(self._frames, request)
        asked = _asked(request)
        filters, errors = await self._filters(asked)
        before = place(request)
        found = AuditPage((), None)
        if not errors:
            found = await self._page(visitor, filters, AuditPlace(*before) if before else None, PAGE)
        parameters, older = asked.parameters(), found.older
        return page(
            AuditLogPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                asked=asked,
                filtered=any(parameters.values()),
                kinds=_kinds(asked.type),
                errors=errors,
                events=tuple(_line(event) for event in found.events),
                newest_url=page_url(PATH, parameters) if before else "",
                older_url=page_url(PATH, parameters, older.at, older.id) if older else "",
                looked_until=older.at if older and len(found.events) < PAGE else None,
                file_url=page_url(FILE_PATH, parameters),
            ),
            422 if errors else 200,
        )

    async def file(self, request: Request) -> Response:
        """Send the events that fit as a file, the newest first."""
        visitor = leader(self._frames, request)
        filters, errors = await self._filters(_asked(request))
        if errors:
            return await self.show(request)
        first = await self._page(visitor, filters, None, _BITE)  # before the answer begins: it may still be refused
        name = f"audit-{visitor.principal.identity.organization}.csv"
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{spreadsheets.file_name(name)}"',
        }
        rows = self._rows(visitor, filters, first)
        return StreamingResponse(rows, headers=headers, media_type="text/csv; charset=utf-8")

    async def _rows(self, visitor: Visitor, filters: AuditFilters, first: AuditPage) -> AsyncIterator[bytes]:
        """Yield the file in bites; between two of them others have their turn."""
        yield spreadsheets.lines([_COLUMNS])
        found, left = first, MOST_ROWS
        while True:
            events = found.events[:left]
            left -= len(events)
            if events:
                yield spreadsheets.lines([_row(event) for event in events])
            if found.older is None or not left:
                break
            await asyncio.sleep(0)
            found = await self._page(visitor, filters, found.older, _BITE)
        if found.older is not None or len(found.events) > len(events):
            cut = f"Cut after {MOST_ROWS} events. Ask for a shorter time to get the others."
            yield spreadsheets.lines([(cut, *[""] * (len(_COLUMNS) - 1))])

    async def _page(self, visitor: Visitor, filters: AuditFilters, before: AuditPlace | None, most: int) -> AuditPage:
        organization_id = visitor.principal.identity.organization_id
        return await self._audit.page(self._db, organization_id, filters, before, most)

    async def _filters(self, asked: Asked) -> tuple[AuditFilters, dict[str, str]]:
        """Return what is asked for, and what is wrong with it by the field's name.

        A name that nobody has finds nothing, just as the name of somebody who did nothing here: the log tells no
        organization who else has an account (promise W8).
        """
        errors: dict[str, str] = {}
        since, until = 0, END_OF_TIME
        for name, text in (("from", asked.since), ("to", asked.until)):
            try:
                begins = day(text) if text else None
            except ValueError:
                errors[name] = "Write the day like 2026-03-14."
                continue
            if begins is not None and name == "from":
                since = begins
            elif begins is not None:
                until = begins + DAY
        if not errors and since >= until:
            errors["to"] = "This day is before the first one."
        actor_id = ""
        if asked.person and not errors:
            person = await self._accounts.user_by_name(asked.person)
            actor_id = _NOBODY if person is None else person.id
        filters = AuditFilters(kind=asked.type, actor_id=actor_id, target=asked.target, since=since, until=until)
        return filters, errors


def _asked(request: Request) -> Asked:
    def value(name: str) -> str:
        # Neither database takes a NUL in a text; nothing that is stored holds one.
        return query_value(request, name).replace("\x00", "\N{REPLACEMENT CHARACTER}").strip()[:_LONGEST]

    return Asked(
        type=value("type"), person=value("person"), since=value("from"), until=value("to"), target=value("target")
    )


def _kinds(chosen: str) -> tuple[Choice, ...]:
    """Return the kinds to choose from, and a type that only the address names."""
    known = _KINDS if chosen in dict(_KINDS) else (*_KINDS, (chosen, chosen))
    return tuple(Choice(value=value, label=label, checked=value == chosen) for value, label in known)


def _line(event: ToldEvent) -> EventLine:
    target = event.target or ""
    return EventLine(
        at=event.at,
        sentence=sentence(event),
        person=_person(event),
        address=event.address or "",
        target=target,
        target_url=page_url(PATH, {"target": target}),
    )


def _person(event: ToldEvent) -> str:
    return event.actor or ("" if event.actor_id is None else event.actor_id)


def _row(event: ToldEvent) -> tuple[str, ...]:
    return (
        machine_time(event.at),
        _person(event) or "operator",
        sentence(event),
        event.type,
        event.target or "",
        event.address or "",
        event.detail,
        event.id,
    )
