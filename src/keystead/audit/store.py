"""The statements of the audit room."""

from typing import Final

from sqlalchemy import bindparam, select

from keystead.audit.models import AuditEvent
from keystead.db import Command, Query, insert_into
from keystead.db.tables import audit_event

APPEND: Final = Command(insert_into(audit_event))

NEWEST_OF_ORGANIZATION: Final = Query(
    select(audit_event)
    .where(audit_event.c.organization_id == bindparam("organization_id"))
    .order_by(audit_event.c.at.desc(), audit_event.c.id.desc())
    .limit(bindparam("most")),
    AuditEvent,
)
