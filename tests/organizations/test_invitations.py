"""A link lets whoever has it join, once, for as long as whoever invited could invite still (promises K13, W8)."""

import asyncio
from urllib.parse import urlsplit

import pytest

from keystead.kernel.problems import (
    Conflict,
    Forbidden,
    InvalidParameters,
    NotFound,
    Problem,
    RateLimited,
)
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import INVITATION_PREFIX, Secret, new_opaque
from keystead.organizations.models import INVITATION_LIFE, Invited, OpenInvitation
from tests.organizations.company import ADDRESS, Company
from tests.organizations.conftest import Open
from tests.support.engine import contents

NEW = "grace@example.com"
PASSWORD = Secret("a long walk on the beach")


async def invite(
    company: Company, actor: str = "ada", email: str = NEW, role: Role | str = Role.MEMBER, organization: str = "acme"
) -> Invited:
    return await company.organizations.invite(await company.principal(actor, organization), email, role, ADDRESS)


def secret_of(invited: Invited) -> str:
    return urlsplit(invited.url.reveal()).path.rpartition("/")[2]


async def accept(company: Company, name: str, invited: Invited) -> OpenInvitation:
    return await company.organizations.accept(await company.id_of(name), secret_of(invited), ADDRESS)


async def join(company: Company, invited: Invited, username: str = "grace") -> str:
    return await company.organizations.accept_as_new(secret_of(invited), username, "Grace", PASSWORD, ADDRESS)


# Inviting


@pytest.mark.parametrize(
    ("actor", "role", "outcome"),
    [
        ("ada", "owner", None),
        ("ada", "admin", None),
        ("alan", "admin", None),
        ("alan", "member", None),
        ("alan", "owner", Forbidden),
        ("bob", "member", Forbidden),
        ("ada", "emperor", InvalidParameters),
        ("ada", "", InvalidParameters),
    ],
)
async def test_nobody_invites_to_more_than_their_own_role(
    company: Company, actor: str, role: str, outcome: type[Problem] | None
) -> None:
    if outcome is None:
        assert (await invite(company, actor, role=role)).invitation.role == role
        return
    with pytest.raises(outcome):
        await invite(company, actor, role=role)
    assert await company.organizations.invitations(await company.principal("ada")) == []


@pytest.mark.parametrize(
    "email", ["", "grace", "@", "a@b", "a b@example.com", "x" * 300 + "@e.com", "a@b.c\nBcc: d@e.f"]
)
async def test_what_is_no_email_address_is_told_at_its_field(company: Company, email: str) -> None:
    with pytest.raises(InvalidParameters) as told:
        await invite(company, email=email)
    assert [field.name for field in told.value.fields] == ["email"]


async def test_the_list_tells_who_invited_whom_and_until_when(company: Company) -> None:
    first = await invite(company, "alan", role=Role.ADMIN)
    company.house.clock.advance(60)
    await invite(company, "ada", "Linus@Example.com ")
    (newer, older) = await company.organizations.invitations(await company.principal("amy"))
    assert (newer.email, newer.inviter, newer.role) == ("linus@example.com", "ada", "member")
    assert older == first.invitation
    assert older.expires_at == older.created_at + INVITATION_LIFE == older.created_at + 7 * 86_400


async def test_inviting_an_address_again_replaces_the_earlier_invitation(company: Company) -> None:
    old = await invite(company, role=Role.ADMIN)
    new = await invite(company, "alan", NEW.upper())
    assert await company.organizations.invitations(await company.principal("ada")) == [new.invitation]
    assert await company.organizations.invitation_by_secret(secret_of(old)) is None
    found = await company.organizations.invitation_by_secret(secret_of(new))
    assert found is not None
    assert (found.role, found.inviter, found.organization, found.email) == ("member", "alan", "Acme", NEW)


async def test_somebody_who_is_a_member_is_not_invited(company: Company) -> None:
    with pytest.raises(Conflict, match=r"bob@example.com.* member .* already"):
        await invite(company, email="bob@example.com")
    assert (await invite(company, email="eve@example.com")).invitation.email == "eve@example.com"


