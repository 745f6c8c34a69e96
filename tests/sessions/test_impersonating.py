"""An operator who acts as somebody else: whom they may act as, for how long, and what ends it (V1, W2)."""

import pytest
from sqlalchemy import bindparam, select

from keystead.db import Query
from keystead.db.tables import session
from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound, Problem, Unauthenticated
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.sessions.models import LONGEST_REASON
from keystead.sessions.rules import LONGEST_ACT
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import PASSWORD
from tests.sessions.acting import DESK, REASON, Theatre, open_theatre
from tests.sessions.entering import at_once

ENDS = Query(select(session.c.expires_at).where(session.c.id == bindparam("session_id")), int)


async def refusal(theatre: Theatre, username: str = "ada", reason: str = REASON) -> Problem:
    """Return why root may not act as somebody, from a session that goes on."""
    own = await theatre.enter()
    with pytest.raises(Problem) as raised:
        await theatre.act(own, username, reason)
    assert await theatre.lives(own)
    return raised.value


# Whom one may act as


async def test_the_session_is_the_persons_in_the_operators_hands(theatre: Theatre) -> None:
    own, acting = await theatre.acting()
    principal = await theatre.principal(acting.secret)
    assert (principal.identity.username, principal.identity.organization) == ("ada", "acme")
    assert not principal.identity.platform_admin
    assert principal.impersonator is not None
    assert (principal.impersonator.username, principal.impersonator.user_id) == ("root", theatre.root)
    assert principal.impersonator.session_id == own.session_id
    assert acting.username == "ada"


async def test_the_persons_own_sessions_know_nothing_of_the_operator(theatre: Theatre) -> None:
    hers = await theatre.enter("ada")
    await theatre.acting()
    assert (await theatre.principal(hers.secret)).impersonator is None


async def test_it_is_the_organization_that_the_person_joined_first(theatre: Theatre) -> None:
    theatre.house.clock.advance(10)
    globex = await theatre.house.accounts.create_organization("globex")
    await theatre.house.accounts.add_membership(theatre.ada, globex, Role.MEMBER)
    _, acting = await theatre.acting()
    assert (await theatre.principal(acting.secret)).identity.organization == "acme"


async def test_who_is_no_operator_acts_as_nobody(theatre: Theatre) -> None:
    await theatre.operates(theatre.root, operates=False)
    found = await refusal(theatre)
    assert isinstance(found, Forbidden)
    assert "Only operators" in found.detail


async def test_an_unknown_name_is_not_found(theatre: Theatre) -> None:
    for name in ("nobody", "", "\u202e", "a" * 320):
        assert isinstance(await refusal(theatre, name), NotFound), name


async def test_nobody_acts_as_themselves(theatre: Theatre) -> None:
    assert isinstance(await refusal(theatre, "root"), Conflict)


async def test_nobody_acts_as_another_operator(theatre: Theatre) -> None:
    await theatre.operates(theatre.ada, operates=True)
    found = await refusal(theatre)
    assert isinstance(found, Forbidden)
    assert "another operator" in found.detail


async def test_nobody_acts_as_a_disabled_user_whatever_they_belong_to(theatre: Theatre) -> None:
    await theatre.house.disable(theatre.ada)
    found = await refusal(theatre)
    assert isinstance(found, Conflict)
    assert "disabled" in found.detail


async def test_nobody_acts_as_who_belongs_to_no_organization(theatre: Theatre) -> None:
    await theatre.house.accounts.create_user(
        username="eve", email="eve@example.com", organization=None, role=Role.MEMBER, password=PASSWORD
    )
    assert isinstance(await refusal(theatre, "eve"), Conflict)


@pytest.mark.parametrize("reason", ["", " ", "\t", "two\nlines", "a\u202eb", "\x00", "a" * (LONGEST_REASON + 1)])
async def test_a_reason_is_something_that_people_can_read_on_one_line(theatre: Theatre, reason: str) -> None:
    found = await refusal(theatre, "ada", reason)
    assert isinstance(found, InvalidParameters)
    assert [field.name for field in found.fields] == ["reason"]


