"""Statements over ``signing_key`` and ``short_term_token``, and the look-ups that answer who a token belongs to."""

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from keystead.db.identity import IDENTITY_COLUMNS, joined_to_identity
from keystead.db.statements import Command, Query, insert_into
from keystead.db.tables import short_term_token, signing_key
from keystead.kernel.principal import Identity
from keystead.tokens.models import ShortTermToken, SigningKeyRow

_key = signing_key.c
_token = short_term_token.c

SIGNING_KEYS = Query(select(signing_key).order_by(_key.signs_until, _key.kid), SigningKeyRow)
"""Every signing key; the last one of an algorithm is its newest."""

_newest = (
    select(_key.kid)
    .where(_key.alg == bindparam("algorithm"))
    .order_by(_key.signs_until.desc(), _key.kid.desc())
    .limit(1)
    .scalar_subquery()
)
ADD_SIGNING_KEY = Command(
    insert(signing_key).from_select(
        [column.name for column in signing_key.columns],
        select(*(bindparam(f"new_{column.name}", type_=column.type) for column in signing_key.columns)).where(
            func.coalesce(_newest, "") == bindparam("after")
        ),
    )
)
"""Add a key if the algorithm's newest is still ``after``: of many who try at once, one succeeds (promise J2)."""

HAND_OVER = Command(
    update(signing_key)
    .where(
        _key.alg == bindparam("algorithm"),
        _key.kid != bindparam("successor"),
        or_(_key.signs_until > bindparam("begins"), _key.kid == bindparam("after")),
    )
    .values(signs_until=bindparam("begins"), remove_at=bindparam("leaves"))
)
"""Let the predecessors sign until their successor begins: no second without a signer, none with two."""

ADD_SHORT_TERM_TOKEN = Command(insert_into(short_term_token))

REMOVE_SHORT_TERM_TOKEN = Command(
    delete(short_term_token).where(_token.id == bindparam("id"), _token.user_id == bindparam("user_id"))
)

SHORT_TERM_TOKENS = Query(
    select(_token.id, _token.created_at, _token.expires_at)
    .where(
        _token.user_id == bindparam("user_id"),
        _token.organization_id == bindparam("organization_id"),
        _token.expires_at > bindparam("now"),
    )
    .order_by(_token.created_at.desc(), _token.id.desc()),
    ShortTermToken,
)

SHORT_TERM_HOLDER = Query(
    select(*IDENTITY_COLUMNS)
    .select_from(joined_to_identity(short_term_token))
    .where(_token.id == bindparam("id"), _token.user_id == bindparam("user_id"), _token.expires_at > bindparam("now")),
    Identity,
)
