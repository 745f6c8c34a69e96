"""The balance over HTTP."""

from typing import Any

import pytest

from tests.keys.conftest import OpenHouse
from tests.keys.house import House

KEY = "kc_abc-500-1763800000"


async def test_the_balance_has_its_four_members_always(house: House) -> None:
    ada = await house.principal("ada")
    async with house.client(ada) as client:
        before = await client.get("/balance")
        added = await client.post("/balance/add", json={"amount_cents": 500, "idempotency_key": KEY, "other": 1})
        again = await client.post("/balance/add", json={"amount_cents": 500.0, "idempotency_key": KEY})
        after = await client.get("/balance")
    body = {
        "org_id": ada.identity.organization_id,
        "credit_balance_cents": 0,
        "pending_debit_balance_cents": 0,
        "will_invoice": False,
    }
    assert (before.status_code, before.json()) == (200, body)
    for found in (added, again, after):
        assert (found.status_code, found.json()) == (200, {**body, "credit_balance_cents": 500})


async def test_another_amount_is_409_and_the_limit_is_402(opened: OpenHouse) -> None:
    house = opened(credit_limit_cents=600)
    async with house.client(await house.principal("ada")) as client:
        await client.post("/balance/add", json={"amount_cents": 500, "idempotency_key": KEY})
        conflict = await client.post("/balance/add", json={"amount_cents": 501, "idempotency_key": KEY})
        refused = await client.post("/balance/add", json={"amount_cents": 500, "idempotency_key": KEY + "-2"})
        balance = await client.get("/balance")
    assert (conflict.status_code, list(conflict.json())) == (409, ["detail"])
    assert (refused.status_code, list(refused.json())) == (402, ["detail"])
    assert "600 cents" in refused.json()["detail"]
    assert balance.json()["credit_balance_cents"] == 500


@pytest.mark.parametrize("amount", [0, -1, 10_001, 1.5, "5", True, None, [5], 1e300], ids=repr)
async def test_an_amount_is_a_whole_number_within_bounds(house: House, amount: Any) -> None:
    async with house.client(await house.principal("ada")) as client:
        found = await client.post("/balance/add", json={"amount_cents": amount, "idempotency_key": KEY})
    assert found.status_code == 422
    assert found.json()["detail"][0]["loc"] == ["body", "amount_cents"]


@pytest.mark.parametrize("key", ["1234567", "k" * 129, "1234567\n", 12_345_678, None, "\x00" * 8], ids=repr)
async def test_an_idempotency_key_is_a_string_within_bounds(house: House, key: Any) -> None:
    async with house.client(await house.principal("ada")) as client:
        found = await client.post("/balance/add", json={"amount_cents": 5, "idempotency_key": key})
    assert found.status_code == 422
    assert found.json()["detail"][0]["loc"] == ["body", "idempotency_key"]


async def test_a_member_reads_the_balance_and_cannot_add(house: House) -> None:
    async with house.client(await house.principal("bob")) as client:
        read = await client.get("/balance")
        refused = await client.post("/balance/add", json={"amount_cents": 5, "idempotency_key": KEY})
    assert (read.status_code, refused.status_code) == (200, 403)
    assert await house.events("balance:add") == []
