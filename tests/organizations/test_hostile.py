"""Leaders of one organization who guess at another: its people and invitations look as if they were not there."""

from collections.abc import Awaitable, Callable

import pytest

from keystead.kernel.problems import NotFound
from keystead.kernel.scopes import Role
from tests.organizations.company import ADDRESS, Company

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("act", ["role", "remove and delete", "remove and take", "revoke"])
@pytest.mark.parametrize("actor", ["ada", "alan"])
async def test_nobody_reaches_into_another_organization_by_an_id(company: Company, actor: str, act: str) -> None:
    eve = await company.principal("eve", "evil")
    evil_app = await company.app("Secrets", "eve", "evil")
    key = await company.key(evil_app, "eve", "evil")
    invited = await company.organizations.invite(eve, "mallory@example.com", Role.ADMIN, ADDRESS)
    somebody, target = await company.principal(actor), eve.identity.user_id
    rooms = company.organizations
    acts: dict[str, Callable[[str], Awaitable[object]]] = {
        "role": lambda wanted: rooms.change_role(somebody, wanted, Role.MEMBER, ADDRESS),
        "remove and delete": lambda wanted: rooms.remove_member(somebody, wanted, keys="delete", address=ADDRESS),
        "remove and take": lambda wanted: rooms.remove_member(somebody, wanted, keys="take", address=ADDRESS),
        "revoke": lambda wanted: rooms.revoke_invitation(somebody, wanted, ADDRESS),
    }
    before = await company.house.rows()
    told = []
    for wanted in (target if act != "revoke" else invited.invitation.id, NOBODY, "no id at all"):
        with pytest.raises(NotFound) as refusal:
            await acts[act](wanted)
        told.append(refusal.value.detail)
    assert len(set(told)) == 1
    assert await company.house.rows() == before
    assert await company.roles("evil") == {"eve": "owner", "bob": "member"}
    found = await company.house.services.keys.find(key.secret.reveal())
    assert found is not None
    assert found.identity.username == "eve"


async def test_removing_somebody_who_is_in_two_organizations_ends_nothing_in_the_other(company: Company) -> None:
    app, evil_app = await company.app(), await company.app("Secrets", "eve", "evil")
    here, there = await company.key(app, "bob"), await company.key(evil_app, "bob", "evil")
    eve = await company.principal("eve", "evil")
    await company.organizations.remove_member(eve, await company.id_of("bob"), keys="take", address=ADDRESS)
    find = company.house.services.keys.find
    found = [await find(key.secret.reveal()) for key in (here, there)]
    assert [(one.identity.username, one.identity.organization) for one in found if one] == [
        ("bob", "acme"),
        ("eve", "evil"),
    ]
