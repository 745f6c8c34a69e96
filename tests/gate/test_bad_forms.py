"""Bad input in forms that count: whatever their fields hold, and however far it gets, it costs no fault."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.gate.endpoints import Endpoint, endpoints, values_of
from tests.gate.serving import Furnished, ask, furnished_server, in_process, new_key, new_token
from tests.support.browser import Browser
from tests.support.server import KeysteadServer, Person
from tests.wire.shapes import check_refusal

ROOT = Person("root", "a gardener under every hill", "root@example.com", "owner")
ENDING = ("delete", "end", "remove", "revoke", "disable", "sign-out", "switch-off", "switch", "end-others")
"""Last words of addresses that take away what the others need."""
HOSTILE = (
    "",
    "-1",
    "9" * 5_000,
    "1e999",
    "\u0661\u00b2",
    "9999-99-99",
    "\u202e\u0007\x1b[31m",
    "\U0001f600" * 40,
    "a" * 60_000,
    "[" * 5_000,
    '{"id":"AAAA","rawId":"AAAA","type":"public-key","response":null}',
    "1.AAAA.BBBB",
    "on",
)


@pytest.fixture(scope="module")
def site(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give a server for this module alone: what is sent here may succeed."""

    async def work(services: Services) -> None:
        await services.accounts.create_user(
            username=ROOT.username,
            email=ROOT.email,
            organization="acme",
            role=Role.OWNER,
            password=Secret(ROOT.password),
            platform_admin=True,
        )

    with furnished_server(furnished, tmp_path_factory.mktemp("forms")) as server:
        in_process(server.data, server.url, work)
        new_key(server.data, server.url, ROOT.username)
        new_token(server.data, server.url, ROOT.username)
        yield server


@pytest.fixture(scope="module")
def forms(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> list[Endpoint]:
    """Give the forms of settings, those that end something after the others."""
    found = endpoints(furnished.data, tmp_path_factory.mktemp("endpoints") / "data")
    posts = [one for one in found if one.page and one.method == "POST" and one.path.startswith("/settings")]
    return sorted(posts, key=lambda one: one.path.endswith(ENDING))


def ids(site: KeysteadServer, furnished: Furnished, forms: list[Endpoint]) -> dict[str, str]:
    """Return what is there to be changed, as far as it is there."""
    key_id, app_id, token_id, client_id = (
        ask(site.data, f"SELECT {column} FROM {table} ORDER BY created_at DESC LIMIT 1")[0]  # noqa: S608
        for column, table in (("id", "api_key"), ("id", "app"), ("id", "short_term_token"), ("'x'", "app"))
    )
    known = {"key": key_id, "app": app_id, "token": token_id, "client": client_id, "user": furnished.eve}
    return values_of(forms, {**known, "organization": "globex"})


def signed_in(site: KeysteadServer) -> tuple[dict[str, str], str]:
    """Sign root in and return the headers of the session, and the token that its forms carry."""
    with Browser(site.url) as browser:
        browser.sign_in(ROOT.username, ROOT.password)
        token = browser.get("/settings/keys/new").form("form_token", "title").values("form_token")[0]
        return {"Cookie": f"cloud.sso={browser.cookies['cloud.sso'].value}", "Accept": "text/html"}, token


def test_no_value_in_a_form_that_counts_costs_a_fault(
    site: KeysteadServer, furnished: Furnished, forms: list[Endpoint]
) -> None:
    values = ids(site, furnished, forms)
    headers, token = signed_in(site)
    reached = set()
    with httpx.Client(base_url=site.url, trust_env=False, timeout=30) as client:
        for one in forms:
            if client.get("/settings", headers=headers).status_code != 200:  # one of the forms ended the session
                headers, token = signed_in(site)
            fields = [name for name in one.members if name != "form_token"]
            for value in HOSTILE:
                for some in (fields, *([name] for name in fields)):
                    told = {**dict.fromkeys(fields, "x"), **dict.fromkeys(some, value), "form_token": token}
                    body = "&".join(f"{name}={quote(text)}" for name, text in told.items())
                    sent = {**headers, "Content-Type": one.reads}
                    answer = client.post(one.at(values), content=body, headers=sent)
                    assert answer.status_code < 500, (str(one), some, value[:80], answer.text)
                    if answer.status_code >= 400:
                        check_refusal(answer)
                    reached.add((str(one), answer.status_code))
    assert len({name for name, status in reached if status in {303, 422}}) >= len(forms) // 2
