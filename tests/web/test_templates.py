"""Every page in every state: it renders, it is accessible, it escapes, and it keeps to the content security policy."""

import re
from dataclasses import dataclass, field, fields, replace
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from typing import get_args

import pytest
from jinja2 import UndefinedError

from keystead.web import render as rendering
from keystead.web import views
from keystead.web.render import render, static_url

NOW = 1_773_480_413  # 14 March 2026, 09:26:53 UTC
DAY = 86_400
HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
WIDE = "W" * 64
LONG_EMAIL = f"{'ada.king.' * 7}lovelace@{'analytical-engine.' * 9}example"
PAGE_BUDGET = 60 * 1024
STATIC = resources.files("keystead.web") / "static"


def _line(scope: str, sentence: str) -> views.ScopeLine:
    return views.ScopeLine(scope=scope, sentence=sentence)


def _organizations(count: int, name: str = "Acme") -> tuple[views.OrganizationChoice, ...]:
    withheld = (_line("balance:add", "Add to the balance"),)
    return tuple(
        views.OrganizationChoice(id=f"org-{n}", name=name, role="member", withheld=withheld) for n in range(count)
    )


ADA = views.Account(username="ada", email="ada@example.com")
CONSENT = views.DeviceConsent(
    form_token="form-token-value",
    user_code="BCDF-GHJK",
    client_name="parallel-cli",
    machine="Darwin arm64",
    address="203.0.113.7",
    requested_at=NOW - 125,
    expires_at=NOW + 475,
    now=NOW,
    scopes=(_line("keys:read", "See API keys"), _line("keys:create", "Create API keys")),
    withheld=(_line("balance:read", "See the balance"),),
    organizations=_organizations(1),
    grant_seconds=90 * DAY,
    account=ADA,
)
OUTCOME = views.DeviceOutcome(
    state="approved",
    user_code="BCDF-GHJK",
    client_name="parallel-cli",
    account=ADA,
    organization="Acme",
    grant_seconds=90 * DAY,
    wait_seconds=130,
)
STATES: tuple[views.DeviceState, ...] = get_args(views.DeviceState)
PROBLEM = views.ProblemPage(
    status=503,
    title="The database cannot be reached",
    detail="Your request was not carried out.",
    next_step="Try again in a moment.",
    code="unavailable",
    reference="inc_01",
    retry_after=20,
)
DOC = views.ProblemDoc(
    code="expired_token",
    status=400,
    title="The device code has ended",
    meaning="It was not approved in time.\n\nA code is valid for a few minutes.",
    what_to_do=("Ask for a new one.", "Show it."),
)
ENTRIES = tuple(views.ProblemEntry(code=f"problem_{n}", status=400, title="A problem") for n in range(60))

EVERY_PAGE: dict[str, views.Page] = {
    "sign in": views.SignIn(),
    "sign in for a device": views.SignIn(next="/x?a=1&b=2", user_code="BCDF-GHJK"),
    "sign in, wrong": views.SignIn(username="ada", error="wrong"),
    "sign in, too many tries": views.SignIn(username="ada", error="too_many", wait_seconds=130),
    "sign in as another": views.SignIn(current=ADA),
    "signed out": views.SignIn(signed_out=True),
    "enter": views.DeviceEnter(account=ADA),
    "enter, malformed": views.DeviceEnter(account=ADA, typed="hello", error="malformed"),
    "enter, unknown": views.DeviceEnter(account=ADA, typed="BCDF-GHJX", error="unknown"),
    "consent": CONSENT,
    "consent, no organization": replace(CONSENT, organizations=()),
    "consent, many organizations": replace(CONSENT, organizations=_organizations(12), selected_organization="org-3"),
    "consent, none chosen": replace(CONSENT, organizations=_organizations(3), organization_missing=True),
    "consent, bare": replace(CONSENT, machine="", address="", scopes=(), withheld=(), expires_at=NOW),
    "consent, wide": replace(
        CONSENT,
        client_name=WIDE,
        machine=WIDE,
        organizations=_organizations(12, WIDE),
        account=views.Account(username=WIDE, email=LONG_EMAIL),
    ),
    **{f"outcome {state}": replace(OUTCOME, state=state) for state in STATES},
    "outcome, bare": views.DeviceOutcome(state="form_expired"),
    "home": views.Home(account=ADA, organization="Acme", role="owner", form_token="form-token-value"),
    "home, bare": views.Home(account=views.Account(username="ada"), form_token="form-token-value"),
    "problem": PROBLEM,
    "problem, bare": views.ProblemPage(status=404, title="There is no such page", detail="Nothing is here."),
    "problem documentation": DOC,
    "problem documentation, bare": replace(DOC, what_to_do=()),
    "problem list": views.ProblemsIndex(problems=ENTRIES),
}
every_page = pytest.mark.parametrize("view", EVERY_PAGE.values(), ids=EVERY_PAGE.keys())


