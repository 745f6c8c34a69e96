"""The ledger page by page."""

from keystead.balance.models import LedgerPage
from tests.keys.conftest import OpenHouse
from tests.keys.house import House

MANY = 23


async def read_all(house: House, name: str, most: int) -> list[LedgerPage]:
    organization_id = (await house.principal(name)).identity.organization_id
    pages = [await house.balance.ledger_page(organization_id, None, most)]
    while pages[-1].older is not None:
        pages.append(await house.balance.ledger_page(organization_id, pages[-1].older, most))
    return pages


async def test_pages_of_the_ledger_hold_every_entry_once_the_newest_first(opened: OpenHouse) -> None:
    house = opened(credit_limit_cents=10_000)
    ada, eve = await house.principal("ada"), await house.principal("eve")
    for number in range(1, MANY + 1):
        house.clock.advance(number % 2)
        await house.balance.add(ada, number, f"payment-{number}")
        await house.balance.add(eve, 7, f"payment-{number}")
    pages = await read_all(house, "ada", 10)
    entries = [entry for page in pages for entry in page.entries]
    assert [len(page.entries) for page in pages] == [10, 10, 3]
    assert [entry.amount_cents for entry in entries] == list(range(MANY, 0, -1))
    assert {entry.username for entry in entries} == {"ada"}


async def test_a_last_page_that_is_just_full_has_nothing_older(house: House) -> None:
    ada = await house.principal("ada")
    for number in range(3):
        await house.balance.add(ada, 1, f"payment-{number}")
    (page,) = await read_all(house, "ada", 3)
    assert (len(page.entries), page.older) == (3, None)
    assert [len(page.entries) for page in await read_all(house, "eve", 3)] == [0]
