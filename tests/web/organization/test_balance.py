"""The balance is told in dollars, and a form that is sent twice adds once (promise K4)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.web.organization.balance import cents_in, dollars
from tests.account.nodes import Node, open_node
from tests.support.pages import Page
from tests.web.organization.conftest import Open, principal_of
from tests.web.reading import PAGE_BUDGET, Reading, weight
from tests.web.settings.visiting import Visit, counted_reads, form_to, visit

PATH = "/settings/organization/balance"


async def add(ada: Visit, amount: str, page: Page | None = None) -> Page:
    """Fill the form of a page, a fresh one if none is given, and send it."""
    form = form_to(page or await ada.get(PATH), PATH)
    return await ada.post(PATH, dict(form.filled({"amount": amount})))


async def test_an_amount_is_added_and_stands_in_the_list_with_who_added_it(here: Node) -> None:
    page = await add(await visit(here), "25.50")
    assert "The amount is added to the balance." in page.words
    assert "Balance $25.50" in page.words
    assert "+$25.50 ada , just now · Balance afterwards $25.50 Reference operator-credit:" in page.words


async def test_a_form_that_is_sent_again_adds_once(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(PATH)
    await asyncio.gather(*(add(ada, "5", page) for _ in range(5)))
    again = await add(ada, "5", page)
    assert "Balance $5.00" in again.words
    assert len(await here.house.events("balance:add")) == 1


async def test_a_form_that_is_sent_again_with_another_amount_says_so_and_adds_nothing(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(PATH)
    await add(ada, "5", page)
    other = await add(ada, "7", page)
    assert other.status == 409
    assert "This form was sent before with another amount" in other.words
    assert "Balance $5.00" in other.words
    assert "Balance $12.00" in (await add(ada, "7", other)).words


async def test_an_amount_that_does_not_fit_is_told_at_its_field(here: Node) -> None:
    ada = await visit(here)
    amounts = ("", "0", "-5", "100.01", "1e2", "5.123", "\u0665", "five", "5\x0b5", "9" * 40)
    pages = [await add(ada, amount) for amount in amounts]
    assert {(page.status, 'id="amount-error"' in page.source) for page in pages} == {(422, True)}
    assert all("Balance $0.00" in page.words for page in pages)


async def test_a_form_without_its_key_adds_nothing(here: Node) -> None:
    ada = await visit(here)
    for key in ("", "short", "k" * 200):
        page = await ada.post(PATH, {"form_token": ada.form_token, "amount": "5", "key": key})
        assert (page.status, "This form was not complete." in page.words) == (422, True)
    assert await here.house.events("balance:add") == []


async def test_what_the_operator_does_not_grant_is_told_at_the_field(opened: Open) -> None:
    async with open_node(opened(credit_limit_cents=600)) as here:
        ada = await visit(here)
        page = await add(ada, "7")
        assert page.status == 402
        assert 'value="7"' in page.source
        assert "the operator of this service grants" in page.words
        assert "Balance $6.00" in (await add(ada, "6", page)).words


async def test_many_changes_come_in_pages_that_cost_the_same(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, costs, principal = await visit(here), [], await principal_of(here)
    page = await ada.get(PATH)  # the session is remembered from now on
    for number in range(1, 204):
        await here.house.services.balance.add(principal, 1, f"payment-{number}")
        if number in {3, 203}:
            with counted_reads(here, monkeypatch) as seen:
                page = await ada.get(PATH)
            costs.append(len(seen))
    assert costs[0] == costs[1]
    assert weight(Reading(page.source)) < PAGE_BUDGET
    assert "$2.03" in page.words
    seen_amounts = 0
    while True:
        seen_amounts += page.words.count("+$0.01")
        older = [part.partition('"')[0] for part in page.source.split('href="')[1:] if "before=" in part[:90]]
        if not older:
            break
        page = await ada.get(older[0])
    assert seen_amounts == 203
    assert "Back to the newest" in page.words


async def test_a_place_that_is_none_is_400(here: Node) -> None:
    ada = await visit(here)
    places = ("x", "1-x", "-1-" + "0" * 36, "9" * 13 + "-" + "0" * 36, "1-" + "g" * 36)
    assert {(await ada.get(f"{PATH}?before={before}")).status for before in places} == {400}


@given(st.integers(0, 10**9))
def test_an_amount_that_was_written_is_read_again(cents: int) -> None:
    assert cents_in(dollars(cents).replace(",", "")) == (cents if cents < 10**9 else None)


@given(st.text(max_size=12))
def test_whatever_is_typed_is_a_number_of_cents_or_nothing(typed: str) -> None:
    found = cents_in(typed)
    assert found is None or (typed.isascii() and 0 <= found < 10**9)
