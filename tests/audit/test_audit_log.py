"""The audit log keeps an event with the change that it tells of, and no secret."""

import json
from typing import Any

import pytest

from keystead.db import Transaction
from keystead.kernel.problems import Conflict
from keystead.kernel.secrets import Secret
from tests.accounts.house import House


async def test_an_event_is_kept_with_who_what_when_and_where(house: House) -> None:
    async def work(tx: Transaction) -> None:
        await house.audit.record(
            tx, "key:create", actor_id="ada", organization_id="acme", target="key", address="192.0.2.7", title="nightly"
        )

    await house.db.write(work)
    (event,) = await house.events()
    assert (event.at, event.type, event.actor_id, event.organization_id) == (
        house.clock.now(),
        "key:create",
        "ada",
        "acme",
    )
    assert (event.target, event.address, json.loads(event.detail)) == ("key", "192.0.2.7", {"title": "nightly"})


async def test_an_event_is_not_kept_without_its_change(house: House) -> None:
    async def work(tx: Transaction) -> None:
        await house.audit.record(tx, "key:create")
        raise Conflict()

    with pytest.raises(Conflict):
        await house.db.write(work)
    assert await house.events() == []


async def test_a_secret_cannot_be_written_into_an_event(house: House) -> None:
    careless: dict[str, Any] = {"key": Secret("pwt_secret")}

    async def work(tx: Transaction) -> None:
        await house.audit.record(tx, "key:create", **careless)

    with pytest.raises(TypeError) as refusal:
        await house.db.write(work)
    assert "pwt_secret" not in str(refusal.value)
    assert await house.events() == []


async def test_an_organization_reads_its_own_events_the_newest_first(house: House) -> None:
    async def work(tx: Transaction) -> None:
        for number in range(3):
            await house.audit.record(tx, "key:create", organization_id="acme", target=f"key {number}")
        await house.audit.record(tx, "key:create", organization_id="other", target="key of others")

    await house.db.write(work)
    house.clock.advance(1)

    async def later(tx: Transaction) -> None:
        await house.audit.record(tx, "key:revoke", organization_id="acme", target="key 0")

    await house.db.write(later)
    found = await house.audit.of_organization(house.db, "acme", most=2)
    assert [event.type for event in found] == ["key:revoke", "key:create"]
    assert {event.organization_id for event in await house.audit.of_organization(house.db, "acme")} == {"acme"}
