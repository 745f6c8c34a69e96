"""An operator acts as somebody on the pages: asked why, shown above every page, and told to the person."""

from dataclasses import replace

import httpx
import pytest

from keystead.kernel.principal import Principal
from keystead.kernel.scopes import Role
from keystead.sessions.cookies import DEVICE_COOKIE, SESSION_COOKIE
from keystead.sessions.models import LONGEST_REASON, STOP_PATH
from keystead.web.operator.users import PATH as USERS
from tests.account.nodes import Node
from tests.web.organization.conftest import join, operator
from tests.web.settings.visiting import Visit, form_to, visit

REASON = "request 4711: the balance <b>looks</b> wrong"
BANNER = "You act as {} . Nothing can be changed."
DAY = 86_400


def act_url(node: Node) -> str:
    """Return the question before root acts as bob."""
    return f"{USERS}/{node.house.bob.id}/act-as"


async def send(visitor: Visit, path: str, **form: str) -> httpx.Response:
    """Send a form with the token of its session, and return the answer as it is."""
    data = {"form_token": visitor.form_token, **form}
    return await visitor.node.http.post(path, data=data, headers=visitor._headers())


async def principal(node: Node, cookie: str) -> Principal:
    """Return whose session a cookie is."""
    found = await node.house.services.sessions.find(cookie)
    assert found is not None
    return found


async def held(visitor: Visit, answer: httpx.Response) -> Visit:
    """Return the visitor with the session that an answer gave them."""
    assert answer.status_code == 303, answer.text
    cookie = answer.cookies[SESSION_COOKIE]
    return replace(visitor, session_id=(await principal(visitor.node, cookie)).credential_id, cookie=cookie)


async def acting(node: Node, reason: str = REASON) -> tuple[Visit, Visit]:
    """Let root act as bob; return root as they were, and as they are now."""
    root = await operator(node)
    return root, await held(root, await send(root, act_url(node), reason=reason))


async def test_the_page_of_a_user_leads_to_the_question_and_that_to_what_the_person_sees(here: Node) -> None:
    root = await operator(here)
    user = await root.get(f"{USERS}/{here.house.bob.id}")
    assert f'href="{act_url(here)}"' in user.source
    asked = await root.get(act_url(here))
    assert "Act as bob ?" in asked.words
    assert "bob@example.com" in asked.words
    form = form_to(asked, act_url(here))
    answer = await here.http.post(act_url(here), data=dict(form.filled({"reason": REASON})), headers=root._headers())
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    bob = await held(root, answer)
    page = await bob.get("/settings")
    assert BANNER.format("bob") in page.words
    assert "User name bob" in page.words
    assert "This browser" not in page.words  # nothing that one does makes it last longer
    assert await here.check_session(root.cookie) == 401


@pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "a" * (LONGEST_REASON + 1), "\u202e"])
async def test_without_a_reason_that_does_the_same_page_says_so_at_its_field(here: Node, reason: str) -> None:
    root = await operator(here)
    answer = await send(root, act_url(here), reason=reason)
    assert (answer.status_code, 'id="reason-error"' in answer.text) == (422, True)
    assert SESSION_COOKIE not in answer.cookies
    assert await here.check_session(root.cookie) == 200


async def test_who_cannot_be_acted_as_is_not_offered_and_is_refused(here: Node) -> None:
    root = await operator(here)
    services = here.house.services
    own = (await services.accounts.first_identity("root")).user_id
    other = await services.accounts.create_user(
        username="rita", email="rita@example.com", organization="acme", platform_admin=True
    )
    gone = await join(here, "gone")
    await services.organizations.disable_user(await principal(here, root.cookie), gone)
    nowhere = await services.accounts.create_user(username="nowhere", email="n@example.com", role=Role.MEMBER)
    for user_id, status in ((own, 409), (other, 403), (gone, 409), (nowhere, 409)):
        page = await root.get(f"{USERS}/{user_id}")
        assert (page.status, "act-as" in page.source) == (200, False)
        assert (await send(root, f"{USERS}/{user_id}/act-as", reason=REASON)).status_code == status
    assert await here.check_session(root.cookie) == 200


async def test_every_page_says_so_with_a_way_to_stop(here: Node) -> None:
    _, bob = await acting(here)
    for path in ("/settings", "/settings/keys", "/settings/security", "/settings/sessions", "/settings/tokens"):
        page = await bob.get(path)
        assert page.status == 200
        assert BANNER.format("bob") in page.words
        assert form_to(page, STOP_PATH).method == "post"
    own = await visit(here, "bob")
    assert "You act as" not in (await own.get("/settings")).words
    assert STOP_PATH not in (await own.get("/settings")).source