@pytest.mark.parametrize("reason", ["x", "a" * LONGEST_REASON, "\u00fcber 4711 \u2013 \u65e5\u672c"])
async def test_any_other_reason_will_do(theatre: Theatre, reason: str) -> None:
    own = await theatre.enter()
    assert await theatre.lives(await theatre.act(own, reason=reason))


async def test_an_organization_that_asks_for_a_second_factor_asks_it_of_the_operator(theatre: Theatre) -> None:
    await theatre.asks(second_factor_required=1)
    found = await refusal(theatre)
    assert isinstance(found, Forbidden)
    assert "second factor" in found.detail


async def test_an_organization_that_lets_nobody_in_with_a_password_asks_it_of_the_operator(theatre: Theatre) -> None:
    await theatre.asks(password_sign_in_off=1)
    found = await refusal(theatre)
    assert isinstance(found, Forbidden)
    assert "password" in found.detail


async def test_who_acts_does_not_act_as_one_more(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    with pytest.raises(Conflict, match="already"):
        await theatre.stage.start(await theatre.principal(acting.secret), "ada", REASON, address=DESK)


async def test_of_two_that_begin_from_one_session_at_once_one_does(theatre: Theatre) -> None:
    own = await theatre.principal((await theatre.enter()).secret)
    found = await at_once(*(theatre.stage.start(own, "ada", REASON, address=DESK) for _ in range(4)))
    assert sum(isinstance(one, Conflict) for one in found) == 3
    assert await theatre.holders() == [theatre.root, theatre.ada]


async def test_a_session_that_ended_meanwhile_begins_nothing(theatre: Theatre) -> None:
    own = await theatre.enter()
    principal = await theatre.principal(own.secret)
    await theatre.house.sessions.sign_out(own.session_id)
    with pytest.raises(Unauthenticated):
        await theatre.stage.start(principal, "ada", REASON, address=DESK)
    assert await theatre.holders() == []


# What it is made of


async def test_it_lasts_an_hour_and_no_use_makes_it_longer(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    assert acting.lasts == LONGEST_ACT == 3_600
    theatre.house.clock.advance(LONGEST_ACT - 1)
    await theatre.house.sessions.record_use([(acting.session_id, theatre.house.clock.now(), DESK)])
    assert await theatre.lives(acting)
    theatre.house.clock.advance(1)
    assert not await theatre.lives(acting)


async def test_it_ends_no_later_than_the_operators_own_session(opened: OpenHouse) -> None:
    theatre = await open_theatre(opened(session_ttl=600))
    own = await theatre.enter()
    theatre.house.clock.advance(100)
    acting = await theatre.act(own)
    assert acting.lasts == 500
    assert (await theatre.principal(acting.secret)).expires_at == theatre.house.clock.now() + 500


async def test_the_operators_own_cookie_is_good_for_nothing_meanwhile(theatre: Theatre) -> None:
    heard = theatre.house.heard()
    own, acting = await theatre.acting()
    theatre.house.db.fresh()
    assert not await theatre.lives(own)
    assert f"credential:{own.session_id}" in heard
    assert await theatre.holders() == [theatre.root, theatre.ada]
    assert await theatre.lives(acting)


async def test_it_proves_what_the_operators_session_proves(theatre: Theatre) -> None:
    own = await theatre.enter()
    principal = await theatre.principal(own.secret)
    await theatre.house.db.write(lambda tx: theatre.house.sessions.prove_second_factor(tx, principal))
    await theatre.asks(second_factor_required=1)
    acting = await theatre.act(own)
    assert await theatre.house.sessions.begun_with_second_factor(
        theatre.house.db, await theatre.principal(acting.secret)
    )


# What ends it


async def test_it_ends_when_the_operator_operates_no_more(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    await theatre.operates(theatre.root, operates=False)
    assert not await theatre.lives(acting)


async def test_it_ends_when_the_operator_is_disabled(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    await theatre.house.disable(theatre.root)
    assert not await theatre.lives(acting)


async def test_it_ends_when_the_person_is_disabled(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    await theatre.house.disable(theatre.ada)
    assert not await theatre.lives(acting)


async def test_it_ends_with_the_operators_own_session_however_that_ends(theatre: Theatre) -> None:
    own, acting = await theatre.acting()
    await theatre.remove(own.session_id)
    assert not await theatre.lives(acting)


async def test_it_ends_when_the_operator_gets_a_new_password(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    await theatre.house.sessions.set_password("root", Secret("a new one that nobody knows"))
    assert not await theatre.lives(acting)


async def test_it_ends_when_the_person_gets_a_new_password(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    await theatre.house.sessions.set_password("ada", Secret("a new one that nobody knows"))
    assert not await theatre.lives(acting)


async def test_it_ends_when_the_operator_signs_out_of_the_waiting_session_elsewhere(theatre: Theatre) -> None:
    own, acting = await theatre.acting()
    elsewhere = await theatre.principal((await theatre.enter()).secret)
    await theatre.house.sessions.end_own(own.session_id, elsewhere.identity, address=DESK)
    assert theatre.ada not in await theatre.holders()
    assert not await theatre.lives(acting)
    ended = [one for one in await theatre.house.events() if one.type == "session:impersonate-end"]
    assert [(one.actor_id, one.target) for one in ended] == [(theatre.root, theatre.ada)]


async def test_the_person_ends_it_and_what_waited_for_it_ends_as_well(theatre: Theatre) -> None:
    own, acting = await theatre.acting()
    hers = await theatre.principal((await theatre.enter("ada")).secret)
    heard = theatre.house.heard()
    await theatre.house.sessions.end_own(acting.session_id, hers.identity, address=DESK)
    theatre.house.db.fresh()
    assert not await theatre.lives(acting)
    assert await theatre.holders() == [theatre.ada]
    assert {f"credential:{acting.session_id}", f"credential:{own.session_id}"} <= set(heard)
    types = [(one.type, one.actor_id) for one in (await theatre.house.events())[-2:]]
    assert types == [("session:impersonate-end", theatre.ada), ("session:delete", theatre.ada)]


async def test_signing_out_leaves_nothing_of_the_operators_behind(theatre: Theatre) -> None:
    own, acting = await theatre.acting()
    await theatre.house.sessions.sign_out(acting.session_id, address=DESK)
    assert await theatre.holders() == []
    assert not await theatre.lives(own)
    types = [(one.type, one.actor_id) for one in (await theatre.house.events())[-2:]]
    assert types == [("session:impersonate-end", theatre.root), ("session:delete", theatre.root)]


async def test_signing_out_otherwise_ends_that_session_alone(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    other = await theatre.enter()
    await theatre.house.sessions.sign_out(other.session_id)
    assert await theatre.lives(acting)


# Stopping


async def test_stopping_gives_the_operator_a_renewed_session_and_the_others_are_dead(theatre: Theatre) -> None:
    own, acting = await theatre.acting()
    ends = await theatre.house.db.one(ENDS, {"session_id": own.session_id})
    theatre.house.clock.advance(60)
    renewed = await theatre.stop(acting)
    principal = await theatre.principal(renewed.secret)
    assert (principal.identity.username, principal.impersonator) == ("root", None)
    assert principal.identity.platform_admin
    assert renewed.session_id not in {own.session_id, acting.session_id}
    assert not await theatre.lives(own)
    assert not await theatre.lives(acting)
    assert await theatre.holders() == [theatre.root]
    assert await theatre.house.db.one(ENDS, {"session_id": renewed.session_id}) == ends


async def test_of_two_stops_at_once_one_begins_a_session(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    principal = await theatre.principal(acting.secret)
    found = await at_once(*(theatre.stage.stop(principal, address=DESK) for _ in range(4)))
    assert sum(isinstance(one, Unauthenticated) for one in found) == 3
    assert await theatre.holders() == [theatre.root]


async def test_a_session_of_ones_own_has_nothing_to_stop(theatre: Theatre) -> None:
    own = await theatre.enter()
    with pytest.raises(Conflict):
        await theatre.stage.stop(await theatre.principal(own.secret), address=DESK)
    assert await theatre.lives(own)


async def test_who_stopped_may_act_again(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    again = await theatre.act(await theatre.stop(acting))
    assert await theatre.lives(again)
