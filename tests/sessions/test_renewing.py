"""A session that takes the place of another: after a switch, a new password, and when all others are ended (W2)."""

import pytest
from sqlalchemy import bindparam, select, update

from keystead.db import Command, Query, Transaction
from keystead.db.tables import organization, session
from keystead.kernel.problems import Forbidden, InvalidParameters, NotFound, RateLimited, Unauthenticated, WrongSignIn
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import PASSWORD, WRONG
from tests.sessions.entering import HOME, Entrance, at_once, open_entrance, signed_in

NEW_PASSWORD = Secret("a quiet lake before the morning")
_REQUIRE = Command(
    update(organization).where(organization.c.name == bindparam("called")).values(second_factor_required=1)
)
_SECOND_FACTOR = Query(select(session.c.second_factor).where(session.c.id == bindparam("session_id")), int)


async def join_globex(entrance: Entrance, *, asks: bool = False) -> str:
    """Let ada into a second organization, globex, and return its id; it may ask for a second factor."""
    globex = await entrance.house.accounts.create_organization("globex", "Globex")
    await entrance.house.accounts.add_membership(entrance.ada, globex, Role.MEMBER)

    async def work(tx: Transaction) -> None:
        await tx.run(_REQUIRE, {"called": "globex"})

    if asks:
        await entrance.house.db.write(work)
    return globex


async def proven(entrance: Entrance, session_id: str) -> bool:
    """Tell whether a session counts as begun with a second factor."""
    return await entrance.house.db.one(_SECOND_FACTOR, {"session_id": session_id}) == 1


# Another organization


async def test_a_switch_begins_a_session_in_the_other_organization_and_the_old_one_is_dead(
    plain_entrance: Entrance,
) -> None:
    globex, sessions = await join_globex(plain_entrance), plain_entrance.house.sessions
    first = signed_in(await plain_entrance.begin())
    heard = plain_entrance.house.heard()
    second = await sessions.switch(await plain_entrance.principal(first), globex, HOME)
    principal = await plain_entrance.principal(second)
    assert (principal.identity.organization_id, principal.identity.role) == (globex, "member")
    assert not await plain_entrance.lives(first)
    plain_entrance.house.db.fresh()
    assert heard == [f"credential:{first.session_id}"]
    event = (await plain_entrance.house.events())[-1]
    assert (event.type, event.organization_id, event.detail) == ("session:create", globex, '{"because": "switch"}')


async def test_a_switch_makes_no_session_last_longer(opened: OpenHouse) -> None:
    entrance = await open_entrance(opened(session_ttl=3_600), app=False)
    globex = await join_globex(entrance)
    current = signed_in(await entrance.begin())
    began = entrance.house.clock.now()
    acme = (await entrance.principal(current)).identity.organization_id
    for number in range(5):
        entrance.house.clock.advance(600)
        target = acme if number % 2 else globex
        current = await entrance.house.sessions.switch(await entrance.principal(current), target, HOME)
    assert (await entrance.principal(current)).expires_at == began + 3_600


async def test_an_organization_of_others_is_not_found_and_the_session_stays(plain_entrance: Entrance) -> None:
    others = await plain_entrance.house.accounts.create_organization("globex")
    session = signed_in(await plain_entrance.begin())
    principal = await plain_entrance.principal(session)
    for target in (others, "", "nothing", "\u00e5" * 100):
        with pytest.raises(NotFound):
            await plain_entrance.house.sessions.switch(principal, target, HOME)
    assert await plain_entrance.lives(session)


async def test_an_organization_that_asks_for_a_second_factor_refuses_a_session_without_one(
    plain_entrance: Entrance,
) -> None:
    globex, sessions = await join_globex(plain_entrance, asks=True), plain_entrance.house.sessions
    session = signed_in(await plain_entrance.begin())
    principal = await plain_entrance.principal(session)
    with pytest.raises(Forbidden) as refusal:
        await sessions.switch(principal, globex, HOME)
    assert "Globex asks its members for a second factor" in refusal.value.detail
    assert await plain_entrance.lives(session)
    await plain_entrance.desk.add_app(plain_entrance.ada)
    await plain_entrance.house.db.write(lambda tx: sessions.prove_second_factor(tx, principal))
    assert await plain_entrance.lives(await sessions.switch(principal, globex, HOME))


