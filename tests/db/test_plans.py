"""No statement reads a table from end to end, however many rows there are, on either engine (promise O5).

Every statement of every room is looked at; those that may do otherwise are named here, with the reason.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from keystead.db.migrate import migrate, migrate_postgres
from keystead.db.postgres import options
from keystead.db.tables import metadata
from keystead.keys import store as keys
from tests.db.plans import Node, fill, postgres_plans, sqlite_plans, sqlite_unique_indexes, statements
from tests.support.postgres import PostgresServer, database_of

READS_ALL: Final = {
    "oauth.store.FORGET_DEVICES_OF_CLIENT",  # an operator's, seldom, and an index would cost each sign-in
    "tokens.store.SIGNING_KEYS",  # of which there are a few
    "tokens.store.ADD_SIGNING_KEY",
    "tokens.store.HAND_OVER",
    "clean-up of signing_key",
    "db.installation.SEALED_ROOT",  # of which there is one
    "db.installation.RESEAL",
    "oauth.switching.APPROVED_CLIENTS",  # operators look at them, and there are a thousand at most
    "oauth.switching.SWITCHED_OFF",
    "sessions.ending.END_ALL_WITH_PASSWORD_ALONE",  # an operator's, seldom, and it concerns most sessions
}
ANSWERS_A_LIST: Final = {
    "accounts.store.MEMBERSHIPS_OF",
    "audit.store.END_OF_LOOK",
    "audit.store.END_OF_LOOK_OF_ACTOR",
    "audit.store.IMPERSONATIONS_OF",
    "audit.store.NEWEST_OF_ACTOR",
    "audit.store.NEWEST_OF_ORGANIZATION",
    "audit.store.PAGE",
    "audit.store.PAGE_OF_ACTOR",
    "balance.store.LEDGER",
    "balance.store.LEDGER_PAGE",
    "db.feed.END",
    "db.feed.SINCE",
    "db.follower._NEWEST",
    "factors.store.COUNT_PASSKEYS",
    "factors.store.HAS_ANY",
    "factors.store.PASSKEYS_OF",
    "factors.store.RECOVERY_CODES_LEFT",
    "factors.store.REMOVE_PASSKEYS",
    "factors.store.REMOVE_RECOVERY_CODES",
    "keys.expiring.CLAIM",
    "keys.expiring.END_OF_BITE",
    "keys.expiring.OWNERS_OF_DUE",
    "keys.leaving.DELETE_KEYS_OF_PERSON",
    "keys.leaving.SCOPES_OF_PERSON",
    "keys.leaving.TAKE_KEYS_OF_PERSON",
    "keys.store.ANNOUNCE_KEYS_OF_APP",
    "keys.store.APPS_OF_ORGANIZATION",
    "keys.store.DELETE_KEYS_OF_APP",
    "keys.store.KEYS_OF_APP",
    "keys.store.KEYS_OF_MEMBER",
    "keys.store.KEYS_OF_ORGANIZATION",
    "keys.store.KEYS_OF_USER",
    "keys.store.OWN_KEYS_TITLED",  # among the keys of one person
    "keys.use.USES_OF_MEMBER",
    "keys.use.USES_OF_ORGANIZATION",
    "oauth.connected._REUSES",  # a month of what one person did, by the index of the audit log
    "oauth.connected.DEVICES_EVERYWHERE",
    "oauth.connected.DEVICES_OF",
    "oauth.connected.END_ALL_IN",
    "oauth.connected.END_CLIENT_ANYWHERE",
    "oauth.connected.END_CLIENT_MINE",
    "oauth.store.ANNOUNCE_GRANTS_OF_CLIENT",
    "oauth.store.DELETE_GRANTS_OF_CLIENT",
    "oauth.store.DELETE_GRANTS_OF_USER_IN",
    "oauth.store.DENY_APPROVED_IN",  # what one person did within two hours, by the index of the audit log
    "oauth.store.DENY_APPROVED_OF_CLIENT",
    "oauth.store.DENY_APPROVED_OF_CLIENT_IN",
    "oauth.store.GUESSES",
    "oauth.switching.APPROVED_CLIENTS",  # and the grants of each client that it names
    "organizations.store.ACCOUNT_IN",  # and how many organizations the person belongs to
    "organizations.store.ANOTHER_OWNER",
    "organizations.store.INVITATIONS",
    "organizations.store.MEMBERS",
    "organizations.store.ORGANIZATIONS",
    "organizations.store.USERS",
    "sessions.ending.END_IN",
    "sessions.ending.END_OTHERS_IN",
    "sessions.ending.END_OTHERS_WITH_PASSWORD_ALONE",
    "sessions.ending.END_WITH_PASSWORD_ALONE",
    "sessions.store.COUNTED",  # the minutes of a day
    "sessions.store.END_ACTING_FROM",  # one at most: PARK sees to it
    "sessions.store.END_ALL_OF_USER",
    "sessions.store.END_OTHERS_OF_USER",
    "sessions.store.END_STEPS_OF_USER",
    "sessions.store.PARK",
    "sessions.store.SESSIONS_EVERYWHERE",
    "sessions.store.SESSIONS_OF",
    "tokens.ending.REMOVE_OF_GRANTS",
    "tokens.ending.REMOVE_OF_USER",
    "tokens.ending.REMOVE_OF_USER_IN",
    "tokens.ending.REVOKE_OF_GRANTS",
    "tokens.ending.REVOKE_OF_USER",
    "tokens.ending.REVOKE_OF_USER_IN",
    "tokens.store.ANNOUNCE_OF_APP",
    "tokens.store.ANNOUNCE_OF_CLIENT",
    "tokens.store.ANNOUNCE_OF_GRANT",
    "tokens.store.ANNOUNCE_OF_KEY",
    "tokens.store.COUNT_OF_GRANT",
    "tokens.store.COUNT_OF_KEY",
    "tokens.store.COUNT_REVOKED",
    "tokens.store.REMOVE_OF_APP",
    "tokens.store.REMOVE_OF_CLIENT",
    "tokens.store.REMOVE_OF_GRANT",
    "tokens.store.REMOVE_OF_KEY",
    "tokens.store.REVOKE_OF_APP",
    "tokens.store.REVOKE_OF_CLIENT",
    "tokens.store.REVOKE_OF_GRANT",
    "tokens.store.REVOKE_OF_KEY",
    "tokens.store.REVOKED_TOKENS",
    "tokens.store.SHORT_TERM_TOKENS",
}
"""What looks for several rows, by an index that leads to them. Everything else looks for one row at a time."""
READS_A_FEW: Final = {
    "factors.store.REMOVE_PASSKEY",
    "factors.store.RENAME_PASSKEY",
    "keys.store.APP_BY_ID",
    "keys.store.DELETE_APP",
}
"""What may look through the apps of an organization or the passkeys of a person for the one that is asked for."""
SORTS: Final = READS_ALL | {
    # They keep what fits of so many events that they look at in order, which SQLite does not take for sorted.
    "audit.store.PAGE",
    "audit.store.PAGE_OF_ACTOR",
    # They answer with all that they sort.
    "accounts.store.MEMBERSHIPS_OF",
    "balance.store.LEDGER",
    "balance.store.LEDGER_PAGE",
    "factors.store.PASSKEYS_OF",
    "keys.leaving.SCOPES_OF_PERSON",
    "keys.store.APPS_OF_ORGANIZATION",
    "keys.store.KEYS_OF_APP",
    "keys.store.KEYS_OF_MEMBER",
    "keys.store.KEYS_OF_ORGANIZATION",
    "keys.store.KEYS_OF_USER",
    "oauth.connected.DEVICES_EVERYWHERE",
    "oauth.connected.DEVICES_OF",
    "organizations.store.INVITATIONS",
    "organizations.store.MEMBERS",
    "organizations.store.USERS",
    "sessions.store.SESSIONS_EVERYWHERE",
    "sessions.store.SESSIONS_OF",
    "tokens.store.SHORT_TERM_TOKENS",
}
ENDS_EARLY: Final = {
    "db.follower._NEWEST",  # the newest rows by their number, of which it takes a few
}
ON_POSTGRESQL_ALONE: Final = {"db.follower._NEWEST"}
TABLES: Final = "|".join(metadata.tables)
SCANS: Final = re.compile(rf"SCAN ({TABLES})\b")
INDEXED: Final = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
SEARCH: Final = re.compile(
    r"SEARCH (?P<table>\w+) USING (COVERING )?(INTEGER PRIMARY KEY|INDEX (?P<index>\w+)) \((?P<condition>.*)\)"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a SQLite file with every table in it."""
    path = tmp_path_factory.mktemp("plans") / "keystead.db"
    migrate(path)
    return path


