"""Polling: never stuck, never faster than allowed, and the interval that only grows (promises D1, D2)."""

from collections import Counter

import httpx
import pytest

from keystead.kernel.problems import AccessDenied, AuthorizationPending, SlowDown
from keystead.oauth.models import TokenSet
from tests.oauth.conftest import Open
from tests.oauth.polling import answer_of, ask, seconds_in, written
from tests.support.installation import EVERY_SCOPE, Installation


async def test_a_client_that_waits_the_interval_after_each_answer_is_never_slowed_down(opened: Open) -> None:
    house = opened(device_code_ttl=3_600, device_poll_interval=3)
    client = await house.register()
    codes = await house.issue(client)
    answers: Counter[object] = Counter()
    for _ in range(1_000):
        answers[await answer_of(ask(house, codes, client))] += 1
        house.clock.advance(codes.interval)
    assert answers == {AuthorizationPending: 1_000}


async def test_a_decided_code_is_answered_with_its_result_however_early_the_poll_comes(house: Installation) -> None:
    client = await house.register()
    for approve, expected in ((True, TokenSet), (False, AccessDenied)):
        codes = await house.issue(client)
        view = await house.look_up(codes.user_code.reveal())
        assert view is not None
        for _ in range(3):
            await answer_of(ask(house, codes, client))
        await house.decide(view, approve=approve)
        answer = await answer_of(ask(house, codes, client))
        assert answer is expected or isinstance(answer, expected)


async def test_each_poll_that_comes_too_early_makes_the_interval_five_seconds_longer_and_nothing_shortens_it(
    opened: Open,
) -> None:
    house = opened(device_poll_interval=2)
    client = await house.register()
    codes = await house.issue(client)
    told = []
    for early in (True, True, False, True, False):
        with pytest.raises((SlowDown, AuthorizationPending)) as refused:
            await house.poll(codes, client)
        told.append(seconds_in(refused.value.detail))
        house.clock.advance(1 if early else 100)
    assert told == [None, 7, 12, None, 17]


async def test_another_process_knows_the_interval_and_the_last_poll_too(opened: Open) -> None:
    house, neighbour = opened(device_poll_interval=5), opened()
    client = await house.register()
    codes = await house.issue(client)
    answers = []
    for process in (house, neighbour, house, neighbour):
        answers.append(await answer_of(ask(process, codes, client)))
        await written(process)
        process.clock.advance(4)
    assert answers == [AuthorizationPending, SlowDown, SlowDown, SlowDown]


async def test_a_longer_interval_is_known_everywhere_before_the_client_is_told(opened: Open) -> None:
    house, neighbour = opened(device_poll_interval=2), opened()
    client = await house.register()
    codes = await house.issue(client)
    answers = [await answer_of(ask(house, codes, client)) for _ in range(2)]
    neighbour.clock.advance(6)
    answers.append(await answer_of(ask(neighbour, codes, client)))
    assert answers == [AuthorizationPending, SlowDown, SlowDown]


@pytest.mark.sqlite  # over a wire one process may hear of another's poll: tests/oauth/test_nodes.py
async def test_polls_at_the_same_moment_get_one_pending_from_each_process_and_every_other_makes_the_interval_longer(
    opened: Open,
) -> None:
    processes = [opened(device_poll_interval=2) for _ in range(3)]
    client = await processes[0].register()
    codes = await processes[0].issue(client)
    polls = [ask(processes[n % 3], codes, client) for n in range(30)]
    answers = Counter([await answer_of(poll) for poll in polls])
    assert answers == {AuthorizationPending: 3, SlowDown: 27}
    for process in processes:
        await written(process)
    processes[0].clock.advance(2 + 5 * 27 - 1)
    with pytest.raises(SlowDown) as refused:
        await processes[1].poll(codes, client)
    assert seconds_in(refused.value.detail) == 2 + 5 * 28


async def test_a_clock_that_is_ahead_or_was_set_back_slows_nobody_down(opened: Open) -> None:
    house, neighbour = opened(device_poll_interval=5), opened()
    client = await house.register()
    codes = await house.issue(client)
    house.clock.advance(30)
    answers = [await answer_of(ask(house, codes, client))]
    await written(house)
    house.clock.advance(-30)
    for _ in range(12):  # over the moment of the poll that came from ahead
        house.clock.advance(5)
        answers.append(await answer_of(ask(neighbour, codes, client)))
        await written(neighbour)
    assert answers == [AuthorizationPending] * 13


async def test_the_interval_is_in_the_answer_and_the_new_one_in_the_words_of_a_slow_down(
    web: httpx.AsyncClient,
) -> None:
    client_id = (await web.post("/getServiceKeys/register", json={"client_name": "stock"})).json()["client_id"]
    form = {"client_id": client_id, "scope": EVERY_SCOPE}
    started = (await web.post("/getServiceKeys/device/code", data=form)).json()
    assert isinstance(started["interval"], int)
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    poll = {"grant_type": grant, "device_code": started["device_code"], "client_id": client_id}
    answers = [(await web.post("/getServiceKeys/token", data=poll)).json() for _ in range(2)]
    assert [answer["error"] for answer in answers] == ["authorization_pending", "slow_down"]
    assert seconds_in(answers[1]["error_description"]) == started["interval"] + 5
