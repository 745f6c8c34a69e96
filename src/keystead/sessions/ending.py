"""Ending many browser sessions at once, in the unit of work of whoever decides it.

Each is one statement, however many sessions there are. Whoever calls announces whom it concerns, so that no process
goes on with what it remembers (promise V1).
"""

from typing import Final

from sqlalchemy import bindparam, delete, select

from keystead.db import Command, Transaction
from keystead.db.tables import membership, session
from keystead.sessions import store

END_IN: Final = Command(
    delete(session).where(
        session.c.user_id == bindparam("user_id"), session.c.organization_id == bindparam("organization_id")
    )
)
END_OTHERS_IN: Final = Command(
    delete(session).where(
        session.c.user_id == bindparam("user_id"),
        session.c.organization_id == bindparam("organization_id"),
        session.c.id != bindparam("session_id"),
    )
)
_MEMBERS = select(membership.c.user_id).where(membership.c.organization_id == bindparam("organization_id"))
# By the members, of whom each has a few sessions, so that sessions need no index of their own for it.
END_WITH_PASSWORD_ALONE: Final = Command(
    delete(session).where(
        session.c.user_id.in_(_MEMBERS),
        session.c.organization_id == bindparam("organization_id"),
        session.c.second_factor == 0,
    )
)
END_ALL_WITH_PASSWORD_ALONE: Final = Command(delete(session).where(session.c.second_factor == 0))
END_OTHERS_WITH_PASSWORD_ALONE: Final = Command(
    delete(session).where(
        session.c.user_id == bindparam("user_id"),
        session.c.id != bindparam("session_id"),
        session.c.second_factor == 0,
    )
)


async def end_in(tx: Transaction, user_id: str, organization_id: str) -> int:
    """End a person's sessions in one organization, and return how many those were."""
    return await tx.run(END_IN, {"user_id": user_id, "organization_id": organization_id})


async def end_others_in(tx: Transaction, user_id: str, organization_id: str, session_id: str) -> int:
    """End a person's sessions in one organization but this one, and their sign-ins that are not finished.

    Return how many sessions those were.
    """
    others = {"user_id": user_id, "organization_id": organization_id, "session_id": session_id}
    ended = await tx.run(END_OTHERS_IN, others)
    await tx.run(store.END_STEPS_OF_USER, {"user_id": user_id})
    return ended


async def end_with_password_alone(tx: Transaction, organization_id: str) -> int:
    """End the sessions in an organization that were begun without a second factor, and return how many those were."""
    return await tx.run(END_WITH_PASSWORD_ALONE, {"organization_id": organization_id})


async def end_all_with_password_alone(tx: Transaction) -> int:
    """End every session that was begun without a second factor, of everybody, and return how many those were."""
    return await tx.run(END_ALL_WITH_PASSWORD_ALONE, {})


async def end_others_with_password_alone(tx: Transaction, user_id: str, session_id: str) -> int:
    """End a person's other sessions that were begun without a second factor, and return how many those were."""
    return await tx.run(END_OTHERS_WITH_PASSWORD_ALONE, {"user_id": user_id, "session_id": session_id})
