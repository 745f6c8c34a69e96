"""The step after the password: no session before it, one session after it, and nobody locked out by it."""

import sqlite3

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command, Transaction
from keystead.db.tables import organization
from keystead.kernel.problems import Forbidden, InvalidParameters, RateLimited, SecondFactorRequired, WrongSignIn
from keystead.kernel.secrets import STEP_PREFIX, Secret, new_opaque
from keystead.sessions.models import Refused, SignedIn, StepNeeded, Visit
from keystead.sessions.rules import STEP_LIFETIME, STEP_TRIES
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import PASSWORD, WRONG
from tests.sessions.entering import HOME, VISIT, Entrance, at_once, code_of, open_entrance, signed_in

NEW_PASSWORD = Secret("a quiet lake before the morning")
ELSEWHERE = Visit(address="198.51.100.66", user_agent="Other/1.0")
_REQUIRE = Command(update(organization).values(second_factor_required=bindparam("wanted")))


async def require_second_factor(entrance: Entrance) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(_REQUIRE, {"wanted": 1})

    await entrance.house.db.write(work)


# The password is not enough


async def test_with_a_second_factor_the_right_password_begins_no_session(entrance: Entrance) -> None:
    begun = await entrance.begin()
    assert isinstance(begun, StepNeeded)
    assert not begun.enrol
    assert "session:create" not in [event.type for event in await entrance.house.events()]
    assert await entrance.house.sessions.find(begun.step.reveal()) is None


async def test_without_a_second_factor_the_right_password_begins_a_session(plain_entrance: Entrance) -> None:
    assert await plain_entrance.lives(signed_in(await plain_entrance.begin()))


async def test_a_wrong_password_looks_the_same_whether_or_not_there_is_a_second_factor(entrance: Entrance) -> None:
    refusals = []
    for _ in range(2):
        with pytest.raises(WrongSignIn) as refusal:
            await entrance.begin(WRONG)
        refusals.append((refusal.value.detail, refusal.value.headers))
        await entrance.house.db.write(lambda tx: entrance.house.factors.remove_all(tx, entrance.ada))
    assert refusals[0] == refusals[1]


async def test_where_no_page_can_ask_for_more_a_password_alone_is_refused_and_leaves_nothing(
    entrance: Entrance,
) -> None:
    before = entrance.house.db.rows_changed
    with pytest.raises(SecondFactorRequired) as refusal:
        await entrance.house.sessions.sign_in("ada", PASSWORD, address=HOME)
    assert "Sign in on the sign-in page in a browser" in refusal.value.detail
    assert entrance.house.db.rows_changed == before


# Finishing


async def test_the_right_code_begins_a_session_with_a_new_id_that_remembers_the_factor(entrance: Entrance) -> None:
    step = await entrance.step()
    session = signed_in(await entrance.finish(step, entrance.code))
    assert await entrance.lives(session)
    assert session.secret.reveal() != step
    (event,) = [event for event in await entrance.house.events() if event.type == "session:create"]
    assert (event.target, event.actor_id, event.address) == (session.session_id, entrance.ada, HOME)
    assert '"second_factor": "totp"' in event.detail


async def test_the_session_that_the_browser_had_is_dead_after_the_second_factor(entrance: Entrance) -> None:
    first = await entrance.enter()
    entrance.house.clock.advance(30)
    visit = Visit(address=HOME, previous=first.secret)
    step = await entrance.step(visit)
    assert await entrance.lives(first)  # a password alone ends nothing
    second = signed_in(await entrance.finish(step, entrance.code, visit))
    assert (await entrance.lives(first), await entrance.lives(second)) == (False, True)


async def test_a_recovery_code_stands_in_once_and_its_use_is_audited(entrance: Entrance) -> None:
    steps = entrance.house.sessions.steps
    code = entrance.recovery_codes[3].reveal().lower()
    session = signed_in(await steps.show_recovery_code(await entrance.step(), code, VISIT))
    assert await entrance.lives(session)
    assert await steps.show_recovery_code(await entrance.step(), code, VISIT) is Refused.WRONG
    types = [event.type for event in await entrance.house.events()]
    assert types[-2:] == ["recovery-code:use", "session:create"]


