"""The overview says who one is, where else one belongs, what ends soon, how much keys are used, and who signed in."""

import re
from html import unescape

import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.web.settings.overview import DAYS, SIGN_INS
from tests.account.nodes import PASSWORD, Node
from tests.web.settings.test_keys import HOSTILE, new_key
from tests.web.settings.visiting import counted_reads, form_to, visit

DAY = 86_400
OVERVIEW = "/settings"


def section(source: str, name: str) -> str:
    """Return the words of one section; empty when there is none."""
    found = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', source, re.DOTALL)
    return "" if found is None else " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).split())


async def count(node: Node, key_id: str, *days: tuple[int, int]) -> None:
    """Count uses of a key, each so many days ago."""
    today = node.house.clock.now() // DAY * DAY
    await node.house.services.keys.use.count([(key_id, today - ago * DAY, times) for ago, times in days])


async def test_the_start_page_leads_to_the_overview_and_who_is_not_signed_in_to_the_sign_in_page(here: Node) -> None:
    ada = await visit(here)
    known = await here.http.get("/", headers={"Cookie": f"cloud.sso={ada.cookie}"})
    stranger = await here.http.get("/")
    assert (known.status_code, known.headers["location"]) == (303, OVERVIEW)
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/sign-in")


async def test_it_says_who_one_is_and_in_which_organization(here: Node) -> None:
    page = await (await visit(here)).get(OVERVIEW)
    assert page.status == 200
    assert "User name ada E-mail ada@example.com" in section(page.source, "you")
    assert section(page.source, "organizations") == "Your organization Acme Shown here You are an owner"


async def test_who_belongs_to_several_organizations_can_switch_to_each_of_the_others(here: Node) -> None:
    elsewhere = await here.elsewhere()
    page = await (await visit(here)).get(OVERVIEW)
    assert section(page.source, "organizations").startswith("Your organizations Acme Shown here You are an owner")
    form = form_to(page, "/settings/switch")
    assert form.values("organization") == (elsewhere.organization_id,)
    assert "Switch to Globex" in page.words


async def test_a_switch_leads_to_the_same_page_for_the_other_organization(here: Node) -> None:
    await here.elsewhere()
    ada = await visit(here)
    page = await ada.get(OVERVIEW)
    form = dict(form_to(page, "/settings/switch").filled({}))
    answer = await here.http.post("/settings/switch", data=form, headers={"Cookie": f"cloud.sso={ada.cookie}"})
    assert answer.status_code == 303
    cookie = re.findall(r"cloud\.sso=([^;]+)", answer.headers["set-cookie"])[0]
    page_after = await here.http.get(OVERVIEW, headers={"Cookie": f"cloud.sso={cookie}"})
    assert "Globex Shown here" in section(page_after.text, "organizations")


async def test_who_is_new_is_told_what_to_do_first_and_nobody_else(here: Node) -> None:
    ada = await visit(here)
    page = await ada.get(OVERVIEW)
    first = re.findall(r'href="([^"]+)"', page.source[page.source.index('id="first"') :])[:3]
    assert first == ["/getServiceKeys/device", "/settings/keys/new", "/settings/security"]
    await new_key(here)
    assert section((await ada.get(OVERVIEW)).source, "first") == ""


async def test_what_ends_within_two_weeks_is_listed_with_what_to_do_the_first_to_end_first(here: Node) -> None:
    now = here.house.clock.now()
    soon = await new_key(here, "soon", expires_at=now + 10 * DAY)
    await new_key(here, "later", expires_at=now + 15 * DAY)
    await new_key(here, "gone", expires_at=now + 60)
    await here.house.sign_in()
    here.house.clock.advance(60)
    ada = await visit(here)
    page = await ada.get(OVERVIEW)
    words = section(page.source, "ending")
    assert words.index("This browser: your sign-in Ends in 12 hours , unless you use it before") < words.index(
        "API key: soon"
    )
    assert f"API key: soon ({soon.record.hint}) Ends in 9 days Rotate" in words
    assert f'href="/settings/keys/{soon.record.id}/rotate"' in page.source
    assert "later" not in words
    assert "gone" not in words
    assert "Device" not in words


