"""The balance: added to exactly once, never beyond the limit, whatever is repeated, parallel or killed (K4)."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from keystead.balance import rules
from keystead.balance.models import BalanceNow, LedgerEntry
from keystead.balance.payments import Charge, OperatorCreditProvider
from keystead.db import Query
from keystead.db.tables import balance, credit_line, granted_credit, top_up
from keystead.kernel.problems import Conflict, InvalidParameters, PaymentRefused, Unavailable
from tests.keys.conftest import OpenHouse
from tests.keys.house import ADDRESS, House, neighbour, open_house, with_payments
from tests.support.engine import duplicate

KEY = "a-payment-of-ours"

_GRANTED = Query(select(func.coalesce(func.sum(granted_credit.c.amount_cents), 0)), int)
_DRAWN = Query(select(func.coalesce(func.sum(credit_line.c.granted_cents), 0)), int)
_INTENTIONS = Query(select(func.count()).select_from(top_up), int)
_LOWEST = Query(select(func.coalesce(func.min(balance.c.credit_cents), 0)), int)


class Provider:
    """A provider as it should be: idempotent by reference. It can be told to fail before or after it took the money."""

    def __init__(self) -> None:
        """Take any payment."""
        self.taken: Counter[str] = Counter()
        self.amounts: dict[str, int] = {}
        self.asked = 0
        self.fail_before: Exception | None = None
        self.fail_after: Exception | None = None

    async def charge(self, charge: Charge) -> str:
        """Take the payment once."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.fail_before is not None:
            raise self.fail_before
        if self.amounts.setdefault(charge.reference, charge.amount_cents) != charge.amount_cents:
            raise PaymentRefused("another amount")
        self.taken[charge.reference] = 1
        if self.fail_after is not None:
            raise self.fail_after
        return f"paid:{charge.reference}"


async def check_books(house: House, *organizations: str) -> None:
    """Hold that ledger, balance and the provider's books tell the same."""
    total = 0
    for name in organizations or ("acme", "evil"):
        organization = await house.accounts.organization_by_name(name)
        entries = await house.balance.ledger(organization.id)
        now = await house.balance.get(organization.id)
        assert sum(entry.amount_cents for entry in entries) == now.credit_cents
        assert sorted(entry.balance_after_cents for entry in entries) == running_totals(entries)
        total += now.credit_cents
    assert await house.db.one(_GRANTED, {}) == await house.db.one(_DRAWN, {}) == total
    assert await house.db.one(_INTENTIONS, {}) == 0
    assert (await house.db.one(_LOWEST, {}) or 0) >= 0


def running_totals(entries: Sequence[LedgerEntry]) -> list[int]:
    """Return the balances after each entry, in the order in which they grew."""
    before_and_after = sorted((entry.balance_after_cents, entry.amount_cents) for entry in entries)
    totals, total = [], 0
    for _, amount in before_and_after:
        total += amount
        totals.append(total)
    return totals


async def test_what_is_added_is_there(house: House) -> None:
    ada = await house.principal("ada")
    organization_id = ada.identity.organization_id
    assert await house.balance.get(organization_id) == BalanceNow(organization_id, 0)
    first = await house.balance.add(ada, 500, KEY, address=ADDRESS)
    second = await house.balance.add(ada, 250, KEY + "-2")
    assert (first.credit_cents, second.credit_cents) == (500, 750)
    assert await house.balance.get(organization_id) == BalanceNow(organization_id, 750)
    assert (await house.balance.get((await house.principal("eve")).identity.organization_id)).credit_cents == 0
    events = await house.events("balance:add")
    assert sorted((event.actor_id, event.address) for event in events if event.address) == [
        (ada.identity.user_id, ADDRESS)
    ]
    assert len(events) == 2
    await check_books(house)


async def test_the_same_key_again_answers_the_balance_and_charges_nothing(house: House) -> None:
    ada = await house.principal("ada")
    await house.balance.add(ada, 500, KEY)
    await house.balance.add(ada, 100, KEY + "-2")
    again = await house.balance.add(ada, 500, KEY)
    assert again.credit_cents == 600
    assert len(await house.events("balance:add")) == 2
    await check_books(house)