async def test_ten_recovery_codes_let_somebody_in_ten_times_and_the_eleventh_time_needs_the_app(
    entrance: Entrance,
) -> None:
    show = entrance.house.sessions.steps.show_recovery_code
    codes = [code.reveal() for code in entrance.recovery_codes]
    sessions = [signed_in(await show(await entrance.step(), code, VISIT)) for code in codes]
    assert len({session.session_id for session in sessions}) == 10
    assert not (await entrance.look(await entrance.step())).recovery_codes
    assert await entrance.lives(await entrance.enter())


async def test_a_passkey_finishes_a_step_too(entrance: Entrance) -> None:
    phone, steps = await entrance.add_passkey(), entrance.house.sessions.steps
    step = await entrance.step()
    question = await steps.passkey_question(await entrance.look(step))
    session = signed_in(await steps.show_passkey(step, phone.get(question.options), question.token, VISIT))
    assert await entrance.lives(session)


async def test_what_a_passkey_was_asked_in_one_step_is_no_answer_in_another(entrance: Entrance) -> None:
    phone, steps = await entrance.add_passkey(), entrance.house.sessions.steps
    first, second = await entrance.step(), await entrance.step()
    question = await steps.passkey_question(await entrance.look(first))
    answer = phone.get(question.options)
    assert await steps.show_passkey(second, answer, question.token, VISIT) is Refused.WRONG
    assert await entrance.lives(signed_in(await steps.show_passkey(first, answer, question.token, VISIT)))


# Wrong codes


async def test_a_wrong_code_may_be_tried_again_and_the_tenth_ends_the_step(entrance: Entrance) -> None:
    step = await entrance.step()
    outcomes = [await entrance.finish(step, entrance.wrong_code) for _ in range(STEP_TRIES)]
    assert outcomes == [Refused.WRONG] * (STEP_TRIES - 1) + [Refused.OVER]
    assert await entrance.finish(step, entrance.code) is Refused.OVER
    assert await entrance.house.sessions.steps.look(step) is None


async def test_wrong_codes_at_once_are_counted_exactly(entrance: Entrance) -> None:
    step = await entrance.step()
    outcomes = await at_once(*(entrance.finish(step, entrance.wrong_code) for _ in range(25)))
    assert outcomes.count(Refused.WRONG) == STEP_TRIES - 1
    assert outcomes.count(Refused.OVER) == 25 - (STEP_TRIES - 1)


async def test_new_steps_give_no_new_tries_beyond_the_limit_of_the_account(opened: OpenHouse) -> None:
    entrance = await open_entrance(opened(limit_sign_in="5/minute"))
    known = await entrance.enter()
    entrance.house.clock.advance(60)
    thief = Visit(address="198.51.100.1")
    outcomes: list[SignedIn | Refused | None] = []
    step = await entrance.step(thief)
    for _ in range(8):
        try:
            outcomes.append(await entrance.finish(step, entrance.wrong_code, thief))
        except RateLimited:
            outcomes.append(None)
    assert outcomes == [Refused.WRONG] * 5 + [None] * 3
    other = Visit(address="203.0.113.9")
    with pytest.raises(RateLimited):
        await entrance.finish(await entrance.step(other), entrance.code, other)
    at_home = Visit(address=HOME, device_cookie=known.device_cookie.reveal())
    assert await entrance.lives(signed_in(await entrance.finish(await entrance.step(at_home), entrance.code, at_home)))


async def test_without_the_password_nobody_can_use_up_the_tries_of_the_second_factor(opened: OpenHouse) -> None:
    entrance = await open_entrance(opened(limit_sign_in="5/minute"))
    known = await entrance.enter()
    for number in range(30):
        visit = Visit(address=f"198.51.100.{number}")
        with pytest.raises((WrongSignIn, RateLimited)):
            await entrance.begin(WRONG, visit)
        guess = new_opaque(STEP_PREFIX).reveal()
        assert await entrance.finish(guess, entrance.code, visit) is Refused.OVER
    entrance.house.clock.advance(30)
    at_home = Visit(address=HOME, device_cookie=known.device_cookie.reveal())
    assert await entrance.lives(signed_in(await entrance.finish(await entrance.step(at_home), entrance.code, at_home)))