async def test_nobody_sends_spam_by_inviting(opened: Open) -> None:
    company = opened(limit_invitations="5/day")
    for number in range(5):
        made = await invite(company, "alan", f"p{number}@example.com")
        await company.organizations.revoke_invitation(await company.principal("alan"), made.invitation.id, ADDRESS)
    for actor in ("alan", "ada"):
        with pytest.raises(RateLimited):
            await invite(company, actor, "p5@example.com")
    assert (await invite(company, "eve", "p5@example.com", organization="evil")).invitation.inviter == "eve"
    assert await company.organizations.invitations(await company.principal("ada")) == []


async def test_nothing_in_the_database_can_be_used_as_an_invitation(company: Company) -> None:
    made = await invite(company)
    text = secret_of(made)
    dump = repr([rows for _, _, rows in contents(company.house.directory)])
    assert text not in dump
    assert text.removeprefix(INVITATION_PREFIX) not in dump
    assert text not in repr(made)
    assert NEW in dump


# Accepting


async def test_who_has_the_link_joins_whatever_their_own_address_is(company: Company) -> None:
    made = await invite(company, role=Role.ADMIN)
    joined = await accept(company, "eve", made)
    assert (joined.organization_id, joined.role) == (company.house.acme, "admin")
    assert (await company.roles())["eve"] == "admin"
    assert await company.roles("evil") == {"eve": "owner", "bob": "member"}
    (event,) = await company.events("invitation:accept")
    assert (event.target, event.actor_id, event.address) == (made.invitation.id, await company.id_of("eve"), ADDRESS)


async def test_an_invitation_is_good_once_even_for_many_at_once(opened: Open) -> None:
    company, other = opened(), opened()
    made = await invite(company)
    outcomes = await asyncio.gather(
        *(accept(one, name, made) for name in ("eve", "root") for one in (company, other) for _ in range(4)),
        return_exceptions=True,
    )
    done = [one for one in outcomes if isinstance(one, OpenInvitation)]
    assert len(done) == 1
    assert {type(one) for one in outcomes if not isinstance(one, OpenInvitation)} <= {NotFound, Conflict}
    assert len({"eve", "root"} & (await company.roles()).keys()) == 1


async def test_an_invitation_ends_after_seven_days_to_the_second(company: Company) -> None:
    made = await invite(company)
    company.house.clock.advance(INVITATION_LIFE - 1)
    assert await company.organizations.invitation_by_secret(secret_of(made)) is not None
    company.house.clock.advance(1)
    assert await company.organizations.invitation_by_secret(secret_of(made)) is None
    with pytest.raises(NotFound):
        await accept(company, "eve", made)
    with pytest.raises(NotFound):
        await join(company, made)
    assert len(await company.organizations.invitations(await company.principal("ada"))) == 1


async def test_an_invitation_that_was_taken_back_cannot_be_accepted(company: Company) -> None:
    made = await invite(company)
    await company.organizations.revoke_invitation(await company.principal("amy"), made.invitation.id, ADDRESS)
    with pytest.raises(NotFound):
        await accept(company, "eve", made)
    with pytest.raises(NotFound):
        await company.organizations.revoke_invitation(await company.principal("amy"), made.invitation.id, ADDRESS)
    assert "eve" not in await company.roles()
    assert len(await company.events("invitation:delete")) == 1


@pytest.mark.parametrize("text", ["", "ksi_", "ksi_" + "a" * 45, "kss_x", "ksi_\x00", "å" * 49, "../settings"])
async def test_any_other_text_is_no_invitation_and_costs_no_look_up(company: Company, text: str) -> None:
    assert await company.organizations.invitation_by_secret(text) is None
    with pytest.raises(NotFound):
        await company.organizations.accept(await company.id_of("eve"), text, ADDRESS)
    with pytest.raises(NotFound):
        await company.organizations.accept_as_new(text, "grace", None, PASSWORD, ADDRESS)
    assert await company.organizations.invitation_by_secret(new_opaque(INVITATION_PREFIX).reveal()) is None


async def test_a_member_who_opens_an_invitation_leaves_it_as_it_is(company: Company) -> None:
    made = await invite(company, role=Role.OWNER)
    with pytest.raises(Conflict, match="member of this organization already"):
        await accept(company, "bob", made)
    assert (await company.roles())["bob"] == "member"
    assert await company.organizations.invitation_by_secret(secret_of(made)) is not None


