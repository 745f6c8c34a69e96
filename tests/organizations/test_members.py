"""Who may do what to whom in an organization, and what becomes of what a removed member had (promises K8, K12)."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound, Problem
from keystead.kernel.scopes import ROLE_SCOPES, Role, Scope
from keystead.organizations.models import Removed
from tests.organizations.company import ADDRESS, Company
from tests.organizations.conftest import Open
from tests.support.engine import execute


async def change(company: Company, actor: str, target: str, role: Role | str, organization: str = "acme") -> None:
    acting = await company.principal(actor, organization)
    await company.organizations.change_role(acting, await company.id_of(target), role, ADDRESS)


async def remove(company: Company, actor: str, target: str, keys: Any = "delete") -> Removed:
    acting = await company.principal(actor)
    return await company.organizations.remove_member(acting, await company.id_of(target), keys=keys, address=ADDRESS)


async def role_of(company: Company, name: str) -> str | None:
    return (await company.roles()).get(name)


# Seeing


async def test_owners_and_admins_see_every_member_with_role_keys_and_second_factor(company: Company) -> None:
    app = await company.app()
    for _ in range(3):
        await company.key(app, "ben")
    await company.disable("amy")
    members = {one.username: one for one in await company.organizations.members(await company.principal("alan"))}
    assert list(members) == ["ada", "bob", "olga", "alan", "amy", "ben"]
    assert (members["ben"].keys, members["ben"].role, members["ben"].email) == (3, "member", "ben@example.com")
    assert [name for name, one in members.items() if one.disabled_at is not None] == ["amy"]
    assert {one.second_factor for one in members.values()} == {0}


async def test_a_member_sees_and_changes_nothing(company: Company) -> None:
    bob, olga = await company.principal("bob"), await company.id_of("olga")
    rooms = company.organizations
    for act in (
        rooms.members(bob),
        rooms.invitations(bob),
        rooms.change_role(bob, olga, Role.MEMBER, ADDRESS),
        rooms.remove_member(bob, olga, keys="delete", address=ADDRESS),
        rooms.invite(bob, "new@example.com", Role.MEMBER, ADDRESS),
        rooms.revoke_invitation(bob, olga, ADDRESS),
        rooms.set_policies(bob, await rooms.policies(bob.identity.organization_id), ADDRESS),
    ):
        with pytest.raises(Forbidden):
            await act
    assert len(await company.roles()) == 6


# Roles


@pytest.mark.parametrize(
    ("actor", "target", "role", "outcome"),
    [
        ("ada", "bob", Role.OWNER, None),
        ("ada", "bob", Role.ADMIN, None),
        ("ada", "alan", Role.MEMBER, None),
        ("ada", "olga", Role.MEMBER, None),
        ("ada", "ada", Role.ADMIN, None),
        ("alan", "bob", Role.ADMIN, None),
        ("alan", "amy", Role.MEMBER, None),
        ("alan", "bob", Role.OWNER, Forbidden),
        ("alan", "amy", Role.OWNER, Forbidden),
        ("alan", "ada", Role.MEMBER, Forbidden),
        ("alan", "ada", Role.OWNER, Forbidden),
        ("alan", "alan", Role.MEMBER, Forbidden),
        ("alan", "alan", Role.OWNER, Forbidden),
        ("bob", "bob", Role.OWNER, Forbidden),
        ("bob", "ben", Role.ADMIN, Forbidden),
        ("ada", "bob", "emperor", InvalidParameters),
        ("ada", "eve", Role.MEMBER, NotFound),
        ("alan", "eve", Role.ADMIN, NotFound),
    ],
)
async def test_each_role_changes_whom_it_may(
    company: Company, actor: str, target: str, role: Role | str, outcome: type[Problem] | None
) -> None:
    before = await company.roles()
    if outcome is None:
        await change(company, actor, target, role)
        assert await company.roles() == {**before, target: str(role)}
        (event,) = await company.events("membership:update")
        assert (event.actor_id, event.target) == (await company.id_of(actor), await company.id_of(target))
        assert json.loads(event.detail) == {"before": before[target], "role": str(role)}
    else:
        with pytest.raises(outcome):
            await change(company, actor, target, role)
        assert await company.roles() == before
        assert await company.events("membership:update") == []


async def test_a_role_that_somebody_has_already_is_neither_written_nor_told(company: Company) -> None:
    await change(company, "ada", "bob", Role.MEMBER)
    assert await company.events("membership:update") == []


async def test_the_last_owner_stays_one(company: Company) -> None:
    await change(company, "ada", "olga", Role.ADMIN)
    with pytest.raises(Conflict):
        await change(company, "ada", "ada", Role.ADMIN)
    assert await company.owners() == {"ada"}


async def test_an_owner_who_is_disabled_does_not_count_as_the_one_who_stays(company: Company) -> None:
    await company.disable("olga")
    with pytest.raises(Conflict):
        await change(company, "ada", "ada", Role.MEMBER)
    await remove(company, "ada", "olga")
    assert await company.owners() == {"ada"}


async def test_what_somebody_was_a_moment_ago_does_not_count(company: Company) -> None:
    alan, bob = await company.principal("alan"), await company.id_of("bob")
    await change(company, "ada", "alan", Role.MEMBER)
    with pytest.raises(Forbidden):
        await company.organizations.change_role(alan, bob, Role.ADMIN, ADDRESS)
    await remove(company, "ada", "alan")
    with pytest.raises(Forbidden):
        await company.organizations.invite(alan, "alan2@example.com", Role.ADMIN, ADDRESS)
    assert await role_of(company, "bob") == "member"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ada", "ada", "step"), ("olga", "olga", "step")),
        (("ada", "olga", "step"), ("olga", "ada", "step")),
        (("ada", "olga", "remove"), ("olga", "ada", "remove")),
        (("ada", "olga", "remove"), ("olga", "ada", "step")),
    ],
)
async def test_of_two_changes_at_once_that_would_leave_no_owner_one_is_refused(
    opened: Open, one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    companies = [opened(), opened()]
    acts: list[Coroutine[Any, Any, object]] = []
    for company, (actor, target, act) in zip(companies, (one, other), strict=True):
        acting, person = await company.principal(actor), await company.id_of(target)
        if act == "step":
            acts.append(company.organizations.change_role(acting, person, Role.MEMBER, ADDRESS))
        else:
            acts.append(company.organizations.remove_member(acting, person, keys="delete", address=ADDRESS))
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    assert len(await companies[0].owners()) >= 1
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(outcome) for outcome in refused if not isinstance(outcome, Conflict | Forbidden | NotFound)] == []
    assert len(refused) == 1


# Removing


@pytest.mark.parametrize(
    ("actor", "target", "outcome"),
    [
        ("ada", "bob", None),
        ("ada", "olga", None),
        ("alan", "amy", None),
        ("alan", "bob", None),
        ("alan", "ada", Forbidden),
        ("bob", "ben", Forbidden),
        ("ada", "ada", Conflict),
        ("alan", "alan", Conflict),
        ("ada", "eve", NotFound),
        ("alan", "root", NotFound),
    ],
)
async def test_each_role_removes_whom_it_may(
    company: Company, actor: str, target: str, outcome: type[Problem] | None
) -> None:
    before = await company.roles()
    if outcome is None:
        await remove(company, actor, target)
        assert await company.roles() == {name: role for name, role in before.items() if name != target}
    else:
        with pytest.raises(outcome):
            await remove(company, actor, target)
        assert await company.roles() == before


async def test_removing_a_member_asks_what_happens_to_their_keys(company: Company) -> None:
    with pytest.raises(InvalidParameters) as told:
        await remove(company, "ada", "ben", keys="")
    assert [field.name for field in told.value.fields] == ["keys"]
    assert await role_of(company, "ben") == "member"


async def test_the_keys_of_a_removed_member_end_and_those_of_others_do_not(company: Company) -> None:
    app = await company.app()
    gone = [await company.key(app, "ben") for _ in range(3)]
    stays = await company.key(app, "bob")
    assert (await remove(company, "ada", "ben")).keys == 3
    find = company.house.services.keys.find
    assert [await find(key.secret.reveal()) for key in gone] == [None] * 3
    assert await find(stays.secret.reveal()) is not None


async def test_the_keys_of_a_removed_member_act_for_whoever_took_them_over(company: Company) -> None:
    app = await company.app()
    scopes = frozenset({Scope.KEYS_READ, Scope.BALANCE_READ})
    keys = [await company.key(app, "ben", scopes=scopes), await company.key(app, "ben")]
    assert (await remove(company, "alan", "ben", keys="take")).keys == 2
    found = [await company.house.services.keys.find(key.secret.reveal()) for key in keys]
    assert [(one.identity.username, one.scopes) for one in found if one] == [("alan", scopes), ("alan", frozenset())]
    listed = await company.house.services.keys.list_keys(await company.principal("ada"), app.id)
    assert {one.username for one in listed} == {"alan"}
    (event,) = await company.events("membership:delete")
    assert json.loads(event.detail)["keys_became"] == "taken over"
    assert (event.actor_id, event.address) == (await company.id_of("alan"), ADDRESS)


async def test_a_key_that_is_taken_over_can_do_no_more_than_it_could(company: Company) -> None:
    app = await company.app()
    key = await company.key(app, "alan", scopes=frozenset({Scope.BALANCE_ADD, Scope.BALANCE_READ, Scope.APPS_CREATE}))
    await change(company, "ada", "alan", Role.MEMBER)
    before = await company.house.services.keys.find(key.secret.reveal())
    await remove(company, "ada", "alan", keys="take")
    after = await company.house.services.keys.find(key.secret.reveal())
    assert before is not None
    assert after is not None
    assert after.scopes == before.scopes == {Scope.BALANCE_READ}
    assert after.scopes <= ROLE_SCOPES[Role.MEMBER]


async def test_a_removed_member_keeps_what_they_have_in_other_organizations(company: Company) -> None:
    evil = await company.app("Elsewhere", "eve", "evil")
    app = await company.app()
    here, there = await company.key(app, "bob"), await company.key(evil, "bob", "evil")
    token_here, token_there = await company.short_term("bob"), await company.short_term("bob", "evil")
    await remove(company, "ada", "bob")
    services = company.house.services
    assert [await services.keys.find(key.secret.reveal()) is None for key in (here, there)] == [True, False]
    assert [await services.tokens.find(token) is None for token in (token_here, token_there)] == [True, False]
    assert (await company.roles("evil")) == {"eve": "owner", "bob": "member"}


async def test_what_ended_does_not_come_back_with_the_person(company: Company) -> None:
    app = await company.app()
    key, token = await company.key(app, "ben"), await company.short_term("ben")
    session = await company.session("ben")
    await remove(company, "ada", "ben")
    ben, acme = await company.id_of("ben"), company.house.acme
    await company.house.services.accounts.add_membership(ben, acme, Role.MEMBER)
    services = company.house.services
    assert await services.keys.find(key.secret.reveal()) is None
    assert await services.tokens.find(token) is None
    assert await services.sessions.find(session.secret.reveal()) is None


@pytest.mark.parametrize("act", ["remove", "disable"])
async def test_who_was_let_in_a_moment_before_they_were_gone_makes_nothing_any_more(company: Company, act: str) -> None:
    app, ben = await company.app(), await company.principal("ben")
    old = await company.key(app, "ben")
    if act == "remove":
        await remove(company, "ada", "ben", keys="take")
    else:
        await company.organizations.disable_user(await company.operator(), ben.identity.user_id, ADDRESS)
    before = await company.house.rows()
    services = company.house.services
    for work in (
        services.keys.create_key(ben, app.id, "laptop"),
        services.tokens.issue_short_term(ben.identity),
        services.sessions.switch(ben, company.house.acme, ADDRESS),
        services.keys.changes.rotate(ben, app.id, old.record.id, 0),
    ):
        with pytest.raises(Problem):
            await work
    assert await company.house.rows() == before


@pytest.mark.parametrize("fate", ["delete", "take"])
async def test_removing_and_making_keys_at_once_leaves_no_key_of_somebody_who_is_gone(opened: Open, fate: str) -> None:
    company, other = opened(), opened()
    app, ben = await company.app(), await company.principal("ben")
    make = other.house.services.keys.create_key
    await asyncio.gather(
        *(make(ben, app.id, f"key {number}") for number in range(4)),
        remove(company, "ada", "ben", keys=fate),
        *(make(ben, app.id, f"late key {number}") for number in range(4)),
        return_exceptions=True,
    )
    keys = await company.house.services.keys.list_keys(await company.principal("ada"), app.id)
    assert "ben" not in await company.roles()
    assert [key.title for key in keys if key.username == "ben"] == []


@pytest.mark.parametrize("fate", ["delete", "take"])
async def test_removing_a_member_takes_as_many_statements_for_one_key_as_for_many(company: Company, fate: str) -> None:
    app = await company.app()
    counts = []
    for name, number in (("bob", 1), ("ben", 40)):
        for _ in range(number):
            await company.key(app, name, scopes=frozenset({Scope.KEYS_READ}))
            await company.short_term(name)
        with company.house.db.traced() as statements:
            removed = await remove(company, "ada", name, keys=fate)
        counts.append(len(statements))
        assert (removed.keys, removed.tokens) == (number, number)
    assert counts[0] == counts[1]


async def test_whatever_goes_wrong_in_the_middle_of_a_removal_nothing_of_it_is_done(company: Company) -> None:
    app = await company.app()
    key = await company.key(app, "ben")
    session = await company.session("ben")
    before = await company.house.rows()

    away, back = "ALTER TABLE audit_event RENAME TO away", "ALTER TABLE away RENAME TO audit_event"
    execute(company.house.directory, sqlite=[away], postgres=[away])
    with pytest.raises(Exception, match=r"audit_event|database|cannot"):
        await remove(company, "ada", "ben")
    execute(company.house.directory, sqlite=[back], postgres=[back])
    assert await company.house.rows() == before
    assert await company.house.services.keys.find(key.secret.reveal()) is not None
    assert await company.house.services.sessions.find(session.secret.reveal()) is not None