@dataclass
class Element:
    """An opening tag and its attributes."""

    tag: str
    attributes: dict[str, str]


@dataclass
class Reading(HTMLParser):
    """A page as a list of elements, with its visible text."""

    elements: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def named(self, name: str) -> list[Element]:
        return [element for element in self.elements if element.attributes.get("name") == name]


def read(view: views.Page) -> Reading:
    reading = Reading()
    reading.feed(render(view))
    return reading


def test_every_view_model_is_rendered_by_these_tests() -> None:
    models = {model for model in vars(views).values() if isinstance(model, type) and issubclass(model, views.Page)}
    assert models - {views.Page} == {type(view) for view in EVERY_PAGE.values()}


@every_page
def test_a_page_has_a_language_a_title_and_one_heading_of_the_first_level(view: views.Page) -> None:
    page = read(view)
    html = render(view)
    assert html.startswith("<!doctype html>")
    assert [element.attributes["lang"] for element in page.all("html")] == ["en"]
    assert re.search(r"<title>\S[^<]* · Keystead</title>", html)
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1


@every_page
def test_no_heading_level_is_skipped(view: views.Page) -> None:
    levels = [int(element.tag[1]) for element in read(view).all("h1", "h2", "h3", "h4")]
    assert all(after - before <= 1 for before, after in pairwise(levels))


@every_page
def test_every_field_has_a_label_and_every_reference_a_target(view: views.Page) -> None:
    page = read(view)
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    labelled = {element.attributes.get("for") for element in page.all("label")}
    fields = [e for e in page.all("input", "select", "textarea") if e.attributes.get("type") != "hidden"]
    references = [
        target
        for element in page.elements
        for name in ("for", "aria-describedby", "aria-labelledby", "data-reveal")
        for target in element.attributes.get(name, "").split()
    ]
    assert all(element.attributes["id"] in labelled for element in fields)
    assert len(ids) == len(set(ids))
    assert set(references) <= set(ids)


@every_page
def test_a_page_has_no_inline_style_script_or_handler_and_loads_nothing_from_elsewhere(view: views.Page) -> None:
    page = read(view)
    attributes = {name for element in page.elements for name in element.attributes}
    loaded = [e.attributes["href"] for e in page.all("link")] + [e.attributes["src"] for e in page.all("script", "img")]
    assert not page.all("style", "iframe", "object", "base")
    assert not [name for name in attributes if name == "style" or name.startswith("on")]
    assert all(address.startswith("/static/") for address in loaded)


@every_page
def test_every_link_and_form_stays_on_this_server(view: views.Page) -> None:
    page = read(view)
    targets = [e.attributes["href"] for e in page.all("a")] + [e.attributes["action"] for e in page.all("form")]
    assert all(re.match(r"/(?!/)", target) for target in targets)


@every_page
def test_a_page_and_its_static_files_stay_below_sixty_kilobytes(view: views.Page) -> None:
    static = sum(len(file.read_bytes()) for file in STATIC.iterdir())
    assert len(render(view).encode()) + static < PAGE_BUDGET


