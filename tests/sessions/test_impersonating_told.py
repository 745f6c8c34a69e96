"""Who is told that an operator acts as somebody: the person, in a letter and on their page, and the audit log (W2)."""

import json

import pytest

from keystead.db import Transaction
from keystead.kernel.problems import Problem
from keystead.mail.service import Mailer
from keystead.sessions.impersonating import SHOWN_FOR
from tests.accounts.conftest import OpenHouse
from tests.sessions.acting import BROWSER, DESK, REASON, Theatre, open_theatre
from tests.support.mail import PostOffice


async def test_it_stands_in_the_audit_log_of_the_persons_organization(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    await theatre.stop(acting)
    acme = (await theatre.house.accounts.organization_by_name("acme")).id
    began, ended = [one for one in await theatre.house.events() if one.type.startswith("session:impersonate")]
    assert (began.type, ended.type) == ("session:impersonate", "session:impersonate-end")
    for one in (began, ended):
        assert (one.actor_id, one.organization_id, one.target) == (theatre.root, acme, theatre.ada)
        assert one.address == DESK
        assert json.loads(one.detail)["session"] == acting.session_id
    assert json.loads(began.detail)["reason"] == REASON


async def test_the_person_sees_the_session_among_theirs_with_the_operator_and_the_reason(theatre: Theatre) -> None:
    hers = await theatre.principal((await theatre.enter("ada")).secret)
    _, acting = await theatre.acting()
    for found in (
        await theatre.house.sessions.list_own(hers.identity),
        await theatre.house.sessions.list_everywhere(theatre.ada),
    ):
        told = {one.id: (one.impersonator, one.impersonation_reason) for one in found}
        assert told == {hers.credential_id: (None, None), acting.session_id: ("root", REASON)}
        assert [(one.address, one.user_agent) for one in found if one.impersonator] == [(DESK, BROWSER)]


@pytest.mark.parametrize("how", ["operates no more", "disabled", "ended"])
async def test_a_session_that_acts_no_more_is_not_shown(theatre: Theatre, how: str) -> None:
    own, acting = await theatre.acting()
    assert [one.id for one in await theatre.house.sessions.list_everywhere(theatre.ada)] == [acting.session_id]
    if how == "disabled":
        await theatre.house.disable(theatre.root)
    elif how == "ended":
        await theatre.remove(own.session_id)
    else:
        await theatre.operates(theatre.root, operates=False)
    assert await theatre.house.sessions.list_everywhere(theatre.ada) == []


async def test_the_person_is_told_for_thirty_days(theatre: Theatre) -> None:
    _, acting = await theatre.acting()
    began = theatre.house.clock.now()
    await theatre.stop(acting)
    theatre.house.clock.advance(SHOWN_FOR)
    found = await theatre.stage.told(theatre.ada)
    assert [(one.actor, one.at, json.loads(one.detail)["reason"]) for one in found] == [("root", began, REASON)]
    assert await theatre.stage.told(theatre.root) == []
    theatre.house.clock.advance(1)
    assert await theatre.stage.told(theatre.ada) == []
    assert SHOWN_FOR == 30 * 86_400


async def test_what_is_told_is_the_newest_first_and_of_this_kind_alone(theatre: Theatre) -> None:
    for number in range(7):
        theatre.house.clock.advance(10)
        own = await theatre.enter()
        await theatre.stop(await theatre.act(own, reason=f"reason {number}"))

    async def other(tx: Transaction) -> None:
        await theatre.house.audit.record(tx, "user:disable", actor_id=theatre.root, target=theatre.ada)

    await theatre.house.db.write(other)
    told = [json.loads(one.detail)["reason"] for one in await theatre.stage.told(theatre.ada)]
    assert told == [f"reason {number}" for number in (6, 5, 4, 3, 2)]


async def test_a_letter_tells_the_person_at_once(opened: OpenHouse) -> None:
    with PostOffice() as post:
        house = opened(product_name="Acme Keys", public_url="https://auth.example.com", **post.settings)
        mailer = Mailer(settings=house.settings, clock=house.clock)
        theatre = await open_theatre(house, mailer)
        await theatre.act(await theatre.enter())
        letter = await post.arrived("ada@example.com")
        await mailer.aclose()
        assert len(post.all_letters) == 1
    assert letter.subject == "An operator of Acme Keys acts as you"
    assert "The operator root of Acme Keys" in letter.shown
    assert REASON in letter.shown
    assert letter.link == "https://auth.example.com/settings"


async def test_who_may_not_act_causes_no_letter(opened: OpenHouse) -> None:
    with PostOffice() as post:
        house = opened(**post.settings)
        mailer = Mailer(settings=house.settings, clock=house.clock)
        theatre = await open_theatre(house, mailer)
        await theatre.operates(theatre.ada, operates=True)
        with pytest.raises(Problem):
            await theatre.act(await theatre.enter())
        await mailer.aclose()
        assert post.all_letters == []


async def test_without_a_mail_server_nothing_is_said_of_a_letter(
    theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        await theatre.acting()
    assert "letter" not in caplog.text
