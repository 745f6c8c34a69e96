"""Who a credential belongs to: the columns and joins with which one look-up answers user and organization too."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause

from keystead.db.tables import membership, organization, user

IDENTITY_COLUMNS: list[ColumnElement[Any]] = [
    user.c.id.label("user_id"),
    user.c.username,
    user.c.email,
    user.c.name,
    user.c.platform_admin,
    user.c.password_updated_at,
    organization.c.id.label("organization_id"),
    organization.c.name.label("organization"),
    organization.c.display_name.label("organization_display_name"),
    membership.c.role,
]
"""The fields of ``kernel.principal.Identity``, in its order."""


def joined_to_identity(table: FromClause) -> FromClause:
    """Join a table that has ``user_id`` and ``organization_id`` to the user, the membership and the organization.

    A credential whose user was disabled, or is no longer a member of its organization, finds no row and so is unknown.
    """
    return (
        table.join(user, (user.c.id == table.c.user_id) & user.c.disabled_at.is_(None))
        .join(
            membership,
            (membership.c.user_id == table.c.user_id) & (membership.c.organization_id == table.c.organization_id),
        )
        .join(organization, organization.c.id == table.c.organization_id)
    )