def _hostile(view: views.Page) -> views.Page:
    """The same page with every text in it replaced, except the words that choose between states."""
    account = views.Account(username=HOSTILE, email=HOSTILE)
    line = _line(HOSTILE, HOSTILE)
    organization = views.OrganizationChoice(id=HOSTILE, name=HOSTILE, role=HOSTILE, withheld=(line,))
    by_name: dict[str, object] = {
        "account": account,
        "current": account,
        "scopes": (line,),
        "withheld": (line,),
        "what_to_do": (HOSTILE, HOSTILE),
        "problems": (views.ProblemEntry(code=HOSTILE, status=400, title=HOSTILE),),
    }
    changes: dict[str, object] = {}
    for name in (each.name for each in fields(view)):
        value = getattr(view, name)
        if name in by_name and value:
            changes[name] = by_name[name]
        elif name == "organizations":
            changes[name] = (organization,) * len(value)
        elif isinstance(value, str) and name not in {"state", "error"}:
            changes[name] = HOSTILE
    return replace(view, **changes)  # type: ignore[arg-type]


@every_page
def test_hostile_names_stay_text(view: views.Page) -> None:
    hostile = _hostile(view)
    html = render(hostile)
    before, after = read(view), read(hostile)
    assert HOSTILE in after.text
    assert "<script>" not in html
    assert "<img" not in html
    assert len(after.all("script")) == len(before.all("script")) == 1


@every_page
def test_every_state_uses_the_name_of_the_installation(view: views.Page) -> None:
    renamed = render(replace(view, product_name="Acme Sign-in"))
    assert "Acme Sign-in" in renamed
    assert "Keystead" not in renamed


def test_a_template_that_asks_for_a_missing_name_fails_rather_than_leaves_a_gap() -> None:
    template = rendering._environment().from_string("{{ view.nothing_of_the_sort }}")
    with pytest.raises(UndefinedError) as failure:
        template.render(view=views.SignIn())
    assert "nothing_of_the_sort" in str(failure.value)


def test_the_sign_in_page_keeps_the_user_name_and_the_way_back_but_never_a_password() -> None:
    page = read(views.SignIn(next="/getServiceKeys/device?user_code=BCDF-GHJK", username="ada", error="wrong"))
    assert page.named("username")[0].attributes["value"] == "ada"
    assert page.named("next")[0].attributes["value"] == "/getServiceKeys/device?user_code=BCDF-GHJK"
    assert "value" not in page.named("password")[0].attributes
    assert page.named("password")[0].attributes["autocomplete"] == "current-password"


def test_the_sign_in_page_says_that_a_device_is_confirmed_afterwards() -> None:
    text = read(views.SignIn(user_code="BCDF-GHJK")).text
    assert "BCDF-GHJK" in text
    assert "After you sign in you will see who is asking" in text


def test_too_many_tries_name_the_wait_in_words() -> None:
    assert "wait 3 minutes" in read(views.SignIn(error="too_many", wait_seconds=130)).text
    assert "wait 3 minutes" in read(replace(OUTCOME, state="too_many")).text


def test_the_code_field_forgives_and_cuts_nothing_off() -> None:
    page = read(views.DeviceEnter(account=ADA, typed="bcdf ghjk"))
    [code] = page.named("user_code")
    assert code.attributes["value"] == "bcdf ghjk"
    assert "maxlength" not in code.attributes
    assert "pattern" not in code.attributes
    assert (code.attributes["autocapitalize"], code.attributes["spellcheck"]) == ("characters", "false")
    assert (code.attributes["autocomplete"], code.attributes["inputmode"]) == ("off", "text")
    assert page.all("form")[0].attributes == {"method": "get", "action": views.DEVICE_PATH}


def test_the_consent_page_shows_what_a_person_needs_to_resist_phishing() -> None:
    page = read(CONSENT)
    for words in (
        "BCDF-GHJK",
        "parallel-cli name not verified",
        "Darwin arm64",
        "203.0.113.7",
        "2 minutes ago",
        "API keys See API keys Create API keys",
        "keys:read keys:create",
        "Asked for, but not given See the balance",
        "Add to the balance",
        "Acme member",
        "90 days, until 12 June 2026",
        "ada@example.com",
        "Refuse unless you started this yourself",
        "ends by itself in 7 minutes",
    ):
        assert words in page.text
    asked = page.all("time")[0].attributes
    assert asked == {"datetime": "2026-03-14T09:24:48Z", "title": "14 March 2026, 09:24:48 UTC"}