async def test_a_device_whose_permission_ends_within_two_weeks_is_listed(here: Node) -> None:
    tokens = await here.house.sign_in()
    for _ in range(13):  # a device is renewed at least every seven days, and its permission ends after 90
        here.house.clock.advance(6 * DAY)
        tokens = await here.house.refresh(tokens.refresh_token.reveal())
    page = await (await visit(here)).get(OVERVIEW)
    assert "Device: parallel-cli Ends in 12 days See your devices" in section(page.source, "ending")


async def test_the_use_of_ones_keys_is_drawn_for_thirty_days_and_told_in_words(here: Node) -> None:
    first, second = await new_key(here), await new_key(here)
    others = await new_key(here, username="bob")
    await count(here, first.record.id, (0, 5), (3, 1_000), (DAYS - 1, 2), (DAYS, 99), (-1, 77))
    await count(here, second.record.id, (0, 1), (3, 234))
    await count(here, others.record.id, (0, 7_000))
    page = await (await visit(here)).get(OVERVIEW)
    words = section(page.source, "use")
    assert "1,242 requests, most of them on" in words
    assert "(1,234)" in words
    assert page.source.count('<rect class="chart-') == 3
    assert page.source.count('<th scope="row">') == DAYS


async def test_keys_that_are_not_used_are_told_without_a_picture(here: Node) -> None:
    made = await new_key(here)
    await count(here, made.record.id, (DAYS, 3))
    page = await (await visit(here)).get(OVERVIEW)
    assert "Your keys in Acme were not used in the last 30 days." in section(page.source, "use")
    assert "<svg" not in page.source[page.source.index('id="use"') :]


async def test_the_last_sign_ins_are_listed_and_that_of_a_new_browser_is_marked(here: Node) -> None:
    await visit(here)
    sessions = here.house.services.sessions
    here.house.clock.advance(DAY)
    known = await sessions.sign_in("ada", Secret(PASSWORD), address="198.51.100.1", user_agent="Test/1.0")
    here.house.clock.advance(3_600)
    await sessions.sign_in(
        "ada",
        Secret(PASSWORD),
        address="198.51.100.2",
        user_agent="Test/1.0",
        device_cookie=getattr(known, "device_cookie").reveal(),  # noqa: B009 - a step of a sign-in has none
    )
    await visit(here, "bob")
    words = section((await (await visit(here)).get(OVERVIEW)).source, "sign-ins")
    assert "just now From 198.51.100.2" in words
    assert "1 hour ago New browser From 198.51.100.1" in words
    assert words.index("198.51.100.2") < words.index("198.51.100.1")


async def test_only_the_newest_sign_ins_are_listed(here: Node) -> None:
    for _ in range(SIGN_INS + 1):
        await visit(here)
    ada = await visit(here)
    assert section((await ada.get(OVERVIEW)).source, "sign-ins").count("From 192.0.2.7") == SIGN_INS


async def test_hostile_titles_are_shown_and_do_nothing(here: Node) -> None:
    now = here.house.clock.now()
    for title in (*HOSTILE, "W" * 128):
        await new_key(here, title, expires_at=now + DAY)
    page = await (await visit(here)).get(OVERVIEW)
    assert page.status == 200
    assert "<script>alert" not in page.source
    assert "<img src=x" not in page.source
    assert all(" ".join(title.split()) in section(page.source, "ending") for title in HOSTILE)


async def test_much_costs_no_more_statements_than_little(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await visit(here)
    await ada.get(OVERVIEW)
    with counted_reads(here, monkeypatch) as few:
        await ada.get(OVERVIEW)
    now = here.house.clock.now()
    accounts = here.house.services.accounts
    for number in range(20):
        made = await new_key(here, f"key {number}", expires_at=now + DAY)
        await count(here, made.record.id, (0, 1), (1, 1))
        organization = await accounts.create_organization(f"organization-{number}")
        await accounts.add_membership(here.house.ada.id, organization, Role.MEMBER)
    for _ in range(5):
        await here.house.sign_in()
    with counted_reads(here, monkeypatch) as many:
        page = await ada.get(OVERVIEW)
    assert few == many
    assert len(many) == 6
    assert page.words.count("Switch to") == 20


async def test_nobody_reads_it_without_signing_in(here: Node) -> None:
    answer = await here.http.get(f"{OVERVIEW}?x={new_id()}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=%2Fsettings")
