"""What a session was begun with, and which organizations ask for more than that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, bindparam, case, exists, literal_column, select

from keystead.accounts.models import Membership
from keystead.accounts.policies import asked_for
from keystead.db import Query
from keystead.db.engine import Reader
from keystead.db.tables import organization, session
from keystead.kernel.problems import Forbidden


@dataclass(frozen=True, slots=True)
class Begun:
    """What a session was begun with: ``second_factor`` and ``password`` are 0 or 1."""

    second_factor: int
    password: int


@dataclass(frozen=True, slots=True)
class Asks:
    """An organization that asks for more than a session was begun with: a second factor, or a passkey (0 or 1)."""

    display_name: str
    second_factor: int
    passkey: int


NO_ORGANIZATION: Final = "You do not belong to an organization yet. Ask its owner to add you, then sign in again."
_THIS: Final = session.c.id == bindparam("session_id")
BEGUN_WITH: Final = Query(select(session.c.second_factor, session.c.password).where(_THIS), Begun)


def _lacking(policy: ColumnElement[bool], *shown: ColumnElement[bool]) -> ColumnElement[int]:
    """Return 1 where something is asked for that the session, if it is still there, has not shown; else 0."""
    lacking = policy & ~exists(select(session.c.id).where(_THIS, *shown))
    return case((lacking, literal_column("1")), else_=literal_column("0"))


ASKS_FOR_MORE: Final = Query(
    select(
        organization.c.display_name,
        _lacking(asked_for(organization.c.second_factor_required), session.c.second_factor == 1).label("second_factor"),
        _lacking(asked_for(organization.c.password_sign_in_off), session.c.password == 0).label("passkey"),
    ).where(organization.c.id == bindparam("organization_id")),
    Asks,
)


async def begun_with_second_factor(reader: Reader, session_id: str) -> bool:
    """Tell whether a session was begun with more than a password; one that has ended was not."""
    found = await reader.one(BEGUN_WITH, {"session_id": session_id})
    return found is not None and found.second_factor == 1


async def begun_without_password(reader: Reader, session_id: str) -> bool:
    """Tell whether a session was begun with a passkey alone; one that has ended was not."""
    found = await reader.one(BEGUN_WITH, {"session_id": session_id})
    return found is not None and found.password == 0


async def check_enough_for(reader: Reader, session_id: str, organization_id: str) -> None:
    """Raise Forbidden when an organization asks for more than a session was begun with."""
    asks = await reader.one(ASKS_FOR_MORE, {"session_id": session_id, "organization_id": organization_id})
    if asks is not None and asks.passkey:
        raise no_passwords(asks.display_name)
    if asks is not None and asks.second_factor:
        raise not_enough(asks.display_name)


def first_open(memberships: Sequence[Membership]) -> Membership:
    """Return the first of a person's organizations that a password leads into, whatever else it asks for.

    Asked only once the password was right, so that it tells nobody else anything. Raises Forbidden when there is none.
    """
    for one in memberships:
        if not one.password_sign_in_off:
            return one
    if not memberships:
        raise Forbidden(NO_ORGANIZATION)
    raise no_passwords(memberships[0].organization_display_name)


def not_enough(organization: str) -> Forbidden:
    """Return the refusal of an organization, by its name for people, that a password alone does not lead into."""
    return Forbidden(
        f"{organization} asks its members for a second factor. Set one up under Security, or sign out and sign in with "
        "yours, then try again."
    )


def no_passwords(organization: str) -> Forbidden:
    """Return the refusal of an organization, by its name for people, that no password leads into at all."""
    return Forbidden(
        f"{organization} lets nobody sign in with a password. Sign in with a passkey; if you have none, ask an owner "
        f"of {organization} or the operator."
    )
