"""Statements over signing keys, short-term tokens and revoked ones, and who a token belongs to."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from keystead.db.identity import IDENTITY_COLUMNS, joined_to_identity
from keystead.db.statements import Command, Query, insert_into
from keystead.db.tables import api_key, oauth_grant, revocation, revoked_token, short_term_token, signing_key
from keystead.tokens.models import EndOfKey, RevokedToken, ShortTermHolder, ShortTermToken, SigningKeyRow

_key = signing_key.c
_token = short_term_token.c
_revoked = revoked_token.c

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

_MINE = (
    _token.id == bindparam("id"),
    _token.user_id == bindparam("user_id"),
    _token.organization_id == bindparam("organization_id"),
)


def revoke(*whose: ColumnElement[bool]) -> Command:
    """Put tokens on the list of those that were taken back, with the grant or the API key that they were made under."""
    now = bindparam("now", type_=BigInteger)
    under = func.coalesce(_token.grant_id, _token.api_key_id)  # ids of both kinds are UUIDs, so none is the other's
    found = select(_token.id, now, _token.expires_at, under).where(*whose)
    return Command(insert(revoked_token).from_select(["id", "revoked_at", "expires_at", "grant_id"], found))


REVOKE_SHORT_TERM_TOKEN = revoke(*_MINE)
REMOVE_SHORT_TERM_TOKEN = Command(delete(short_term_token).where(*_MINE))

WAS_REVOKED = Query(select(_revoked.id).where(_revoked.id == bindparam("id")), str)

REVOKED_TOKENS = Query(
    select(_revoked.id, _revoked.revoked_at, _revoked.expires_at)
    .where(tuple_(_revoked.revoked_at, _revoked.id) > tuple_(bindparam("revoked_at"), bindparam("id")))
    .order_by(_revoked.revoked_at, _revoked.id)
    .limit(bindparam("most")),
    RevokedToken,
)
"""What follows a place in the list of revoked tokens, expired ones included: so a step costs the same everywhere."""

_first_ones = select(_revoked.id).where(_revoked.revoked_at >= bindparam("first")).limit(bindparam("most")).subquery()
COUNT_REVOKED = Query(select(func.count().label("rows")).select_from(_first_ones), int)

# A key that is rotated ends earlier than its tokens say, and they with it.
_its_key = api_key.c.id == _token.api_key_id
_ends = case((api_key.c.expires_at < _token.expires_at, api_key.c.expires_at), else_=_token.expires_at)
_good = (_ends > bindparam("now"), or_(_token.api_key_id.is_(None), api_key.c.id.is_not(None)))

SHORT_TERM_TOKENS = Query(
    select(_token.id, _token.created_at, _ends.label("expires_at"))
    .outerjoin(api_key, _its_key)
    .where(_token.user_id == bindparam("user_id"), _token.organization_id == bindparam("organization_id"), *_good)
    .order_by(_token.created_at.desc(), _token.id.desc()),
    ShortTermToken,
)

SHORT_TERM_HOLDER = Query(
    select(*IDENTITY_COLUMNS, _ends.label("expires_at"))
    .select_from(joined_to_identity(short_term_token).outerjoin(api_key, _its_key))
    .where(_token.id == bindparam("id"), _token.user_id == bindparam("user_id"), *_good),
    ShortTermHolder,
)
"""Whose token it is, and until when it is good: while its person is a member, and its API key, if it has one, is."""

# What a client made for itself ends with its grant: three statements, however many tokens there are.

END_OF_GRANT = Query(
    select(oauth_grant.c.expires_at).where(
        oauth_grant.c.id == bindparam("grant_id"),
        oauth_grant.c.ended_at.is_(None),
        oauth_grant.c.expires_at > bindparam("now"),
    ),
    int,
)

_valid = _token.expires_at > bindparam("now", type_=BigInteger)
_of_grant = _token.grant_id == bindparam("grant_id")
_of_client = _token.grant_id.in_(select(oauth_grant.c.id).where(oauth_grant.c.client_id == bindparam("client")))


def _made_under(maker: ColumnElement[str], name: str) -> Select[Any]:
    """Count the tokens of a grant or an API key that have not expired, whether or not they were taken back."""
    now, most = bindparam("now", type_=BigInteger), bindparam("most", type_=BigInteger)
    there = select(_token.id).where(maker == bindparam(name), _token.expires_at > now).limit(most).subquery()
    taken_back = (
        select(_revoked.id)
        .where(_revoked.grant_id == bindparam(name), _revoked.expires_at > now)
        .limit(most)
        .subquery()
    )
    counts = [select(func.count()).select_from(one).scalar_subquery() for one in (there, taken_back)]
    return select((counts[0] + counts[1]).label("rows"))


COUNT_OF_GRANT = Query(_made_under(_token.grant_id, "grant_id"), int)
COUNT_OF_KEY = Query(_made_under(_token.api_key_id, "api_key_id"), int)


def _announce(whose: ColumnElement[bool]) -> Command:
    """Tell every process of tokens that were taken back."""
    subject = literal("credential:").concat(_token.id)
    found = select(subject, bindparam("now", type_=BigInteger)).where(whose, _valid)
    return Command(insert(revocation).from_select(["subject", "at"], found))


REVOKE_OF_GRANT = revoke(_of_grant, _valid)
ANNOUNCE_OF_GRANT = _announce(_of_grant)
REMOVE_OF_GRANT = Command(delete(short_term_token).where(_of_grant))
REVOKE_OF_CLIENT = revoke(_of_client, _valid)
ANNOUNCE_OF_CLIENT = _announce(_of_client)
REMOVE_OF_CLIENT = Command(delete(short_term_token).where(_of_client))

# And what an API key asked for ends with the key.

END_OF_KEY = Query(
    select(api_key.c.user_id, api_key.c.organization_id, api_key.c.expires_at).where(
        api_key.c.id == bindparam("api_key_id"),
        or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > bindparam("now")),
    ),
    EndOfKey,
)
_of_key = _token.api_key_id == bindparam("api_key_id")
_of_app = _token.api_key_id.in_(select(api_key.c.id).where(api_key.c.app_id == bindparam("app")))
REVOKE_OF_KEY = revoke(_of_key, _valid)
ANNOUNCE_OF_KEY = _announce(_of_key)
REMOVE_OF_KEY = Command(delete(short_term_token).where(_of_key))
REVOKE_OF_APP = revoke(_of_app, _valid)
ANNOUNCE_OF_APP = _announce(_of_app)
REMOVE_OF_APP = Command(delete(short_term_token).where(_of_app))
