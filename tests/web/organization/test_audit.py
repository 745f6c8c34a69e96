"""An organization's audit log reads as sentences, is found by filters, and leaves as a harmless file (promise O2)."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.audit import service
from keystead.db import Transaction
from keystead.kernel.scopes import Role
from keystead.web.organization import audit, spreadsheets
from keystead.web.render import machine_time
from tests.account.nodes import Node
from tests.web.organization.conftest import join
from tests.web.reading import PAGE_BUDGET, Reading, weight
from tests.web.settings.visiting import Visit, counted_reads, visit

PATH = "/settings/organization/audit"
DAY = 86_400


async def record(node: Node, *events: dict[str, Any]) -> None:
    """Record events of acme, a second after another."""

    async def work(tx: Transaction) -> None:
        for event in events:
            node.house.clock.advance(1)
            kind = event.pop("kind", "key:create")
            await node.house.services.audit.record(tx, kind, organization_id=node.house.acme, **event)

    await node.house.db.write(work)


async def rows(visit: Visit, query: str = "") -> list[list[str]]:
    """Download the file and read it as a spreadsheet would."""
    answer = await visit.node.http.get(f"{PATH}.csv{query}", headers=visit._headers())
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit-acme.csv"'
    assert answer.headers["cache-control"] == "no-store"
    return list(csv.reader(io.StringIO(answer.text)))


def links(page: Any, word: str) -> list[str]:
    """Return the addresses on a page that hold a word."""
    found = [part.partition('"')[0].replace("&amp;", "&") for part in page.source.split('href="')[1:]]
    return [address for address in found if word in address]


async def test_an_event_says_what_was_done_when_by_whom_and_from_where(here: Node) -> None:
    ada = await visit(here)
    made = await here.house.services.keys.create_key_for_user("bob", "nightly")
    await record(here, {"actor_id": here.house.bob.id, "kind": "key:delete", "target": "t", "address": "192.0.2.9"})
    page = await ada.get(PATH)
    assert "Deleted an API key. bob , just now from 192.0.2.9 Target t" in page.words
    assert "The operator of this server, just now" in page.words
    assert made.record.id in page.words


async def test_filters_narrow_the_list_and_stay_in_the_form_and_in_the_way_to_older_events(here: Node) -> None:
    ada, bob = await visit(here), here.house.bob.id
    many = ({"actor_id": bob, "kind": "token:create", "target": f"t{n}"} for n in range(60))
    await record(here, *many, {"actor_id": here.house.ada.id, "kind": "app:create", "name": "Reports"})
    page = await ada.get(f"{PATH}?type=token&person=bob@example.com")
    assert page.words.count("Made a short-term token.") == 50
    assert "Reports" not in page.words
    assert '<option value="token" selected>' in page.source
    assert 'value="bob@example.com"' in page.source
    (older,) = links(page, "before=")
    assert "type=token" in older
    assert "person=bob%40example.com" in older
    last = await ada.get(older)
    assert last.words.count("Made a short-term token.") == 10
    assert links(last, "before=") == []
    assert (await ada.get(f"{PATH}?target=t7")).words.count("Made a short-term token.") == 1


async def test_days_are_whole_days_of_utc(here: Node) -> None:
    await record(here, {"target": "before"})
    here.house.clock.advance(DAY)
    await record(here, {"target": "within"})
    ada = await visit(here)
    day = machine_time(here.house.clock.now())[:10]
    page = await ada.get(f"{PATH}?from={day}&to={day}")
    assert ("Target within" in page.words, "Target before" in page.words) == (True, False)


async def test_a_day_that_is_none_is_told_at_its_field(here: Node) -> None:
    ada = await visit(here)
    days = ("from=14.3.2026", "to=2026-02-30", "from=2026-03-02&to=2026-03-01", "from=0000-00-00")
    pages = [await ada.get(f"{path}?{day}") for path in (PATH, f"{PATH}.csv") for day in days]
    assert {page.status for page in pages} == {422}
    assert all('class="field-error"' in page.source and "Nothing was looked for" in page.words for page in pages)


async def test_an_address_that_was_changed_by_hand_is_400(here: Node) -> None:
    ada = await visit(here)
    queries = ("before=x", "before=1-2", "type=a&type=b")
    assert [(await ada.get(f"{PATH}?{query}")).status for query in queries] == [400] * 3


async def test_whatever_is_looked_for_is_only_looked_for(here: Node) -> None:
    ada = await visit(here)
    texts = ("%00", "%ff%fe", "%ed%a0%80", "x" * 900, "';--", "%25", "-", "@", "a@b", "key:*")
    pages = [await ada.get(f"{PATH}?{name}={text}") for text in texts for name in ("type", "person", "target")]
    assert {(page.status, "Nothing fits" in page.words) for page in pages} == {(200, True)}


async def test_a_person_of_another_organization_looks_like_one_that_does_not_exist(here: Node) -> None:
    await join(here, "eve", Role.OWNER, "evil")
    await visit(here, "eve")
    ada = await visit(here)
    pages = [(await ada.get(f"{PATH}?person={name}")).words for name in ("eve", "evx")]
    assert pages[0] == pages[1]
    assert "Nothing fits" in pages[0]


async def test_nobody_reads_the_log_of_another_organization(here: Node) -> None:
    await record(here, {"target": "secret of acme"})
    await join(here, "eve", Role.OWNER, "evil")
    eve = await visit(here, "eve")
    assert "secret of acme" not in (await eve.get(PATH)).words
    answer = await here.http.get(f"{PATH}.csv", headers=eve._headers())
    assert ("secret of acme" in answer.text, "audit-evil.csv" in answer.headers["content-disposition"]) == (False, True)


async def test_a_look_that_ends_early_says_so_and_goes_on(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await visit(here)
    monkeypatch.setattr(service, "LOOKED_AT", 20)
    await record(here, {"target": "needle"}, *({"target": "hay"} for _ in range(30)))
    page = await ada.get(f"{PATH}?target=needle")
    assert "Nothing fits among the events that were looked at." in page.words
    (older,) = links(page, "before=")
    assert "Target needle" in (await ada.get(older)).words


async def test_a_page_of_many_costs_as_many_statements_as_one_of_few(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, costs = await visit(here), []
    page = await ada.get(PATH)  # the session is remembered from now on
    for more in (3, 200):
        await record(here, *({"actor_id": here.house.bob.id, "target": f"{n}"} for n in range(more)))
        with counted_reads(here, monkeypatch) as seen:
            page = await ada.get(PATH)
        costs.append(len(seen))
    assert costs == [1, 1]
    assert weight(Reading(page.source)) < PAGE_BUDGET


async def test_the_file_holds_every_event_that_fits_in_bites(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await visit(here)
    monkeypatch.setattr(audit, "_BITE", 7)
    await record(here, *({"target": f"t{n}", "actor_id": here.house.bob.id} for n in range(30)))
    header, *body = await rows(ada, "?person=bob")
    assert header == ["time", "person", "what", "type", "target", "address", "detail", "id"]
    assert [row[4] for row in body] == [f"t{n}" for n in reversed(range(30))]
    assert {row[1] for row in body} == {"bob"}
    assert body[0][0] == machine_time(here.house.clock.now())


async def test_a_file_that_is_cut_says_so_at_its_end(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await visit(here)
    monkeypatch.setattr(audit, "_BITE", 7)
    monkeypatch.setattr(audit, "MOST_ROWS", 20)
    await record(here, *({"target": f"t{n}"} for n in range(20)))
    whole = await rows(ada, "?type=key")
    await record(here, {"target": "one more"})
    cut = await rows(ada, "?type=key")
    assert (len(whole), whole[-1][4]) == (21, "t0")
    assert (len(cut), cut[-1][0]) == (22, "Cut after 20 events. Ask for a shorter time to get the others.")


async def test_no_cell_of_the_file_is_a_formula(here: Node) -> None:
    ada = await visit(here)
    for first in "=+-@\t\r\n":
        await record(here, {"target": f"{first}HYPERLINK(1)", "address": f"{first}1", "kind": f"{first}x:y"})
    body = (await rows(ada))[1:]
    assert sum("HYPERLINK" in cell for row in body for cell in row) == 7
    assert [cell for row in body for cell in row if cell.startswith(tuple("=+-@\t\r\n"))] == []


@given(st.lists(st.lists(st.text(), min_size=1, max_size=4), max_size=5))
def test_a_table_is_read_as_it_was_written_but_for_the_apostrophes(table: list[list[str]]) -> None:
    text = spreadsheets.lines(table).decode()
    read = list(csv.reader(io.StringIO(text, newline="")))
    expected = [[spreadsheets.harmless(cell) for cell in row] for row in table]
    assert read == [[c.encode("utf-8", "replace").decode() for c in row] for row in expected]
    assert not any(cell.startswith(tuple("=+-@\t\r\n")) for row in read for cell in row)
