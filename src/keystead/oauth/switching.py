"""Which clients there are for an operator to see, and switching one off: nobody signs in with it any more.

What is signed in goes on. A client is switched off by its id, whether or not it was ever approved, and by nothing that
it says of itself: a description can be changed, and a client that registers with another one is another client.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select

from keystead.db import Query
from keystead.db.tables import client, oauth_grant, switched_off_client, user
from keystead.oauth.client_ids import BUILT_IN

_grant = oauth_grant.c
_off = switched_off_client.c


@dataclass(frozen=True, slots=True)
class ListedClient:
    """A client as an operator sees it. Nothing of its name and platform is proven: it said so itself.

    ``first_approved_at`` is in Unix seconds, None for one with which nobody has signed in; ``grants`` is how many
    sign-ins with it are alive. ``switched_off_at`` is None while people may sign in with it; ``switched_off_by`` is the
    user name of who decided otherwise.
    """

    id: str
    name: str
    platform: str
    first_approved_at: int | None
    grants: int
    switched_off_at: int | None
    switched_off_by: str | None

    @property
    def built_in(self) -> bool:
        """Whether it needs no registration, and cannot be deleted."""
        return self.id in BUILT_IN


_LIVE: Final = (
    select(func.count())
    .select_from(oauth_grant)
    .where(
        _grant.client_id == client.c.id,
        _grant.ended_at.is_(None),
        _grant.expires_at > bindparam("now"),
        _grant.refresh_expires_at > bindparam("now"),
    )
    .scalar_subquery()
)
APPROVED_CLIENTS: Final = Query(
    select(
        client.c.id,
        client.c.name,
        client.c.platform,
        client.c.first_approved_at,
        _LIVE.label("grants"),
        _off.switched_off_at,
        user.c.username.label("switched_off_by"),
    )
    .outerjoin(switched_off_client, _off.client_id == client.c.id)
    .outerjoin(user, user.c.id == _off.switched_off_by)
    .order_by(client.c.first_approved_at.desc(), client.c.id)
    .limit(bindparam("most")),
    ListedClient,
)


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """A client that is switched off, when that was done in Unix seconds, and by whom."""

    client_id: str
    at: int
    by: str | None


SWITCHED_OFF: Final = Query(
    select(_off.client_id, _off.switched_off_at.label("at"), user.c.username.label("by"))
    .outerjoin(user, user.c.id == _off.switched_off_by)
    .order_by(_off.switched_off_at.desc(), _off.client_id)
    .limit(bindparam("most")),
    SwitchedOff,
)
