"""Ending all short-term tokens of a person who is no longer let in, in the unit of work of whoever decides it.

Verifiers elsewhere hear of each token by the list of revoked ones (promise V2). Processes of ours are told of the
person by whoever calls. It takes as many statements for one token as for thousands.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import JSON, BigInteger, Text, bindparam, column, delete, func, select

from keystead.db import Command, Transaction
from keystead.db.tables import short_term_token
from keystead.tokens.followers import REVOKED_TOKENS
from keystead.tokens.store import revoke

_token = short_term_token.c
_of_user = _token.user_id == bindparam("user_id")
_in_organization = _token.organization_id == bindparam("organization_id")
_valid = _token.expires_at > bindparam("now", type_=BigInteger)


REVOKE_OF_USER: Final = revoke(_of_user, _valid)
REMOVE_OF_USER: Final = Command(delete(short_term_token).where(_of_user))
REVOKE_OF_USER_IN: Final = revoke(_of_user, _in_organization, _valid)
REMOVE_OF_USER_IN: Final = Command(delete(short_term_token).where(_of_user, _in_organization))

_named = func.json_each(bindparam("grants", type_=JSON)).table_valued(column("key", Text), name="named")
_of_grants = _token.grant_id.in_(select(_named.c.key))
REVOKE_OF_GRANTS: Final = revoke(_of_grants, _valid)
REMOVE_OF_GRANTS: Final = Command(delete(short_term_token).where(_of_grants))
"""The tokens that were made under the grants whose ids are the names in a JSON object."""


async def end(
    tx: Transaction,
    revoke_all: Command,
    remove_all: Command,
    whose: Mapping[str, str],
    now: int,
    *,
    announce: Command | None = None,
) -> int:
    """Take back the valid tokens that two statements mean, and return how many those were.

    ``announce`` tells our processes of each, where nobody tells them of the person or the key.
    """
    ended = await tx.run(revoke_all, {**whose, "now": now})
    if ended:
        if announce is not None:
            await tx.run(announce, {**whose, "now": now})
        await tx.run(remove_all, whose)
        await tx.announce(REVOKED_TOKENS)
    return ended


async def end_of_user(tx: Transaction, user_id: str, now: int) -> int:
    """End a person's short-term tokens in every organization, and return how many were valid."""
    return await end(tx, REVOKE_OF_USER, REMOVE_OF_USER, {"user_id": user_id}, now)


async def end_in(tx: Transaction, user_id: str, organization_id: str, now: int) -> int:
    """End a person's short-term tokens in one organization, and return how many were valid."""
    person = {"user_id": user_id, "organization_id": organization_id}
    return await end(tx, REVOKE_OF_USER_IN, REMOVE_OF_USER_IN, person, now)


async def end_with_grants(tx: Transaction, grant_ids: Iterable[str], now: int) -> int:
    """End what was made under a person's grants, which end as well, and return how many tokens were valid."""
    grants = {"grants": json.dumps(dict.fromkeys(grant_ids, 0))}
    return await end(tx, REVOKE_OF_GRANTS, REMOVE_OF_GRANTS, grants, now)
