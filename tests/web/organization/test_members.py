"""Members and invitations: who is there, roles, removing somebody with their keys in mind (promise K8), inviting."""

import pytest

from keystead.kernel.scopes import Role
from tests.account.nodes import Node, open_node
from tests.web.organization.conftest import Open, join
from tests.web.reading import PAGE_BUDGET, Reading, weight
from tests.web.settings.visiting import Visit, counted_reads, form_to, visit

PATH = "/settings/organization/members"
INVITATIONS = "/settings/organization/invitations"


async def test_everybody_stands_there_with_role_address_keys_and_second_factor(here: Node) -> None:
    ada = await visit(here)
    await here.house.services.keys.create_key_for_user("bob", "laptop")
    page = await ada.get(PATH)
    assert "2 members" in page.words
    assert "ada owner you ada · ada@example.com Joined just now · 0 keys · No second factor" in page.words
    assert "bob member bob · bob@example.com Joined just now · 1 key · No second factor" in page.words


async def test_a_role_is_changed_and_counts_at_once(here: Node) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    path = f"{PATH}/{here.house.bob.id}"
    form = form_to(await ada.get(path), f"{path}/role")
    assert form.values("role") == ("owner", "admin", "member")
    page = await ada.post(f"{path}/role", dict(form.filled({"role": "admin"})))
    assert "The role is changed." in page.words
    assert (await bob.get(PATH)).status == 200


async def test_an_admin_makes_nobody_an_owner_and_is_told_why(here: Node) -> None:
    await join(here, "alan", Role.ADMIN)
    alan = await visit(here, "alan")
    theirs = await alan.get(f"{PATH}/{here.house.bob.id}")
    owner = await alan.get(f"{PATH}/{here.house.ada.id}")
    assert form_to(theirs, f"{PATH}/{here.house.bob.id}/role").values("role") == ("admin", "member")
    assert "Only an owner may change or remove an owner." in owner.words
    assert "/role" not in owner.source
    sent = {"form_token": alan.form_token, "role": "owner", "choice": "delete"}
    forced = await alan.post(f"{PATH}/{here.house.bob.id}/role", sent)
    removed = await alan.post(f"{PATH}/{here.house.ada.id}/remove", sent)
    assert [forced.status, removed.status] == [403, 403]
    assert 'id="role-error"' in forced.source


@pytest.mark.parametrize(("choice", "status"), [("delete", 401), ("take", 200)])
async def test_removing_a_member_asks_what_happens_to_their_keys(here: Node, choice: str, status: int) -> None:
    ada, bob = await visit(here), await visit(here, "bob")
    made = await here.house.services.keys.create_key_for_user("bob", "laptop")
    key = made.secret.reveal()
    path = f"{PATH}/{here.house.bob.id}/remove"
    asked = await ada.get(path)
    assert "Remove bob from Acme?" in asked.words
    assert "1 API key in this organization acts in their name." in asked.words
    unanswered = await ada.post(path, {"form_token": ada.form_token})
    assert (unanswered.status, "Choose what happens to the keys." in unanswered.words) == (422, True)
    assert [await here.check(key), await here.check_session(bob.cookie)] == [200, 200]
    page = await ada.post(path, dict(form_to(asked, path).filled({"choice": choice})))
    assert "The person is removed." in page.words
    assert "bob@example.com" not in page.words
    assert [await here.check(key), await here.check_session(bob.cookie)] == [status, 401]


async def test_a_member_without_keys_is_removed_without_a_choice(here: Node) -> None:
    ada = await visit(here)
    path = f"{PATH}/{here.house.bob.id}/remove"
    assert "They have no API keys here." in (await ada.get(path)).words
    assert "The person is removed." in (await ada.confirm(path)).words


async def test_the_last_owner_stays(here: Node) -> None:
    ada = await visit(here)
    path = f"{PATH}/{here.house.ada.id}"
    stepped = await ada.post(f"{path}/role", {"form_token": ada.form_token, "role": "member"})
    assert (stepped.status, "An organization always has an owner" in stepped.words) == (409, True)
    assert f"{path}/remove" not in (await ada.get(path)).source


