"""Apps: their names, who sees them, and that their keys end with them."""

import asyncio

import pytest

from keystead.db import Transaction
from keystead.kernel.problems import Conflict, NotFound
from tests.keys.house import ADDRESS, House, neighbour
from tests.support.engine import sqlite_of


async def test_an_app_belongs_to_its_makers_organization(house: House) -> None:
    made = await house.app("ada")
    ada, eve = await house.principal("ada"), await house.principal("eve")
    assert [app.id for app in await house.keys.list_apps(ada)] == [made.id]
    assert await house.keys.list_apps(eve) == []
    assert (made.organization_id, made.created_by) == (ada.identity.organization_id, ada.identity.user_id)


async def test_a_name_is_taken_once_in_an_organization(house: House) -> None:
    ada = await house.principal("ada")
    answers = await asyncio.gather(*(house.keys.create_app(ada, "Reports") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(found, Conflict) for found in answers) == 19
    assert len(await house.keys.list_apps(ada)) == 1
    assert (await house.app("eve")).name == "Reports"
    assert len(await house.events("app:create")) == 2


async def test_an_app_that_must_exist_is_made_once_however_many_ask(house: House) -> None:
    ada = await house.principal("ada")
    other = neighbour(house)

    async def ensure(process: House) -> str:
        async def work(tx: Transaction) -> str:
            identity = ada.identity
            return await house.keys.ensure_app(tx, identity.organization_id, "parallel-cli Users", identity.user_id)

        return await process.db.write(work)

    found = await asyncio.gather(*(ensure(process) for process in (house, other) * 25))
    other.db.close()
    (app,) = await house.keys.list_apps(ada)
    assert (set(found), app.name) == ({app.id}, "parallel-cli Users")
    assert len(await house.events("app:create")) == 1


async def test_an_app_goes_with_all_its_keys_and_each_is_announced(house: House) -> None:
    app, kept = await house.app(), await house.app(name="Kept")
    made = [await house.key(app, creator) for creator in ("ada", "bob", "alan")]
    survivor = await house.key(kept)
    heard = house.heard()
    await house.keys.delete_app(await house.principal("ada"), app.id, address=ADDRESS)
    house.db.fresh()
    assert sorted(heard) == sorted(f"credential:{key.record.id}" for key in made)
    assert [await house.keys.find(key.secret.reveal()) for key in made] == [None] * 3
    assert await house.keys.find(survivor.secret.reveal()) is not None
    (event,) = await house.events("app:delete")
    assert (event.target, event.address, '"keys": 3' in event.detail) == (app.id, ADDRESS, True)
    with pytest.raises(NotFound):
        await house.keys.delete_app(await house.principal("ada"), app.id)


@pytest.mark.sqlite
async def test_deleting_an_app_takes_as_many_statements_for_one_key_as_for_many(house: House) -> None:
    counts = []
    for keys in (1, 150):
        app = await house.app(name=f"with {keys}")
        for _ in range(keys):
            await house.key(app)
        ada = await house.principal("ada")
        statements: list[str] = []
        sqlite_of(house.db)._writes.set_trace_callback(statements.append)
        await house.keys.delete_app(ada, app.id)
        sqlite_of(house.db)._writes.set_trace_callback(None)
        counts.append(len([text for text in statements if not text.startswith("-- ")]))
    assert counts[0] == counts[1] < 20


async def test_a_key_made_while_its_app_is_deleted_either_goes_or_is_refused(house: House) -> None:
    app = await house.app()
    ada = await house.principal("ada")
    answers = await asyncio.gather(
        *(house.keys.create_key(ada, app.id, "before") for _ in range(10)),
        house.keys.delete_app(ada, app.id),
        *(house.keys.create_key(ada, app.id, "after") for _ in range(10)),
        return_exceptions=True,
    )
    refused = [found for found in answers if isinstance(found, NotFound)]
    made = [found for found in answers if found is not None and not isinstance(found, BaseException)]
    assert len(refused) + len(made) == 20
    assert [await house.keys.find(key.secret.reveal()) for key in made] == [None] * len(made)
