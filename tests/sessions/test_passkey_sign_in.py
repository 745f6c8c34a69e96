"""A passkey instead of a password: its owner must be verified, and a question is answered once, in one browser."""

import pytest

from keystead.kernel.problems import RateLimited
from keystead.sessions.models import PasskeyQuestion, Refused, SignedIn, Visit
from tests.accounts.conftest import OpenHouse
from tests.factors.authenticator import Authenticator
from tests.factors.desk import ORIGIN
from tests.sessions.entering import HOME, VISIT, Entrance, at_once, open_entrance, signed_in

BROWSER = "the browser's own name"


async def show(
    entrance: Entrance, answer: str, question: PasskeyQuestion, browser: str = BROWSER, visit: Visit = VISIT
) -> SignedIn | Refused:
    """Answer the page for passkeys."""
    return await entrance.house.sessions.steps.sign_in_with_passkey(answer, question.token, browser, visit)


def ask(entrance: Entrance, browser: str = BROWSER) -> PasskeyQuestion:
    """Open the page for passkeys."""
    return entrance.house.sessions.steps.passkey_alone(browser)


async def test_a_passkey_signs_its_owner_in_and_counts_as_a_second_factor(plain_entrance: Entrance) -> None:
    phone, question = await plain_entrance.add_passkey(), ask(plain_entrance)
    session = signed_in(await show(plain_entrance, phone.get(question.options), question))
    assert (await plain_entrance.principal(session)).identity.user_id == plain_entrance.ada
    (event,) = [event for event in await plain_entrance.house.events() if event.type == "session:create"]
    assert '"password": false' in event.detail
    assert '"second_factor": "passkey"' in event.detail


async def test_a_passkey_that_did_not_verify_its_user_is_not_enough(plain_entrance: Entrance) -> None:
    phone, question = await plain_entrance.add_passkey(), ask(plain_entrance)
    phone.verifies = False
    assert await show(plain_entrance, phone.get(question.options), question) is Refused.WRONG


async def test_an_answer_is_good_once_whoever_repeats_it(plain_entrance: Entrance) -> None:
    phone, question = await plain_entrance.add_passkey(), ask(plain_entrance)
    phone.counts = False  # so that nothing but the challenge can tell the second from the first
    plain_entrance.house.clock.advance(1)
    answer = phone.get(question.options)
    outcomes = await at_once(*(show(plain_entrance, answer, question) for _ in range(8)))
    assert sum(isinstance(outcome, SignedIn) for outcome in outcomes) == 1
    assert await show(plain_entrance, answer, question) is not None
    assert not isinstance(await show(plain_entrance, answer, question), SignedIn)


async def test_a_question_is_answered_by_the_browser_that_was_asked(plain_entrance: Entrance) -> None:
    phone, question = await plain_entrance.add_passkey(), ask(plain_entrance)
    answer = phone.get(question.options)
    assert await show(plain_entrance, answer, question, "another browser") is Refused.OVER
    assert isinstance(await show(plain_entrance, answer, question), SignedIn)


async def test_a_question_is_good_for_ten_minutes(plain_entrance: Entrance) -> None:
    phone, question = await plain_entrance.add_passkey(), ask(plain_entrance)
    answer = phone.get(question.options)
    plain_entrance.house.clock.advance(600)
    assert await show(plain_entrance, answer, question) is Refused.OVER


async def test_an_answer_to_the_question_of_a_step_is_none_to_the_page_for_passkeys(entrance: Entrance) -> None:
    phone, steps = await entrance.add_passkey(), entrance.house.sessions.steps
    question = await steps.passkey_question(await entrance.look(await entrance.step()))
    assert await show(entrance, phone.get(question.options), question) is Refused.OVER


async def test_a_passkey_that_nobody_has_here_is_refused_and_writes_no_row(plain_entrance: Entrance) -> None:
    stranger = Authenticator(ORIGIN)
    options = plain_entrance.house.factors.registration_options("nobody", "nobody", ())
    stranger.create(options.json)
    question, before = ask(plain_entrance), plain_entrance.house.db.rows_changed
    for answer in (stranger.get(question.options), "", "{}", "null", "\x00"):
        assert await show(plain_entrance, answer, question) is Refused.WRONG
    assert plain_entrance.house.db.rows_changed == before


async def test_the_passkey_of_somebody_who_is_disabled_is_refused(plain_entrance: Entrance) -> None:
    phone, question = await plain_entrance.add_passkey(), ask(plain_entrance)
    await plain_entrance.house.disable(plain_entrance.ada)
    assert await show(plain_entrance, phone.get(question.options), question) is Refused.WRONG


async def test_opening_the_page_for_passkeys_writes_nothing(plain_entrance: Entrance) -> None:
    before = plain_entrance.house.db.rows_changed
    tokens = {ask(plain_entrance).token for _ in range(20)}
    assert (len(tokens), plain_entrance.house.db.rows_changed) == (20, before)


async def test_the_session_that_the_browser_had_is_dead_after_a_passkey(plain_entrance: Entrance) -> None:
    phone = await plain_entrance.add_passkey()
    question = ask(plain_entrance)
    first = signed_in(await show(plain_entrance, phone.get(question.options), question))
    question = ask(plain_entrance)
    visit = Visit(address=HOME, previous=first.secret)
    second = signed_in(await show(plain_entrance, phone.get(question.options), question, visit=visit))
    assert (await plain_entrance.lives(first), await plain_entrance.lives(second)) == (False, True)


async def test_an_address_tries_passkeys_as_often_as_it_signs_in_and_a_known_device_by_itself(
    opened: OpenHouse,
) -> None:
    entrance = await open_entrance(opened(public_url=ORIGIN, limit_sign_in="5/minute"), app=False)
    phone, question = await entrance.add_passkey(), ask(entrance)
    known = signed_in(await show(entrance, phone.get(question.options), question)).device_cookie.reveal()
    for _ in range(14):
        assert await show(entrance, "{}", question) is Refused.WRONG
    with pytest.raises(RateLimited):
        await show(entrance, "{}", question)
    question, at_home = ask(entrance), Visit(address=HOME, device_cookie=known)
    assert isinstance(await show(entrance, phone.get(question.options), question, visit=at_home), SignedIn)
    assert isinstance(await show(entrance, "{}", question, visit=Visit(address="203.0.113.5")), Refused)
