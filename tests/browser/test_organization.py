"""Owners, admins and operators at work in a real browser, with scripts and without (promises K8 and W7)."""

import re
from urllib.parse import urlsplit

import pytest

from keystead.kernel.scopes import Role
from keystead.services import Services
from tests.browser.chromium import DESKTOP, PHONE, Profile, check_accessible, check_fits
from tests.browser.conftest import OpenProfile
from tests.browser.house import CAROL
from tests.browser.site import Site
from tests.support import issued
from tests.support.calls import Line
from tests.support.server import ADA, BOB, Person

BOTH = pytest.mark.parametrize(
    ("size", "scripts"), [(DESKTOP, True), (PHONE, False)], ids=["desktop", "phone-without-scripts"]
)
ORGANIZATION = "/settings/organization"
OPERATOR = "/settings/operator"


def look(profile: Profile) -> None:
    """Hold the page to the rules that a program can check, where scripts are on."""
    if profile.scripts:
        check_accessible(profile.page)
        check_fits(profile.page)


def confirm(profile: Profile) -> None:
    """Answer yes to the question that is shown."""
    look(profile)
    profile.click(profile.page.locator("main form button").first)


def new_key(site: Site, person: Person) -> str:
    """Return the text of a key of somebody's."""

    async def make(services: Services) -> str:
        return (await services.keys.create_key_for_user(person.username, f"Key of {person.username}")).secret.reveal()

    key = site.do(make)
    issued.note(key)
    return key


def checked(site: Site, credential: str) -> int:
    """Return the status with which a credential is checked."""
    with Line(site.server.url) as line:
        return line.check(credential).status


