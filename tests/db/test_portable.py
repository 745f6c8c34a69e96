"""No statement uses what databases that speak PostgreSQL's protocol lack, but for LISTEN and NOTIFY behind a switch."""

import importlib
import re
from pathlib import Path

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import keystead.db
from keystead.db import cleanup, feed, follower, installation, postgres, sweeping
from keystead.db.statements import Command, LookUp, Query
from keystead.db.tables import metadata

ROOMS = ("accounts", "audit", "balance", "keys", "oauth", "sessions", "tokens")
STORES = [importlib.import_module(f"keystead.{room}.store") for room in ROOMS]
LACKING = re.compile(
    r"advisory|\block table\b|\bskip locked\b|\bunlisten\b|\bxmin\b|\bctid\b|\btxid_|pg_current|\btrigger\b"
    r"|\bexclude\b|\bmerge into\b|\bdeferrable\b|\binherits\b|\bgenerated always\b|\bpartition by\b|\bcopy\b",
    re.IGNORECASE,
)
"""What at least one of CockroachDB and YugabyteDB does not have, or has by name only."""
ONLY_BEHIND_THE_SWITCH = re.compile(r"\bnotify\b|\blisten\b", re.IGNORECASE)


def statements() -> dict[str, str]:
    """Return the SQL text of every statement that runs over PostgreSQL, by its name."""
    found = {}
    for module in (*STORES, feed, follower, installation, sweeping):
        for name, value in vars(module).items():
            if isinstance(value, Query | Command):
                found[f"{module.__name__}.{name}"] = value.numbered.sql
            if isinstance(value, LookUp):
                found[f"{module.__name__}.{name}, together"] = value.together.sql
    for number, bite in enumerate(cleanup.Sweeper(1)._bites):
        found[f"clean-up {number}"] = bite.command.numbered.sql
    return found


def test_no_statement_uses_what_a_compatible_database_lacks() -> None:
    found = statements()
    assert len(found) > 80
    assert [name for name, text in found.items() if LACKING.search(text) or ONLY_BEHIND_THE_SWITCH.search(text)] == []


def test_no_table_uses_what_a_compatible_database_lacks() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    made += [
        str(CreateIndex(one).compile(dialect=dialect)) for table in metadata.sorted_tables for one in table.indexes
    ]
    assert [text for text in made if LACKING.search(text)] == []


def test_listening_and_notifying_are_written_in_one_place_each_and_both_ask_the_switch() -> None:
    uses: dict[str, list[str]] = {}
    for file in Path(keystead.db.__path__[0]).glob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if "add_listener(" in line or 'f"NOTIFY' in line:
                uses.setdefault(file.name, []).append(line.strip())
    assert {name: len(lines) for name, lines in uses.items()} == {"follower.py": 1, "postgres.py": 1}
    assert "if self._notify:" in Path(str(follower.__file__)).read_text(encoding="utf-8")
    assert "transaction.announced and self._notify" in Path(str(postgres.__file__)).read_text(encoding="utf-8")
