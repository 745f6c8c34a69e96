"""Ending all short-term tokens of a person who is no longer let in, in the unit of work of whoever decides it.

Verifiers elsewhere hear of each token by the list of revoked ones (promise V2). Processes of ours are told of the
person by whoever calls. It takes as many statements for one token as for thousands.
"""

from typing import Final

from sqlalchemy import BigInteger, ColumnElement, bindparam, delete, insert, select

from keystead.db import Command, Transaction
from keystead.db.tables import revoked_token, short_term_token
from keystead.tokens.followers import REVOKED_TOKENS

_token = short_term_token.c
_of_user = _token.user_id == bindparam("user_id")
_in_organization = _token.organization_id == bindparam("organization_id")


def _revoke(*whose: ColumnElement[bool]) -> Command:
    now = bindparam("now", type_=BigInteger)
    valid = select(_token.id, now, _token.expires_at, _token.grant_id).where(*whose, _token.expires_at > now)
    return Command(insert(revoked_token).from_select(["id", "revoked_at", "expires_at", "grant_id"], valid))


REVOKE_OF_USER: Final = _revoke(_of_user)
REMOVE_OF_USER: Final = Command(delete(short_term_token).where(_of_user))
REVOKE_OF_USER_IN: Final = _revoke(_of_user, _in_organization)
REMOVE_OF_USER_IN: Final = Command(delete(short_term_token).where(_of_user, _in_organization))


async def end_of_user(tx: Transaction, user_id: str, now: int) -> int:
    """End a person's short-term tokens in every organization, and return how many were valid."""
    ended = await tx.run(REVOKE_OF_USER, {"user_id": user_id, "now": now})
    if ended:
        await tx.run(REMOVE_OF_USER, {"user_id": user_id})
        await tx.announce(REVOKED_TOKENS)
    return ended


async def end_in(tx: Transaction, user_id: str, organization_id: str, now: int) -> int:
    """End a person's short-term tokens in one organization, and return how many were valid."""
    person = {"user_id": user_id, "organization_id": organization_id}
    ended = await tx.run(REVOKE_OF_USER_IN, {**person, "now": now})
    if ended:
        await tx.run(REMOVE_OF_USER_IN, person)
        await tx.announce(REVOKED_TOKENS)
    return ended