@pytest.mark.parametrize("text", ["", "kst_", "kst_" + "a" * 45, "kss_" + "a" * 45, "kst_\x00", "å" * 49])
async def test_what_is_no_step_leads_nowhere(entrance: Entrance, text: str) -> None:
    steps = entrance.house.sessions.steps
    assert await steps.look(text) is None
    assert await entrance.finish(text, entrance.code) is Refused.OVER
    assert await steps.enrol(text, "", entrance.code, VISIT) is Refused.OVER


# What happens between the password and the code


async def test_two_uses_of_one_step_at_once_give_one_session(entrance: Entrance) -> None:
    step = await entrance.step()
    codes = [code.reveal() for code in entrance.recovery_codes]
    show = entrance.house.sessions.steps.show_recovery_code
    outcomes = await at_once(*(show(step, code, VISIT) for code in codes), entrance.finish(step, entrance.code))
    assert sum(isinstance(outcome, SignedIn) for outcome in outcomes) == 1
    assert outcomes.count(Refused.OVER) == len(outcomes) - 1
    events = [event.type for event in await entrance.house.events()]
    assert (events.count("session:create"), events.count("recovery-code:use")) in {(1, 0), (1, 1)}


async def test_a_step_ends_after_ten_minutes(entrance: Entrance) -> None:
    step = await entrance.step()
    entrance.house.clock.advance(STEP_LIFETIME - 1)
    assert await entrance.house.sessions.steps.look(step) is not None
    entrance.house.clock.advance(1)
    assert await entrance.house.sessions.steps.look(step) is None
    assert await entrance.finish(step, entrance.code) is Refused.OVER


@pytest.mark.parametrize("seconds", [0, 1, 100])
async def test_a_password_that_is_changed_in_between_ends_the_step(entrance: Entrance, seconds: int) -> None:
    step = await entrance.step()
    entrance.house.clock.advance(seconds)
    await entrance.house.sessions.set_password("ada", NEW_PASSWORD)
    assert await entrance.finish(step, entrance.code) is Refused.OVER
    assert await entrance.house.sessions.steps.look(step) is None


async def test_a_password_that_is_changed_during_the_last_step_leaves_no_session_or_ends_it(
    entrance: Entrance,
) -> None:
    step = await entrance.step()
    changed = entrance.house.sessions.set_password("ada", NEW_PASSWORD)
    finished, _ = await at_once(entrance.finish(step, entrance.code), changed)
    assert finished is Refused.OVER or not await entrance.lives(signed_in(finished))  # type: ignore[arg-type]


async def test_somebody_who_is_disabled_in_between_gets_no_session(entrance: Entrance) -> None:
    step = await entrance.step()
    await entrance.house.disable(entrance.ada)
    assert await entrance.finish(step, entrance.code) is Refused.OVER
    assert await entrance.house.sessions.steps.look(step) is None


async def test_a_factor_that_is_removed_in_between_does_not_open_the_door(entrance: Entrance) -> None:
    step, code = await entrance.step(), entrance.code
    await entrance.house.db.write(lambda tx: entrance.house.factors.remove_all(tx, entrance.ada))
    assert await entrance.finish(step, code) is Refused.OVER
    assert await entrance.house.sessions.steps.look(step) is None
    assert await entrance.lives(signed_in(await entrance.begin()))  # now the password is enough


async def test_a_factor_that_is_added_between_the_password_and_the_session_is_asked_for(
    plain_entrance: Entrance,
) -> None:
    begun = await at_once(plain_entrance.begin(), plain_entrance.desk.add_app(plain_entrance.ada))
    after = await plain_entrance.begin()
    assert isinstance(begun[0], SignedIn | StepNeeded)
    assert isinstance(after, StepNeeded)


async def test_somebody_who_left_the_organization_in_between_is_told_so(entrance: Entrance) -> None:
    await entrance.house.accounts.create_user(username="eve", email="eve@example.com", password=PASSWORD)
    with pytest.raises(Forbidden) as refusal:
        await entrance.house.sessions.sign_in_by_steps("eve", PASSWORD, VISIT)
    assert refusal.value.detail.startswith("You do not belong to an organization yet.")


# An organization that asks for a second factor


