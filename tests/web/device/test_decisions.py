"""Only who was shown a code decides, on purpose, for an organization of theirs (D5, D12)."""

import httpx
import pytest

from tests.gate.serving import Furnished, ask, dump, new_key, new_token
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient
from tests.support.server import KeysteadServer
from tests.web.device.asking import PAGE, at, consent, post, state


def forged(site: KeysteadServer, ada: Browser, bob: Browser, asked: DeviceAuthorization) -> dict[str, str | None]:
    """Return form tokens that are not the one of this form, by what is wrong with them."""
    right = consent(ada, asked)["form_token"]
    with DeviceClient(site.url) as device:
        device.register()
        other = device.device_code()
    issued, _, mac = right.partition(".")
    home = ada.get("/").form("form_token").values("form_token")[0]
    return {
        "missing": None,
        "empty": "",
        "garbage": "garbage",
        "of another session": consent(bob, asked)["form_token"],
        "of another code": consent(ada, other)["form_token"],
        "of another form": home,
        "older than its seal": f"{int(issued) - 1}.{mac}",
        "younger than its seal": f"{int(issued) + 1}.{mac}",
        "from the far future": f"999999999999.{mac}",
        "with another seal": f"{issued}.{mac[:-1]}{'A' if mac[-1] != 'A' else 'B'}",
        "with more behind it": right + "A",
        "with a line end": right + "\n",
        "twice over": f"{right}.{right}",
        "in other digits": f"{issued.translate(str.maketrans('0123456789', '٠١٢٣٤٥٦٧٨٩'))}.{mac}",
    }


def test_only_the_form_that_this_session_was_shown_for_this_code_decides(
    site: KeysteadServer, ada: Browser, bob: Browser, client: DeviceClient
) -> None:
    asked = client.device_code()
    tokens = forged(site, ada, bob, asked)
    form = {name: value for name, value in consent(ada, asked).items() if name != "form_token"}
    before = dump(site.data)
    for what, token in tokens.items():
        sent = {**form, "decision": "approve", **({} if token is None else {"form_token": token})}
        page = post(ada, sent)
        assert page.status == 403, what
        assert "Nothing was decided" in page.words, what
    assert dump(site.data) == before


def test_an_expired_form_leads_back_to_the_request_with_its_code(ada: Browser, asked: DeviceAuthorization) -> None:
    page = post(ada, {**consent(ada, asked), "form_token": "old", "decision": "approve"})
    assert f'href="{at(asked.user_code)}"' in page.source


@pytest.mark.parametrize("decision", [None, "", "yes", "Approve", "approve deny", "approve\x00"])
def test_without_a_clear_decision_nothing_is_decided(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, decision: str | None
) -> None:
    form = consent(ada, asked)
    before = dump(site.data)
    assert post(ada, form if decision is None else {**form, "decision": decision}).status == 400
    assert dump(site.data) == before


@pytest.mark.parametrize("repeated", ["decision", "user_code", "form_token", "organization"])
def test_both_decisions_or_anything_else_twice_is_refused(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, repeated: str
) -> None:
    form = {**consent(ada, asked), "decision": "deny"}
    before = dump(site.data)
    page = post(ada, [*form.items(), (repeated, "approve")])
    assert (page.status, "more than once" in page.words) == (400, True)
    assert dump(site.data) == before


@pytest.mark.parametrize("organization", ["globex", "nothing", "empty", "missing"])
def test_nobody_approves_for_an_organization_that_is_not_theirs(
    site: KeysteadServer, furnished: Furnished, ada: Browser, asked: DeviceAuthorization, organization: str
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    value = {"globex": furnished.globex, "nothing": "no-such-id", "empty": "", "missing": None}[organization]
    sent = {name: given for name, given in form.items() if name != "organization"}
    before = dump(site.data)
    page = post(ada, sent if value is None else {**sent, "organization": value})
    assert page.status == 422
    assert "Globex" not in page.words
    assert page.form("decision").values("user_code") == (asked.user_code,)
    assert dump(site.data) == before


def test_refusing_needs_no_organization(site: KeysteadServer, ada: Browser, asked: DeviceAuthorization) -> None:
    form = {name: value for name, value in consent(ada, asked).items() if name != "organization"}
    assert post(ada, {**form, "decision": "deny"}).status == 303
    assert state(site) == "denied"


def test_who_decides_and_for_whom_comes_from_the_session_and_never_from_the_form(
    site: KeysteadServer, furnished: Furnished, bob: Browser, asked: DeviceAuthorization
) -> None:
    more = {"user_id": furnished.ada, "username": "ada", "role": "owner", "scope": "balance:add", "client_id": "x"}
    assert post(bob, {**more, **consent(bob, asked), "decision": "approve"}).status == 303
    row = "FROM device_authorization ORDER BY created_at DESC, id DESC LIMIT 1"
    assert ask(site.data, f"SELECT decided_by {row}") == [furnished.bob]
    assert "balance:add" not in ask(site.data, f"SELECT granted_scopes {row}")[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "nonsense"},
    ],
)
def test_a_decision_that_another_site_sends_is_refused(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, headers: dict[str, str]
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    before = dump(site.data)
    page = post(ada, form, **headers)
    assert page.status == 403
    assert page.response.headers["content-type"].startswith("text/html")
    assert dump(site.data) == before


@pytest.mark.parametrize("kind", ["API key", "token"])
def test_only_a_browser_session_decides_and_no_other_credential(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, kind: str
) -> None:
    secret = new_key(site.data, site.url, "ada")[1] if kind == "API key" else new_token(site.data, site.url, "ada")
    form = {**consent(ada, asked), "decision": "approve"}
    before = dump(site.data)
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {secret}"}) as program:
        assert [program.get(at(asked.user_code)).status_code, program.post(PAGE, data=form).status_code] == [403, 403]
    assert dump(site.data) == before
