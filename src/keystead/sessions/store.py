"""The statements of the sessions room."""

from typing import Final

from sqlalchemy import bindparam, delete, select, update

from keystead.db import Command, Query, insert_into
from keystead.db.identity import IDENTITY_COLUMNS, joined_to_identity
from keystead.db.tables import session
from keystead.sessions.models import BrowserSession, EndedSession, SessionHolder

INSERT: Final = Command(insert_into(session))

HOLDER_BY_HASH: Final = Query(
    select(*IDENTITY_COLUMNS, session.c.id.label("session_id"), session.c.last_used_at, session.c.expires_at)
    .select_from(joined_to_identity(session))
    .where(session.c.secret_hash == bindparam("secret_hash")),
    SessionHolder,
)

_MINE: Final = (
    session.c.user_id == bindparam("user_id"),
    session.c.organization_id == bindparam("organization_id"),
)
SESSIONS_OF: Final = Query(
    select(
        session.c.id,
        session.c.created_at,
        session.c.last_used_at,
        session.c.expires_at,
        session.c.address,
        session.c.user_agent,
    )
    .where(*_MINE)
    .order_by(session.c.created_at, session.c.id),
    BrowserSession,
)

_END = delete(session).returning(session.c.id, session.c.user_id, session.c.organization_id)
END_BY_HASH: Final = Query(_END.where(session.c.secret_hash == bindparam("secret_hash")), EndedSession)
END_BY_ID: Final = Query(_END.where(session.c.id == bindparam("session_id")), EndedSession)
END_MINE: Final = Query(_END.where(session.c.id == bindparam("session_id"), *_MINE), EndedSession)
END_ALL_OF_USER: Final = Command(delete(session).where(session.c.user_id == bindparam("user_id")))

# Only forward: batches of several processes may arrive out of order.
RECORD_USE: Final = Command(
    update(session)
    .where(session.c.id == bindparam("session_id"), session.c.last_used_at < bindparam("at"))
    .values(last_used_at=bindparam("at"))
)
