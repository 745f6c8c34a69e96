"""Held polls: answered the moment the person decides, and how long a client may wait (promise D3)."""

import asyncio
from statistics import median
from time import perf_counter

import httpx
import pytest

from keystead.app import build_application
from keystead.db.tables import oauth_grant
from keystead.kernel.problems import AccessDenied, AuthorizationPending, SlowDown
from keystead.oauth.models import TokenSet
from keystead.oauth.service import DEVICE_CODE
from keystead.oauth.waiting import END_EVERY
from keystead.wire.preferences import preferred_wait
from tests.oauth.conftest import Open
from tests.oauth.polling import AT_ONCE, HELD, answer_of, ask, held
from tests.support.installation import PUBLIC_URL, Installation


async def test_a_held_poll_is_answered_the_moment_the_person_decides(opened: Open) -> None:
    house = opened(device_poll_hold=HELD)
    client = await house.register()
    for approve, expected in ((True, TokenSet), (False, type)):
        codes = await house.issue(client)
        poll = ask(house, codes, client)
        await held(house)
        view = await house.look_up(codes.user_code.reveal())
        assert view is not None
        assert await house.decide(view, approve=approve)
        decided = perf_counter()
        answer = await answer_of(poll)
        assert perf_counter() - decided < AT_ONCE
        assert isinstance(answer, expected)
        assert approve or answer is AccessDenied


async def test_a_poll_held_by_another_process_is_answered_as_soon(opened: Open) -> None:
    house, neighbour = opened(), opened(device_poll_hold=HELD)
    client = await house.register()
    waited = []
    for _ in range(5):
        codes = await house.issue(client)
        poll = ask(neighbour, codes, client)
        await held(neighbour)
        assert await house.approve(codes)
        decided = perf_counter()
        assert isinstance(await answer_of(poll), TokenSet)
        waited.append(perf_counter() - decided)
    assert median(waited) < AT_ONCE


async def test_a_poll_is_told_that_the_decision_is_pending_when_the_hold_is_over(opened: Open) -> None:
    house = opened(device_poll_hold=0.2)
    client = await house.register()
    codes = await house.issue(client)
    began = perf_counter()
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    assert perf_counter() - began >= 0.2
    assert len(house.services.oauth.waiting) == 0


async def test_a_client_that_waits_the_interval_after_a_held_answer_is_not_slowed_down(opened: Open) -> None:
    house = opened(device_poll_hold=0.02)
    client = await house.register()
    codes = await house.issue(client)
    answers = []
    for _ in range(5):
        answers.append(await answer_of(ask(house, codes, client)))
        house.clock.advance(codes.interval)
    assert answers == [AuthorizationPending] * 5


@pytest.mark.parametrize("last_moment", [False, True], ids=["before the decision", "at the moment of the decision"])
async def test_a_client_that_went_away_while_its_poll_was_held_redeems_nothing(opened: Open, last_moment: bool) -> None:
    house = opened(device_poll_hold=HELD)
    client = await house.register()
    codes = await house.issue(client)
    gone = asyncio.Event()
    poll = ask(house, codes, client, gone)
    await held(house)
    if not last_moment:
        gone.set()
    assert await house.approve(codes)
    gone.set()
    assert await answer_of(poll) is AuthorizationPending
    assert await house.rows(oauth_grant) == {"oauth_grant": 0}
    assert isinstance(await answer_of(ask(house, codes, client)), TokenSet)


