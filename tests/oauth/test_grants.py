"""Grants: what is fixed at approval stays fixed, and what a person may no longer do their clients may not either."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, select

from keystead.accounts.store import INSERT_MEMBERSHIP
from keystead.db import Query
from keystead.db.tables import app, oauth_grant
from keystead.kernel.problems import AccessDenied, Forbidden, InvalidGrant
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, format_scopes, parse_scopes
from keystead.oauth.models import DeviceCodes, DeviceView
from tests.support.installation import EVERY_SCOPE, Installation

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
APPS = Query(select(app.c.name).where(app.c.organization_id == bindparam("organization_id")), str)


async def join(house: Installation, name: str) -> str:
    """Make another organization that ada owns and return its id."""
    organization = await house.services.accounts.create_organization(name)
    row = {"user_id": house.ada.id, "organization_id": organization, "role": "owner", "created_at": 0}
    await house.run(INSERT_MEMBERSHIP, row)
    return organization


async def seen(house: Installation, codes: DeviceCodes) -> DeviceView:
    view = await house.look_up(codes.user_code.reveal())
    assert view is not None
    return view


# D12: the organization


async def test_the_organization_is_chosen_at_approval_and_no_refresh_changes_it(house: Installation) -> None:
    beta = await join(house, "beta")
    client = await house.register()
    for organization, name in ((beta, "beta"), (house.acme, "acme")):
        codes = await house.issue(client)
        assert await house.decide(await seen(house, codes), organization=organization)
        tokens = await house.poll(codes, client)
        answers = [tokens]
        for _ in range(3):
            answers.append(await house.refresh(answers[-1].refresh_token.reveal(), client))
        assert {(answer.organization_id, answer.organization) for answer in answers} == {(organization, name)}


async def test_a_grant_for_an_organization_that_the_person_left_works_for_no_other(house: Installation) -> None:
    tokens = await house.sign_in()
    await join(house, "beta")
    await house.remove(house.ada)
    await house.run(
        INSERT_MEMBERSHIP,
        {"user_id": house.ada.id, "organization_id": await _other(house), "role": "owner", "created_at": 0},
    )
    with pytest.raises(InvalidGrant):
        await house.refresh(tokens.refresh_token.reveal())


async def test_a_second_approval_changes_nothing(house: Installation) -> None:
    beta = await join(house, "beta")
    client = await house.register()
    codes = await house.issue(client)
    view = await seen(house, codes)
    assert await house.decide(view)
    assert not await house.decide(view, organization=beta)
    assert not await house.decide(view, house.bob, approve=False)
    assert (await house.poll(codes, client)).organization_id == house.acme


async def test_the_answers_on_the_wire_name_the_organization_and_every_lifetime(
    house: Installation, web: httpx.AsyncClient
) -> None:
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes)
    first = await token(web, grant_type=DEVICE_GRANT, device_code=codes.device_code.reveal(), client_id=client)
    second = await token(web, grant_type="refresh_token", refresh_token=first["refresh_token"], client_id=client)
    third = await token(web, grant_type="refresh_token", refresh_token=second["refresh_token"])
    for answer in (first, second, third):
        assert (answer["org_id"], answer["org_name"], answer["token_type"]) == (house.acme, "acme", "Bearer")
        assert answer["scope"] == EVERY_SCOPE
        lifetimes = ("expires_in", "refresh_token_expires_in", "authorization_expires_in")
        assert [answer[name] for name in lifetimes] == [600, 604_800, 7_776_000]


# The app that parallel-cli looks for


async def test_the_app_of_parallel_cli_is_there_before_the_token_response(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    assert await house.db.all(APPS, {"organization_id": house.acme}) == []
    assert await house.approve(codes)
    assert await house.db.all(APPS, {"organization_id": house.acme}) == ["parallel-cli Users"]
    await house.poll(codes, client)
    await house.sign_in(client)
    assert await house.db.all(APPS, {"organization_id": house.acme}) == ["parallel-cli Users"]


async def test_the_built_in_client_gets_the_same_app(house: Installation) -> None:
    await house.sign_in("parallel-cli")
    assert await house.db.all(APPS, {"organization_id": house.acme}) == ["parallel-cli Users"]


# Scopes and roles


async def test_an_approval_grants_no_more_than_the_persons_role_allows(house: Installation) -> None:
    tokens = await house.sign_in(person=house.bob)
    assert tokens.scopes == ROLE_SCOPES[Role.MEMBER]
    assert (await house.refresh(tokens.refresh_token.reveal())).scopes == ROLE_SCOPES[Role.MEMBER]


async def test_an_approval_that_would_grant_nothing_is_refused_and_leaves_the_sign_in_open(
    house: Installation,
) -> None:
    client = await house.register()
    codes = await house.issue(client, "balance:add apps:delete")
    with pytest.raises(Forbidden):
        await house.approve(codes, house.bob)
    assert await house.approve(codes, house.ada)
    assert format_scopes((await house.poll(codes, client)).scopes) == "apps:delete balance:add"


async def test_a_refresh_after_the_role_was_lowered_gives_less(house: Installation) -> None:
    tokens = await house.sign_in()
    assert tokens.scopes == ALL_SCOPES
    await house.set_role(house.ada, Role.MEMBER)
    lower = await house.refresh(tokens.refresh_token.reveal())
    assert lower.scopes == ROLE_SCOPES[Role.MEMBER]
    with_more_asked = await house.refresh(lower.refresh_token.reveal(), scope=EVERY_SCOPE)
    assert with_more_asked.scopes == ROLE_SCOPES[Role.MEMBER]


async def test_a_role_lowered_between_approval_and_redemption_counts(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes)
    await house.set_role(house.ada, Role.MEMBER)
    assert (await house.poll(codes, client)).scopes == ROLE_SCOPES[Role.MEMBER]


async def test_a_raised_role_adds_nothing_to_a_grant(house: Installation) -> None:
    tokens = await house.sign_in(person=house.bob)
    await house.set_role(house.bob, Role.OWNER)
    assert (await house.refresh(tokens.refresh_token.reveal())).scopes == ROLE_SCOPES[Role.MEMBER]


async def test_narrowing_holds_for_one_access_token_and_not_for_the_grant(house: Installation) -> None:
    tokens = await house.sign_in()
    narrow = await house.refresh(tokens.refresh_token.reveal(), scope="keys:read")
    assert narrow.scopes == parse_scopes("keys:read")
    assert (await house.refresh(narrow.refresh_token.reveal())).scopes == ALL_SCOPES


# People who may no longer


async def test_the_clients_of_a_disabled_user_cannot_refresh_until_the_user_is_enabled_again(
    house: Installation,
) -> None:
    token_of_ada = (await house.sign_in()).refresh_token.reveal()
    token_of_bob = (await house.sign_in(person=house.bob)).refresh_token.reveal()
    await house.disable(house.ada)
    with pytest.raises(InvalidGrant):
        await house.refresh(token_of_ada)
    assert (await house.refresh(token_of_bob)).organization == "acme"
    await house.disable(house.ada, at=None)
    assert (await house.refresh(token_of_ada)).organization == "acme"


async def test_the_clients_of_a_removed_member_cannot_refresh(house: Installation) -> None:
    tokens = await house.sign_in(person=house.bob)
    await house.remove(house.bob)
    with pytest.raises(InvalidGrant):
        await house.refresh(tokens.refresh_token.reveal())


@pytest.mark.parametrize("way", ["disabled", "removed"])
async def test_who_left_between_approval_and_redemption_gives_no_tokens_and_leaves_no_grant(
    house: Installation, way: str
) -> None:
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes, house.bob)
    await (house.disable(house.bob) if way == "disabled" else house.remove(house.bob))
    for _ in range(2):
        with pytest.raises(AccessDenied):
            await house.poll(codes, client)
    assert await house.rows(oauth_grant) == {"oauth_grant": 0}
    assert await house.events("grant:open") == []


# The audit log


async def test_a_sign_in_is_audited_from_approval_to_sign_out_without_a_secret(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes)
    tokens = await house.poll(codes, client)
    await house.revoke(tokens.refresh_token.reveal())
    events = [(await house.events(kind))[0] for kind in ("device:approve", "grant:open", "grant:revoke")]
    assert {event.actor_id for event in events} == {house.ada.id}
    assert {json.loads(event.detail)["client_id"] for event in events} == {client}
    secrets = (codes.device_code, codes.user_code, tokens.refresh_token, tokens.access_token)
    assert not any(secret.reveal() in repr(events) for secret in secrets)


async def _other(house: Installation) -> str:
    found = await house.services.accounts.organization_by_name("beta")
    return found.id


async def token(web: httpx.AsyncClient, **form: str) -> Mapping[str, Any]:
    response = await web.post("/getServiceKeys/token", data=form)
    answer: Mapping[str, Any] = response.json()
    assert response.status_code == 200, answer
    return answer
