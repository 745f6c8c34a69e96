"""Somebody who has the password cannot go through the codes: an account takes so many wrong ones in a day."""

import pytest

from keystead.kernel.problems import RateLimited, WrongSignIn
from keystead.kernel.secrets import STEP_PREFIX, new_opaque
from keystead.sessions.models import TOO_MANY_CODES, Refused, Visit
from keystead.sessions.rules import CODES_A_DAY, DAY, STEP_TRIES
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import WRONG
from tests.factors.desk import ORIGIN
from tests.sessions.entering import HOME, VISIT, Entrance, at_once, open_entrance, signed_in


async def guess(entrance: Entrance, times: int, *, address: str = "198.51.100.{}") -> list[object]:
    """Show wrong codes from many addresses, in as many steps as that takes."""
    outcomes: list[object] = []
    for first in range(0, times, STEP_TRIES):
        visit = Visit(address=address.format(first % 250))
        step = await entrance.step(visit)
        for _ in range(min(STEP_TRIES, times - first)):
            outcomes += await at_once(entrance.finish(step, entrance.wrong_code, visit))
    return outcomes


async def test_a_hundred_wrong_codes_in_a_day_are_let_through_and_then_not_even_the_right_one(
    entrance: Entrance,
) -> None:
    assert all(isinstance(one, Refused) for one in await guess(entrance, CODES_A_DAY))
    refused = await guess(entrance, 2 * STEP_TRIES)
    assert all(isinstance(one, RateLimited) for one in refused)
    with pytest.raises(RateLimited, match="Too many wrong codes") as refusal:
        await entrance.finish(await entrance.step(), entrance.code)
    assert refusal.value.detail == TOO_MANY_CODES
    assert DAY - 60 <= int(refusal.value.headers["Retry-After"]) <= DAY + 60
    steps = entrance.house.sessions.steps
    with pytest.raises(RateLimited):
        await steps.show_recovery_code(await entrance.step(), entrance.recovery_codes[0].reveal(), VISIT)


async def test_a_day_later_codes_are_taken_again(entrance: Entrance) -> None:
    await guess(entrance, CODES_A_DAY)
    with pytest.raises(RateLimited) as refusal:
        await entrance.finish(await entrance.step(), entrance.code)
    wait = int(refusal.value.headers["Retry-After"])
    entrance.house.clock.advance(wait - 1)
    with pytest.raises(RateLimited):
        await entrance.finish(await entrance.step(), entrance.code)
    entrance.house.clock.advance(1)
    assert await entrance.lives(signed_in(await entrance.finish(await entrance.step(), entrance.code)))


async def test_recovery_codes_and_codes_of_the_app_are_counted_together_and_by_every_process(
    opened: OpenHouse,
) -> None:
    entrance = await open_entrance(opened(public_url=ORIGIN))
    other = Entrance(opened(public_url=ORIGIN), entrance.ada, entrance.app, entrance.recovery_codes)
    await guess(entrance, CODES_A_DAY - 1)
    steps = other.house.sessions.steps
    assert await steps.show_recovery_code(await other.step(), "BCDF-GHJK-MNPQ", VISIT) is Refused.WRONG
    for one in (entrance, other):
        with pytest.raises(RateLimited):
            await one.finish(await one.step(), one.code)


async def test_codes_that_are_tried_at_once_are_counted_exactly(entrance: Entrance) -> None:
    await guess(entrance, CODES_A_DAY - 5)
    found = [await entrance.step() for _ in range(15)]
    outcomes = await at_once(*(entrance.finish(step, entrance.wrong_code) for step in found))
    assert outcomes.count(Refused.WRONG) == 5
    assert sum(isinstance(one, RateLimited) for one in outcomes) == 10


async def test_a_passkey_lets_somebody_in_when_codes_are_not_taken_and_is_not_counted(entrance: Entrance) -> None:
    phone, steps = await entrance.add_passkey(), entrance.house.sessions.steps
    for _ in range(CODES_A_DAY // STEP_TRIES):
        step = await entrance.step()
        question = await steps.passkey_question(await entrance.look(step))
        for _ in range(STEP_TRIES):
            assert await steps.show_passkey(step, "{}", question.token, VISIT) in {Refused.WRONG, Refused.OVER}
    assert await entrance.lives(await entrance.enter())
    await guess(entrance, CODES_A_DAY)
    step = await entrance.step()
    question = await steps.passkey_question(await entrance.look(step))
    assert await entrance.lives(
        signed_in(await steps.show_passkey(step, phone.get(question.options), question.token, VISIT))
    )


async def test_without_the_password_nobody_uses_up_the_codes_of_a_day(entrance: Entrance) -> None:
    for number in range(CODES_A_DAY + 10):
        visit = Visit(address=f"198.51.100.{number}")
        with pytest.raises(WrongSignIn):
            await entrance.begin(WRONG, visit)
        assert await entrance.finish(new_opaque(STEP_PREFIX).reveal(), entrance.wrong_code, visit) is Refused.OVER
    at_home = Visit(address=HOME)
    assert await entrance.lives(signed_in(await entrance.finish(await entrance.step(at_home), entrance.code, at_home)))
