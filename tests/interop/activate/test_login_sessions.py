"""Where somebody is signed in, told to themselves and to who leads, and ended by them (promise V1)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from parallelworks_client.api.authentication import get_whoami
from parallelworks_client.api.login_sessions import list_user_login_sessions as listing
from parallelworks_client.api.login_sessions import revoke_user_login_session as ending_one
from parallelworks_client.api.login_sessions import revoke_user_login_sessions as ending_all
from parallelworks_client.models.login_session_response import LoginSessionResponse
from parallelworks_client.models.login_session_response_client import LoginSessionResponseClient
from parallelworks_client.models.revoke_login_session_option import RevokeLoginSessionOption
from parallelworks_client.types import UNSET

from keystead.kernel.ids import new_id
from tests.interop.activate import sdk
from tests.interop.activate.conftest import ROOT
from tests.interop.activate.crowd import Signed, device, join, key_with, pw_cli, refreshed, signed_in
from tests.interop.activate.sdk import Sdk
from tests.openapi.documents import fetch, operations
from tests.support.server import ADA, BOB, KeysteadServer, Person

MONTH = timedelta(days=30)


class Crowd(NamedTuple):
    """Alan is an admin of acme, olga owns it as well, ben and cyd are members; eve owns evil."""

    alan: Person
    olga: Person
    ben: Person
    cyd: Person
    eve: Person


@pytest.fixture(scope="module")
def crowd(server: KeysteadServer) -> Crowd:
    server.admin("create-org", "--name", "evil")
    return Crowd(
        alan=join(server, "alan", "admin"),
        olga=join(server, "olga", "owner"),
        ben=join(server, "ben"),
        cyd=join(server, "cyd"),
        eve=join(server, "eve", "owner", "evil"),
    )


@pytest.fixture
def alan(server: KeysteadServer, crowd: Crowd) -> Iterator[Sdk]:
    with signed_in(server, crowd.alan) as (one,):
        yield one


def listed(client: Sdk, user: str, organization: str = "acme") -> list[LoginSessionResponse]:
    found: list[LoginSessionResponse] = sdk.good(listing, client, organization, user)
    assert {type(one) for one in found} <= {LoginSessionResponse}
    return found


def is_in(client: Sdk) -> bool:
    return bool(get_whoami.sync_detailed(client=client).status_code == 200)


def refreshed_at_oidc(server: KeysteadServer, held: Signed) -> int:
    form = {"grant_type": "refresh_token", "client_id": "pw-cli", "refresh_token": held.tokens.refresh_token}
    return httpx.post(f"{server.url}/api/oidc/token", data=form, trust_env=False).status_code


# Seeing


def test_everybody_sees_their_own_sessions_oldest_first_with_addresses_and_which_one_asks(
    server: KeysteadServer,
) -> None:
    ann = join(server, "ann")
    with signed_in(server, ann, ann, ann) as clients:
        seen = [listed(one, "ann") for one in clients]
    assert [len(one) for one in seen] == [3, 3, 3]
    assert len({tuple(each.id for each in one) for one in seen}) == 1
    assert [[each.current for each in one] for one in seen] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    for one in seen[0]:
        assert one.ip_address == "127.0.0.1"
        assert isinstance(one.user_agent, str)
        assert one.user_agent.startswith("python-httpx")
        assert (one.client, one.device_name) == (UNSET, UNSET)
        assert isinstance(one.expires_at, datetime)
        assert isinstance(one.last_used_at, datetime)
        assert one.created_at <= one.last_used_at < one.expires_at < one.created_at + MONTH


def test_ones_own_devices_are_in_another_list(server: KeysteadServer, crowd: Crowd) -> None:
    device(server, crowd.cyd)
    with signed_in(server, crowd.cyd) as (cyd,):
        assert [one.current for one in listed(cyd, "cyd")] == [True]
        assert [one.device_name for one in listed(cyd, "CYD")] == [UNSET]


def test_a_token_and_a_key_that_may_do_so_see_sessions_of_which_none_is_theirs(
    server: KeysteadServer, ada: Sdk, adas_token: str, adas_key: str
) -> None:
    key = key_with(server, ADA.username, "sessions:read")
    token, keyed = sdk.with_token(server.url, adas_token), sdk.with_key(server.url, key)
    powerless = sdk.with_key(server.url, adas_key)
    with sdk.closing(token, keyed, powerless):
        assert [any(one.current for one in listed(client, "ada")) for client in (ada, token, keyed)] == [
            True,
            False,
            False,
        ]
        assert sdk.bad(listing, powerless, 403, "acme", "ada").code == "insufficient_scope"


def test_who_leads_sees_everybodys_sessions_and_devices_and_nobodys_address(
    server: KeysteadServer, crowd: Crowd, alan: Sdk, ada: Sdk, root: Sdk
) -> None:
    dee = join(server, "dee")
    device(server, dee, "lathe")
    with signed_in(server, dee):
        for client in (alan, ada, root):
            held, browser = listed(client, "dee")
            assert (held.device_name, held.client, held.user_agent) == ("lathe on Linux x86_64", UNSET, UNSET)
            assert (browser.device_name, browser.client) == (UNSET, UNSET)
            assert browser.user_agent != UNSET
            assert [one.ip_address for one in (held, browser)] == [UNSET, UNSET]
            assert [one.current for one in (held, browser)] == [False, False]
            assert held.created_at <= browser.created_at
            assert isinstance(held.expires_at, datetime)
    assert [one.ip_address for one in listed(alan, "ada")] == [UNSET] * len(listed(ada, "ada"))


def test_a_device_of_the_pw_command_line_is_marked_and_its_tokens_end_with_it_at_once(
    server: KeysteadServer, alan: Sdk
) -> None:
    leo = join(server, "leo")
    held = [pw_cli(server, leo, name) for name in ("leo's laptop", "leo's desk")]
    clients = [sdk.with_token(server.url, one.tokens.access_token) for one in held]
    with sdk.closing(*clients):
        assert [is_in(one) for one in clients] == [True, True]
        seen = listed(alan, "leo")
        assert [(one.device_name, one.client) for one in seen] == [
            ("leo's laptop", LoginSessionResponseClient.PW_CLI),
            ("leo's desk", LoginSessionResponseClient.PW_CLI),
        ]
        sdk.good(ending_one, alan, "acme", "leo", seen[0].id)
        assert [is_in(one) for one in clients] == [False, True]
        sdk.good(ending_all, alan, "acme", "leo")
        assert [is_in(one) for one in clients] == [False, False]
    assert [refreshed_at_oidc(server, one) for one in held] == [400, 400]


def test_an_operator_sees_everybody_of_every_organization(server: KeysteadServer, crowd: Crowd, root: Sdk) -> None:
    with signed_in(server, crowd.eve) as (eve,):
        found = listed(root, "eve", "evil")
        assert [one.id for one in found] == [one.id for one in listed(eve, "eve", "evil")]
    assert {one.ip_address for one in found} == {UNSET}
    assert [one.current for one in listed(root, "root", "operators")][-1]


def test_a_member_sees_nobody_else_whether_or_not_there_is_such_a_person(bob: Sdk, crowd: Crowd) -> None:
    for somebody in ("ada", "ben", "nobody", "eve"):
        for refused in (
            sdk.bad(listing, bob, 403, "acme", somebody),
            sdk.bad(ending_all, bob, 403, "acme", somebody),
            sdk.bad(ending_one, bob, 403, "acme", somebody, new_id()),
        ):
            assert refused.code == "forbidden"


def test_who_does_not_belong_to_the_organization_looks_like_nobody(
    server: KeysteadServer, alan: Sdk, root: Sdk, crowd: Crowd
) -> None:
    for client in (alan, root):
        for name in ("nobody", "eve", "a\x00b", "é", "x" * 3_000):
            told = (
                sdk.bad(listing, client, 404, "acme", name),
                sdk.bad(ending_all, client, 404, "acme", name),
                sdk.bad(ending_one, client, 404, "acme", name, new_id()),
            )
            assert {(one.code, one.message) for one in told} == {
                ("not_found", "There is no such person in this organization, or the credential is for another one.")
            }
        assert sdk.bad(listing, client, 404, "acme", "a/b").code == "not_found"


def test_another_organization_is_out_of_reach_of_everybody_but_operators(
    server: KeysteadServer, ada: Sdk, root: Sdk, crowd: Crowd
) -> None:
    with signed_in(server, crowd.eve) as (eve,):
        kept = listed(eve, "eve", "evil")[-1]
        for organization in ("evil", "operators", "no-such-organization", "a\x00b"):
            for user in ("eve", "ada"):
                assert sdk.bad(listing, ada, 404, organization, user).code == "not_found"
                assert sdk.bad(ending_all, ada, 404, organization, user).code == "not_found"
                assert sdk.bad(ending_one, ada, 404, organization, user, kept.id).code == "not_found"
        assert sdk.bad(listing, root, 404, "no-such-organization", "eve").code == "not_found"
        assert is_in(eve)


# Ending


def test_ending_ones_own_sessions_leaves_the_one_that_asks_and_ones_devices(
    server: KeysteadServer, crowd: Crowd
) -> None:
    fay = join(server, "fay")
    held = device(server, fay)
    with signed_in(server, fay, fay, fay) as (first, second, third):
        assert [is_in(one) for one in (first, second, third)] == [True, True, True]
        sdk.good(ending_all, second, "acme", "fay")
        assert [is_in(one) for one in (first, second, third)] == [False, True, False]
        assert [one.current for one in listed(second, "fay")] == [True]
    assert refreshed(server, held) == "ok"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gus", UNSET),
        ("gil", RevokeLoginSessionOption(include_resources=None)),
        ("guy", RevokeLoginSessionOption(include_resources=True)),
        ("gina", RevokeLoginSessionOption(include_resources=False)),
    ],
)
def test_whoever_leads_signs_a_member_out_of_every_browser_and_device(
    server: KeysteadServer, alan: Sdk, name: str, body: Any
) -> None:
    member = join(server, name)
    held = [device(server, member), device(server, member)]
    with signed_in(server, member, member) as browsers:
        assert all(map(is_in, browsers))
        sdk.good(ending_all, alan, "acme", name, body=body)
        assert not any(map(is_in, browsers))
    assert [refreshed(server, one) for one in held] == ["invalid_grant", "invalid_grant"]
    assert listed(alan, name) == []
    assert is_in(alan)


def test_an_admin_signs_no_owner_out_and_an_owner_and_an_operator_do(
    server: KeysteadServer, crowd: Crowd, alan: Sdk, ada: Sdk, root: Sdk
) -> None:
    held = device(server, crowd.olga)
    with signed_in(server, crowd.olga, crowd.olga) as (first, second):
        grant, one, _ = listed(alan, "olga")
        assert sdk.bad(ending_all, alan, 403, "acme", "olga").code == "forbidden"
        for sign_in in (grant, one):
            assert sdk.bad(ending_one, alan, 403, "acme", "olga", sign_in.id).code == "forbidden"
        assert (is_in(first), is_in(second), refreshed(server, held)) == (True, True, "ok")
        sdk.good(ending_one, ada, "acme", "olga", one.id)
        assert (is_in(first), is_in(second)) == (False, True)
        sdk.good(ending_all, root, "acme", "olga")
        assert (is_in(second), refreshed(server, held)) == (False, "invalid_grant")


def test_one_session_and_one_device_are_ended_and_the_others_stay(server: KeysteadServer, alan: Sdk) -> None:
    hal = join(server, "hal")
    doomed, other = device(server, hal), device(server, hal)
    with signed_in(server, hal, hal) as (first, second):
        a_device, _, a_session, _ = listed(alan, "hal")
        for one in (a_device, a_session):
            sdk.good(ending_one, alan, "acme", "hal", one.id)
            assert sdk.bad(ending_one, alan, 404, "acme", "hal", one.id).code == "not_found"
        assert (is_in(first), is_in(second)) == (False, True)
    assert (refreshed(server, doomed), refreshed(server, other)) == ("invalid_grant", "ok")


def test_everybody_ends_one_session_of_their_own_one_device_and_the_session_that_asks(
    server: KeysteadServer, alan: Sdk
) -> None:
    ivy = join(server, "ivy")
    held = device(server, ivy)
    with signed_in(server, ivy, ivy) as (first, second):
        a_device, _, _ = listed(alan, "ivy")
        older, asking = listed(second, "ivy")
        assert (older.current, asking.current) == (False, True)
        sdk.good(ending_one, second, "acme", "ivy", older.id)
        assert (is_in(first), is_in(second)) == (False, True)
        sdk.good(ending_one, second, "acme", "ivy", a_device.id)
        assert refreshed(server, held) == "invalid_grant"
        sdk.good(ending_one, second, "acme", "ivy", asking.id)
        assert not is_in(second)


def test_an_id_that_is_somebody_elses_or_nobodys_is_404_and_ends_nothing(
    server: KeysteadServer, crowd: Crowd, alan: Sdk, ada: Sdk
) -> None:
    with signed_in(server, crowd.ben) as (ben,):
        adas = listed(ada, "ada")[-1].id
        bens = listed(ben, "ben")[-1].id
        for client, user, wrong in ((ben, "ben", adas), (alan, "cyd", bens), (alan, "ben", adas)):
            for sign_in in (wrong, new_id(), "x", "a\x00b", bens.upper()):
                assert sdk.bad(ending_one, client, 404, "acme", user, sign_in).code == "not_found"
        assert is_in(ada)
        assert is_in(ben)


def test_sessions_are_ended_by_a_session_and_by_no_other_credential(
    server: KeysteadServer, adas_key: str, adas_token: str, nobody: Sdk
) -> None:
    others = (sdk.with_key(server.url, adas_key), sdk.with_token(server.url, adas_token))
    with sdk.closing(*others):
        for client in others:
            assert sdk.bad(ending_all, client, 403, "acme", "ada").code == "credential_not_allowed"
            assert sdk.bad(ending_one, client, 403, "acme", "ada", new_id()).code == "credential_not_allowed"
    assert sdk.bad(listing, nobody, 401, "acme", "ada").code == "unauthenticated"


def test_a_body_that_does_not_fit_is_refused_and_ends_nothing(server: KeysteadServer) -> None:
    with signed_in(server, BOB, BOB) as (bob, other):
        body = RevokeLoginSessionOption.from_dict({"includeResources": "all of them"})
        refused = sdk.bad(ending_all, bob, 422, "acme", "bob", body=body)
        assert refused.code == "invalid_parameters"
        cookie = bob.get_httpx_client().headers["cookie"]
        for content, media, status in ((b"{", "application/json", 400), (b"{}", "text/plain", 415)):
            answer = httpx.request(
                "DELETE",
                f"{server.url}/api/organizations/acme/users/bob/login-sessions",
                content=content,
                headers={"Cookie": cookie, "Content-Type": media},
                trust_env=False,
            )
            assert answer.status_code == status
        assert is_in(other)


def test_a_page_of_another_site_ends_nothing(server: KeysteadServer) -> None:
    with signed_in(server, BOB, BOB) as (bob, other):
        http = bob.get_httpx_client()
        strange = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}
        address = "/api/organizations/acme/users/bob/login-sessions"
        answers = [http.request("DELETE", path, headers=strange) for path in (address, f"{address}/{new_id()}")]
        assert [answer.json()["code"] for answer in answers] == ["cross_site", "cross_site"]
        assert is_in(other)


def test_an_operator_ends_their_own_sessions_as_everybody_does(server: KeysteadServer, root: Sdk) -> None:
    with signed_in(server, ROOT) as (other,):
        assert len(listed(root, "root", "operators")) >= 2
        sdk.good(ending_all, other, "operators", "root")
        assert [one.current for one in listed(other, "root", "operators")] == [True]
        assert not is_in(root)


def test_what_is_answered_is_what_the_document_describes(server: KeysteadServer, alan: Sdk) -> None:
    mia = join(server, "mia")
    device(server, mia)
    pw_cli(server, mia, "mia's laptop")
    with signed_in(server, mia) as (browser,), httpx.Client(base_url=server.url, trust_env=False) as http:
        documented = {one.label: one for one in operations(fetch(http))}
        its = "/api/organizations/acme/users/mia/login-sessions"
        for label, client, path, most in (
            ("GET /api/organizations/{organization}/users/{user}/login-sessions", browser, its, 1),
            ("GET /api/organizations/{organization}/users/{user}/login-sessions", alan, its, 3),
            ("GET /api/oidc/connected-apps", browser, "/api/oidc/connected-apps", 2),
        ):
            answer = client.get_httpx_client().get(path)
            found = answer.json()
            assert len(found if isinstance(found, list) else found["apps"]) == most
            assert documented[label].undocumented(answer) == ""
