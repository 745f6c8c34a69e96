"""No statement uses what databases that speak PostgreSQL's protocol lack, but for LISTEN and NOTIFY behind their switch."""

import importlib
import re
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import keystead.db
from keystead.db import cleanup, feed, follower, installation, postgres, sweeping
from keystead.db.statements import Command, Query
from keystead.db.tables import metadata

ROOMS = ("accounts", "audit", "balance", "keys", "oauth", "sessions", "tokens")
MODULES = [
    *(importlib.import_module(f"keystead.{room}.store") for room in ROOMS),
    feed,
    follower,
    installation,
    sweeping,
]
LACKING = re.compile(
    r"advisory|\block table\b|\bskip locked\b|\bunlisten\b|\bxmin\b|\bctid\b|\btxid_|pg_current|\btrigger\b|\bexclude\b"
    r"|\bmerge into\b|\bdeferrable\b|\binherits\b|\bgenerated always\b|\bpartition by\b|\bcopy\b|\bvacuum\b|\bcluster\b",
    re.IGNORECASE,
)
"""What at least one of CockroachDB and YugabyteDB does not have, or has by name only."""
ONLY_BEHIND_THE_SWITCH = re.compile(r"\bnotify\b|\blisten\b", re.IGNORECASE)


def statements() -> dict[str, str]:
    """Return the SQL text of every statement that runs over PostgreSQL, by its name."""
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, Query | Command):
                found[f"{module.__name__}.{name}"] = value.numbered.sql
    for number, bite in enumerate(cleanup.Sweeper(1)._bites):
        found[f"clean-up {number}"] = bite.command.numbered.sql
    return found


def test_every_statement_is_found() -> None:
    assert len(statements()) > 80


@pytest.mark.parametrize("name", sorted(statements()))
def test_a_statement_uses_nothing_that_a_compatible_database_lacks(name: str) -> None:
    text = statements()[name]
    assert LACKING.search(text) is None
    assert ONLY_BEHIND_THE_SWITCH.search(text) is None


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_a_table_uses_nothing_that_a_compatible_database_lacks(table: object) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made = [str(CreateTable(table).compile(dialect=dialect))]  # type: ignore[arg-type]
    made += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]  # type: ignore[attr-defined]
    assert LACKING.search(" ".join(made)) is None


def test_listening_and_notifying_are_written_in_two_places_and_both_ask_the_switch() -> None:
    """One that listens (``add_listener``) and one that notifies, each within a few lines of the setting's name."""
    uses = {}
    for file in Path(keystead.db.__path__[0]).glob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if "add_listener(" in line or 'f"NOTIFY' in line:
                uses.setdefault(file.name, []).append(line.strip())
    assert {name: len(lines) for name, lines in uses.items()} == {"follower.py": 1, "postgres.py": 1}
    assert "if self._notify:" in Path(str(follower.__file__)).read_text(encoding="utf-8")
    assert "transaction.announced and self._notify" in Path(str(postgres.__file__)).read_text(encoding="utf-8")
