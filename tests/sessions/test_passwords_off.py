"""A second factor after a password is no passkey instead of one: where passwords are off, only the latter lets in."""

import pytest
from sqlalchemy import update

from keystead.db import Command
from keystead.db.tables import organization
from keystead.kernel.problems import Forbidden
from keystead.sessions.models import SignedIn
from tests.sessions.entering import VISIT, Entrance, signed_in

_OFF = Command(update(organization).values(password_sign_in_off=1))
_ON = Command(update(organization).values(password_sign_in_off=0))
REFUSED = "lets nobody sign in with a password"


async def test_a_step_that_was_begun_before_ends_in_no_session_and_costs_no_code(entrance: Entrance) -> None:
    step, sessions = await entrance.step(), entrance.house.sessions
    await entrance.house.db.run(_OFF, {})
    with pytest.raises(Forbidden, match=REFUSED):
        await entrance.finish(step, entrance.code)
    with pytest.raises(Forbidden, match=REFUSED):
        await sessions.steps.show_recovery_code(step, entrance.recovery_codes[0].reveal(), VISIT)
    assert await sessions.list_everywhere(entrance.ada) == []
    await entrance.house.db.run(_ON, {})
    begun = await sessions.steps.show_recovery_code(step, entrance.recovery_codes[0].reveal(), VISIT)
    assert isinstance(begun, SignedIn)


async def test_a_passkey_beside_a_password_is_not_enough_and_one_in_its_place_is(entrance: Entrance) -> None:
    phone, step, steps = await entrance.add_passkey(), await entrance.step(), entrance.house.sessions.steps
    await entrance.house.db.run(_OFF, {})
    beside = await steps.passkey_question(await entrance.look(step))
    with pytest.raises(Forbidden, match=REFUSED):
        await steps.show_passkey(step, phone.get(beside.options), beside.token, VISIT)
    instead = steps.passkey_alone("a browser")
    begun = await steps.sign_in_with_passkey(phone.get(instead.options), instead.token, "a browser", VISIT)
    assert (await entrance.principal(signed_in(begun))).identity.user_id == entrance.ada


async def test_no_step_begins_where_it_could_lead_nowhere(entrance: Entrance) -> None:
    await entrance.house.db.run(_OFF, {})
    with pytest.raises(Forbidden, match=REFUSED):
        await entrance.begin()
    assert await entrance.house.sessions.list_everywhere(entrance.ada) == []