@pytest.fixture(scope="module")
def lite(file: Path) -> dict[str, list[str]]:
    """Give SQLite's plans."""
    plans = sqlite_plans(file)
    return {name: plan for name, plan in plans.items() if name not in ON_POSTGRESQL_ALONE}


@pytest.fixture(scope="module", params=["force_generic_plan", "force_custom_plan", "auto"])
def postgres(request: pytest.FixtureRequest, full_url: str) -> dict[str, list[Node]]:
    """Give PostgreSQL's plans over full tables: for any values, for particular ones, and as it chooses by itself."""
    plans = asyncio.run(postgres_plans(full_url, request.param))
    if request.param == "force_generic_plan":
        # A plan for any values does not know how small a bite is; PostgreSQL never takes it, as "auto" shows.
        return {name: plan for name, plan in plans.items() if not is_clean_up(name)}
    return plans


@pytest.fixture(scope="module")
def full_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the address of a database whose tables are full."""
    url = postgres_server.create_database()
    asyncio.run(migrate_postgres(url))
    asyncio.run(fill(postgres_server.administrator_url(database_of(url))))
    yield url
    postgres_server.drop_database(url)


def test_what_is_named_here_is_there() -> None:
    named = READS_ALL | READS_A_FEW | SORTS | ENDS_EARLY | ANSWERS_A_LIST | ON_POSTGRESQL_ALONE
    assert sorted(named - statements().keys()) == []
    assert len(statements()) > 80


def test_sqlite_reads_no_table_from_end_to_end(lite: dict[str, list[str]]) -> None:
    found = {name: plan for name, plan in lite.items() if any(map(SCANS.search, plan))}
    assert {name: plan for name, plan in found.items() if name not in READS_ALL} == {}


def test_sqlite_makes_no_index_for_one_question_and_sorts_nothing_that_is_not_asked_for(
    lite: dict[str, list[str]],
) -> None:
    sorting = {name: plan for name, plan in lite.items() if any("TEMP B-TREE" in line for line in plan)}
    assert {name: plan for name, plan in sorting.items() if name not in SORTS} == {}
    assert {name: plan for name, plan in lite.items() if any("AUTOMATIC" in line for line in plan)} == {}


def test_sqlite_finds_one_row_by_all_columns_of_a_unique_index(file: Path, lite: dict[str, list[str]]) -> None:
    unique = {"rowid": 1, **sqlite_unique_indexes(file)}
    found = {}
    for name, plan in lite.items():
        lines = [line for line in map(SEARCH.match, plan) if line]
        if any(line["condition"].count("=?") != unique.get(line["index"] or "rowid") for line in lines):
            found[name] = plan
    assert {name: plan for name, plan in found.items() if name not in ANSWERS_A_LIST and not is_clean_up(name)} == {}


def test_postgresql_reads_no_table_from_end_to_end(postgres: dict[str, list[Node]]) -> None:
    found = {name: [str(node) for node in plan] for name, plan in postgres.items() if any(map(_reads_all, plan))}
    assert {name: plan for name, plan in found.items() if name not in READS_ALL | ENDS_EARLY} == {}


def test_postgresql_looks_several_up_by_the_index_that_leads_to_one(postgres: dict[str, list[Node]]) -> None:
    found = [node for node in postgres["keys.store.KEY_BY_HASH, together"] if node.index]
    assert [(node.index, node.unique) for node in found] == [("uq_api_key_secret_hash", True)]


def test_postgresql_sorts_nothing_that_is_not_asked_for(postgres: dict[str, list[Node]]) -> None:
    found = {name: plan for name, plan in postgres.items() if any("Sort" in node.kind for node in plan)}
    assert {name: plan for name, plan in found.items() if name not in SORTS} == {}


def test_postgresql_finds_one_row_by_all_columns_of_a_unique_index(postgres: dict[str, list[Node]]) -> None:
    others = READS_ALL | ANSWERS_A_LIST | READS_A_FEW
    reading = {name: [node for node in plan if node.index] for name, plan in postgres.items() if name not in others}
    found = {name: plan for name, plan in reading.items() if not all(node.unique for node in plan)}
    assert {name: plan for name, plan in found.items() if not is_clean_up(name)} == {}


async def test_a_plan_that_was_made_while_a_table_was_tiny_is_as_good_when_it_is_full(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    await migrate_postgres(url)
    await fill(postgres_server.administrator_url(database_of(url)), rows=5)
    connection = await asyncpg.connect(url, **options())
    answer = await connection.fetch(f"EXPLAIN {keys.HOLDER_BY_HASH.numbered.sql}", b"")
    await connection.close()
    postgres_server.drop_database(url)
    assert "Seq Scan" not in "\n".join(row[0] for row in answer)


def is_clean_up(name: str) -> bool:
    """Tell whether a statement takes a bite of expired rows."""
    return name.startswith("clean-up of ")


def _reads_all(node: Node) -> bool:
    return node.kind == "Seq Scan" or (node.kind in INDEXED and not node.condition)
