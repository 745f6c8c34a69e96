"""Recording what was done, and reading it again."""

import json

from keystead.audit.models import AuditEvent, Detail
from keystead.audit.store import APPEND, NEWEST_OF_ORGANIZATION
from keystead.db import Transaction
from keystead.db.engine import Reader
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id


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