async def test_a_client_that_is_gone_by_the_time_of_its_redemption_redeems_nothing(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    assert await house.approve(codes)
    gone = asyncio.Event()
    gone.set()
    assert await answer_of(ask(house, codes, client, gone)) is AuthorizationPending
    assert await house.rows(oauth_grant) == {"oauth_grant": 0}
    assert isinstance(await answer_of(ask(house, codes, client)), TokenSet)


async def test_a_newer_poll_takes_the_place_of_an_older_one(opened: Open) -> None:
    house = opened(device_poll_hold=HELD)
    client = await house.register()
    codes = await house.issue(client)
    older = ask(house, codes, client)
    await held(house)
    house.clock.advance(codes.interval)
    newer = ask(house, codes, client)
    assert await asyncio.wait_for(answer_of(older), HELD / 2) is AuthorizationPending
    assert not newer.done()
    assert await house.approve(codes)
    assert isinstance(await answer_of(newer), TokenSet)


async def test_a_poll_that_comes_too_early_does_not_end_the_one_that_is_held(opened: Open) -> None:
    house = opened(device_poll_hold=HELD)
    client = await house.register()
    codes = await house.issue(client)
    poll = ask(house, codes, client)
    await held(house)
    assert await answer_of(ask(house, codes, client)) is SlowDown
    assert not poll.done()
    assert await house.approve(codes)
    assert isinstance(await answer_of(poll), TokenSet)


async def test_with_no_room_left_a_poll_is_answered_at_once(opened: Open) -> None:
    house = opened(device_poll_hold=HELD, device_polls_held=1)
    client = await house.register()
    codes, others = await house.issue(client), await house.issue(client)
    poll = ask(house, codes, client)
    await held(house)
    assert await asyncio.wait_for(answer_of(ask(house, others, client)), HELD / 2) is AuthorizationPending
    house.services.oauth.waiting.close()
    assert await asyncio.wait_for(answer_of(poll), HELD / 2) is AuthorizationPending


async def test_a_client_may_prefer_a_longer_or_a_shorter_hold(opened: Open) -> None:
    client = await (house := opened(device_poll_hold=0.1, device_poll_interval=1)).register()
    longer, shorter = await house.issue(client), await house.issue(client)
    began = perf_counter()
    assert await answer_of(ask(house, longer, client, wait=1)) is AuthorizationPending
    assert perf_counter() - began >= 1
    patient = opened(device_poll_hold=HELD)
    assert await asyncio.wait_for(answer_of(ask(patient, shorter, client, wait=0)), HELD / 2) is AuthorizationPending


async def test_a_preferred_hold_is_at_most_twenty_five_seconds_and_ends_with_the_code(opened: Open) -> None:
    house = opened(device_poll_hold=1, device_code_ttl=20)
    waiting, loop = house.services.oauth.waiting, asyncio.get_running_loop()
    client = await house.register()
    codes = await house.issue(client)
    began = loop.time()
    poll = ask(house, codes, client, wait=1_000_000)
    await held(house)
    [moment] = waiting._ending
    assert moment * END_EVERY - began <= 20 + 2 * END_EVERY
    waiting.release()
    assert await answer_of(poll) is AuthorizationPending
    later = opened(device_code_ttl=600, device_poll_hold=1)
    codes, began = await later.issue(client), loop.time()
    poll = ask(later, codes, client, wait=1_000_000)
    await held(later)
    [moment] = later.services.oauth.waiting._ending
    assert 25 <= moment * END_EVERY - began <= 25 + 2 * END_EVERY
    later.services.oauth.waiting.release()
    assert await answer_of(poll) is AuthorizationPending


async def test_where_no_poll_is_held_the_preference_is_passed_over(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    answer = asyncio.wait_for(answer_of(ask(house, codes, client, wait=25)), HELD / 2)
    assert await answer is AuthorizationPending
    assert len(house.services.oauth.waiting) == 0


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (["wait=10"], 10),
        (["respond-async, WAIT = 10; unit=s"], 10),
        (["return=minimal", 'wait="7"'], 7),
        (["wait=3, wait=9"], 3),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait"], None),
        (["waiting=4"], None),
        (["wait=99999999999"], None),
        (["wait=\xff\xfe"], None),
        ([], None),
    ],
)
def test_the_preference_to_wait_is_read_as_its_rfc_says(sent: list[str], seconds: int | None) -> None:
    headers = [(b"host", b"auth.example.com"), *((b"prefer", value.encode("latin-1")) for value in sent)]
    assert preferred_wait({"headers": headers}) == seconds


async def test_a_preference_on_the_wire_reaches_the_waiting_room(opened: Open) -> None:
    house = opened(device_poll_hold=HELD)
    application = build_application(house.services, dev=False)
    transport = httpx.ASGITransport(app=application.asgi)
    client = await house.register()
    codes = await house.issue(client)
    form = {"grant_type": DEVICE_CODE, "client_id": client, "device_code": codes.device_code.reveal()}
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False) as web:
        asked = web.post("/getServiceKeys/token", data=form, headers={"Prefer": "wait=0"})
        answer = await asyncio.wait_for(asked, HELD / 2)
    assert (answer.status_code, answer.json()["error"]) == (400, "authorization_pending")
