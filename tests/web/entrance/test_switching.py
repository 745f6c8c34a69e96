"""Going over to another organization: a new cookie there, and the old one is dead (promise W2)."""

from keystead.kernel.scopes import Role
from tests.web.entrance.guest import Guest, give_app, require_second_factor


async def join_globex(guest: Guest) -> str:
    """Let ada into a second organization and return its id."""
    accounts = guest.node.house.services.accounts
    globex = await accounts.create_organization("globex", "Globex")
    await accounts.add_membership(guest.node.house.ada.id, globex, Role.MEMBER)
    return globex


async def form_token(guest: Guest) -> str:
    """Return what every form of settings carries in this session."""
    sessions = guest.node.house.services.sessions
    principal = await sessions.find(guest.session)
    if principal is None:
        raise LookupError("nobody is signed in")
    return sessions.form_token(principal.credential_id, "settings")


async def switch(guest: Guest, organization: str) -> int:
    """Send the form, and return the status of the page that follows."""
    form = {"organization": organization, "form_token": await form_token(guest)}
    return (await guest.post("/settings/switch", form)).status


async def test_a_switch_gives_a_new_session_in_the_other_organization(guest: Guest) -> None:
    globex = await join_globex(guest)
    await guest.password()
    old = guest.session
    assert await switch(guest, globex) == 200
    assert (guest.session == old, await guest.node.check_session(old)) == (False, 401)
    found = await guest.node.house.services.sessions.find(guest.session)
    assert found is not None
    assert found.identity.organization_id == globex
    assert "You are in another organization now." in (await guest.get("/settings?done=switched")).words


async def test_the_browser_stays_known_over_a_switch(guest: Guest) -> None:
    globex = await join_globex(guest)
    await guest.password()
    device = guest.cookies["keystead.device"][0].split(".")[:2]
    await switch(guest, globex)
    assert guest.cookies["keystead.device"][0].split(".")[:2] == device


async def test_an_organization_of_others_is_refused_and_the_session_stays(guest: Guest) -> None:
    others = await guest.node.house.services.accounts.create_organization("globex")
    await guest.password()
    assert [await switch(guest, target) for target in (others, "nothing")] == [404, 404]
    assert await guest.node.check_session(guest.session) == 200


async def test_a_switch_needs_the_token_of_the_form(guest: Guest) -> None:
    globex = await join_globex(guest)
    await guest.password()
    for token in ("", "x"):
        answer = await guest.send("POST", "/settings/switch", {"organization": globex, "form_token": token})
        assert answer.status_code == 403
    assert await guest.node.check_session(guest.session) == 200


async def test_an_organization_that_asks_for_a_second_factor_lets_in_who_showed_one(guest: Guest) -> None:
    globex = await join_globex(guest)
    await guest.password()
    await require_second_factor(guest.node)
    assert await switch(guest, globex) == 403
    app = await give_app(guest.node, guest.node.house.ada.id)
    page = await guest.password()
    await guest.submit(page, page.form("code"), {"code": app.code})
    assert await switch(guest, globex) == 200


async def test_who_is_not_signed_in_is_sent_to_sign_in(guest: Guest) -> None:
    page = await guest.post("/settings/switch", {"organization": "x", "form_token": "x"})
    assert page.path == "/sign-in"