async def test_adding_a_second_factor_ends_every_other_session_that_rests_on_a_password_alone(
    plain_entrance: Entrance,
) -> None:
    sessions = plain_entrance.house.sessions
    elsewhere = [signed_in(await plain_entrance.begin()) for _ in range(2)]
    here = signed_in(await plain_entrance.begin())
    principal = await plain_entrance.principal(here)
    await plain_entrance.desk.add_app(plain_entrance.ada)
    assert await plain_entrance.house.db.write(lambda tx: sessions.prove_second_factor(tx, principal)) == 2
    assert not any([await plain_entrance.lives(one) for one in elsewhere])
    assert await plain_entrance.lives(here)
    assert await plain_entrance.house.db.write(lambda tx: sessions.prove_second_factor(tx, principal)) == 0


async def test_a_session_keeps_its_second_factor_over_a_switch_and_a_new_password(entrance: Entrance) -> None:
    globex, sessions = await join_globex(entrance, asks=True), entrance.house.sessions
    session = await entrance.enter()
    assert await proven(entrance, session.session_id)
    session = await sessions.switch(await entrance.principal(session), globex, HOME)
    assert await proven(entrance, session.session_id)
    session = await sessions.change_password(await entrance.principal(session), PASSWORD, NEW_PASSWORD, HOME)
    assert await proven(entrance, session.session_id)
    assert (await entrance.principal(session)).identity.organization_id == globex


async def test_a_session_that_is_switched_twice_at_once_gives_one_session(plain_entrance: Entrance) -> None:
    globex, sessions = await join_globex(plain_entrance), plain_entrance.house.sessions
    principal = await plain_entrance.principal(signed_in(await plain_entrance.begin()))
    outcomes = await at_once(*(sessions.switch(principal, globex, HOME) for _ in range(6)))
    assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) == 5


# A new password of one's own


async def test_a_new_password_ends_every_session_but_renews_this_one(plain_entrance: Entrance) -> None:
    sessions = plain_entrance.house.sessions
    here, there = signed_in(await plain_entrance.begin()), signed_in(await plain_entrance.begin())
    principal = await plain_entrance.principal(here)
    heard = plain_entrance.house.heard()
    renewed = await sessions.change_password(principal, PASSWORD, NEW_PASSWORD, HOME)
    assert [await plain_entrance.lives(one) for one in (here, there, renewed)] == [False, False, True]
    plain_entrance.house.db.fresh()
    assert {f"user:{plain_entrance.ada}", f"credential:{here.session_id}"} <= set(heard)
    with pytest.raises(WrongSignIn):
        await plain_entrance.begin(PASSWORD)
    types = [event.type for event in await plain_entrance.house.events()]
    assert types[-2:] == ["user:set-password", "session:create"]


async def test_the_browser_stays_known_over_a_new_password(opened: OpenHouse) -> None:
    entrance = await open_entrance(opened(limit_sign_in="5/minute"), app=False)
    session = signed_in(await entrance.begin())
    cookie = session.device_cookie.reveal()
    renewed = await entrance.house.sessions.change_password(
        await entrance.principal(session), PASSWORD, NEW_PASSWORD, HOME, device_cookie=cookie
    )
    assert renewed.device_cookie.reveal().split(".")[:2] == cookie.split(".")[:2]


