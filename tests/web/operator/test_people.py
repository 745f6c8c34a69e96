"""Operators make organizations, keep people out at once, and let them in again (promise V1)."""

import pytest
from pyotp import TOTP

from keystead.kernel.scopes import Role
from tests.account.nodes import Node
from tests.support.installation import ADDRESS
from tests.web.organization.conftest import join, operator
from tests.web.reading import PAGE_BUDGET, Reading, weight
from tests.web.settings.visiting import counted_reads, form_to, visit

USERS = "/settings/operator/users"
ORGANIZATIONS = "/settings/operator/organizations"


async def test_an_organization_is_made_and_its_first_owner_invited(here: Node) -> None:
    root = await operator(here)
    form = {"form_token": root.form_token, "name": "globex", "display_name": "Globex Inc."}
    page = await root.post(ORGANIZATIONS, form)
    assert "Invite an owner of Globex Inc." in page.words
    path = f"{ORGANIZATIONS}/globex/invite"
    shown = await root.post(path, dict(form_to(page, path).filled({"email": "gil@example.com"})))
    link = shown.words.partition("/invitation/")[2].partition(" ")[0]
    found = await here.house.services.organizations.invitation_by_secret(link)
    assert found is not None
    assert (found.organization, found.role, found.email) == ("Globex Inc.", "owner", "gil@example.com")
    assert "Globex Inc. globex · 0 members · 0 keys" in (await root.get(ORGANIZATIONS)).words


async def test_a_mistake_in_a_new_organization_stands_at_its_field(here: Node) -> None:
    root = await operator(here)
    for name, shown, status, field in (
        ("Acme!", "", 422, "name"),
        ("", "", 422, "name"),
        ("acme", "", 409, "name"),
        ("fine", "x" * 101, 422, "display_name"),
    ):
        form = {"form_token": root.form_token, "name": name, "display_name": shown}
        page = await root.post(ORGANIZATIONS, form)
        assert (page.status, f'id="{field}-error"' in page.source) == (status, True), name
    bad = await root.post(f"{ORGANIZATIONS}/acme/invite", {"form_token": root.form_token, "email": "none"})
    assert (bad.status, 'id="email-error"' in bad.source) == (422, True)


async def test_a_user_is_found_by_a_part_of_the_name_or_the_address(here: Node) -> None:
    await join(here, "alan", Role.ADMIN)
    root = await operator(here)
    pages = {text: (await root.get(f"{USERS}?search={text}")).words for text in ("ala", "LAN@EX", "%25", "_", "zz")}
    assert ["alan@example.com" in page for page in pages.values()] == [True, True, False, False, False]
    assert "Nobody fits" in pages["zz"]
    assert "bob@example.com" not in pages["ala"]
    assert "root operator" in (await root.get(USERS)).words


async def test_a_disabled_user_is_refused_at_once_and_let_in_again(here: Node) -> None:
    root, bob = await operator(here), await visit(here, "bob")
    key = (await here.house.services.keys.create_key_for_user("bob", "laptop")).secret.reveal()
    path = f"{USERS}/{here.house.bob.id}"
    assert [await here.check(key), await here.check_session(bob.cookie)] == [200, 200]
    assert "Disable bob?" in (await root.get(f"{path}/disable")).words
    page = await root.confirm(f"{path}/disable")
    assert "The user is disabled." in page.words
    assert [await here.check(key), await here.check_session(bob.cookie)] == [401, 401]
    assert "disabled" in (await root.get(f"{USERS}?search=bob")).words
    enabled = await root.confirm(f"{path}/enable")
    assert "The user is enabled again" in enabled.words
    assert [await here.check(key), await here.check_session(bob.cookie)] == [200, 401]


async def test_nobody_disables_themselves(here: Node) -> None:
    root = await operator(here)
    own = (await here.house.services.accounts.first_identity("root")).user_id
    page = await root.get(f"{USERS}/{own}")
    forced = await root.post(f"{USERS}/{own}/disable", {"form_token": root.form_token})
    assert ("This is you." in page.words, "/disable" in page.source, forced.status) == (True, False, 409)


async def test_a_link_to_a_new_password_is_shown_once_and_written_down(here: Node) -> None:
    root, bob = await operator(here), here.house.bob.id
    path = f"{USERS}/{bob}/reset-link"
    assert "Whoever has the link can take the account over." in (await root.get(path)).words
    assert await here.house.events("user:reset-link") == []
    shown = await root.confirm(path)
    assert "https://auth.example.com/" in shown.words
    token = shown.words.partition("https://auth.example.com/")[2].split()[0].rpartition("/")[2]
    found = await here.house.services.recovery.user_of(token)
    assert found is not None
    assert found.id == bob
    (event,) = await here.house.events("user:reset-link")
    assert event.target == bob
    assert token not in event.detail


async def test_no_link_is_made_for_a_disabled_user(here: Node) -> None:
    root, path = await operator(here), f"{USERS}/{here.house.bob.id}"
    await here.house.disable(here.house.bob)
    page = await root.post(f"{path}/reset-link", {"form_token": root.form_token})
    assert (page.status, "Enable the user first." in page.words) == (409, True)
    assert "reset-link" not in (await root.get(path)).source


async def test_second_factors_are_removed_for_somebody_who_lost_them_and_is_signed_out_everywhere(here: Node) -> None:
    root, path = await operator(here), f"{USERS}/{here.house.bob.id}"
    bob = await visit(here, "bob")
    key = (await here.house.services.keys.create_key_for_user("bob", "laptop")).secret.reveal()
    assert "second-factors" not in (await root.get(path)).source
    factors, clock = here.house.services.factors, here.house.clock
    new = factors.new_totp(here.house.bob.id, "bob")
    code = TOTP(new.secret.reveal()).at(clock.now())
    await factors.add_totp(here.house.bob.id, new.sealed, code, address=ADDRESS)
    assert "Second factor An authenticator app" in (await root.get(path)).words
    assert [await here.check(key), await here.check_session(bob.cookie)] == [200, 200]
    page = await root.confirm(f"{path}/second-factors/remove")
    assert "The second factors are removed, and the person is signed out everywhere." in page.words
    assert [await here.check(key), await here.check_session(bob.cookie)] == [200, 401]
    (event,) = await here.house.events("second-factor:remove-all")
    root_id = (await here.house.services.accounts.first_identity("root")).user_id
    assert (event.target, event.actor_id) == (here.house.bob.id, root_id)


async def test_pages_of_many_cost_as_many_statements_as_those_of_few(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, costs = await operator(here), []
    users = organizations = await root.get(USERS)  # the session is remembered from now on
    for more in (2, 200):
        for number in range(more):
            await join(here, f"user-{more}-{number}", organization=f"org-{more}-{number}")
        with counted_reads(here, monkeypatch) as seen:
            users, organizations = await root.get(USERS), await root.get(ORGANIZATIONS)
        costs.append(len(seen))
    assert costs == [2, 2]
    for page, path in ((users, USERS), (organizations, ORGANIZATIONS)):
        (following,) = [
            part.partition('"')[0] for part in page.source.split('href="') if part.startswith(f"{path}?after=")
        ]
        assert weight(Reading(page.source)) < PAGE_BUDGET, path
        second = await root.get(following)
        assert ("Back to the first" in second.words, second.status) == (True, 200)
