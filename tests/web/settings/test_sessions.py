"""Browser sessions: everybody sees where they are signed in with a browser, this one first, and signs out elsewhere."""

import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.secrets import Secret
from keystead.web.settings.sessions import OTHERS_PATH, PATH
from tests.account.nodes import PASSWORD, Node
from tests.web.settings.visiting import Visit, counted_reads, visit

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0"
ELSEWHERE = "198.51.100.9"


async def begin(node: Node, user_agent: str = FIREFOX) -> Visit:
    """Sign ada, who has a password already, in with a certain browser."""
    sessions = node.house.services.sessions
    begun = await sessions.sign_in("ada", Secret(PASSWORD), address=ELSEWHERE, user_agent=user_agent)
    assert hasattr(begun, "secret")
    return Visit(node, begun.session_id, begun.secret.reveal())


async def test_this_browser_comes_first_and_the_others_follow_with_system_address_and_times(here: Node) -> None:
    ada = await visit(here)
    await begin(here)
    page = await ada.get(PATH)
    assert page.status == 200
    this, others = page.words.partition("Other browsers")[::2]
    assert "Test 1.0 You are here Signed in from 192.0.2.7 , just now Last used just now" in this
    assert "Ends in 12 hours" in this
    assert f"Firefox on Windows Signed in from {ELSEWHERE}" in others
    assert "You are here" not in others


async def test_who_is_signed_in_once_reads_that_there_is_nothing_else(here: Node) -> None:
    page = await (await visit(here)).get(PATH)
    assert "You are signed in with this browser only." in page.words


async def test_a_browser_that_is_signed_out_is_refused_at_once_and_the_others_stay(here: Node) -> None:
    ada = await visit(here)
    doomed, other = await begin(here), await begin(here)
    assert [await here.check_session(one.cookie) for one in (doomed, other)] == [200, 200]
    asked = await ada.get(f"{PATH}/{doomed.session_id}/end")
    assert "Sign out Firefox on Windows?" in asked.words
    assert await here.check_session(doomed.cookie) == 200
    page = await ada.confirm(f"{PATH}/{doomed.session_id}/end")
    assert "That browser is signed out." in page.words
    assert [await here.check_session(one.cookie) for one in (doomed, other, ada)] == [401, 200, 200]


async def test_all_other_browsers_are_signed_out_at_once_and_this_one_stays(here: Node) -> None:
    ada = await visit(here)
    others = [await begin(here) for _ in range(3)]
    bob = await visit(here, "bob")
    assert [await here.check_session(one.cookie) for one in others] == [200] * 3  # they are remembered now
    page = await ada.confirm(OTHERS_PATH)
    assert "All other browsers are signed out." in page.words
    assert [await here.check_session(one.cookie) for one in others] == [401] * 3
    assert [await here.check_session(one.cookie) for one in (ada, bob)] == [200, 200]


async def test_a_session_in_another_organization_is_shown_and_ended_as_well(here: Node) -> None:
    identity = await here.elsewhere()
    ada, other = await visit(here), await begin(here)
    principal = await here.house.services.sessions.find(other.cookie)
    assert principal is not None
    switched = await here.house.services.sessions.switch(principal, identity.organization_id, ELSEWHERE)
    assert "Firefox on Windows" in (await ada.get(PATH)).words
    page = await ada.confirm(f"{PATH}/{switched.session_id}/end")
    assert "That browser is signed out." in page.words
    assert await here.check_session(switched.secret.reveal()) == 401


async def test_nothing_ends_without_the_form_of_this_session(here: Node) -> None:
    ada = await visit(here)
    other = await begin(here)
    for path in (f"{PATH}/{other.session_id}/end", OTHERS_PATH):
        answers = [await ada.post(path, {"form_token": token}) for token in ("", other.form_token)]
        assert [answer.status for answer in answers] == [403, 403]
    assert await here.check_session(other.cookie) == 200


async def test_nobody_sees_or_ends_the_sessions_of_others(here: Node) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    assert "You are signed in with this browser only." in (await bob.get(PATH)).words
    for target in (ada.session_id, bob.session_id, new_id(), "%00", "x" * 300):
        assert (await bob.get(f"{PATH}/{target}/end")).status == 404
        assert (await bob.post(f"{PATH}/{target}/end", {"form_token": bob.form_token})).status == 404
    assert [await here.check_session(one.cookie) for one in (ada, bob)] == [200, 200]


async def test_many_sessions_cost_no_more_statements_than_one(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await visit(here)
    await ada.get(PATH)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(PATH)
    for _ in range(20):
        here.house.clock.advance(60)  # so that the limit on sign-ins is not reached
        await begin(here)
    with counted_reads(here, monkeypatch) as many:
        page = await ada.get(PATH)
    assert few == many
    assert page.words.count("Firefox on Windows Signed in") == 20


async def test_a_hostile_browser_stays_text(here: Node) -> None:
    ada = await visit(here)
    other = await begin(here, "<script>alert(1)</script>")
    for path in (PATH, f"{PATH}/{other.session_id}/end"):
        page = await ada.get(path)
        assert "<script>alert(1)</script>" not in page.source
        assert "<script>alert(1)</script>" in page.words.replace("&lt;", "<")
