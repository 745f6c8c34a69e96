"""What becomes of the API keys of somebody who leaves an organization: they end, or somebody else takes them (K8).

Both happen in the unit of work in which the person is removed, and take as many statements for one key as for
thousands. Whoever calls announces the person who leaves, whose keys every process then looks up again (promise V1).
"""

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import JSON, Text, bindparam, cast, column, delete, func, select, update

from keystead.db import Command, Query, Transaction
from keystead.db.tables import api_key
from keystead.kernel.scopes import Role, format_scopes, grantable, stored_scopes

_OF_PERSON: Final = (
    api_key.c.user_id == bindparam("person_id"),
    api_key.c.organization_id == bindparam("organization_id"),
)
DELETE_KEYS_OF_PERSON: Final = Command(delete(api_key).where(*_OF_PERSON))
SCOPES_OF_PERSON: Final = Query(select(api_key.c.scopes).distinct().where(*_OF_PERSON), str)

_narrowed = func.json_each(bindparam("narrowed", type_=JSON)).table_valued(
    column("key", Text), column("value", JSON), name="narrowed"
)
# As text the value is a JSON string on PostgreSQL; scopes hold nothing that JSON would write in another way.
_scopes = select(func.trim(cast(_narrowed.c.value, Text), '"')).where(_narrowed.c.key == api_key.c.scopes)
TAKE_KEYS_OF_PERSON: Final = Command(
    update(api_key)
    .where(*_OF_PERSON)
    .values(user_id=bindparam("taker_id"), scopes=_scopes.scalar_subquery(), warned_at=None)
)
"""Give a person's keys to another, who was not warned of their end; a JSON object tells what becomes of scopes."""


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes the keys of somebody who leaves, and their role today."""

    user_id: str
    role: Role


async def end_keys(tx: Transaction, person_id: str, organization_id: str) -> int:
    """Delete the keys of a person in an organization, and return how many those were."""
    return await tx.run(DELETE_KEYS_OF_PERSON, {"person_id": person_id, "organization_id": organization_id})


async def take_keys(tx: Transaction, person_id: str, organization_id: str, role: Role, taker: Taker) -> int:
    """Let ``taker`` be the owner of the keys of a person, and return how many those were.

    ``role`` is the role of the person who leaves. A key keeps those of its scopes that both roles allow: a key that
    could do little in the name of a member does not become able to do more in the name of an admin (promise K12).
    """
    person = {"person_id": person_id, "organization_id": organization_id}
    known = await tx.all(SCOPES_OF_PERSON, person)
    narrowed = {text: format_scopes(grantable(grantable(stored_scopes(text), role), taker.role)) for text in known}
    taken = {**person, "taker_id": taker.user_id, "narrowed": json.dumps(narrowed)}
    return await tx.run(TAKE_KEYS_OF_PERSON, taken)
