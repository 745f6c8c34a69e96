"""Clients that register themselves: nothing is kept for them, and one that was deleted is unknown (X1, X2, X3)."""

import asyncio

import httpx
import pytest

from keystead.db.tables import client as client_table
from keystead.db.tables import oauth_grant
from keystead.kernel.problems import Conflict, InvalidClient, InvalidClientMetadata, InvalidGrant, Problem
from keystead.oauth.models import DeviceCodes
from tests.support.installation import METADATA, Installation

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


# X1: registration stores nothing


async def test_ten_thousand_registrations_leave_no_row_anywhere(house: Installation) -> None:
    before, units = await house.rows(), house.db.units
    ids = set()
    for number in range(10_000):
        machine = {"system": "Linux", "machine": f"m{number % 100}", "release": str(number)}
        metadata = {"client_name": f"client {number // 100}", "platform": machine}
        ids.add((await house.services.oauth.clients.register(metadata)).id)
    assert len(ids) == 10_000
    assert await house.rows() == before
    assert house.db.units == units


async def test_the_same_installation_gets_the_same_id_after_every_update(house: Installation) -> None:
    register = house.services.oauth.clients.register
    ids = {
        (await register({**METADATA, "platform": {"system": "Linux", "machine": "x86_64", **update}})).id
        for update in ({}, {"release": "6.1"}, {"release": "6.2", "version": "#1"}, {"os_name": "posix"})
    }
    assert len(ids) == 1


async def test_only_a_client_that_somebody_approved_is_kept(house: Installation) -> None:
    client = await house.register()
    codes, refused = await house.issue(client), await house.issue(await house.register("refused"))
    view = await house.look_up(refused.user_code.reveal())
    assert view is not None
    await house.decide(view, approve=False)
    assert await house.rows(client_table) == {"client": 0}
    await house.approve(codes)
    await house.approve(await house.issue(client))
    assert await house.rows(client_table) == {"client": 1}


# X2, X3: what a client hears


@pytest.mark.parametrize("unknown", ["kc_unknown", "nobody", "kc_" + "A" * 60, "PARALLEL-CLI"])
async def test_an_unknown_client_is_told_so_in_the_words_that_parallel_cli_looks_for(
    web: httpx.AsyncClient, unknown: str
) -> None:
    asked = {"client_id": unknown, "scope": "keys:read"}
    response = await web.post("/getServiceKeys/device/code", data=asked)
    assert response.status_code == 401
    assert '"error":"invalid_client"' in response.text
    assert "Unknown client_id" in response.text


async def test_what_registration_returns_is_enough_to_finish_the_flow(
    house: Installation, web: httpx.AsyncClient
) -> None:
    registered = await web.post("/getServiceKeys/register", json=METADATA)
    client = registered.json()
    assert registered.status_code == 201
    assert {name: client[name] for name in METADATA} == METADATA
    assert client["token_endpoint_auth_method"] == "none"
    assert client["response_types"] == []
    assert set(client["grant_types"]) == {DEVICE_GRANT, "refresh_token"}

    asked = {"client_id": client["client_id"], "scope": "keys:read"}
    started = (await web.post("/getServiceKeys/device/code", data=asked)).json()
    view = await house.look_up(started["user_code"])
    assert view is not None
    assert (view.client.name, view.client.platform) == ("parallel-cli", "Linux x86_64")
    await house.decide(view)
    form = {"client_id": client["client_id"], "device_code": started["device_code"], "grant_type": DEVICE_GRANT}
    assert (await web.post("/getServiceKeys/token", data=form)).json()["scope"] == "keys:read"


async def test_registration_echoes_what_took_effect_and_not_what_was_sent(web: httpx.AsyncClient) -> None:
    sent = {"client_name": "  my   tool ", "platform": {"system": "S" * 40, "machine": " ", "release": "1"}}
    registered = (await web.post("/getServiceKeys/register", json=sent)).json()
    assert (registered["client_name"], registered["platform"]) == ("my tool", {"system": "S" * 24})


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        {},
        {"client_name": ""},
        {"client_name": 7},
        {"client_name": "x" * 65},
        {"client_name": "\u202etool"},
        {"client_name": "a\x00b"},
        {"client_name": "tool", "platform": "Linux"},
        {"client_name": "tool", "platform": {"system": ["Linux"]}},
    ],
)
async def test_a_description_that_cannot_be_shown_is_refused(house: Installation, metadata: object) -> None:
    with pytest.raises(InvalidClientMetadata) as refused:
        await house.services.oauth.clients.register(metadata)
    assert refused.value.status == 400


# Deleting


async def test_a_deleted_client_is_unknown_and_its_grants_and_codes_are_gone(house: Installation) -> None:
    client, other = await house.register(), await house.register("another")
    tokens, others = await house.sign_in(client), await house.sign_in(other)
    pending, approved = await house.issue(client), await house.issue(client)
    await house.approve(approved)
    await house.services.oauth.clients.delete(client)

    with pytest.raises(InvalidClient) as unknown:
        await house.issue(client)
    assert "Unknown client_id" in unknown.value.detail
    for codes in (pending, approved):
        with pytest.raises(InvalidGrant):
            await house.poll(codes, client)
    with pytest.raises(InvalidGrant):
        await house.refresh(tokens.refresh_token.reveal(), client)
    assert await house.look_up(pending.user_code.reveal()) is None
    assert (await house.refresh(others.refresh_token.reveal(), other)).organization == "acme"
    assert await house.events("grant:reuse") == []


async def test_a_client_that_registers_again_after_it_was_deleted_gets_a_new_id_that_works(
    house: Installation,
) -> None:
    ids = [await house.register()]
    for _ in range(3):
        await house.services.oauth.clients.delete(ids[-1])
        ids.append(await house.register())
        assert (await house.sign_in(ids[-1])).organization == "acme"
    assert len(set(ids)) == 4
    for old in ids[:-1]:
        with pytest.raises(InvalidClient):
            await house.issue(old)


async def test_the_built_in_client_cannot_be_deleted(house: Installation) -> None:
    tokens = await house.sign_in("parallel-cli")
    with pytest.raises(Conflict):
        await house.services.oauth.clients.delete("parallel-cli")
    assert (await house.refresh(tokens.refresh_token.reveal(), "parallel-cli")).organization == "acme"


async def test_deleting_an_unknown_client_says_so(house: Installation) -> None:
    client = await house.register()
    await house.services.oauth.clients.delete(client)
    for unknown in (client, "kc_unknown"):
        with pytest.raises(InvalidClient):
            await house.services.oauth.clients.delete(unknown)
    assert len(await house.events("client:delete")) == 1


@pytest.mark.parametrize("deleted_first", [True, False])
async def test_a_code_asked_for_while_its_client_is_being_deleted_leads_to_no_tokens(
    house: Installation, deleted_first: bool
) -> None:
    client = await house.register()
    delete, issue = house.services.oauth.clients.delete(client), house.issue(client)
    answers = await asyncio.gather(*((delete, issue) if deleted_first else (issue, delete)), return_exceptions=True)
    for codes in (answer for answer in answers if isinstance(answer, DeviceCodes)):
        assert not await house.approve(codes)
    assert await house.rows(oauth_grant) == {"oauth_grant": 0}


async def test_a_client_deleted_while_somebody_looks_at_its_code_cannot_be_approved(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    view = await house.look_up(codes.user_code.reveal())
    assert view is not None
    await house.services.oauth.clients.delete(client)
    assert not await house.decide(view)
    with pytest.raises(Problem):
        await house.poll(codes, client)
    assert await house.rows(oauth_grant, client_table) == {"oauth_grant": 0, "client": 0}
