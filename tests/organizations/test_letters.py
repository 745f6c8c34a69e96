"""The letters that go out when somebody is invited or removed, over a real mail server."""

from collections.abc import AsyncIterator, Iterator

import pytest

from keystead.kernel.scopes import Role
from tests.organizations.company import ADDRESS, Company
from tests.organizations.conftest import Open
from tests.support.mail import PostOffice


@pytest.fixture
def post() -> Iterator[PostOffice]:
    with PostOffice() as office:
        yield office


@pytest.fixture
async def mailing(opened: Open, post: PostOffice) -> AsyncIterator[Company]:
    company = opened(**post.settings)
    yield company
    await company.house.services.mailer.aclose()


async def test_the_link_of_an_invitation_is_mailed_to_the_invited_address(mailing: Company, post: PostOffice) -> None:
    made = await mailing.organizations.invite(await mailing.principal("ada"), "grace@example.com", Role.ADMIN, ADDRESS)
    letter = await post.arrived("grace@example.com")
    assert made.mailed
    assert letter.link == made.url.reveal()
    assert "Acme" in letter.subject
    assert "ada" in letter.text
    joined = await mailing.organizations.accept(await mailing.id_of("eve"), letter.link.rpartition("/")[2], ADDRESS)
    assert joined.organization == "Acme"


async def test_somebody_who_was_removed_is_told_and_nobody_is_who_was_not(mailing: Company, post: PostOffice) -> None:
    ada, alan = await mailing.principal("ada"), await mailing.principal("alan")
    with pytest.raises(Exception, match="owner"):
        await mailing.organizations.remove_member(alan, await mailing.id_of("olga"), keys="delete", address=ADDRESS)
    await mailing.organizations.remove_member(ada, await mailing.id_of("ben"), keys="take", address=ADDRESS)
    letter = await post.arrived("ben@example.com")
    assert "Acme" in letter.subject
    assert [one.to for one in post.all_letters] == ["ben@example.com"]


async def test_without_a_mail_server_the_link_is_there_all_the_same(company: Company) -> None:
    made = await company.organizations.invite(await company.principal("ada"), "grace@example.com", Role.MEMBER, ADDRESS)
    public_url = company.house.services.settings.public_url
    assert not made.mailed
    assert made.url.reveal().startswith(f"{public_url}/invitation/ksi_")
