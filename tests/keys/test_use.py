"""How often keys are used, by day: exact, however many nodes count at once (promise K2)."""

import asyncio
import random

from keystead.kernel.ids import new_id
from keystead.keys.use import DayOfUse
from tests.keys.house import House, neighbour

DAY = 86_400
TODAY = 1_763_769_600
"""A midnight in UTC, as Unix seconds."""


async def uses(house: House, organization: str = "ada", user: str | None = "ada", since: int = 0) -> dict[str, int]:
    """Return the sum for each key of somebody's, or with None of everybody's in an organization."""
    found: dict[str, int] = {}
    organization_id = (await house.principal(organization)).identity.organization_id
    user_id = None if user is None else (await house.principal(user)).identity.user_id
    for one in await house.keys.uses(organization_id, user_id, since):
        found[one.api_key_id] = found.get(one.api_key_id, 0) + one.uses
    return found


async def test_uses_of_a_day_add_up_and_days_are_kept_apart(house: House) -> None:
    app = await house.app()
    first, second = await house.key(app), await house.key(app)
    await house.keys.use.count([(first.record.id, TODAY, 3), (second.record.id, TODAY, 1)])
    await house.keys.use.count([(first.record.id, TODAY, 4), (first.record.id, TODAY + DAY, 5)])
    ada = (await house.principal("ada")).identity
    found = await house.keys.uses(ada.organization_id, ada.user_id, TODAY)
    assert sorted(found, key=lambda one: (one.day, -one.uses)) == [
        DayOfUse(first.record.id, TODAY, 7),
        DayOfUse(second.record.id, TODAY, 1),
        DayOfUse(first.record.id, TODAY + DAY, 5),
    ]
    assert await uses(house, since=TODAY + DAY) == {first.record.id: 5}


async def test_a_member_reads_the_uses_of_their_own_keys_and_an_organization_those_of_all(house: House) -> None:
    app = await house.app()
    of_ada, of_bob = await house.key(app), await house.key(app, "bob")
    of_eve = await house.key(await house.app("eve"), "eve")
    await house.keys.use.count([(key.record.id, TODAY, 2) for key in (of_ada, of_bob, of_eve)])
    assert await uses(house) == {of_ada.record.id: 2}
    assert await uses(house, user="bob") == {of_bob.record.id: 2}
    assert await uses(house, user=None) == {of_ada.record.id: 2, of_bob.record.id: 2}
    assert await uses(house, "eve", "ada") == {}


async def test_a_key_that_is_gone_is_passed_over_and_the_others_are_counted(house: House) -> None:
    app = await house.app()
    gone, there = await house.key(app), await house.key(app)
    await house.keys.use.count([(gone.record.id, TODAY, 1)])
    await house.keys.delete_key(await house.principal("ada"), app.id, gone.record.id)
    await house.keys.use.count([(gone.record.id, TODAY, 1), (there.record.id, TODAY, 1), (new_id(), TODAY, 9)])
    assert await uses(house) == {there.record.id: 1}


async def test_three_nodes_that_count_at_once_lose_no_use_and_count_none_twice(house: House) -> None:
    app = await house.app()
    keys = [(await house.key(app)).record.id for _ in range(5)]
    nodes = [house, neighbour(house), neighbour(house)]
    chance = random.Random(7)  # noqa: S311 - an order to try, not a secret
    wanted = dict.fromkeys(keys, 0)

    async def batches(node: House, some: list[list[tuple[str, int, int]]]) -> None:
        for batch in some:
            await node.keys.use.count(batch)
            await asyncio.sleep(0)

    plans = []
    for _ in nodes:
        plan = []
        for _ in range(20):
            batch = [(key, TODAY, chance.randint(1, 9)) for key in chance.sample(keys, 4)]
            for key, _, times in batch:
                wanted[key] += times
            plan.append(batch)
        plans.append(plan)
    await asyncio.gather(*(batches(node, plan) for node, plan in zip(nodes, plans, strict=True)))
    assert await uses(house) == wanted
    for node in nodes[1:]:
        node.db.close()
