"""The statements of the keys room."""

from typing import Final

from sqlalchemy import bindparam, delete, insert, literal, select, update

from keystead.db import Command, Query, insert_into
from keystead.db.identity import IDENTITY_COLUMNS, joined_to_identity
from keystead.db.statements import LookUp, upsert
from keystead.db.tables import api_key, app, membership, organization, platform_policy, revocation, user
from keystead.keys.models import ApiKey, App, EndedKey, FoundKey, KeyHolder, KeyOwner, KeyPolicy

# A credential becomes a principal: one read by the unique index over the hash.
HOLDER_BY_HASH: Final = Query(
    select(*IDENTITY_COLUMNS, api_key.c.id.label("key_id"), api_key.c.scopes, api_key.c.expires_at)
    .select_from(joined_to_identity(api_key))
    .where(api_key.c.secret_hash == bindparam("secret_hash")),
    KeyHolder,
)

KEY_BY_HASH: Final = LookUp(
    select(
        api_key.c.id.label("key_id"),
        api_key.c.user_id,
        api_key.c.organization_id,
        api_key.c.scopes,
        api_key.c.expires_at,
    ),
    FoundKey,
    by=api_key.c.secret_hash,
)

INSERT_APP: Final = Command(insert_into(app))
# Quietly nothing where the name is taken: two approvals may come at once.
ENSURE_APP: Final = Command(
    upsert(app)
    .values({c.name: bindparam(c.name) for c in app.c})
    .on_conflict_do_nothing(index_elements=["organization_id", "name"])
)

_APP = select(
    app.c.id,
    app.c.name,
    app.c.organization_id,
    organization.c.display_name.label("organization"),
    app.c.created_by,
    app.c.created_at,
).join(organization, organization.c.id == app.c.organization_id)
APPS_OF_ORGANIZATION: Final = Query(
    _APP.where(app.c.organization_id == bindparam("organization_id")).order_by(app.c.created_at, app.c.id), App
)
APP_BY_ID: Final = Query(
    _APP.where(app.c.id == bindparam("app_id"), app.c.organization_id == bindparam("organization_id")), App
)
APP_BY_NAME: Final = Query(
    _APP.where(app.c.organization_id == bindparam("organization_id"), app.c.name == bindparam("name")), App
)
DELETE_APP: Final = Command(
    delete(app).where(app.c.id == bindparam("app_id"), app.c.organization_id == bindparam("organization_id"))
)

INSERT_KEY: Final = Command(insert_into(api_key))
KEY_POLICY: Final = Query(
    select(
        organization.c.longest_key_life.label("of_organization"),
        platform_policy.c.longest_key_life.label("of_platform"),
    )
    .join(membership, membership.c.organization_id == organization.c.id)
    .join(user, (user.c.id == membership.c.user_id) & user.c.disabled_at.is_(None))
    .outerjoin(platform_policy, platform_policy.c.id == 1)  # its one row, or none
    .where(organization.c.id == bindparam("organization_id"), membership.c.user_id == bindparam("user_id")),
    KeyPolicy,
)
"""What the policies say of a new key, for somebody who is a member at this moment."""

_KEY = (
    select(
        api_key.c.id,
        api_key.c.title,
        api_key.c.hint,
        api_key.c.app_id,
        app.c.name.label("app_name"),
        api_key.c.organization_id,
        api_key.c.user_id,
        user.c.username,
        user.c.email,
        api_key.c.scopes,
        api_key.c.created_at,
        api_key.c.expires_at,
        api_key.c.last_used_at,
        api_key.c.last_used_address,
        api_key.c.exposed_at,
        api_key.c.successor_id,
    )
    .join(app, app.c.id == api_key.c.app_id)
    .join(user, user.c.id == api_key.c.user_id)
)
KEYS_OF_USER: Final = Query(
    _KEY.where(api_key.c.user_id == bindparam("user_id")).order_by(api_key.c.created_at, api_key.c.id), ApiKey
)
# The newest first: what somebody just made, they find at the top.
KEYS_OF_MEMBER: Final = Query(
    _KEY.where(
        api_key.c.user_id == bindparam("user_id"), api_key.c.organization_id == bindparam("organization_id")
    ).order_by(api_key.c.created_at.desc(), api_key.c.id.desc()),
    ApiKey,
)
KEYS_OF_APP: Final = Query(
    _KEY.where(api_key.c.app_id == bindparam("app_id")).order_by(api_key.c.created_at, api_key.c.id), ApiKey
)
# By the organization's apps, of which there are a few, so that keys need no index of their own for it.
KEYS_OF_ORGANIZATION: Final = Query(
    _KEY.where(app.c.organization_id == bindparam("organization_id")).order_by(api_key.c.created_at, api_key.c.id),
    ApiKey,
)
KEY_BY_ID: Final = Query(_KEY.where(api_key.c.id == bindparam("key_id")), ApiKey)

