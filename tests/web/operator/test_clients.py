"""Operators see the clients that people signed in with, and switch one off; they rotate the signing keys."""

from urllib.parse import quote

import pytest

from keystead.kernel.problems import Problem
from tests.account.nodes import Node
from tests.web.organization.conftest import operator
from tests.web.settings.visiting import counted_reads

CLIENTS = "/settings/operator/clients"
KEYS = "/settings/operator/signing-keys"


async def test_a_client_is_listed_with_its_platform_and_its_live_sign_ins(here: Node) -> None:
    root, client = await operator(here), await here.house.register()
    for _ in range(2):
        await here.house.sign_in(client)
    page = await root.get(CLIENTS)
    assert "parallel-cli built in No sign-in yet · 0 devices are signed in" in page.words
    assert "First sign-in just now · 2 devices are signed in" in page.words


async def test_with_a_client_that_is_switched_off_nobody_signs_in_and_what_is_signed_in_stays(here: Node) -> None:
    root, client = await operator(here), await here.house.register()
    tokens = await here.house.sign_in(client)
    path = f"{CLIENTS}/{quote(client, safe='')}"
    asked = await root.get(f"{path}/switch-off")
    assert "Switch parallel-cli off?" in asked.words
    assert "1 device is signed in with it now." in asked.words
    page = await root.confirm(f"{path}/switch-off")
    assert "Nobody can sign in with this client any more." in page.words
    assert "Switched off just now by root" in page.words
    with pytest.raises(Problem) as refusal:
        await here.house.issue(client)
    renewed = await here.house.refresh(tokens.refresh_token.reveal(), client)
    assert (refusal.value.code, bool(renewed.access_token)) == ("unauthorized_client", True)
    assert "People can sign in with this client again." in (await root.confirm(f"{path}/switch-on")).words
    assert len((await here.house.issue(client)).user_code.reveal()) == 9


async def test_a_list_of_many_clients_costs_as_many_statements_as_one_of_few(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, costs = await operator(here), []
    page = await root.get(CLIENTS)  # the session is remembered from now on
    for more in (2, 20):
        for number in range(more):
            await here.house.sign_in(await here.house.register(f"client {more} {number}"))
        with counted_reads(here, monkeypatch) as seen:
            page = await root.get(CLIENTS)
        costs.append(len(seen))
    assert costs[0] == costs[1]
    assert "client 20 19" in page.words


async def test_signing_keys_are_shown_with_their_times_and_rotated_by_name(here: Node) -> None:
    root = await operator(here)
    before = await root.get(KEYS)
    assert before.words.count("signs now") == 2
    assert "Access tokens of devices · ES256" in before.words
    assert "Rotate the signing keys?" in (await root.get(f"{KEYS}/rotate")).words
    after = await root.confirm(f"{KEYS}/rotate")
    assert "New signing keys are published." in after.words
    assert (after.words.count("signs now"), after.words.count("signs next")) == (2, 2)
    made = await here.house.events("signing-key:create")
    root_id = (await here.house.services.accounts.first_identity("root")).user_id
    assert [event.actor_id for event in made[-2:]] == [root_id] * 2
    here.house.clock.advance(3_700)
    later = await root.get(KEYS)
    assert (later.words.count("signs now"), later.words.count("verifies only")) == (2, 2)
