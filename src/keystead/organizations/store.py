"""The statements of the organizations room."""

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, exists, func, or_, select, update

from keystead.db import Command, Query, upsert
from keystead.db.tables import (
    NO_POLICIES,
    api_key,
    app,
    invitation,
    membership,
    organization,
    passkey,
    platform_policy,
    totp,
    user,
)
from keystead.kernel.scopes import Role
from keystead.organizations.models import (
    Account,
    FoundInvitation,
    Invitation,
    ListedOrganization,
    ListedUser,
    Member,
    Standing,
)

_IN_ORGANIZATION: Final = membership.c.organization_id == bindparam("organization_id")
_OF_USER: Final = membership.c.user_id == bindparam("user_id")
_HAS_SECOND_FACTOR: Final[ColumnElement[int]] = case(
    (
        or_(
            exists(select(totp.c.user_id).where(totp.c.user_id == user.c.id)),
            exists(select(passkey.c.id).where(passkey.c.user_id == user.c.id)),
        ),
        1,
    ),
    else_=0,
)

# Members

_KEYS_OF_MEMBER = (
    select(func.count())
    .select_from(api_key)
    .where(api_key.c.user_id == membership.c.user_id, api_key.c.organization_id == membership.c.organization_id)
    .scalar_subquery()
)
MEMBERS: Final = Query(
    select(
        user.c.id.label("user_id"),
        user.c.username,
        user.c.email,
        user.c.name,
        membership.c.role,
        membership.c.created_at.label("joined_at"),
        user.c.disabled_at,
        _KEYS_OF_MEMBER.label("keys"),
        _HAS_SECOND_FACTOR.label("second_factor"),
    )
    .join(membership, membership.c.user_id == user.c.id)
    .where(_IN_ORGANIZATION)
    .order_by(membership.c.created_at, user.c.id),
    Member,
)
STANDING: Final = Query(
    select(membership.c.role, user.c.email, user.c.disabled_at)
    .join(user, user.c.id == membership.c.user_id)
    .where(_OF_USER, _IN_ORGANIZATION),
    Standing,
)
_memberships = membership.alias()
ACCOUNT_IN: Final = Query(
    select(
        user.c.id.label("user_id"),
        user.c.username,
        user.c.email,
        membership.c.role,
        membership.c.organization_id,
        organization.c.display_name.label("organization"),
        user.c.platform_admin,
        select(func.count())
        .select_from(_memberships)
        .where(_memberships.c.user_id == user.c.id)
        .scalar_subquery()
        .label("organizations"),
    )
    .select_from(membership)
    .join(user, user.c.id == membership.c.user_id)
    .join(organization, organization.c.id == membership.c.organization_id)
    .where(user.c.username == bindparam("username"), organization.c.name == bindparam("named")),
    Account,
)
ANOTHER_OWNER: Final = Query(
    select(membership.c.user_id)
    .join(user, user.c.id == membership.c.user_id)
    .where(
        _IN_ORGANIZATION,
        membership.c.user_id != bindparam("user_id"),
        membership.c.role == Role.OWNER.value,
        user.c.disabled_at.is_(None),
    )
    .limit(1),
    str,
)
MEMBER_BY_EMAIL: Final = Query(
    select(membership.c.user_id).where(
        _IN_ORGANIZATION,
        membership.c.user_id == select(user.c.id).where(user.c.email == bindparam("email")).scalar_subquery(),
    ),
    str,
)
SET_ROLE: Final = Command(update(membership).where(_OF_USER, _IN_ORGANIZATION).values(role=bindparam("new_role")))
REMOVE: Final = Command(delete(membership).where(_OF_USER, _IN_ORGANIZATION))

# Invitations

