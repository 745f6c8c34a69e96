"""Polls in words that came before: read once, and answered by what the database says each time (D1, D2, D9)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from urllib.parse import quote, quote_plus, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.app import build_application
from keystead.oauth.models import DeviceCodes, Poll
from keystead.oauth.polls import Sights
from keystead.oauth.service import DEVICE_CODE
from tests.oauth.conftest import Open
from tests.oauth.polling import HELD, held, seconds_in, written
from tests.support.installation import PUBLIC_URL, Installation

TOKEN = "/getServiceKeys/token"
FORM = "application/x-www-form-urlencoded"
OF_EACH_REQUEST = {"x-request-id"}
INTERVAL = 2

Web = Callable[[Installation], httpx.AsyncClient]


@pytest.fixture
async def over_http() -> AsyncIterator[Web]:
    """Give a function that speaks HTTP to the whole application of one process."""
    async with AsyncExitStack() as stack:
        opened: list[httpx.AsyncClient] = []

        def over(house: Installation) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app=build_application(house.services, dev=False).asgi)
            web = httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False)
            stack.push_async_callback(web.aclose)
            opened.append(web)
            return web

        yield over


async def send(web: httpx.AsyncClient, body: bytes, content_type: str = FORM) -> httpx.Response:
    return await web.post(TOKEN, content=body, headers={"Content-Type": content_type})


def words(codes: DeviceCodes, client: str) -> bytes:
    form = {"grant_type": DEVICE_CODE, "client_id": client, "device_code": codes.device_code.reveal()}
    return urlencode(form).encode()


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but what is its request's own."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_EACH_REQUEST}
    return answer.status_code, headers, answer.content


async def known(house: Installation, web: httpx.AsyncClient) -> tuple[DeviceCodes, str, bytes]:
    """Return a code whose next poll is known by sight, and the words of that poll."""
    client = await house.register()
    codes = await house.issue(client)
    body = words(codes, client)
    assert (await send(web, body)).json()["error"] == "authorization_pending"
    assert len(house.services.oauth.polls.sights) == 1
    house.clock.advance(codes.interval)
    return codes, client, body


async def test_a_poll_in_the_same_words_is_told_the_same_to_the_byte(house: Installation, over_http: Web) -> None:
    web = over_http(house)
    client = await house.register()
    codes = await house.issue(client)
    answers = []
    for _ in range(4):
        answers.append(told(await send(web, words(codes, client))))
        house.clock.advance(codes.interval)
    assert answers == [answers[0]] * 4
    assert answers[0][0] == 400
    assert len(house.services.oauth.polls.sights) == 1


async def test_a_decision_by_another_process_is_told_at_once_however_well_the_poll_is_known(
    opened: Open, over_http: Web
) -> None:
    house, neighbour = opened(), opened()
    web = over_http(house)
    codes, _, body = await known(house, web)
    assert await neighbour.approve(codes)
    assert (await send(web, body)).status_code == 200
    assert (await send(web, body)).json()["error"] == "invalid_grant"
    codes, _, body = await known_too(house, web)
    view = await neighbour.look_up(codes.user_code.reveal())
    assert view is not None
    assert await neighbour.decide(view, approve=False)
    assert (await send(web, body)).json()["error"] == "access_denied"


async def known_too(house: Installation, web: httpx.AsyncClient) -> tuple[DeviceCodes, str, bytes]:
    """Return another such code."""
    client = await house.register()
    codes = await house.issue(client)
    body = words(codes, client)
    assert (await send(web, body)).json()["error"] == "authorization_pending"
    house.clock.advance(codes.interval)
    return codes, client, body


async def test_what_another_process_gave_the_tokens_for_is_used_here_too(opened: Open, over_http: Web) -> None:
    house, neighbour = opened(), opened()
    web, there = over_http(house), over_http(neighbour)
    codes, _, body = await known(house, web)
    assert await house.approve(codes)
    assert (await send(there, body)).status_code == 200
    assert (await send(web, body)).json()["error"] == "invalid_grant"


async def test_an_expiry_is_told_at_once(opened: Open, over_http: Web) -> None:
    house = opened(device_code_ttl=60)
    web = over_http(house)
    _, _, body = await known(house, web)
    house.clock.advance(60)
    assert (await send(web, body)).json()["error"] == "expired_token"


async def test_a_client_that_was_deleted_meanwhile_is_told_so_at_once(opened: Open, over_http: Web) -> None:
    house, neighbour = opened(), opened()
    web = over_http(house)
    _, client, body = await known(house, web)
    await neighbour.services.oauth.clients.delete(client)
    assert (await send(web, body)).json()["error"] == "invalid_grant"


async def test_polls_that_came_to_another_process_count_and_so_does_an_interval_that_grew_there(
    opened: Open, over_http: Web
) -> None:
    house, neighbour = opened(device_poll_interval=INTERVAL), opened()
    web, there = over_http(house), over_http(neighbour)
    _, _, body = await known(house, web)
    assert (await send(there, body)).json()["error"] == "authorization_pending"
    await written(neighbour)
    house.clock.advance(INTERVAL - 1)
    refused = (await send(web, body)).json()
    assert (refused["error"], seconds_in(refused["error_description"])) == ("slow_down", INTERVAL + 5)
    house.clock.advance(INTERVAL)
    assert seconds_in((await send(there, body)).json()["error_description"]) == INTERVAL + 10
    house.clock.advance(INTERVAL + 9)
    assert seconds_in((await send(web, body)).json()["error_description"]) == INTERVAL + 15
    house.clock.advance(INTERVAL + 15)
    assert (await send(there, body)).json()["error"] == "authorization_pending"


async def test_each_poll_is_charged_counted_and_told_in_the_words_of_its_protocol_when_there_are_too_many(
    opened: Open, over_http: Web
) -> None:
    house = opened(limit_token="4/minute")
    web = over_http(house)
    _, _, body = await known(house, web)
    answers = []
    for _ in range(5):
        answers.append(await send(web, body))
        house.clock.advance(2)
    assert [answer.json()["error"] for answer in answers] == ["authorization_pending"] * 3 + ["slow_down"] * 2
    assert answers[-1].headers["retry-after"]
    counted = 'keystead_requests_total{method="POST",status="400",surface="oauth"} 6.0'
    assert counted in (await web.get("/metrics")).text


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/json", f"multipart/form-data; {FORM}"])
async def test_known_words_under_another_name_are_read_anew(
    house: Installation, over_http: Web, content_type: str
) -> None:
    web = over_http(house)
    _, _, body = await known(house, web)
    assert (await send(web, body, content_type)).status_code == 415
    assert (await send(web, body)).json()["error"] == "authorization_pending"


async def test_what_is_added_to_known_words_is_read_as_well(house: Installation, over_http: Web) -> None:
    web = over_http(house)
    codes, client, body = await known(house, web)
    twice = await send(web, body + b"&client_id=" + quote(client).encode())
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    other = await send(web, body.replace(quote_plus(client).encode(), b"parallel-cli"))
    assert other.json()["error"] == "invalid_grant"
    assert (await send(web, body, f"{FORM}; charset=utf-8")).json()["error"] == "authorization_pending"
    assert codes.device_code.reveal().encode() in body


async def test_a_held_poll_is_not_remembered(opened: Open, over_http: Web) -> None:
    house = opened(device_poll_hold=HELD)
    web = over_http(house)
    client = await house.register()
    codes = await house.issue(client)
    poll = asyncio.create_task(send(web, words(codes, client)))
    await held(house)
    house.services.oauth.waiting.close()
    assert (await poll).json()["error"] == "authorization_pending"
    assert len(house.services.oauth.polls.sights) == 0


def test_only_so_many_are_known_and_the_oldest_is_read_anew() -> None:
    sights = Sights(bytes(32), most=3)
    seen = [sights.of(FORM.encode(), b"%d" % number) for number in range(5)]
    for number, sight in enumerate(seen):
        sights.keep(sight, Poll(b"%d" % number, "client"))
        sights.keep(seen[max(0, number - 1)], Poll(b"later", "client"))
    assert len(sights) == 3
    assert [sights.recall(sight) is None for sight in seen] == [True, True, False, False, False]


def test_words_are_known_by_a_keyed_hash_of_all_of_them() -> None:
    one, other = Sights(bytes(32)), Sights(bytes(31) + b"\x01")
    said = (FORM.encode(), b"device_code=pwd_secret")
    assert one.of(*said) != other.of(*said)
    assert one.of(b"text/plain", said[1]) != one.of(*said) != one.of(said[0], b"&" + said[1])


# Whatever the words are, whoever has read them before answers as whoever reads them for the first time

ways_to_write = st.sampled_from([quote, quote_plus, lambda text: "".join(f"%{byte:02X}" for byte in text.encode())])
others = st.lists(st.sampled_from(["scope=x", "junk", "=", "a=b", "client_id=", "device_code=", "x=%00", "y=%ff"]))
content_types = st.sampled_from([FORM, FORM.upper(), f"{FORM}; charset=utf-8", f" {FORM}", "text/plain", ""])


class Pair:
    """A process that may have read the words before, and one that never has."""

    def __init__(self, house: Installation, web: httpx.AsyncClient, neighbour: Installation, there: httpx.AsyncClient):
        self.house = house
        self.web = web
        self.neighbour = neighbour
        self.there = there

    async def compare(self, body: bytes, content_type: str) -> bool:
        """Send the words to one of them three times and to the other one once. Return whether they were known."""
        answers = []
        for _ in range(3):
            answers.append(told(await send(self.web, body, content_type)))
            self.house.clock.advance(self.house.services.settings.device_poll_interval)
        self.neighbour.services.oauth.polls.sights._polls.clear()
        answers.append(told(await send(self.there, body, content_type)))
        self.house.clock.advance(self.house.services.settings.device_poll_interval)
        assert answers == [answers[0]] * 4
        return b"authorization_pending" in answers[0][2]


@pytest.fixture
def pair(opened: Open, over_http: Web) -> Pair:
    """Give two processes over one database."""
    settings_of_both = {"device_code_ttl": 3_600, "limit_token": "1000000/minute"}
    house, neighbour = opened(**settings_of_both), opened()
    return Pair(house, over_http(house), neighbour, over_http(neighbour))


async def test_whoever_has_read_the_words_before_answers_as_whoever_has_not(pair: Pair) -> None:
    pending: list[bool] = []
    cases: list[tuple[list[str], Callable[[str], str], str, list[str], str]] = []
    client = await pair.house.register()

    @settings(max_examples=150, deadline=None, database=None)
    @given(
        order=st.permutations(["grant_type", "client_id", "device_code"]),
        write=ways_to_write,
        between=st.sampled_from(["&", "&&"]),
        added=others,
        content_type=content_types,
    )
    def words_in_every_dress(
        order: list[str], write: Callable[[str], str], between: str, added: list[str], content_type: str
    ) -> None:
        cases.append((order, write, between, added, content_type))

    words_in_every_dress()
    for order, write, between, added, content_type in cases:
        codes = await pair.house.issue(client)
        form = {"grant_type": DEVICE_CODE, "client_id": client, "device_code": codes.device_code.reveal()}
        body = between.join([*(f"{name}={write(form[name])}" for name in order), *added]).encode()
        pending.append(await pair.compare(body, content_type))
    assert len(set(pending)) == 2