async def test_the_same_key_with_another_amount_is_a_conflict(house: House) -> None:
    ada = await house.principal("ada")
    await house.balance.add(ada, 500, KEY)
    with pytest.raises(Conflict):
        await house.balance.add(ada, 501, KEY)
    assert (await house.balance.get(ada.identity.organization_id)).credit_cents == 500


async def test_organizations_do_not_share_idempotency_keys(house: House) -> None:
    ada, eve = await house.principal("ada"), await house.principal("eve")
    assert (await house.balance.add(ada, 500, KEY)).credit_cents == 500
    assert (await house.balance.add(eve, 700, KEY)).credit_cents == 700
    await check_books(house)


@pytest.mark.parametrize("amount", [0, -1, 10_001, -(10**30)])
async def test_an_amount_that_does_not_fit_is_refused(house: House, amount: int) -> None:
    with pytest.raises(InvalidParameters):
        await house.balance.add(await house.principal("ada"), amount, KEY)
    assert await house.events("balance:add") == []


@pytest.mark.parametrize("key", ["", "1234567", "k" * 129, "1234567\n", "12345678\x00"])
async def test_an_idempotency_key_that_does_not_fit_is_refused(house: House, key: str) -> None:
    with pytest.raises(InvalidParameters):
        await house.balance.add(await house.principal("ada"), 1, key)
    assert await house.events("balance:add") == []


# Many at once, on several nodes


async def test_a_hundred_parallel_requests_with_one_key_are_one_charge(house: House) -> None:
    nodes = [house, neighbour(house), neighbour(house)]
    ada = await house.principal("ada")
    answers = await asyncio.gather(*(nodes[i % 3].balance.add(ada, 500, KEY) for i in range(100)))
    for node in nodes[1:]:
        node.db.close()
    assert {answer.credit_cents for answer in answers} == {500}
    assert len(await house.balance.ledger(ada.identity.organization_id)) == 1
    assert len(await house.events("balance:add")) == 1
    await check_books(house)


async def test_one_key_with_two_amounts_at_once_charges_one_of_them(house: House) -> None:
    nodes = [house, neighbour(house)]
    ada = await house.principal("ada")
    answers = await asyncio.gather(
        *(nodes[i % 2].balance.add(ada, 100 + i % 2, KEY) for i in range(40)), return_exceptions=True
    )
    nodes[1].db.close()
    accepted = {answer.credit_cents for answer in answers if isinstance(answer, BalanceNow)}
    assert sum(isinstance(answer, Conflict) for answer in answers) == 20
    assert len(accepted) == 1
    await check_books(house)


async def test_ten_times_the_limit_in_parallel_adds_exactly_the_limit(opened: OpenHouse) -> None:
    house = opened(credit_limit_cents=2_000)
    nodes = [house, neighbour(house), neighbour(house)]
    ada = await house.principal("ada")
    answers = await asyncio.gather(
        *(nodes[i % 3].balance.add(ada, 100, f"{KEY}-{i}") for i in range(200)), return_exceptions=True
    )
    for node in nodes[1:]:
        node.db.close()
    assert sum(isinstance(answer, BalanceNow) for answer in answers) == 20
    assert sum(isinstance(answer, PaymentRefused) for answer in answers) == 180
    assert (await house.balance.get(ada.identity.organization_id)).credit_cents == 2_000
    await check_books(house)


async def test_the_limit_is_each_organizations_own_and_holds_for_the_first_payment(opened: OpenHouse) -> None:
    house = opened(credit_limit_cents=100)
    ada, eve = await house.principal("ada"), await house.principal("eve")
    with pytest.raises(PaymentRefused):
        await house.balance.add(ada, 101, KEY)
    assert (await house.balance.add(ada, 100, KEY)).credit_cents == 100
    assert (await house.balance.add(eve, 100, KEY)).credit_cents == 100
    await check_books(house)


# What was interrupted