def test_consent_is_one_post_with_a_form_token_and_two_decisions() -> None:
    page = read(CONSENT)
    [form] = page.all("form")
    decisions = page.named("decision")
    assert (form.attributes["method"], form.attributes["action"]) == ("post", views.DEVICE_PATH)
    assert page.named("form_token")[0].attributes["value"] == "form-token-value"
    assert page.named("user_code")[0].attributes["value"] == "BCDF-GHJK"
    assert page.named("organization")[0].attributes == {"type": "hidden", "name": "organization", "value": "org-0"}
    assert [decision.attributes["value"] for decision in decisions] == ["approve", "deny"]


def test_the_enter_key_alone_decides_nothing() -> None:
    first = read(CONSENT).all("button")[0].attributes
    assert (first["type"], first["formmethod"]) == ("submit", "dialog")
    assert "name" not in first


def test_an_organization_must_be_chosen_to_approve_but_not_to_refuse() -> None:
    page = read(replace(CONSENT, organizations=_organizations(12)))
    radios = page.named("organization")
    deny = page.named("decision")[1].attributes
    assert len(radios) == 12
    assert all("required" in radio.attributes and "checked" not in radio.attributes for radio in radios)
    assert deny["value"] == "deny"
    assert "formnovalidate" in deny


def test_the_chosen_organization_stays_chosen() -> None:
    page = read(replace(CONSENT, organizations=_organizations(3), selected_organization="org-1"))
    checked = [radio.attributes["value"] for radio in page.named("organization") if "checked" in radio.attributes]
    assert checked == ["org-1"]


def test_without_an_organization_one_can_only_refuse() -> None:
    page = read(replace(CONSENT, organizations=()))
    assert [decision.attributes["value"] for decision in page.named("decision")] == ["deny"]
    assert "in no organization" in page.text


def test_another_account_comes_back_to_the_same_code() -> None:
    links = [link.attributes["href"] for link in read(CONSENT).all("a")]
    assert "/sign-in?next=%2FgetServiceKeys%2Fdevice%3Fuser_code%3DBCDF-GHJK" in links


def test_an_approved_device_says_who_is_signed_in_and_that_the_window_may_be_closed() -> None:
    text = read(OUTCOME).text
    assert "You can close this window" in text
    assert "parallel-cli name not verified Signed in as ada@example.com In Acme" in text


def test_a_stale_form_leads_back_with_its_code() -> None:
    links = [link.attributes["href"] for link in read(replace(OUTCOME, state="form_expired")).all("a")]
    assert "/getServiceKeys/device?user_code=BCDF-GHJK" in links


def test_no_two_outcomes_have_the_same_title() -> None:
    titles = {re.findall(r"<title>(.*)</title>", render(replace(OUTCOME, state=state)))[0] for state in STATES}
    assert len(titles) == len(STATES)


def test_signing_out_is_a_post_with_a_form_token() -> None:
    page = read(EVERY_PAGE["home"])
    [form] = page.all("form")
    assert (form.attributes["method"], form.attributes["action"]) == ("post", views.SIGN_OUT_PATH)
    assert page.named("form_token")[0].attributes["value"] == "form-token-value"


def test_a_problem_page_names_its_reference_and_its_documentation() -> None:
    page = read(PROBLEM)
    assert "inc_01" in page.text
    assert "wait 20 seconds" in page.text
    assert "/problems/unavailable" in [link.attributes["href"] for link in page.all("a")]


def test_a_static_address_changes_with_the_content_and_only_names_files_that_exist() -> None:
    assert re.fullmatch(r"/static/keystead\.css\?v=[0-9a-f]{16}", static_url("keystead.css"))
    with pytest.raises(KeyError) as failure:
        static_url("../views.py")
    assert failure.value.args == ("../views.py",)
