"""What single pages promise to show; the rules that hold for all of them are in test_every_page.py."""

import re
from dataclasses import replace
from typing import get_args

import pytest
from jinja2 import UndefinedError

from keystead.sessions.models import STOP_PATH
from keystead.web import render as rendering
from keystead.web import views
from keystead.web.frame import Confirm
from keystead.web.render import render, static_url
from tests.web.reading import Reading
from tests.web.samples import Filler

NOW = 1_773_480_413  # 14 March 2026, 09:26:53 UTC
DAY = 86_400


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


def read(view: views.Page) -> Reading:
    return Reading(render(view))


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


def test_permissions_stand_in_groups_and_whatever_they_say_stays_text() -> None:
    said = "<script>alert(1)</script>"
    lines = (_line("keys:read", said), _line("keys:create", said), _line("apps:read", said))
    html = render(replace(CONSENT, scopes=lines))
    assert "<script>" not in html
    assert Reading(html).text.count(said) == 3
    assert re.findall(r"<dt>(API keys|Apps)</dt>", html) == ["API keys", "Apps"]


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


@pytest.mark.parametrize("acting", [False, True])
def test_every_page_of_settings_offers_to_sign_out_and_to_stop_acting_by_a_post_with_a_form_token(acting: bool) -> None:
    form = Filler(filled=True, flags=acting, text="Ada").page(Confirm)
    assert isinstance(form, Confirm)
    posts = {e.attributes["action"]: e.attributes["method"] for e in read(form).all("form")}
    assert posts.pop(form.action) == "post"
    assert posts == {views.SIGN_OUT_PATH: "post", **({STOP_PATH: "post"} if acting else {})}
    tokens = [element.attributes["value"] for element in read(form).named("form_token")]
    assert tokens == [form.frame.sign_out_token, *[form.frame.form_token] * (1 + acting)]


@pytest.mark.parametrize(("harmless", "kind"), [(False, "danger"), (True, "primary")])
def test_the_button_of_a_question_warns_unless_nothing_can_be_lost(harmless: bool, kind: str) -> None:
    page = read(Filler(filled=True, flags=False, text="Ada").page(Confirm, harmless=harmless))
    classes = [button.attributes["class"] for button in page.all("button")]
    assert classes == ["link-button", f"button {kind}"]


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