OWNER_OF_KEY: Final = Query(
    select(membership.c.role, user.c.platform_admin)
    .select_from(api_key)
    .join(user, (user.c.id == api_key.c.user_id) & user.c.disabled_at.is_(None))
    .join(
        membership,
        (membership.c.user_id == api_key.c.user_id) & (membership.c.organization_id == api_key.c.organization_id),
    )
    .where(api_key.c.id == bindparam("key_id")),
    KeyOwner,
)
RENAME_KEY: Final = Command(
    update(api_key).where(api_key.c.id == bindparam("key_id")).values(title=bindparam("new_title"))
)
# A key is rotated once: whoever comes second finds it replaced.
REPLACE_KEY: Final = Command(
    update(api_key)
    .where(api_key.c.id == bindparam("key_id"), api_key.c.successor_id.is_(None))
    .values(successor_id=bindparam("successor"), expires_at=bindparam("ends"))
)

_ENDED = (api_key.c.id, api_key.c.organization_id, api_key.c.user_id)
OWNED_KEY: Final = Query(select(*_ENDED).where(api_key.c.id == bindparam("key_id")), EndedKey)
# Two at most: whoever looks for one is told that there are several.
OWN_KEYS_TITLED: Final = Query(
    select(*_ENDED)
    .where(
        api_key.c.user_id == bindparam("user_id"),
        api_key.c.organization_id == bindparam("organization_id"),
        api_key.c.title == bindparam("title"),
    )
    .limit(2),
    EndedKey,
)
DELETE_KEY: Final = Query(delete(api_key).where(api_key.c.id == bindparam("key_id")).returning(*_ENDED), EndedKey)
DELETE_KEY_BY_HASH: Final = Query(
    delete(api_key).where(api_key.c.secret_hash == bindparam("secret_hash")).returning(*_ENDED), EndedKey
)

# However many keys an app has, two statements end them all: the announcement of each, then the deletion.
ANNOUNCE_KEYS_OF_APP: Final = Command(
    insert(revocation).from_select(
        ["subject", "at"],
        select(literal("credential:").concat(api_key.c.id), bindparam("at", type_=revocation.c.at.type)).where(
            api_key.c.app_id == bindparam("app_id")
        ),
    )
)
DELETE_KEYS_OF_APP: Final = Command(delete(api_key).where(api_key.c.app_id == bindparam("app_id")))

# Is there anything left to write about this exposed key? Asked before the transaction, so that a flood writes nothing.
UNFLAGGED_BY_HASH: Final = Query(
    select(*_ENDED).where(api_key.c.secret_hash == bindparam("secret_hash"), api_key.c.exposed_at.is_(None)), EndedKey
)
BY_HASH: Final = Query(select(*_ENDED).where(api_key.c.secret_hash == bindparam("secret_hash")), EndedKey)
FLAG_EXPOSED: Final = Query(
    update(api_key)
    .where(api_key.c.secret_hash == bindparam("secret_hash"), api_key.c.exposed_at.is_(None))
    .values(exposed_at=bindparam("at"))
    .returning(*_ENDED),
    EndedKey,
)

# Only forward: batches of several processes may arrive out of order.
RECORD_USE: Final = Command(
    update(api_key)
    .where(
        api_key.c.id == bindparam("key_id"),
        api_key.c.last_used_at.is_(None) | (api_key.c.last_used_at < bindparam("at")),
    )
    .values(last_used_at=bindparam("at"), last_used_address=bindparam("address"))
)
