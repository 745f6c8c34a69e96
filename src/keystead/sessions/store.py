"""The statements of the sessions room."""

from typing import Final

from sqlalchemy import BigInteger, bindparam, delete, exists, func, literal_column, select, update

from keystead.db import Command, Query, insert_into, upsert
from keystead.db.identity import IDENTITY_COLUMNS, joined_to_identity
from keystead.db.tables import session, sign_in_step, user, wrong_guess
from keystead.kernel.principal import Impersonator
from keystead.sessions.models import (
    BrowserSession,
    Counted,
    EndedSession,
    KeptSession,
    SessionHolder,
    Step,
)

INSERT: Final = Command(insert_into(session))

HOLDER_BY_HASH: Final = Query(
    select(
        *IDENTITY_COLUMNS,
        session.c.id.label("session_id"),
        session.c.last_used_at,
        session.c.expires_at,
        session.c.impersonator_id,
    )
    .select_from(joined_to_identity(session))
    .where(session.c.secret_hash == bindparam("secret_hash")),
    SessionHolder,
)

_MINE: Final = (
    session.c.user_id == bindparam("user_id"),
    session.c.organization_id == bindparam("organization_id"),
)
_OPERATOR, _PARKED = user.alias("operator"), session.alias("parked")
_ACTS: Final = (_OPERATOR.c.platform_admin == 1) & _OPERATOR.c.disabled_at.is_(None) & _PARKED.c.id.is_not(None)
_SESSIONS: Final = (
    select(
        session.c.id,
        session.c.created_at,
        session.c.last_used_at,
        session.c.expires_at,
        session.c.address,
        session.c.user_agent,
        _OPERATOR.c.username.label("impersonator"),
        session.c.impersonation_reason,
    )
    .select_from(
        session.outerjoin(_OPERATOR, _OPERATOR.c.id == session.c.impersonator_id).outerjoin(
            _PARKED,
            (_PARKED.c.id == session.c.impersonator_session) & (_PARKED.c.user_id == session.c.impersonator_id),
        )
    )
    # What an operator began to act as the person has ended once the operator may not do so any more.
    .where(session.c.impersonator_id.is_(None) | _ACTS)
    .order_by(session.c.created_at, session.c.id)
)
SESSIONS_OF: Final = Query(_SESSIONS.where(*_MINE), BrowserSession)
SESSIONS_EVERYWHERE: Final = Query(_SESSIONS.where(session.c.user_id == bindparam("user_id")), BrowserSession)

_END = delete(session).returning(
    session.c.id,
    session.c.user_id,
    session.c.organization_id,
    session.c.impersonator_id,
    session.c.impersonator_session,
)
END_BY_HASH: Final = Query(_END.where(session.c.secret_hash == bindparam("secret_hash")), EndedSession)
END_BY_ID: Final = Query(_END.where(session.c.id == bindparam("session_id")), EndedSession)
END_MINE: Final = Query(_END.where(session.c.id == bindparam("session_id"), *_MINE), EndedSession)
END_ALL_OF_USER: Final = Command(delete(session).where(session.c.user_id == bindparam("user_id")))
END_OTHERS_OF_USER: Final = Command(
    delete(session).where(session.c.user_id == bindparam("user_id"), session.c.id != bindparam("session_id"))
)

# Whoever acts as somebody may do so for as long as they operate the installation and their own session is there.
IMPERSONATOR_OF: Final = Query(
    select(_OPERATOR.c.id.label("user_id"), _OPERATOR.c.username, _PARKED.c.id.label("session_id"))
    .select_from(
        session.join(_OPERATOR, _OPERATOR.c.id == session.c.impersonator_id).join(
            _PARKED,
            (_PARKED.c.id == session.c.impersonator_session) & (_PARKED.c.user_id == session.c.impersonator_id),
        )
    )
    .where(session.c.id == bindparam("session_id"), _OPERATOR.c.platform_admin == 1, _OPERATOR.c.disabled_at.is_(None)),
    Impersonator,
)
_ACTING = session.alias("acting")
# By its row count one of several at once: nobody acts twice from one session. Its old secret is good for nothing.
PARK: Final = Command(
    update(session)
    .where(
        session.c.id == bindparam("session_id"),
        session.c.impersonator_id.is_(None),
        ~exists().where(_ACTING.c.impersonator_session == bindparam("session_id")),
    )
    .values(secret_hash=bindparam("parked_hash"))
)
END_ACTING: Final = Query(
    _END.where(session.c.id == bindparam("session_id"), session.c.impersonator_id.is_not(None)), EndedSession
)
END_ACTING_FROM: Final = Query(_END.where(session.c.impersonator_session == bindparam("session_id")), EndedSession)

KEPT: Final = Query(
    select(
        session.c.id,
        session.c.user_id,
        session.c.organization_id,
        session.c.created_at,
        session.c.expires_at,
        session.c.address,
        session.c.user_agent,
        session.c.second_factor,
        session.c.password,
    ).where(session.c.id == bindparam("session_id")),
    KeptSession,
)
PROVE: Final = Command(update(session).where(session.c.id == bindparam("session_id")).values(second_factor=1))

INSERT_STEP: Final = Command(insert_into(sign_in_step))
STEP_BY_HASH: Final = Query(
    select(
        sign_in_step.c.id,
        sign_in_step.c.user_id,
        sign_in_step.c.attempts,
        sign_in_step.c.expires_at,
    ).where(sign_in_step.c.secret_hash == bindparam("secret_hash")),
    Step,
)
COUNT_WRONG: Final = Command(
    update(sign_in_step).where(sign_in_step.c.id == bindparam("step_id")).values(attempts=sign_in_step.c.attempts + 1)
)
END_STEP: Final = Command(delete(sign_in_step).where(sign_in_step.c.id == bindparam("step_id")))
END_STEPS_OF_USER: Final = Command(delete(sign_in_step).where(sign_in_step.c.user_id == bindparam("user_id")))

# Letters to an address and wrong codes of an account are counted where every node sees them, beside the wrong guesses.
COUNTED: Final = Query(
    select(
        # The sum of whole numbers is a decimal one on PostgreSQL.
        func.coalesce(func.sum(wrong_guess.c.count), literal_column("0")).cast(BigInteger).label("times"),
        func.min(wrong_guess.c.window_start).label("oldest"),
    ).where(wrong_guess.c.subject == bindparam("subject"), wrong_guess.c.window_start > bindparam("since")),
    Counted,
)

# Only forward: batches of several processes may arrive out of order.
RECORD_USE: Final = Command(
    update(session)
    .where(session.c.id == bindparam("session_id"), session.c.last_used_at < bindparam("at"))
    .values(last_used_at=bindparam("at"))
)
COUNT: Final = Command(
    upsert(wrong_guess)
    .values({c.name: bindparam(c.name) for c in wrong_guess.c if c.name != "count"} | {"count": 1})
    .on_conflict_do_update(index_elements=["subject", "window_start"], set_={"count": wrong_guess.c.count + 1})
)
