"""The statements of the accounts room."""

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, bindparam, case, literal_column, select, update

from keystead.accounts.models import Membership, Organization, User
from keystead.accounts.policies import asked_for
from keystead.db import Command, Query, insert_into
from keystead.db.identity import IDENTITY_COLUMNS
from keystead.db.tables import membership, organization, user
from keystead.kernel.principal import Identity

INSERT_ORGANIZATION: Final = Command(insert_into(organization))
INSERT_USER: Final = Command(insert_into(user))
INSERT_MEMBERSHIP: Final = Command(insert_into(membership))

_ORGANIZATION = select(organization.c.id, organization.c.name, organization.c.display_name)
ORGANIZATION_BY_NAME: Final = Query(_ORGANIZATION.where(organization.c.name == bindparam("name")), Organization)

_USER = select(
    user.c.id, user.c.username, user.c.email, user.c.password_hash, user.c.password_updated_at, user.c.disabled_at
)
USER_BY_ID: Final = Query(_USER.where(user.c.id == bindparam("user_id")), User)
USER_BY_USERNAME: Final = Query(_USER.where(user.c.username == bindparam("username")), User)
USER_BY_EMAIL: Final = Query(_USER.where(user.c.email == bindparam("email")), User)


def _asked(policy: Column[Any]) -> ColumnElement[int]:
    """Return 1 where the organization or the platform asks this, else 0."""
    return case((asked_for(policy), literal_column("1")), else_=literal_column("0")).label(policy.name)


MEMBERSHIPS_OF: Final = Query(
    select(
        membership.c.organization_id,
        organization.c.name.label("organization"),
        organization.c.display_name.label("organization_display_name"),
        membership.c.role,
        _asked(organization.c.second_factor_required),
        _asked(organization.c.password_sign_in_off),
        _asked(organization.c.device_sign_in_off),
    )
    .join(organization, organization.c.id == membership.c.organization_id)
    .where(membership.c.user_id == bindparam("user_id"))
    .order_by(membership.c.created_at, membership.c.organization_id),
    Membership,
)

IDENTITY: Final = Query(
    select(*IDENTITY_COLUMNS)
    .select_from(
        membership.join(user, user.c.id == membership.c.user_id).join(
            organization, organization.c.id == membership.c.organization_id
        )
    )
    .where(
        membership.c.user_id == bindparam("user_id"),
        membership.c.organization_id == bindparam("organization_id"),
        user.c.disabled_at.is_(None),
    ),
    Identity,
)

SET_PASSWORD: Final = Command(
    update(user)
    .where(user.c.id == bindparam("user_id"))
    .values(password_hash=bindparam("new_hash"), password_updated_at=bindparam("at"))
)
# Only where the old hash still stands: a password that was changed meanwhile stays changed.
REFRESH_HASH: Final = Command(
    update(user)
    .where(user.c.id == bindparam("user_id"), user.c.password_hash == bindparam("old_hash"))
    .values(password_hash=bindparam("new_hash"))
)