async def test_a_form_of_the_persons_is_refused_with_a_page_that_says_why(here: Node) -> None:
    _, bob = await acting(here)
    page = await bob.post("/settings/keys/new", {"form_token": bob.form_token, "title": "laptop"})
    assert page.status == 403
    assert "You act as somebody else" in page.words
    assert "Stop acting as this person" in page.words
    assert await here.house.services.keys.own.all((await principal(here, bob.cookie)).identity) == []


async def test_stopping_leads_back_to_the_user_in_ones_own_name(here: Node) -> None:
    root, bob = await acting(here)
    page = await bob.get("/settings/keys")
    form = form_to(page, STOP_PATH)
    answer = await here.http.post(STOP_PATH, data=dict(form.filled({})), headers=bob._headers())
    assert answer.headers["location"] == f"{USERS}/{here.house.bob.id}?done=acting-stopped"
    assert DEVICE_COOKIE in answer.cookies
    again = await held(root, answer)
    page = await again.get(answer.headers["location"])
    assert "You act in your own name again." in page.words
    assert "You act as bob" not in page.words
    assert [await here.check_session(one.cookie) for one in (root, bob)] == [401, 401]


async def test_a_stop_without_the_token_of_this_session_stops_nothing(here: Node) -> None:
    root, bob = await acting(here)
    for token in ("", "x", root.form_token):
        answer = await here.http.post(STOP_PATH, data={"form_token": token}, headers=bob._headers())
        assert answer.status_code == 403
    assert await here.check_session(bob.cookie) == 200


async def test_who_acts_as_nobody_has_nothing_to_stop(here: Node) -> None:
    ada = await visit(here)
    assert (await send(ada, STOP_PATH)).status_code == 409
    answer = await here.http.post(STOP_PATH, data={"form_token": "x"}, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


async def test_signing_out_while_acting_leaves_the_browser_signed_out(here: Node) -> None:
    root, bob = await acting(here)
    page = await bob.get("/settings")
    form = dict(form_to(page, "/sign-out").filled({}))
    answer = await here.http.post("/sign-out", data=form, headers=bob._headers())
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?signed_out=1")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert [await here.check_session(one.cookie) for one in (root, bob)] == [401, 401]
    sessions = here.house.services.sessions
    assert await sessions.list_everywhere((await here.house.services.accounts.first_identity("root")).user_id) == []


# What the person sees


async def test_the_person_sees_who_acts_as_them_and_ends_it(here: Node) -> None:
    own = await visit(here, "bob")
    _, bob = await acting(here)
    page = await own.get("/settings/sessions")
    assert f"The operator root acts as you: {REASON}" in page.words
    assert "<b>looks</b>" not in page.source
    end = f"/settings/sessions/{bob.session_id}/end"
    asked = await own.get(end)
    assert "Stop the operator root from acting as you?" in asked.words
    assert REASON in asked.words
    await own.confirm(end)
    assert [await here.check_session(one.cookie) for one in (bob, own)] == [401, 200]
    assert "acts as you" not in (await own.get("/settings/sessions")).words


async def test_the_overview_tells_the_person_for_thirty_days(here: Node) -> None:
    own = await visit(here, "bob")
    assert "acted as you" not in (await own.get("/settings")).words
    await acting(here)
    page = await own.get("/settings")
    assert f"the operator root acted as you: {REASON}" in page.words
    assert "<b>looks</b>" not in page.source
    here.house.clock.advance(30 * DAY)
    assert f"the operator root acted as you: {REASON}" in (await (await visit(here, "bob")).get("/settings")).words
    here.house.clock.advance(1)
    assert "acted as you" not in (await (await visit(here, "bob")).get("/settings")).words


async def test_nobody_else_is_told(here: Node) -> None:
    await acting(here)
    ada = await visit(here)
    for path in ("/settings", "/settings/security", "/settings/sessions"):
        assert "acted as you" not in (await ada.get(path)).words


async def test_what_happened_of_late_tells_the_person_and_reminds_the_operator(here: Node) -> None:
    own = await visit(here, "bob")
    root, bob = await acting(here)
    told = (await own.get("/settings/security")).words.replace("\u2068", "").replace("\u2069", "")
    assert f"The operator root acted as you: {REASON}" in told
    again = await held(root, await send(bob, STOP_PATH))
    told = (await again.get("/settings/security")).words.replace("\u2068", "").replace("\u2069", "")
    assert f"Acted as bob, for this reason: {REASON}" in told
    assert "Signed in anew after acting as a user." in told


async def test_the_audit_log_of_the_persons_organization_tells_who_acted_and_why(here: Node) -> None:
    _, bob = await acting(here)
    await send(bob, STOP_PATH)
    page = await (await visit(here)).get("/settings/organization/audit")
    told = page.words.replace("\u2068", "").replace("\u2069", "")
    assert f"Acted as bob, for this reason: {REASON}" in told
    assert "Ended that an operator acted as a user." in told