@pytest.mark.parametrize("what", ["removed", "demoted", "disabled"])
async def test_an_invitation_counts_no_more_than_whoever_made_it(company: Company, what: str) -> None:
    made = await invite(company, "alan", role=Role.ADMIN)
    alan, ada = await company.id_of("alan"), await company.principal("ada")
    if what == "removed":
        await company.organizations.remove_member(ada, alan, keys="delete", address=ADDRESS)
    elif what == "demoted":
        await company.organizations.change_role(ada, alan, Role.MEMBER, ADDRESS)
    else:
        await company.organizations.disable_user(await company.operator(), alan, ADDRESS)
    assert await company.organizations.invitation_by_secret(secret_of(made)) is None
    with pytest.raises(NotFound):
        await accept(company, "eve", made)
    with pytest.raises(NotFound):
        await join(company, made)
    assert "eve" not in await company.roles()


async def test_an_owner_who_became_an_admin_lets_no_owner_in_any_more_but_an_admin(company: Company) -> None:
    owner, admin = (
        await invite(company, "olga", NEW, Role.OWNER),
        await invite(company, "olga", "b@example.com", "admin"),
    )
    await company.organizations.change_role(
        await company.principal("ada"), await company.id_of("olga"), Role.ADMIN, ADDRESS
    )
    with pytest.raises(NotFound):
        await accept(company, "eve", owner)
    assert (await accept(company, "eve", admin)).role == "admin"


# Accepting with a new account


async def test_somebody_new_gets_an_account_with_the_invited_address_and_the_membership_at_once(
    company: Company,
) -> None:
    made = await invite(company, role=Role.ADMIN)
    user_id = await join(company, made)
    identity = await company.identity("grace")
    assert (identity.user_id, identity.email, identity.name, identity.role) == (user_id, NEW, "Grace", "admin")
    services = company.house.services
    begun = await services.sessions.sign_in("grace", PASSWORD, address=ADDRESS, user_agent="a browser")
    assert await services.sessions.find(begun.secret.reveal()) is not None
    with pytest.raises(NotFound):
        await join(company, made, "grace2")


async def test_who_has_an_account_is_told_to_sign_in_and_the_invitation_stays(company: Company) -> None:
    made = await invite(company, email="eve@example.com")
    with pytest.raises(Conflict, match="Sign in with it"):
        await join(company, made)
    assert (await accept(company, "eve", made)).email == "eve@example.com"


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [
        ("bob", PASSWORD, "username"),
        ("Not A Slug", PASSWORD, "username"),
        ("", PASSWORD, "username"),
        ("grace", Secret("short"), "password"),
        ("grace", Secret("grace@example.com"), "password"),
    ],
)
async def test_what_does_not_fit_is_told_at_its_field_and_nothing_is_made(
    company: Company, username: str, password: Secret, field: str
) -> None:
    made = await invite(company)
    before = await company.house.rows()
    with pytest.raises(InvalidParameters) as told:
        await company.organizations.accept_as_new(secret_of(made), username, None, password, ADDRESS)
    assert [one.name for one in told.value.fields] == [field]
    assert await company.house.rows() == before
    assert await company.organizations.invitation_by_secret(secret_of(made)) is not None


async def test_of_many_who_make_an_account_with_one_invitation_at_once_one_does(opened: Open) -> None:
    companies = [opened(password_queue=8), opened(password_queue=8)]
    made = await invite(companies[0])
    outcomes = await asyncio.gather(
        *(join(one, made, f"grace{number}") for number, one in enumerate(companies * 2)), return_exceptions=True
    )
    assert [type(one) for one in outcomes if isinstance(one, str)] == [str]
    assert {type(one) for one in outcomes if not isinstance(one, str)} <= {NotFound, Conflict}
    assert sum(name.startswith("grace") for name in await companies[0].roles()) == 1


# A new organization


async def test_an_operator_invites_the_first_owner_of_a_new_organization(company: Company) -> None:
    operator = await company.operator()
    organization_id = await company.organizations.create_organization(operator, "hooli", "Hooli Inc.", ADDRESS)
    made = await company.organizations.invite_owner(operator, organization_id, NEW, ADDRESS)
    await join(company, made)
    assert await company.roles("hooli") == {"grace": "owner"}
    with pytest.raises(NotFound):
        await company.organizations.invite_owner(operator, "no such id", NEW, ADDRESS)
    with pytest.raises(Forbidden):
        await company.organizations.invite_owner(await company.principal("ada"), organization_id, NEW, ADDRESS)
