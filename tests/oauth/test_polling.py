"""Polling: never stuck, never faster than allowed, answered the moment the person decides, redeemed once."""

import asyncio
import re
from collections import Counter
from statistics import median
from time import perf_counter

import httpx
import pytest

from keystead.app import build_application
from keystead.db.tables import oauth_grant
from keystead.kernel.problems import AccessDenied, AuthorizationPending, ExpiredToken, InvalidGrant, Problem, SlowDown
from keystead.oauth.models import DeviceCodes, TokenSet
from keystead.oauth.service import DEVICE_CODE
from keystead.oauth.waiting import END_EVERY
from keystead.wire.preferences import preferred_wait
from tests.oauth.conftest import Open
from tests.oauth.faults import locked
from tests.support.installation import EVERY_SCOPE, PUBLIC_URL, Installation

HELD = 20.0
"""A hold in seconds that no test waits out."""
AT_ONCE = 2.0  # seconds: far below the time for which a poll is held, and far above a busy machine's pauses
"""Seconds within which a held poll is answered once the person has decided (promise D3)."""


async def answer_of(asked: "asyncio.Future[TokenSet] | asyncio.Task[TokenSet]") -> type[Problem] | TokenSet:
    try:
        return await asked
    except Problem as problem:
        return type(problem)


def ask(
    house: Installation, codes: DeviceCodes, client: str, gone: asyncio.Event | None = None, wait: int | None = None
) -> asyncio.Task[TokenSet]:
    return asyncio.create_task(house.poll(codes, client, gone, wait))


async def held(house: Installation) -> None:
    """Return once the poll that was just started is waiting for the decision."""
    async with asyncio.timeout(AT_ONCE):
        while len(house.services.oauth.waiting) != 1:  # noqa: ASYNC110 - it is not told who comes in
            await asyncio.sleep(0)


async def written(house: Installation) -> None:
    """Return once this process has written the arrivals of polls, as it does ten times a second."""
    await house.services.oauth.devices.arrivals.write()


# D1, D2: the interval


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
        told.append(_seconds(refused.value.detail))
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


async def test_a_poll_that_gives_no_tokens_is_one_write_of_one_row_at_most(opened: Open) -> None:
    house = opened(device_code_ttl=60)
    client = await house.register()
    pending, denied, used = [await house.issue(client) for _ in range(3)]
    view = await house.look_up(denied.user_code.reveal())
    assert view is not None
    await house.decide(view, approve=False)
    await house.approve(used)
    await house.poll(used, client)
    cost = {}
    for name, codes in (("pending", pending), ("slow_down", pending), ("denied", denied), ("used", used)):
        units, rows = house.db.units, house.db.rows_changed
        await answer_of(ask(house, codes, client))
        await written(house)
        cost[name] = (house.db.units - units, house.db.rows_changed - rows)
    house.clock.advance(60)
    units, rows = house.db.units, house.db.rows_changed
    assert await answer_of(ask(house, pending, client)) is ExpiredToken
    await written(house)
    cost["expired"] = (house.db.units - units, house.db.rows_changed - rows)
    assert cost == {"pending": (1, 1), "slow_down": (1, 1), "denied": (0, 0), "used": (0, 0), "expired": (0, 0)}


async def test_a_poll_that_is_told_to_go_on_waits_for_no_write_and_many_are_written_in_one(house: Installation) -> None:
    client = await house.register()
    codes = [await house.issue(client) for _ in range(20)]
    units, rows = house.db.units, house.db.rows_changed
    for one in codes:
        assert await answer_of(ask(house, one, client)) is AuthorizationPending
    assert (house.db.units - units, house.db.rows_changed - rows) == (0, 0)
    await written(house)
    assert (house.db.units - units, house.db.rows_changed - rows) == (1, 20)
    assert len(house.services.oauth.devices.arrivals) == 0


async def test_arrivals_are_written_by_themselves_soon_after(opened: Open) -> None:
    house, neighbour = opened(), opened()
    client = await house.register()
    codes = await house.issue(client)
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    writing = house.services.oauth.devices.arrivals._task
    assert writing is not None
    await asyncio.wait_for(writing, HELD)
    assert await answer_of(ask(neighbour, codes, client)) is SlowDown


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
    assert _seconds(refused.value.detail) == 2 + 5 * 28


@pytest.mark.sqlite
async def test_an_arrival_that_could_not_be_written_is_written_with_the_next_batch(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.db.sqlite.BUSY_TIMEOUT_MS", 20)
    house, neighbour = opened(), opened()
    client = await house.register()
    codes = await house.issue(client)
    with locked(house):
        assert await answer_of(ask(house, codes, client)) is AuthorizationPending
        await written(house)
    assert len(house.services.oauth.devices.arrivals) == 1
    await written(house)
    assert await answer_of(ask(neighbour, codes, client)) is SlowDown


async def test_of_arrivals_that_cannot_be_written_only_so_many_are_remembered(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.oauth.arrivals.MOST", 3)
    house = opened()
    client = await house.register()
    codes = [await house.issue(client) for _ in range(5)]
    for one in codes:
        await answer_of(ask(house, one, client))
    assert len(house.services.oauth.devices.arrivals) == 3
    assert await answer_of(ask(house, codes[0], client)) is AuthorizationPending
    assert await answer_of(ask(house, codes[4], client)) is SlowDown


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


async def test_a_held_poll_writes_once_too_unless_it_redeems(opened: Open) -> None:
    house = opened(device_poll_hold=0.05)
    client = await house.register()
    codes = await house.issue(client)
    units = house.db.units
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    await written(house)
    assert house.db.units - units == 1


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
    assert _seconds(answers[1]["error_description"]) == started["interval"] + 5


# D3: held polls


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


async def test_a_redemption_that_waits_too_long_for_its_turn_is_told_to_go_on_polling_and_loses_nothing(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.oauth.devices._LONGEST_TURN", 0.05)
    client = await house.register()
    codes = await house.issue(client)
    assert await house.approve(codes)
    turn = house.services.oauth.devices._turn
    taken = 0
    while not turn.locked():
        await turn.acquire()
        taken += 1
    assert await answer_of(ask(house, codes, client)) is AuthorizationPending
    for _ in range(taken):
        turn.release()
    assert isinstance(await answer_of(ask(house, codes, client)), TokenSet)


# D9: one code, one token pair


@pytest.mark.parametrize("hold", [0, HELD], ids=["answered at once", "held"])
async def test_of_a_hundred_parallel_redemptions_over_three_processes_exactly_one_succeeds(
    opened: Open, hold: float
) -> None:
    processes = [opened(device_poll_hold=hold) for _ in range(3)]
    house = processes[0]
    client = await house.register()
    codes = await house.issue(client)
    assert await house.approve(codes)
    polls = [ask(processes[n % 3], codes, client) for n in range(100)]
    answers = [await answer_of(poll) for poll in polls]
    successes = [answer for answer in answers if isinstance(answer, TokenSet)]
    assert len(successes) == 1
    assert Counter(answer for answer in answers if not isinstance(answer, TokenSet)) == {InvalidGrant: 99}
    assert await house.rows(oauth_grant) == {"oauth_grant": 1}


async def test_a_used_code_stays_used_and_its_tokens_go_on_working(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes)
    tokens = await house.poll(codes, client)
    for _ in range(3):
        assert await answer_of(ask(house, codes, client)) is InvalidGrant
        house.clock.advance(codes.expires_in)
    assert (await house.refresh(tokens.refresh_token.reveal(), client)).organization == "acme"


def _seconds(text: str) -> int | None:
    found = re.search(r"(\d+) seconds", text)
    return int(found[1]) if found else None