@BOTH
def test_a_member_gets_another_role_and_is_removed_with_their_keys(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    person = site.newcomer(f"leaver-{scripts}".lower())
    key = new_key(site, person)
    carol, leaver = opened(CAROL, size=size, scripts=scripts), opened(person)
    carol.go(f"{ORGANIZATION}/members")
    carol.click(carol.page.get_by_role("link", name=f"Manage {person.username.title()}"))
    look(carol)
    carol.page.locator("input[name=role][value=admin]").check()
    carol.press("Change the role")
    assert carol.page.locator(".note-good").count() == 1
    assert leaver.go(f"{ORGANIZATION}/members").status == 200
    carol.click(carol.page.get_by_role("link", name=f"Manage {person.username.title()}"))
    carol.follow("Remove from the organization")
    look(carol)
    carol.page.locator("input[name=choice][value=delete]").check()
    carol.click(carol.page.locator("main form button.danger"))
    assert person.email not in carol.words()
    assert checked(site, key) == 401
    leaver.go("/settings")
    assert leaver.path.startswith("/sign-in")


@BOTH
def test_an_app_is_made_and_deleted_with_its_keys(opened: OpenProfile, size: tuple[int, int], scripts: bool) -> None:
    carol = opened(CAROL, size=size, scripts=scripts)
    name = f"harbour-{size[0]}"
    carol.go(f"{ORGANIZATION}/apps")
    carol.fill("Name", name)
    carol.press("Create the app")
    look(carol)
    carol.click(carol.page.get_by_role("link", name=f"Delete the app {name}"))
    confirm(carol)
    assert name not in carol.page.locator(".items").first.inner_text()


@BOTH
def test_the_balance_is_added_to_once_and_a_mistake_is_told(
    opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    carol = opened(CAROL, size=size, scripts=scripts)
    carol.go(f"{ORGANIZATION}/balance")
    rows = carol.page.locator(".content .item").count()
    carol.fill("Amount in US dollars", "a lot")
    carol.press("Add to the balance")
    assert carol.page.locator(".field-error").count() == 1
    look(carol)
    carol.fill("Amount in US dollars", "12.50")
    carol.press("Add to the balance")
    assert "$12.50" in carol.words()
    carol.page.reload()
    assert carol.page.locator(".content .item").count() == rows + 1


@BOTH
def test_a_policy_on_the_life_of_keys_is_kept_by_the_form_for_new_ones(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    eve = opened(site.newcomer(f"ruler-{size[0]}", Role.OWNER, "globex"), size=size, scripts=scripts)
    eve.go(f"{ORGANIZATION}/policies")
    eve.fill("Longest life in days", "30")
    eve.press("Save the policies")
    look(eve)
    assert eve.page.get_by_label("Longest life in days").input_value() == "30"
    eve.go("/settings/keys/new")
    look(eve)
    assert eve.page.locator("input[name=expires]").count() > 0
    assert "90 days" not in eve.words()


@BOTH
def test_the_audit_log_is_filtered(opened: OpenProfile, size: tuple[int, int], scripts: bool) -> None:
    carol = opened(CAROL, size=size, scripts=scripts)
    carol.go(f"{ORGANIZATION}/audit")
    look(carol)
    carol.page.get_by_label("Person").fill("bob")
    carol.press("Show")
    look(carol)
    facts = carol.page.locator(".item .item-facts").all_inner_texts()
    assert facts
    assert not [fact for fact in facts if fact.startswith(("ada", "carol"))]


@BOTH
def test_an_operator_disables_and_enables_a_user_and_makes_a_link_to_a_new_password(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    person = site.newcomer(f"suspect-{scripts}".lower(), organization="globex")
    key = new_key(site, person)
    ada, suspect = opened(ADA, size=size, scripts=scripts), opened(person)
    assert checked(site, key) == 200
    ada.go(f"{OPERATOR}/users")
    ada.page.get_by_role("searchbox").fill(person.email)
    ada.press("Find")
    ada.click(ada.page.get_by_role("link", name=f"Manage {person.username}"))
    look(ada)
    ada.follow("Disable the user")
    confirm(ada)
    suspect.go("/settings")
    assert (suspect.path.startswith("/sign-in"), checked(site, key)) == (True, 401)
    ada.follow("Enable the user")
    confirm(ada)
    assert checked(site, key) == 200
    ada.follow("Make a link to a new password")
    confirm(ada)
    look(ada)
    link = re.search(rf"{re.escape(site.origin)}/sign-in/reset/\S+", ada.page.content())
    assert link is not None
    address = link[0].partition('"')[0].partition("<")[0]
    issued.note(address.rpartition("/")[2])
    suspect.go(urlsplit(address).path)
    assert "Choose a new password" in suspect.words()


@BOTH
def test_an_operator_makes_an_organization_and_invites_its_owner(
    site: Site, opened: OpenProfile, size: tuple[int, int], scripts: bool
) -> None:
    ada = opened(ADA, size=size, scripts=scripts)
    name = f"harbour-{size[0]}"
    ada.go(f"{OPERATOR}/organizations")
    ada.fill("Name", name)
    ada.fill("Name for people", f"Harbour {size[0]}")
    ada.press("Create the organization")
    look(ada)
    if "Invite an owner of" not in ada.page.locator("h1").inner_text():
        ada.click(ada.page.get_by_role("link", name=f"Invite an owner of Harbour {size[0]}"))
    ada.fill("E-mail address", f"{name}@example.net")
    ada.press("Invite")
    look(ada)
    link = site.post.wait_for(f"{name}@example.net").link
    issued.note(link.rpartition("/")[2])
    assert link.startswith(site.origin)
    owner = opened(size=size, scripts=scripts)
    owner.go(urlsplit(link).path)
    owner.fill("User name", name)
    owner.page.get_by_label("Password", exact=True).fill("three lanterns and a canoe")
    owner.press("Make the account and join")
    owner.go(f"{ORGANIZATION}/policies")
    assert f"What Harbour {size[0]} asks of its members" in owner.words()  # which members without a rank do not see


@BOTH
def test_a_client_is_switched_off_and_on(opened: OpenProfile, size: tuple[int, int], scripts: bool) -> None:
    ada = opened(ADA, size=size, scripts=scripts)
    ada.go(f"{OPERATOR}/clients")
    ada.click(ada.page.get_by_role("link", name="Switch off Code editor extension on Darwin arm64"))
    confirm(ada)
    look(ada)
    ada.click(ada.page.get_by_role("link", name="Switch on Code editor extension on Darwin arm64"))
    confirm(ada)
    assert ada.page.get_by_role("link", name="Switch off Code editor extension on Darwin arm64").count() == 1


def test_signing_keys_are_rotated_by_hand(opened: OpenProfile) -> None:
    ada = opened(ADA, size=PHONE, scheme="dark")
    ada.go(f"{OPERATOR}/signing-keys")
    before = ada.page.locator(".item").count()
    ada.follow("Rotate the keys")
    confirm(ada)
    look(ada)
    assert ada.page.locator(".item").count() > before


def test_a_person_with_two_organizations_switches_between_them(site: Site, opened: OpenProfile) -> None:
    person = site.newcomer("juggler")

    async def join(services: Services) -> None:
        user = await services.accounts.user_by_name(person.username)
        assert user is not None
        await services.accounts.add_membership(user.id, site.house.globex, Role.OWNER)

    site.do(join)
    profile = opened(person, scripts=False)
    profile.go(f"{ORGANIZATION}/members")
    assert "Only owners and admins" in profile.words()
    profile.go("/settings")
    profile.press("Switch", exact=False)
    profile.go(f"{ORGANIZATION}/members")
    assert "Who belongs to Globex" in profile.words()


def test_a_member_sees_no_pages_of_owners_or_operators(opened: OpenProfile) -> None:
    bob = opened(BOB)
    bob.go("/settings")
    links = bob.page.locator("nav a").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    assert "/settings/keys" in links
    assert not [link for link in links if link.startswith((ORGANIZATION, OPERATOR))]
