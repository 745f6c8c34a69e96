"""Recording what was done, and reading it again."""

import json
from typing import Final

from keystead.audit.models import AuditEvent, AuditFilters, AuditPage, AuditPlace, Detail, ToldEvent
from keystead.audit.store import (
    APPEND,
    END_OF_LOOK,
    END_OF_LOOK_OF_ACTOR,
    IMPERSONATIONS_OF,
    NEWEST_OF_ACTOR,
    NEWEST_OF_ORGANIZATION,
    PAGE,
    PAGE_OF_ACTOR,
)
from keystead.db import Transaction
from keystead.db.engine import Reader
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id

LOOKED_AT: Final = 10_000
"""Events that a filter looks through at a time: some milliseconds on either engine."""
IMPERSONATE: Final = "session:impersonate"
"""An operator began to act as the person who is the event's target."""


class AuditLog:
    """The audit log. Its retention is kept by the database's clean-up."""

    def __init__(self, *, clock: Clock) -> None:
        """Stamp events with ``clock``."""
        self._clock = clock

    async def record(
        self,
        tx: Transaction,
        event_type: str,
        *,
        actor_id: str | None = None,
        organization_id: str | None = None,
        target: str | None = None,
        address: str | None = None,
        **detail: Detail,
    ) -> None:
        """Record an event of type ``subject:action`` in the transaction of the change that it tells of.

        Raises TypeError when ``detail`` holds anything but texts, whole numbers and truths, a secret for instance.
        """
        await tx.run(
            APPEND,
            {
                "id": new_id(),
                "at": self._clock.now(),
                "type": event_type,
                "actor_id": actor_id,
                "organization_id": organization_id,
                "target": target,
                "address": address,
                "detail": json.dumps(detail, ensure_ascii=False, sort_keys=True),
            },
        )

    async def of_organization(self, reader: Reader, organization_id: str, *, most: int = 100) -> list[AuditEvent]:
        """Return an organization's newest events, the newest first."""
        return await reader.all(NEWEST_OF_ORGANIZATION, {"organization_id": organization_id, "most": most})

    async def of_user(self, reader: Reader, user_id: str, most: int) -> list[AuditEvent]:
        """Return the newest events of what a person did themselves, in every organization, the newest first."""
        return await reader.all(NEWEST_OF_ACTOR, {"actor_id": user_id, "most": most})

    async def impersonations_of(self, reader: Reader, user_id: str, since: int, most: int) -> list[ToldEvent]:
        """Return when operators acted as a person since a Unix second, with their names, the newest first."""
        return await reader.all(IMPERSONATIONS_OF, {"user_id": user_id, "since": since, "most": most})

    async def page(
        self, reader: Reader, organization_id: str, filters: AuditFilters, before: AuditPlace | None, most: int
    ) -> AuditPage:
        """Return the newest events of an organization that fit and stand before a place; ``most`` of them at most.

        It looks at no more than ``LOOKED_AT`` events to find them, and says where to go on.
        """
        place = min(before or AuditPlace(filters.until, ""), AuditPlace(filters.until, ""), key=_order)
        looked_at = LOOKED_AT if filters.looks else most + 1
        whose = {"organization_id": organization_id, "since": filters.since, "at": place.at, "id": place.id}
        if filters.actor_id:
            whose["actor_id"] = filters.actor_id
        asked = {**whose, "kind": filters.kind, "target": filters.target, "looked_at": looked_at, "most": most + 1}
        found = await reader.all(PAGE_OF_ACTOR if filters.actor_id else PAGE, asked)
        if len(found) > most:
            return AuditPage(tuple(found[:most]), AuditPlace(found[most - 1].at, found[most - 1].id))
        if not filters.looks:
            return AuditPage(tuple(found), None)
        end = END_OF_LOOK_OF_ACTOR if filters.actor_id else END_OF_LOOK
        last: AuditPlace | None = await reader.one(end, {**whose, "passed": looked_at - 1})
        return AuditPage(tuple(found), last)


def _order(place: AuditPlace) -> tuple[int, str]:
    return place.at, place.id
