"""An operator who acts as somebody looks and changes nothing, on any route there is; and it ends at once (V1, K5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from keystead.kernel.problems import Impersonating
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from keystead.sessions.models import IMPERSONATE_PATH, STOP_PATH
from tests.gate.endpoints import Endpoint, endpoints, values_of
from tests.gate.serving import Furnished, Serving, ask, dump, furnished_server, in_process, new_key, new_token
from tests.support import engine, issued
from tests.support.browser import Browser
from tests.support.device import CLI_SCOPE, DeviceClient
from tests.support.server import ADA, KeysteadServer, Person
from tests.wire.shapes import check_refusal

ROOT = Person("root", "a gardener under every hill", "root@example.com", "owner")
REASON = "request 4711"
MAY = {
    f"DELETE {IMPERSONATE_PATH}": "stops",
    f"POST {IMPERSONATE_PATH}": "says that one acts already",
    "POST /api/sso/logout": "signs out",
    "POST /sign-out": "signs out",
    f"POST {STOP_PATH}": "stops",
}
"""What else an operator may ask for while acting, and what it does."""
MORE_THAN_LOOKS = {
    "GET /api/auth/token": "makes a token",
    "GET /getServiceKeys/device": "counts wrong codes",
}
BY_NOBODY = {
    "POST /getServiceKeys/register",
    "POST /getServiceKeys/device/code",
    "POST /getServiceKeys/token",
    "POST /getServiceKeys/token/revoke",
    "POST /api/oidc/device_authorization",
    "POST /api/oidc/token",
    "POST /api/oidc/revoke",
}
"""Endpoints of OAuth, which look at no session, whoever has one."""
ROUNDS = 25


@dataclass(frozen=True)
class Stage:
    """A server over the furnished data, with an operator."""

    server: KeysteadServer
    root: str

    def sign_in(self, person: Person = ROOT) -> str:
        """Sign somebody in over JSON and return the cookie."""
        body = {"username": person.username, "password": person.password}
        answer = httpx.post(f"{self.server.url}/api/sso/password/login", json=body, trust_env=False)
        assert answer.status_code == 204, answer.text
        return answer.cookies["cloud.sso"]

    def act(self, cookie: str, username: str = "ada") -> httpx.Response:
        """Ask to act as somebody."""
        sent = {"username": username, "reason": REASON}
        return httpx.post(self.server.url + IMPERSONATE_PATH, json=sent, headers=held(cookie), trust_env=False)

    def acting(self) -> str:
        """Return the cookie of a session in which root acts as ada."""
        answer = self.act(self.sign_in())
        assert answer.status_code == 204, answer.text
        issued.note(answer.cookies["cloud.sso"])
        return answer.cookies["cloud.sso"]

    def verify(self, cookie: str) -> httpx.Response:
        return httpx.get(f"{self.server.url}/verify", headers=held(cookie), trust_env=False)

    def session(self, cookie: str) -> httpx.Response:
        return httpx.get(f"{self.server.url}/api/auth/session", headers=held(cookie), trust_env=False)


def held(cookie: str) -> dict[str, str]:
    return {"Cookie": f"cloud.sso={cookie}"}


async def add_root(services: Services) -> str:
    await services.accounts.create_organization("operators")
    return await services.accounts.create_user(
        username=ROOT.username,
        email=ROOT.email,
        organization="operators",
        role=Role.OWNER,
        password=Secret(ROOT.password),
        platform_admin=True,
    )


@pytest.fixture(scope="module")
def stage(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with furnished_server(furnished, tmp_path_factory.mktemp("acting")) as server:
        yield Stage(server, in_process(server.data, server.url, add_root))


@pytest.fixture(scope="module")
def everything(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, ...]:
    return endpoints(furnished.data, tmp_path_factory.mktemp("endpoints") / "data")


@pytest.fixture(scope="module")
def values(stage: Stage, furnished: Furnished, everything: tuple[Endpoint, ...]) -> dict[str, str]:
    """Give what ada has for each parameter of a path, so that a route that is not refused would find it."""
    server = stage.server
    key_id, _ = new_key(server.data, server.url, "ada", "hers")
    new_token(server.data, server.url, "ada")
    with Browser(server.url) as browser, DeviceClient(server.url) as device:
        browser.sign_in(ADA.username, ADA.password)
        device.register()
        authorization = device.device_code(CLI_SCOPE)
        browser.approve(authorization.verification_uri_complete)
        device.poll_until_decided(authorization)
    app_id = ask(server.data, "SELECT app_id FROM api_key WHERE id = ?", key_id)[0]
    found = {"api_key_id": key_id, "key": key_id, "app_id": app_id, "app": app_id, "organization": "acme"}
    found |= {"user": furnished.ada, "username": "ada", "name": "hers", "code": "internal"}
    for names, table in (
        (("token_id", "token"), "short_term_token"),
        (("session_id", "session", "id"), "session"),
        (("device_id", "device"), "oauth_grant"),
    ):
        one = ask(server.data, f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")[0]  # noqa: S608
        found |= dict.fromkeys(names, one)
    return values_of(everything, found)


def state(stage: Stage) -> Any:
    """Return all that the database holds, wrong codes too, but for what each request writes of itself."""
    wrong = ask(stage.server.data, "SELECT coalesce(sum(count), 0) FROM wrong_guess")[0]
    return dump(stage.server.data), wrong


# Nothing is changed in the person's name


def test_no_route_changes_anything_in_the_name_of_who_an_operator_acts_as(
    stage: Stage, everything: tuple[Endpoint, ...], values: dict[str, str]
) -> None:
    cookie = stage.acting()
    changes = [one for one in everything if one.method not in {"GET", "HEAD"} and str(one) not in MAY]
    refused, before = set(), state(stage)
    with httpx.Client(base_url=stage.server.url, trust_env=False, timeout=30) as client:
        for one in changes:
            sent = {**held(cookie), "Content-Type": one.reads or "application/json"}
            body = "{}" if "json" in sent["Content-Type"] else "x=1"
            answer = client.request(one.method, one.at(values), content=body, headers=sent)
            if answer.status_code == 403 and "act as somebody else" in answer.text:
                refused.add(str(one))
                assert "no-store" in answer.headers["cache-control"]
            else:
                assert str(one) in BY_NOBODY, (str(one), answer.status_code, answer.text)
    assert state(stage) == before
    assert len(refused) > 60
    assert stage.verify(cookie).status_code == 200


def test_no_get_changes_anything_while_an_operator_acts(
    stage: Stage, everything: tuple[Endpoint, ...], values: dict[str, str]
) -> None:
    cookie = stage.acting()
    before, refused, seen = state(stage), set(), 0
    with httpx.Client(base_url=stage.server.url, trust_env=False, timeout=30) as client:
        for one in everything:
            if one.method != "GET":
                continue
            path = one.at(values)
            for address in (path, f"{path}?user_code=BCDF-GHJK&ttl=1"):
                answer = client.get(address, headers={**held(cookie), "Accept": "text/html" if one.page else "*/*"})
                assert answer.status_code < 500, (str(one), answer.text)
                seen += answer.status_code == 200
                if answer.status_code == 403 and "act as somebody else" in answer.text:
                    refused.add(str(one))
                assert state(stage) == before, str(one)
    assert refused == MORE_THAN_LOOKS.keys()
    assert seen > 40


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_what_makes_something_on_a_get_makes_nothing_under_another_name(stage: Stage, method: str) -> None:
    cookie = stage.acting()
    before = state(stage)
    for path in ("/api/auth/token", "/getServiceKeys/device?user_code=BCDF-GHJK"):
        assert httpx.request(method, stage.server.url + path, headers=held(cookie)).status_code == 403
    assert state(stage) == before


def test_a_method_that_no_route_has_is_refused_as_well(stage: Stage) -> None:
    answer = httpx.request("PROPFIND", f"{stage.server.url}/api/auth/whoami", headers=held(stage.acting()))
    assert answer.status_code == 403
    assert answer.json()["code"] == Impersonating.code


def test_the_refusal_says_who_acts_and_what_to_do(stage: Stage) -> None:
    cookie = stage.acting()
    answer = httpx.post(f"{stage.server.url}/api/apikeys", json={"title": "a"}, headers=held(cookie))
    check_refusal(answer)
    assert (answer.status_code, answer.json()["code"]) == (403, "impersonating")
    assert answer.json()["title"] == "You act as somebody else"
    assert "Stop acting" in answer.json()["detail"]


def test_the_person_themselves_may_do_what_they_always_may(stage: Stage) -> None:
    hers = stage.sign_in(ADA)
    stage.acting()
    answer = httpx.get(f"{stage.server.url}/api/auth/token", headers=held(hers))
    assert answer.status_code == 200


# It says whose hands it is in


def test_whoever_asks_is_told_who_acts_and_the_persons_own_answers_say_nothing_of_it(stage: Stage) -> None:
    hers = stage.sign_in(ADA)
    for _ in range(2):
        cookie = stage.acting()
        for _ in range(3):
            acted, own = stage.session(cookie), stage.session(hers)
            assert acted.json()["impersonatedBy"] == "root"
            assert acted.json()["username"] == own.json()["username"] == "ada"
            assert "impersonatedBy" not in own.json()
            acted, own = stage.verify(cookie), stage.verify(hers)
            assert acted.headers["x-keystead-user"] == own.headers["x-keystead-user"] == "ada"
            assert acted.headers["x-keystead-impersonator"] == "root"
            assert "x-keystead-impersonator" not in own.headers


# It ends at once


def test_it_ends_at_once_when_the_operator_operates_no_more(stage: Stage) -> None:
    cookie = stage.acting()
    assert [stage.verify(cookie).status_code for _ in range(3)] == [200] * 3
    change(stage, "UPDATE \"user\" SET platform_admin = 0 WHERE username = 'root'")
    try:
        assert stage.verify(cookie).status_code == 401
    finally:
        change(stage, "UPDATE \"user\" SET platform_admin = 1 WHERE username = 'root'")


def change(stage: Stage, statement: str) -> None:
    """Change a row by hand, and announce nothing."""
    engine.execute(stage.server.data, sqlite=[statement], postgres=[statement])


@pytest.mark.parametrize("whose", ["root", "ada"])
def test_it_ends_at_once_when_either_password_is_set_anew(stage: Stage, whose: str) -> None:
    cookie = stage.acting()
    assert stage.verify(cookie).status_code == 200
    person = ROOT if whose == "root" else ADA
    stage.server.admin("set-password", "--user", whose, "--password-stdin", stdin=person.password)
    assert stage.verify(cookie).status_code == 401


@pytest.mark.parametrize("whose", ["root", "ada"])
def test_it_ends_at_once_when_either_is_disabled(stage: Stage, whose: str) -> None:
    cookie = stage.acting()
    assert stage.verify(cookie).status_code == 200
    change(stage, f"UPDATE \"user\" SET disabled_at = 1 WHERE username = '{whose}'")  # noqa: S608 - not from outside
    try:
        assert stage.verify(cookie).status_code == 401
    finally:
        change(stage, f"UPDATE \"user\" SET disabled_at = NULL WHERE username = '{whose}'")  # noqa: S608


def test_with_two_workers_it_ends_on_both_at_the_next_request(
    furnished: Furnished, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Serving(tmp_path_factory.mktemp("workers"), furnished, "--dev", "--workers", "2", settings={}) as workers:
        root = in_process(workers.data, workers.address, add_root)
        sign_in = {"username": ROOT.username, "password": ROOT.password}
        own = httpx.post(f"{workers.address}/api/sso/password/login", json=sign_in).cookies["cloud.sso"]
        body = {"username": "ada", "reason": REASON}
        began = httpx.post(workers.address + IMPERSONATE_PATH, json=body, headers=held(own))
        acting = began.cookies["cloud.sso"]

        def checks(cookie: str) -> set[int]:
            found = (httpx.get(f"{workers.address}/verify", headers=held(cookie)) for _ in range(ROUNDS))
            return {one.status_code for one in found}

        assert (checks(acting), checks(own)) == ({200}, {401})

        async def end(services: Services) -> None:
            waiting = await services.sessions.list_everywhere(root)
            assert len(waiting) == 1
            await services.sessions.sign_out(waiting[0].id)

        in_process(workers.data, workers.address, end)
        assert checks(acting) == {401}


# Stopping and signing out


def test_stopping_gives_the_operator_a_new_session_of_their_own(stage: Stage) -> None:
    own = stage.sign_in()
    acting = stage.act(own).cookies["cloud.sso"]
    stopped = httpx.delete(stage.server.url + IMPERSONATE_PATH, headers=held(acting))
    renewed = stopped.cookies["cloud.sso"]
    assert (stopped.status_code, stopped.content) == (204, b"")
    assert stage.session(renewed).json()["username"] == "root"
    assert "impersonatedBy" not in stage.session(renewed).json()
    assert [stage.verify(one).status_code for one in (own, acting)] == [401, 401]
    assert stage.act(renewed).status_code == 204


def test_acting_makes_the_operators_browser_no_known_device_of_the_persons(stage: Stage) -> None:
    began = stage.act(stage.sign_in())
    assert list(began.cookies) == ["cloud.sso"]
    assert "Max-Age=3600" in began.headers["set-cookie"]
    assert all(guard in began.headers["set-cookie"] for guard in ("Secure", "HttpOnly", "SameSite=lax"))
    assert began.headers["cache-control"] == "no-store"


def test_signing_out_while_acting_leaves_the_browser_signed_out_and_nothing_behind(stage: Stage) -> None:
    before = sessions_of(stage)
    own = stage.sign_in()
    acting = stage.act(own).cookies["cloud.sso"]
    assert sessions_of(stage) == before + 2
    answer = httpx.post(f"{stage.server.url}/api/sso/logout", headers=held(acting))
    assert (answer.status_code, answer.json()) == (200, {})
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert [stage.verify(one).status_code for one in (own, acting)] == [401, 401]
    assert sessions_of(stage) == before


def sessions_of(stage: Stage) -> int:
    """Return how many sessions root has, in whosever name."""
    asked = "SELECT count(*) FROM session WHERE user_id = ? OR impersonator_id = ?"
    return int(ask(stage.server.data, asked, stage.root, stage.root)[0])


def test_another_sites_page_makes_no_operator_act_or_stop(stage: Stage) -> None:
    own, acting = stage.sign_in(), stage.acting()
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    body = {"username": "ada", "reason": REASON}
    began = httpx.post(stage.server.url + IMPERSONATE_PATH, json=body, headers={**held(own), **other})
    ended = httpx.delete(stage.server.url + IMPERSONATE_PATH, headers={**held(acting), **other})
    assert [(one.status_code, one.json()["code"]) for one in (began, ended)] == [(403, "cross_site")] * 2
    assert [stage.verify(one).status_code for one in (own, acting)] == [200, 200]