async def test_a_refused_payment_leaves_nothing_and_its_key_may_be_used_again(opened: OpenHouse) -> None:
    house = opened(credit_limit_cents=100)
    ada = await house.principal("ada")
    with pytest.raises(PaymentRefused):
        await house.balance.add(ada, 500, KEY)
    assert await house.db.one(_INTENTIONS, {}) == 0
    assert (await house.balance.add(ada, 50, KEY)).credit_cents == 50
    await check_books(house)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_payment_interrupted_at_the_provider_is_finished_by_the_same_request(house: House, moment: str) -> None:
    provider = Provider()
    house = with_payments(house, provider)
    ada = await house.principal("ada")
    setattr(provider, f"fail_{moment}", Unavailable())
    for _ in range(3):
        with pytest.raises(Unavailable):
            await house.balance.add(ada, 500, KEY)
    assert (await house.balance.get(ada.identity.organization_id)).credit_cents == 0
    with pytest.raises(Conflict):
        await house.balance.add(ada, 300, KEY)
    provider.fail_before = provider.fail_after = None
    answers = await asyncio.gather(*(house.balance.add(ada, 500, KEY) for _ in range(20)))
    assert {answer.credit_cents for answer in answers} == {500}
    assert provider.taken.total() == 1
    assert len(await house.balance.ledger(ada.identity.organization_id)) == 1
    assert await house.db.one(_INTENTIONS, {}) == 0


async def test_a_payment_that_was_taken_before_a_kill_is_credited_once_afterwards(opened: OpenHouse) -> None:
    house = opened(credit_limit_cents=500)
    ada = await house.principal("ada")
    granter = OperatorCreditProvider(db=house.db, clock=house.clock, settings=house.settings)
    reference = rules.reference_of(ada.identity.organization_id, KEY)
    await granter.charge(Charge(reference, ada.identity.organization_id, ada.identity.user_id, 500))
    assert (await house.balance.get(ada.identity.organization_id)).credit_cents == 0
    assert (await house.balance.add(ada, 500, KEY)).credit_cents == 500
    await check_books(house)


async def test_the_embedded_provider_grants_a_reference_once_and_only_with_its_amount(house: House) -> None:
    ada = await house.principal("ada")
    provider = OperatorCreditProvider(db=house.db, clock=house.clock, settings=house.settings)
    charge = Charge("reference", ada.identity.organization_id, ada.identity.user_id, 500)
    answers = await asyncio.gather(*(provider.charge(charge) for _ in range(50)))
    assert len(set(answers)) == 1
    assert await house.db.one(_GRANTED, {}) == await house.db.one(_DRAWN, {}) == 500
    with pytest.raises(PaymentRefused):
        await provider.charge(Charge("reference", ada.identity.organization_id, ada.identity.user_id, 400))


# The law


REQUESTS = st.lists(
    st.tuples(st.sampled_from(["ada", "alan", "eve"]), st.integers(1, 60), st.integers(0, 5)), min_size=1, max_size=25
)


@given(requests=REQUESTS, limit=st.integers(0, 150), together=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_ledger_balance_and_grants_agree(
    inhabited: Path, requests: list[tuple[str, int, int]], limit: int, together: bool
) -> None:
    async def play(house: House) -> None:
        principals = {name: await house.principal(name) for name in ("ada", "alan", "eve")}
        calls = [house.balance.add(principals[who], cents, f"{KEY}-{key}") for who, cents, key in requests]
        answers: list[BalanceNow | BaseException] = []
        if together:
            answers += await asyncio.gather(*calls, return_exceptions=True)
        else:
            for call in calls:
                answers += await asyncio.gather(call, return_exceptions=True)
        assert all(isinstance(answer, BalanceNow | Conflict | PaymentRefused) for answer in answers)
        for name in ("ada", "eve"):
            now = await house.balance.get(principals[name].identity.organization_id)
            assert 0 <= now.credit_cents <= limit
        await check_books(house)

    with TemporaryDirectory() as directory:
        duplicate(inhabited, Path(directory) / "house")
        with open_house(Path(directory) / "house", credit_limit_cents=limit) as house:
            asyncio.run(play(house))