_new = upsert(invitation).values({c.name: bindparam(c.name) for c in invitation.c})
PUT_INVITATION: Final = Command(
    _new.on_conflict_do_update(
        index_elements=["organization_id", "email"],
        set_={c.name: _new.excluded[c.name] for c in invitation.c if c.name not in {"organization_id", "email"}},
    )
)
"""Store an invitation in the place of an earlier one for the same address."""
_INVITATION = select(
    invitation.c.id,
    invitation.c.email,
    invitation.c.role,
    user.c.username.label("inviter"),
    invitation.c.created_at,
    invitation.c.expires_at,
).outerjoin(user, user.c.id == invitation.c.invited_by)
INVITATIONS: Final = Query(
    _INVITATION.where(invitation.c.organization_id == bindparam("organization_id")).order_by(
        invitation.c.created_at.desc(), invitation.c.id.desc()
    ),
    Invitation,
)
INVITATION_BY_HASH: Final = Query(
    select(
        invitation.c.id,
        invitation.c.organization_id,
        organization.c.display_name.label("organization"),
        invitation.c.email,
        invitation.c.role,
        user.c.name.label("inviter"),
        invitation.c.expires_at,
        membership.c.role.label("inviter_role"),
        user.c.platform_admin.label("inviter_operates"),
        user.c.disabled_at.label("inviter_disabled_at"),
    )
    .select_from(invitation)
    .join(organization, organization.c.id == invitation.c.organization_id)
    .outerjoin(user, user.c.id == invitation.c.invited_by)
    .outerjoin(
        membership,
        and_(
            membership.c.user_id == invitation.c.invited_by,
            membership.c.organization_id == invitation.c.organization_id,
        ),
    )
    .where(invitation.c.secret_hash == bindparam("secret_hash"), invitation.c.expires_at > bindparam("now")),
    FoundInvitation,
)
TAKE_INVITATION: Final = Query(
    delete(invitation)
    .where(invitation.c.secret_hash == bindparam("secret_hash"), invitation.c.expires_at > bindparam("now"))
    .returning(invitation.c.id),
    str,
)
REVOKE_INVITATION: Final = Query(
    delete(invitation)
    .where(invitation.c.id == bindparam("invitation_id"), invitation.c.organization_id == bindparam("organization_id"))
    .returning(invitation.c.email),
    str,
)

NAME_OF_ORGANIZATION: Final = Query(
    select(organization.c.display_name).where(organization.c.id == bindparam("organization_id")), str
)

# Policies

_FOUR: Final[dict[str, Any]] = {name: bindparam(f"new_{name}") for name in NO_POLICIES}
SET_POLICIES: Final = Command(
    update(organization).where(organization.c.id == bindparam("organization")).values(**_FOUR)
)
_platforms = upsert(platform_policy).values(id=1, **_FOUR)
SET_PLATFORM_POLICIES: Final = Command(
    _platforms.on_conflict_do_update(
        index_elements=["id"], set_={name: _platforms.excluded[name] for name in NO_POLICIES}
    )
)
OPERATES: Final = Query(
    select(user.c.platform_admin).where(user.c.id == bindparam("user_id"), user.c.disabled_at.is_(None)),
    int,
)
"""Whether somebody operates the installation at this moment (1 or 0); nothing for a disabled user."""

# What operators manage

_MEMBERS_OF = (
    select(func.count())
    .select_from(membership)
    .where(membership.c.organization_id == organization.c.id)
    .scalar_subquery()
)
_KEYS_OF = (
    select(func.count())
    .select_from(api_key)
    .join(app, app.c.id == api_key.c.app_id)
    .where(app.c.organization_id == organization.c.id)
    .scalar_subquery()
)
ORGANIZATIONS: Final = Query(
    select(
        organization.c.id,
        organization.c.name,
        organization.c.display_name,
        _MEMBERS_OF.label("members"),
        _KEYS_OF.label("keys"),
        organization.c.created_at,
    )
    .where(
        organization.c.name > bindparam("after"),
        or_(
            organization.c.name.ilike(bindparam("pattern"), escape="\\"),
            organization.c.display_name.ilike(bindparam("pattern"), escape="\\"),
        ),
    )
    .order_by(organization.c.name)
    .limit(bindparam("most")),
    ListedOrganization,
)
_ORGANIZATIONS_OF = (
    select(func.count()).select_from(membership).where(membership.c.user_id == user.c.id).scalar_subquery()
)
USERS: Final = Query(
    select(
        user.c.id,
        user.c.username,
        user.c.email,
        user.c.name,
        user.c.platform_admin,
        user.c.disabled_at,
        user.c.created_at,
        _ORGANIZATIONS_OF.label("organizations"),
        _HAS_SECOND_FACTOR.label("second_factor"),
    )
    .where(
        user.c.username > bindparam("after"),
        or_(
            user.c.username.ilike(bindparam("pattern"), escape="\\"),
            user.c.email.ilike(bindparam("pattern"), escape="\\"),
        ),
    )
    .order_by(user.c.username)
    .limit(bindparam("most")),
    ListedUser,
)
DISABLE: Final = Command(
    update(user)
    .where(user.c.id == bindparam("user_id"), user.c.disabled_at.is_(None))
    .values(disabled_at=bindparam("at"))
)
ENABLE: Final = Command(
    update(user).where(user.c.id == bindparam("user_id"), user.c.disabled_at.is_not(None)).values(disabled_at=None)
)
