"""The statements of the audit room."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, Text, bindparam, literal_column, or_, select, tuple_
from sqlalchemy.sql.expression import func

from keystead.audit.models import AuditEvent, AuditPlace, ToldEvent
from keystead.db import Command, Query, insert_into
from keystead.db.tables import audit_event, user

APPEND: Final = Command(insert_into(audit_event))

_NEWEST_FIRST: Final = (audit_event.c.at.desc(), audit_event.c.id.desc())
NEWEST_OF_ORGANIZATION: Final = Query(
    select(audit_event)
    .where(audit_event.c.organization_id == bindparam("organization_id"))
    .order_by(*_NEWEST_FIRST)
    .limit(bindparam("most")),
    AuditEvent,
)
NEWEST_OF_ACTOR: Final = Query(
    select(audit_event)
    .where(audit_event.c.actor_id == bindparam("actor_id"))
    .order_by(*_NEWEST_FIRST)
    .limit(bindparam("most")),
    AuditEvent,
)
IMPERSONATIONS_OF: Final = Query(
    select(
        *audit_event.c,
        select(user.c.username).where(user.c.id == audit_event.c.actor_id).scalar_subquery().label("actor"),
    )
    .where(
        # In the text of the statement, because the index holds these events alone.
        audit_event.c.type == literal_column("'session:impersonate'", Text),
        audit_event.c.target == bindparam("user_id"),
        audit_event.c.at >= bindparam("since"),
    )
    .order_by(audit_event.c.at.desc())
    .limit(bindparam("most")),
    ToldEvent,
)


# Reading page by page. A filter that no index serves looks at so many events and no more, so that a question that
# finds nothing does not walk through millions of them (promise O5).

# In the text of the statement, since each dialect numbers fixed values by itself.
_EMPTY: Final[ColumnElement[str]] = literal_column("''", Text)
_COLON: Final[ColumnElement[str]] = literal_column("':'", Text)
_FIRST: Final[ColumnElement[int]] = literal_column("1", BigInteger)


def _before(*whose: ColumnElement[bool]) -> Select[Any]:
    place = tuple_(bindparam("at", type_=BigInteger), bindparam("id", type_=Text))
    return (
        select(audit_event)
        .where(
            *whose,
            audit_event.c.at >= bindparam("since"),
            tuple_(audit_event.c.at, audit_event.c.id) < place,
        )
        .order_by(*_NEWEST_FIRST)
    )


def _page(*whose: ColumnElement[bool]) -> Query[ToldEvent]:
    """Return what fits among so many events before a place."""
    seen = _before(*whose).limit(bindparam("looked_at")).subquery("seen")
    kind, target = bindparam("kind", type_=Text), bindparam("target", type_=Text)
    subject = kind.concat(_COLON)
    name = select(user.c.username).where(user.c.id == seen.c.actor_id).scalar_subquery()
    return Query(
        select(seen, name.label("actor"))
        .where(
            or_(kind == _EMPTY, seen.c.type == kind, func.substr(seen.c.type, _FIRST, func.length(subject)) == subject),
            or_(target == _EMPTY, seen.c.target == target),
        )
        .order_by(seen.c.at.desc(), seen.c.id.desc())
        .limit(bindparam("most")),
        ToldEvent,
    )


def _end(*whose: ColumnElement[bool]) -> Query[AuditPlace]:
    """Return the last of so many events before a place, if there are that many."""
    last = _before(*whose).with_only_columns(audit_event.c.at, audit_event.c.id)
    return Query(last.limit(_FIRST).offset(bindparam("passed")), AuditPlace)


_ORGANIZATION = audit_event.c.organization_id == bindparam("organization_id")
_ACTOR = audit_event.c.actor_id == bindparam("actor_id")
# Written so that no index of the organization serves it: a person has done less than their organization.
_IN_ORGANIZATION = func.coalesce(audit_event.c.organization_id, _EMPTY) == bindparam("organization_id", type_=Text)

PAGE: Final = _page(_ORGANIZATION)
END_OF_LOOK: Final = _end(_ORGANIZATION)
PAGE_OF_ACTOR: Final = _page(_ACTOR, _IN_ORGANIZATION)
END_OF_LOOK_OF_ACTOR: Final = _end(_ACTOR, _IN_ORGANIZATION)