async def test_without_mail_the_link_of_an_invitation_is_shown_once(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(PATH)
    assert "This server sends no e-mail" in page.words
    sent = dict(form_to(page, INVITATIONS).filled({"email": "New@Example.com", "role": "admin"}))
    shown = await ada.post(INVITATIONS, sent)
    assert shown.response.headers["cache-control"] == "no-store"
    link = shown.words.partition("/invitation/")[2].partition(" ")[0]
    assert len(link) > 30
    assert "For new@example.com Role admin Good until" in shown.words
    after = await ada.get(PATH)
    assert "new@example.com admin Invited by ada · Ends in 7 days" in after.words
    assert link not in after.source
    opened = await here.house.services.organizations.invitation_by_secret(link)
    assert opened is not None


async def test_with_mail_nobody_but_the_mailbox_gets_the_link(opened: Open) -> None:
    house = opened(smtp_url="smtp://127.0.0.1:9", mail_from="keystead@example.com")
    async with open_node(house) as here:
        ada = await visit(here)
        form = {"form_token": ada.form_token, "email": "new@example.com", "role": "member"}
        page = await ada.post(INVITATIONS, form)
        assert "The invitation is on its way." in page.words
        assert "/invitation/" not in page.source.replace(INVITATIONS, "")
        await house.services.mailer.aclose()


async def test_a_mistake_in_an_invitation_stands_at_its_field(here: Node) -> None:
    ada = await visit(here)

    async def send(**form: str) -> tuple[int, str]:
        page = await ada.post(INVITATIONS, {"form_token": ada.form_token, **form})
        at = [name for name in ("email", "role") if f'id="{name}-error"' in page.source]
        return page.status, " ".join(at)

    assert await send(email="no address", role="member") == (422, "email")
    assert await send(email="new@example.com", role="emperor") == (422, "role")
    assert await send(role="member") == (422, "email")
    assert await send(email="bob@example.com", role="member") == (409, "email")
    assert await send() == (422, "role")


async def test_an_invitation_is_revoked_after_a_question(here: Node) -> None:
    ada = await visit(here)
    form = {"form_token": ada.form_token, "email": "new@example.com", "role": "member"}
    shown = await ada.post(INVITATIONS, form)
    link = shown.words.partition("/invitation/")[2].partition(" ")[0]
    path = (await ada.get(PATH)).source.partition(f'href="{INVITATIONS}/')[2].partition('"')[0]
    assert "Revoke the invitation of new@example.com?" in (await ada.get(f"{INVITATIONS}/{path}")).words
    page = await ada.confirm(f"{INVITATIONS}/{path}")
    assert "Nobody is invited" in page.words
    assert await here.house.services.organizations.invitation_by_secret(link) is None
    assert (await ada.post(f"{INVITATIONS}/{path}", {"form_token": ada.form_token})).status == 404


async def test_a_page_of_many_costs_as_many_statements_as_one_of_few(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, costs = await visit(here), []
    await ada.get(PATH)  # the session is remembered from now on

    async def cost(ada: Visit) -> int:
        with counted_reads(here, monkeypatch) as seen:
            await ada.get(PATH)
            await ada.get(f"{PATH}/{here.house.bob.id}")
        return len(seen)

    costs.append(await cost(ada))
    for number in range(200):
        await join(here, f"member-{number}")
    costs.append(await cost(ada))
    assert costs[0] == costs[1]
    page = await ada.get(PATH)
    assert "202 members" in page.words
    assert weight(Reading(page.source)) < PAGE_BUDGET
    found = await ada.get(f"{PATH}?search=MEMBER-77@")
    assert "1 of 202 fit." in found.words
    assert "member-77@example.com" in found.words
    assert "Nobody fits" in (await ada.get(f"{PATH}?search=zz")).words