async def test_a_wrong_old_password_changes_nothing_and_is_told_at_its_field(plain_entrance: Entrance) -> None:
    session = signed_in(await plain_entrance.begin())
    principal, before = await plain_entrance.principal(session), plain_entrance.house.db.rows_changed
    with pytest.raises(InvalidParameters) as refusal:
        await plain_entrance.house.sessions.change_password(principal, WRONG, NEW_PASSWORD, HOME)
    assert [(field.name, field.detail) for field in refusal.value.fields] == [
        ("old_password", "This is not your present password.")
    ]
    with pytest.raises(InvalidParameters) as refusal:
        await plain_entrance.house.sessions.change_password(principal, PASSWORD, Secret("short"), HOME)
    assert [field.name for field in refusal.value.fields] == ["password"]
    assert plain_entrance.house.db.rows_changed == before
    assert await plain_entrance.lives(session)


async def test_a_session_cannot_try_old_passwords_without_end(opened: OpenHouse) -> None:
    entrance = await open_entrance(opened(limit_sign_in="5/minute"), app=False)
    principal = await entrance.principal(signed_in(await entrance.begin()))
    refusals = []
    for _ in range(7):
        with pytest.raises((InvalidParameters, RateLimited)) as refusal:
            await entrance.house.sessions.change_password(principal, WRONG, NEW_PASSWORD, HOME)
        refusals.append(type(refusal.value))
    assert refusals == [InvalidParameters] * 5 + [RateLimited] * 2


async def test_a_session_that_was_ended_sets_no_password(plain_entrance: Entrance) -> None:
    session = signed_in(await plain_entrance.begin())
    principal = await plain_entrance.principal(session)
    await plain_entrance.house.sessions.sign_out(session.session_id)
    with pytest.raises(Unauthenticated):
        await plain_entrance.house.sessions.change_password(principal, PASSWORD, NEW_PASSWORD, HOME)
    assert await plain_entrance.lives(signed_in(await plain_entrance.begin(PASSWORD)))


async def test_a_password_that_is_changed_twice_at_once_is_changed_once(plain_entrance: Entrance) -> None:
    sessions = plain_entrance.house.sessions
    principals = [await plain_entrance.principal(signed_in(await plain_entrance.begin())) for _ in range(3)]
    passwords = [Secret(f"a quiet lake, number {number}") for number in range(3)]
    changes = [
        sessions.change_password(principal, PASSWORD, password, HOME)
        for principal, password in zip(principals, passwords, strict=True)
    ]
    outcomes = await at_once(*changes)
    assert sum(isinstance(outcome, InvalidParameters | Unauthenticated) for outcome in outcomes) == 2
    found = await at_once(*(plain_entrance.begin(one) for one in passwords))
    assert sum(not isinstance(one, WrongSignIn) for one in found) == 1


# All others


async def test_ending_the_others_leaves_this_session_and_nobody_elses(entrance: Entrance) -> None:
    globex, sessions = await join_globex(entrance), entrance.house.sessions
    await entrance.house.accounts.create_user(
        username="bob", email="bob@example.com", organization="acme", password=PASSWORD
    )
    bobs = await sessions.sign_in("bob", PASSWORD, address=HOME)
    mine = [await entrance.enter() for _ in range(3)]
    moved = await sessions.switch(await entrance.principal(mine[0]), globex, HOME)
    step = await entrance.step()
    ended = await sessions.end_others(await entrance.principal(mine[2]), HOME)
    assert ended == 2
    assert [await entrance.lives(one) for one in (mine[1], moved, mine[2], bobs)] == [False, False, True, True]
    assert await sessions.steps.look(step) is None
    event = (await entrance.house.events())[-1]
    assert (event.type, event.detail) == ("session:delete-others", '{"ended": 2}')


async def test_where_there_are_no_others_ending_them_is_not_audited(plain_entrance: Entrance) -> None:
    principal = await plain_entrance.principal(signed_in(await plain_entrance.begin()))
    before = len(await plain_entrance.house.events())
    assert await plain_entrance.house.sessions.end_others(principal) == 0
    assert len(await plain_entrance.house.events()) == before