async def test_where_it_is_asked_for_somebody_without_a_factor_sets_one_up_before_any_session(
    plain_entrance: Entrance,
) -> None:
    await require_second_factor(plain_entrance)
    begun = await plain_entrance.begin()
    assert isinstance(begun, StepNeeded)
    assert begun.enrol
    steps, step = plain_entrance.house.sessions.steps, begun.step.reveal()
    app = steps.new_app(await plain_entrance.look(step))
    code = code_of(app, plain_entrance.house.clock.now())
    enrolled = await steps.enrol(step, app.sealed, code, VISIT)
    assert not isinstance(enrolled, Refused)
    assert len(enrolled.recovery_codes) == 10
    assert enrolled.signed_in is not None
    assert await plain_entrance.lives(enrolled.signed_in)
    types = [event.type for event in await plain_entrance.house.events()]
    assert types[-3:] == ["totp:add", "recovery-codes:make", "session:create"]


async def test_a_wrong_first_code_is_told_at_its_field_and_counted(plain_entrance: Entrance) -> None:
    await require_second_factor(plain_entrance)
    steps, step = plain_entrance.house.sessions.steps, await plain_entrance.step()
    app = steps.new_app(await plain_entrance.look(step))
    for _ in range(STEP_TRIES):
        with pytest.raises(InvalidParameters) as refusal:
            await steps.enrol(step, app.sealed, "not a code", VISIT)
        assert [field.name for field in refusal.value.fields] == ["code"]
    assert await steps.enrol(step, app.sealed, code_of(app, plain_entrance.house.clock.now()), VISIT) is Refused.OVER


async def test_who_has_a_factor_cannot_set_up_another_by_password_alone(entrance: Entrance) -> None:
    await require_second_factor(entrance)
    begun = await entrance.begin()
    assert isinstance(begun, StepNeeded)
    assert not begun.enrol
    app = entrance.house.factors.new_totp(entrance.ada, "ada")
    code = code_of(app, entrance.house.clock.now())
    assert await entrance.house.sessions.steps.enrol(begun.step.reveal(), app.sealed, code, VISIT) is Refused.OVER


async def test_who_has_a_passkey_cannot_set_up_an_app_by_password_alone(plain_entrance: Entrance) -> None:
    await require_second_factor(plain_entrance)
    await plain_entrance.add_passkey()
    app = plain_entrance.house.factors.new_totp(plain_entrance.ada, "ada")
    code, step = code_of(app, plain_entrance.house.clock.now()), await plain_entrance.step()
    assert await plain_entrance.house.sessions.steps.enrol(step, app.sealed, code, VISIT) is Refused.OVER
    assert (await plain_entrance.house.factors.summary(plain_entrance.ada)).totp_since is None


async def test_two_browsers_that_set_up_a_factor_at_once_leave_one_app_and_one_session(
    plain_entrance: Entrance,
) -> None:
    await require_second_factor(plain_entrance)
    steps, now = plain_entrance.house.sessions.steps, plain_entrance.house.clock.now()
    tries = []
    for _ in range(2):
        step = await plain_entrance.step()
        app = steps.new_app(await plain_entrance.look(step))
        tries.append(steps.enrol(step, app.sealed, code_of(app, now), VISIT))
    outcomes = await at_once(*tries)
    assert outcomes.count(Refused.OVER) == 1
    assert [event.type for event in await plain_entrance.house.events()].count("session:create") == 1


# What is stored


@pytest.mark.sqlite
async def test_a_dump_of_the_database_holds_no_step(entrance: Entrance) -> None:
    step = await entrance.step()
    connection = sqlite3.connect(entrance.house.directory / "keystead.db")
    dump = "\n".join(connection.iterdump())
    connection.close()
    assert "sign_in_step" in dump
    assert step not in dump
    assert step[4:] not in dump


async def test_neither_steps_nor_codes_are_logged(entrance: Entrance, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        begun = await entrance.begin()
        assert isinstance(begun, StepNeeded)
        code = entrance.wrong_code
        await entrance.finish(begun.step.reveal(), code)
        await entrance.house.sessions.steps.show_recovery_code(begun.step.reveal(), "BCDF-GHJK-MNPQ", VISIT)
    assert "second factor refused" in caplog.text
    said = caplog.text + repr(begun)
    assert not [secret for secret in (begun.step.reveal(), code, "BCDF", PASSWORD.reveal()) if secret in said]
