"""Whether a session was begun with more than a password, and which organizations ask for that."""

from typing import Final

from sqlalchemy import bindparam, exists, select

from keystead.db import Query
from keystead.db.engine import Reader
from keystead.db.tables import organization, session
from keystead.kernel.problems import Forbidden

BEGUN_WITH: Final = Query(select(session.c.second_factor).where(session.c.id == bindparam("session_id")), int)
_PROVEN = exists().where(session.c.id == bindparam("session_id"), session.c.second_factor == 1)
ASKS_FOR_MORE: Final = Query(
    select(organization.c.display_name).where(
        organization.c.id == bindparam("organization_id"), organization.c.second_factor_required == 1, ~_PROVEN
    ),
    str,
)


async def begun_with_second_factor(reader: Reader, session_id: str) -> bool:
    """Tell whether a session was begun with more than a password; one that has ended was not."""
    return await reader.one(BEGUN_WITH, {"session_id": session_id}) == 1


async def check_enough_for(reader: Reader, session_id: str, organization_id: str) -> None:
    """Raise Forbidden when an organization asks for a second factor and a session was begun without one."""
    name = await reader.one(ASKS_FOR_MORE, {"session_id": session_id, "organization_id": organization_id})
    if name is not None:
        raise not_enough(name)


def not_enough(organization: str) -> Forbidden:
    """Return the refusal of an organization, by its name for people, that a password alone does not lead into."""
    return Forbidden(
        f"{organization} asks its members for a second factor. Set one up under Security, or sign out and sign in with "
        "yours, then try again."
    )
