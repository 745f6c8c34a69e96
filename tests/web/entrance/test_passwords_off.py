"""Where nobody signs in with a password, the entrance says so before somebody chooses one in vain."""

import pytest

from keystead.db.tables import user
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from tests.support.mail import PostOffice
from tests.support.pages import Page
from tests.web.entrance.guest import NEW_PASSWORD, Guest, passwords_off
from tests.web.entrance.test_forgotten import letter
from tests.web.entrance.test_invitations import ACCOUNT, invite, join, organizations_of
from tests.web.entrance.test_sign_up import ACCOUNT as OWN_ACCOUNT
from tests.web.entrance.test_sign_up import EVE, ask, make, proven, users

NO_ACCOUNT = "No account can be made with a password just now, because nobody could sign in with it."
NO_USE = "Acme lets nobody sign in with a password. Sign in with a passkey; if you have none, ask an owner of Acme"
BY_PASSKEY = 'href="/sign-in/passkey'


def is_told(page: Page, sentence: str) -> bool:
    """Tell whether a page of the entrance says this, and leads to signing in with a passkey."""
    return page.status == 403 and sentence in page.words and BY_PASSKEY in page.source


@pytest.mark.parametrize("where", ["globex", None], ids=["organization", "installation"])
async def test_who_is_invited_reads_that_no_account_can_be_made_and_may_come_back(
    guest: Guest, where: str | None
) -> None:
    path = await invite(guest.node)
    opened_before = await guest.get(path)
    await passwords_off(guest.node, where)
    for page in (await guest.get(path), await join(guest, opened_before)):
        assert is_told(page, NO_ACCOUNT), page.words
        assert "The invitation stays as it is." in page.words
        assert 'href="/sign-in/passkey?next=%2Finvitation"' in page.source
    assert await guest.node.house.services.accounts.user_by_name(EVE) is None
    await passwords_off(guest.node, where, off=False)
    assert (await guest.get("/invitation")).path == path  # which a sign-in leads back to
    await join(guest, await guest.get(path), **ACCOUNT)
    assert await organizations_of(guest.node, "eve") == ["globex"]


async def test_who_would_sign_up_reads_it_and_no_letter_is_sent(visitor: Guest, post: PostOffice) -> None:
    opened_before = await visitor.get("/sign-up")
    await passwords_off(visitor.node)
    page = await visitor.submit(opened_before, opened_before.form("email"), {"email": EVE})
    for told in (page, await visitor.get("/sign-up")):
        assert is_told(told, NO_ACCOUNT), told.words
        assert "Ask the people who run this service" in told.words
    await passwords_off(visitor.node, off=False)
    await ask(visitor)
    await post.arrived(EVE)
    assert len(post.all_letters) == 1


async def test_who_has_a_link_to_an_account_reads_it_and_may_use_it_later(visitor: Guest, post: PostOffice) -> None:
    link = await proven(visitor, post)
    opened_before = await visitor.get(link)
    before = await users(visitor)
    await passwords_off(visitor.node)
    sent = await visitor.submit(opened_before, opened_before.form("username", "organization"), OWN_ACCOUNT)
    for page in (sent, await visitor.get(link)):
        assert is_told(page, NO_ACCOUNT), page.words
    assert (await visitor.node.house.rows(user))["user"] == before
    await passwords_off(visitor.node, off=False)
    assert (await make(visitor, link)).path == "/settings"


@pytest.mark.parametrize("where", ["acme", None], ids=["organization", "installation"])
async def test_a_link_to_a_new_password_changes_nothing_where_it_would_let_nobody_in(
    visitor: Guest, post: PostOffice, where: str | None
) -> None:
    link = (await letter(visitor, post)).link
    await visitor.password()
    opened_before = await visitor.get(link)
    await passwords_off(visitor.node, where)
    sent = await visitor.submit(opened_before, opened_before.form("password"), {"password": NEW_PASSWORD})
    for page in (sent, await visitor.get(link)):
        assert is_told(page, NO_USE), page.words
        assert "Your password stays as it was." in page.words
    assert await visitor.node.check_session(visitor.session) == 200
    ada = await visitor.node.house.services.accounts.user_by_name("ada")
    assert ada is not None
    accounts = visitor.node.house.services.accounts
    assert not await accounts.password_is_right(ada, Secret(NEW_PASSWORD))


async def test_who_comes_in_with_a_password_somewhere_chooses_a_new_one(visitor: Guest, post: PostOffice) -> None:
    link = (await letter(visitor, post)).link
    services = visitor.node.house.services
    await services.accounts.create_organization("globex", "Globex")
    globex = await services.accounts.organization_by_name("globex")
    await services.accounts.add_membership(visitor.node.house.ada.id, globex.id, Role.MEMBER)
    await passwords_off(visitor.node, "acme")
    page = await visitor.get(link)
    page = await visitor.submit(page, page.form("password"), {"password": NEW_PASSWORD})
    assert "Your password was changed" in page.words
    assert (await visitor.password(password=NEW_PASSWORD)).path == "/settings"
