"""The audit log is read page by page, by index, and a filter that finds nothing looks at so much and no more."""

import contextlib
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keystead.audit import service
from keystead.audit.models import AuditFilters, AuditPage
from keystead.audit.store import END_OF_LOOK, END_OF_LOOK_OF_ACTOR, NEWEST_OF_ACTOR, PAGE, PAGE_OF_ACTOR
from keystead.db import Query, Transaction
from keystead.db.migrate import migrate
from tests.accounts.house import House

EVERYTHING = AuditFilters()


async def write(house: House, *events: tuple[str, str | None, str]) -> None:
    """Record events of acme, a second after another: type, who did it, target."""

    async def work(tx: Transaction) -> None:
        for kind, actor_id, target in events:
            house.clock.advance(1)
            await house.audit.record(tx, kind, actor_id=actor_id, organization_id="acme", target=target)

    await house.db.write(work)


async def walk(house: House, filters: AuditFilters, most: int) -> list[AuditPage]:
    """Read every page."""
    pages = [await house.audit.page(house.db, "acme", filters, None, most)]
    while pages[-1].older is not None:
        pages.append(await house.audit.page(house.db, "acme", filters, pages[-1].older, most))
    return pages


def targets(pages: Sequence[AuditPage]) -> list[str | None]:
    return [event.target for page in pages for event in page.events]


async def test_pages_hold_every_event_once_the_newest_first_though_many_are_of_one_second(house: House) -> None:
    async def work(tx: Transaction) -> None:
        for number in range(25):
            if number % 10 == 0:
                house.clock.advance(1)
            await house.audit.record(tx, "key:create", organization_id="acme", target=str(number))
            await house.audit.record(tx, "key:create", organization_id="other", target="of others")

    await house.db.write(work)
    pages = await walk(house, EVERYTHING, 4)
    assert targets(pages) == [str(number) for number in reversed(range(25))]
    assert [len(page.events) for page in pages] == [4, 4, 4, 4, 4, 4, 1]


async def test_an_event_says_the_user_name_of_who_did_it(house: House) -> None:
    ada = await house.add_ada()
    await write(house, ("key:create", ada, "key"), ("key:revoke", None, "key"), ("key:rename", "gone", "key"))
    page = await house.audit.page(house.db, "acme", EVERYTHING, None, 10)
    assert [(event.type, event.actor) for event in page.events] == [
        ("key:rename", None),
        ("key:revoke", None),
        ("key:create", "ada"),
    ]


async def test_filters_find_what_fits_all_of_them(house: House) -> None:
    begun = house.clock.now()
    await write(
        house,
        ("key:create", "ada", "one"),
        ("key:delete", "ada", "one"),
        ("key:create", "bob", "two"),
        ("keyring:create", "bob", "three"),
        ("app:create", "bob", "four"),
    )

    async def found(**filters: Any) -> list[str]:
        page = await house.audit.page(house.db, "acme", AuditFilters(**filters), None, 10)
        return [f"{event.type} {event.actor_id}" for event in reversed(page.events)]

    assert await found(kind="key") == ["key:create ada", "key:delete ada", "key:create bob"]
    assert await found(kind="key:create") == ["key:create ada", "key:create bob"]
    assert await found(kind="key:") == []
    assert await found(kind="key%") == []
    assert await found(actor_id="ada") == ["key:create ada", "key:delete ada"]
    assert await found(actor_id="bob", kind="key", target="two") == ["key:create bob"]
    assert await found(target="one") == ["key:create ada", "key:delete ada"]
    assert await found(since=begun + 2, until=begun + 4) == ["key:delete ada", "key:create bob"]
    assert await found(actor_id="bob", until=begun + 4) == ["key:create bob"]


async def test_a_person_is_followed_in_the_organization_that_asks_and_in_no_other(house: House) -> None:
    async def work(tx: Transaction) -> None:
        await house.audit.record(tx, "key:create", actor_id="ada", organization_id="other", target="of others")
        await house.audit.record(tx, "key:create", actor_id="ada", organization_id="acme", target="ours")

    await house.db.write(work)
    page = await house.audit.page(house.db, "acme", AuditFilters(actor_id="ada"), None, 10)
    own = await house.audit.of_user(house.db, "ada", 10)
    assert [event.target for event in page.events] == ["ours"]
    assert [event.target for event in own] == ["ours", "of others"]


@pytest.mark.parametrize("filters", [AuditFilters(target="needle"), AuditFilters(target="needle", actor_id="ada")])
async def test_a_filter_looks_at_so_many_events_and_says_where_to_look_on(
    house: House, monkeypatch: pytest.MonkeyPatch, filters: AuditFilters
) -> None:
    monkeypatch.setattr(service, "LOOKED_AT", 10)
    hay = [("key:create", "ada", f"hay {number}") for number in range(24)]
    await write(house, ("key:create", "ada", "needle"), *hay, ("key:delete", "ada", "needle"))
    pages = await walk(house, filters, 5)
    assert [[event.type for event in page.events] for page in pages] == [["key:delete"], [], ["key:create"]]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "keystead.db"
    migrate(path)
    return path


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (PAGE, "ix_audit_event_organization (organization_id=? AND at>? AND (at,id)<(?,?))"),
        (END_OF_LOOK, "ix_audit_event_organization (organization_id=? AND at>? AND (at,id)<(?,?))"),
        (PAGE_OF_ACTOR, "ix_audit_event_actor (actor_id=? AND at>? AND (at,id)<(?,?))"),
        (END_OF_LOOK_OF_ACTOR, "ix_audit_event_actor (actor_id=? AND at>? AND (at,id)<(?,?))"),
        (NEWEST_OF_ACTOR, "ix_audit_event_actor (actor_id=?)"),
    ],
)
def test_a_page_of_the_log_is_found_by_index(file: Path, query: Query[Any], index: str) -> None:
    names = dict.fromkeys(re.findall(r":(\w+)", query.sql), 1)
    with contextlib.closing(sqlite3.connect(file)) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query.sql}", names)]
    assert any(index in line for line in plan), plan
    assert not any("SCAN audit_event" in line or "AUTOMATIC" in line for line in plan), plan
