"""Apps and devices: everything that a person signed in is told apart, signed out, and its copies are told of (R3)."""

from urllib.parse import urlencode

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import oauth_grant
from keystead.kernel.ids import new_id
from keystead.oauth.models import TokenSet
from keystead.web.settings.devices import A_PAGE, PATH
from tests.account.nodes import Node
from tests.support.installation import ADDRESS, EVERY_SCOPE
from tests.web.settings.visiting import counted_reads, visit

DAY = 86_400
ELSEWHERE = "198.51.100.9"
HOSTILE = "<script>alert(1)</script>"
NAMED = Command(
    update(oauth_grant).where(oauth_grant.c.id == bindparam("grant_id")).values(device_name=bindparam("wanted"))
)


async def grant_ids(node: Node) -> list[str]:
    """Return the ids of ada's devices, the oldest first."""
    return [one.id for one in await node.house.services.connected.list_everywhere(node.house.ada.id)]


async def refreshes(node: Node, tokens: TokenSet) -> bool:
    """Whether a device's refresh token still works."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.reveal()}
    return (await node.http.post("/getServiceKeys/token", data=form)).status_code == 200


async def copied(node: Node) -> None:
    """Sign a device in, and use a copy of its first refresh token after the device has gone on twice."""
    tokens = await node.house.sign_in()
    first = tokens.refresh_token.reveal()
    tokens = await node.house.refresh(first)
    tokens = await node.house.refresh(tokens.refresh_token.reveal())
    node.house.clock.advance(61)
    form = {"grant_type": "refresh_token", "refresh_token": first}
    await node.http.post("/getServiceKeys/token", data=form)


async def test_a_device_is_shown_with_its_name_machine_address_organization_rights_and_times(here: Node) -> None:
    await here.house.sign_in(scope="keys:read devices:read")
    ada = await visit(here)
    page = await ada.get(PATH)
    assert page.status == 200
    for words in (
        "parallel-cli on Linux x86_64",
        f"Signed in from {ADDRESS}",
        "Acme",
        "What it may do (2) See the API keys of your organization's apps, without their secrets",
        "Last used just now",
        ", or in 7 days if it is not used",
        "Programs and devices choose their names themselves.",
    ):
        assert words in page.words


async def test_devices_of_one_client_have_links_that_say_which_they_sign_out(here: Node) -> None:
    client = await here.house.register()
    for _ in range(2):
        await here.house.sign_in(client)
        here.house.clock.advance(3_600)
    page = await (await visit(here)).get(PATH)
    _, *links = page.words.split("Sign out parallel-cli on Linux x86_64, signed in ")
    assert len({link.partition(" UTC")[0] for link in links}) == 2


@pytest.mark.parametrize("name", [HOSTILE, "Ada's telescope computer on the roof, behind the second chimney!", "x"])
async def test_a_device_with_a_name_of_its_own_is_known_by_it_in_the_list_the_search_and_the_question(
    here: Node, name: str
) -> None:
    for _ in range(11):
        await here.house.sign_in()
    named, *_ = await grant_ids(here)
    await here.house.run(NAMED, {"grant_id": named, "wanted": name})
    ada = await visit(here)
    for page in (await ada.get(PATH), await ada.get(f"{PATH}?{urlencode({'search': name[-9:].upper()})}")):
        assert f"parallel-cli on {name} Linux x86_64 · Signed in from {ADDRESS}" in page.words
        assert HOSTILE not in page.source
    asked = await ada.get(f"{PATH}/{named}/sign-out")
    assert f"Sign out parallel-cli on {name}? It runs on Linux x86_64." in asked.words
    assert HOSTILE not in asked.source


async def test_a_device_that_is_signed_out_loses_its_refresh_token_and_the_others_keep_theirs(here: Node) -> None:
    doomed, other = await here.house.sign_in(), await here.house.sign_in()
    _, token = await here.short_term_token(doomed.access_token.reveal())
    assert await here.check(token) == 200
    first, second = await grant_ids(here)
    ada = await visit(here)
    asked = await ada.get(f"{PATH}/{first}/sign-out")
    assert "Sign out parallel-cli on Linux x86_64?" in asked.words
    assert await grant_ids(here) == [first, second]
    page = await ada.confirm(f"{PATH}/{first}/sign-out")
    assert "It is signed out." in page.words
    assert (await refreshes(here, doomed), await refreshes(here, other)) == (False, True)
    assert await here.check(token) == 401
    assert await grant_ids(here) == [second]
    (event,) = await here.house.events("grant:revoke")
    assert (event.actor_id, event.target) == (here.house.ada.id, first)


async def test_nothing_is_signed_out_without_the_form_of_this_session(here: Node) -> None:
    tokens = await here.house.sign_in()
    (device,) = await grant_ids(here)
    ada, foreign = await visit(here), (await visit(here)).form_token
    answers = [await ada.post(f"{PATH}/{device}/sign-out", {"form_token": token}) for token in ("", foreign)]
    assert [answer.status for answer in answers] == [403, 403]
    assert await refreshes(here, tokens)


async def test_nobody_sees_or_signs_out_the_devices_of_others(here: Node) -> None:
    tokens = await here.house.sign_in()
    (device,) = await grant_ids(here)
    bob = await visit(here, "bob")
    page = await bob.get(PATH)
    assert "Nothing is signed in" in page.words
    for target in (device, new_id(), "%00", "%F0%9F%A6%89", "x" * 300):
        assert (await bob.get(f"{PATH}/{target}/sign-out")).status == 404
        assert (await bob.post(f"{PATH}/{target}/sign-out", {"form_token": bob.form_token})).status == 404
    assert await refreshes(here, tokens)


async def test_a_device_of_another_organization_is_shown_and_signed_out_as_well(here: Node) -> None:
    identity = await here.elsewhere()
    house = here.house
    client = await house.register()
    codes = await house.issue(client)
    view = await house.look_up(codes.user_code.reveal())
    assert view is not None
    await house.decide(view, organization=identity.organization_id)
    tokens = await house.poll(codes, client)
    ada = await visit(here)
    assert "Globex" in (await ada.get(PATH)).words
    (device,) = await grant_ids(here)
    assert "It is signed out." in (await ada.confirm(f"{PATH}/{device}/sign-out")).words
    assert not await refreshes(here, tokens)


async def test_a_copied_sign_in_is_told_of_for_thirty_days_with_when_from_where_and_what_to_do(here: Node) -> None:
    await copied(here)
    ada = await visit(here)
    page = await ada.get(PATH)
    assert "A sign-in was copied" in page.words
    for words in ("parallel-cli on Linux x86_64 was signed out", "just now", "from 127.0.0.1", "find out who can read"):
        assert words in page.words
    assert "Nothing is signed in" in page.words
    here.house.clock.advance(30 * DAY - 1)
    assert "A sign-in was copied" in (await (await visit(here)).get(PATH)).words
    here.house.clock.advance(1)
    assert "was copied" not in (await (await visit(here)).get(PATH)).words


async def test_nobody_is_told_of_the_copies_of_others_or_of_a_sign_in_that_they_ended(here: Node) -> None:
    await copied(here)
    tokens = await here.house.sign_in(person=here.house.bob)
    await here.house.revoke(tokens.refresh_token.reveal())
    await here.http.post(
        "/getServiceKeys/token",
        data={"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.reveal()},
    )
    assert "copied" not in (await (await visit(here, "bob")).get(PATH)).words


async def test_two_hundred_devices_are_found_and_paged_and_cost_no_more_statements_than_one(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = here.house
    await house.sign_in(await house.register("the-first"))
    ada = await visit(here)
    await ada.get(PATH)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(PATH)
    clients = [await house.register(f"tool-{number}") for number in range(10)]
    for number in range(199):
        house.clock.advance(1)
        await house.sign_in(clients[number % 10])
    with counted_reads(here, monkeypatch) as many:
        page = await ada.get(PATH)
    assert few == many
    assert "200 are signed in" in page.words
    assert page.words.count("What it may do") == A_PAGE
    assert len(page.source) < 120_000
    shown = [(await ada.get(f"{PATH}?after={begin}")).words.count("What it may do") for begin in (0, A_PAGE, 195)]
    assert shown == [A_PAGE, A_PAGE, 5]
    found = await ada.get(f"{PATH}?search=THE-first")
    assert "1 of 200 fit." in found.words
    assert "the-first" in found.words
    assert "Nothing fits" in (await ada.get(f"{PATH}?search=nowhere")).words


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=999999", "after=٣", "after=9" * 3, "search=%00%FF"])
async def test_a_strange_address_shows_the_list_and_never_an_error(here: Node, query: str) -> None:
    await here.house.sign_in(scope=EVERY_SCOPE)
    page = await (await visit(here)).get(f"{PATH}?{query}")
    assert page.status in {200, 400}


async def test_a_hostile_name_stays_text(here: Node) -> None:
    await here.house.sign_in(await here.house.register(HOSTILE))
    ada = await visit(here)
    (device,) = await grant_ids(here)
    for path in (PATH, f"{PATH}/{device}/sign-out", f"{PATH}?search={HOSTILE}"):
        page = await ada.get(path)
        assert page.status == 200
        assert HOSTILE in page.words or "&lt;script&gt;" in page.source
        assert HOSTILE not in page.source


async def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(here: Node) -> None:
    answer = await here.http.get(PATH, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fsettings%2Fdevices"
