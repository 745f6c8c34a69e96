"""What a statement sends to each database: the values that were given and those that are fixed in it."""

import pytest
from sqlalchemy import bindparam, literal, select

from keystead.db import Query
from keystead.db.tables import audit_event

event = audit_event.c
_newest = select(event.id).where(event.at < bindparam("before")).order_by(event.at.desc()).limit(literal(3))
NEWEST = Query(select(event.id).where(event.id.in_(_newest), event.at > literal(7)), str)
"""Each dialect numbers the fixed values in its own way: SQLite's has an OFFSET of 0 between the 3 and the 7."""


def test_each_database_gets_every_fixed_value_where_its_own_text_asks_for_it() -> None:
    fixed = NEWEST.bind({"before": 5})
    lite = NEWEST.sql
    for name in sorted(fixed, reverse=True):
        lite = lite.replace(f":{name}", repr(fixed[name]))
    assert "at < 5" in lite
    assert "LIMIT 3 OFFSET 0" in lite
    assert "at > 7" in lite
    numbered = NEWEST.numbered.sql
    for number, value in enumerate(NEWEST.bind_numbered({"before": 5}), 1):
        numbered = numbered.replace(f"${number}::BIGINT", repr(value)).replace(f"${number}::INTEGER", repr(value))
    assert "at < 5" in numbered
    assert "LIMIT 3" in numbered
    assert "at > 7" in numbered


def test_a_missing_or_unknown_value_is_refused_for_either_database() -> None:
    for bind in (NEWEST.bind, NEWEST.bind_numbered):
        with pytest.raises(TypeError, match="missing or unknown parameters: after, before"):
            bind({"after": 1})
    assert NEWEST.bind_numbered({"before": 5})
