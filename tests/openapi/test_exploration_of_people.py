"""The same for what people do over the ACTIVATE API: their keys, sign-ins, second factors, passwords and policies.

What an operation ends is never the credential that explores another one: carol is who suffers, and root, an operator,
is who may do it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.openapi.callers import (
    bearer,
    by,
    cookie,
    explore_group,
    fit_to_be_shown,
    in_real_places,
    never_done,
    unexplained,
    with_good_passwords,
    with_plain_seconds,
)
from tests.openapi.conftest import BOUNDLESS, CAROL, ROOT, Opened, open_acme
from tests.openapi.exceptions import CONNECTED, MEMBER, POLICIES
from tests.openapi.exploration import Case, Credential, in_turn
from tests.openapi.groups import (
    OF_ORGANIZATION,
    OF_PLATFORM,
    OWN_KEYS,
    PASSWORDS,
    SECOND_FACTORS,
    SIGN_INS,
    SIGNING_IN,
)
from tests.support.server import BOB

OFTEN = 20
"""How many of the requests to places that have names are to one that is there."""
ACME = {"organization": "acme"}
CAROLS = {**ACME, "user": CAROL.username}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def crowd(opened: Opened) -> Opened:
    """Give the server with carol and root in it."""
    opened.add(CAROL)
    opened.add_root()
    return opened


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Opened]:
    """Give a server of its own to what changes how everybody signs in."""
    with open_acme(tmp_path, BOUNDLESS) as opened:
        opened.add_root()
        yield opened


def test_no_answer_about_own_keys_and_tokens_is_undocumented_whatever_is_sent(opened: Opened) -> None:
    session = cookie(opened, BOB)
    bobs = {"Authorization": f"Bearer {opened.server.admin('create-token', '--user', BOB.username)}"}
    own = {"Cookie": f"cloud.sso={session['cookie:cloud.sso']}"}
    keys = [opened.http.post("/api/apikeys", json={}, headers=own).json()["id"] for _ in range(5)]
    called = {
        **by(session, ("POST /api/apikeys", "GET /api/auth/token")),
        **dict.fromkeys(("GET /api/apikeys", "DELETE /api/apikeys/{name}"), in_turn(session, bobs)),
    }
    real = in_real_places({"DELETE /api/apikeys/{name}": [{"name": key} for key in keys]})

    def mend(case: Case) -> None:
        real(case)
        with_plain_seconds(case)

    found = explore_group(opened, OWN_KEYS, called, mend)
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == OWN_KEYS
    assert not never_done(found)


def test_no_answer_about_sign_ins_is_undocumented_whatever_is_sent(crowd: Opened) -> None:
    session, roots = cookie(crowd), cookie(crowd, ROOT)
    for client_id in ("parallel-cli", "parallel-cli", ""):
        crowd.device(client_id=client_id)
    apps = crowd.http.get(CONNECTED, headers=bearer(crowd)).json()["apps"]
    devices = {app["clientId"]: [device["id"] for device in app["devices"]] for app in apps}
    kept = devices.pop("parallel-cli")
    for _ in range(3):
        crowd.session(BOB)
    bobs = crowd.http.get(f"/api/organizations/acme/users/{BOB.username}/login-sessions", headers=bearer(crowd)).json()
    all_of, one_of = f"DELETE {MEMBER}/login-sessions", f"DELETE {MEMBER}/login-sessions/{{session_id}}"
    app, device = f"DELETE {CONNECTED}/{{client_id}}", f"DELETE {CONNECTED}/{{client_id}}/devices/{{device_id}}"
    places = {
        f"GET {MEMBER}/login-sessions": [CAROLS] * OFTEN,
        all_of: [CAROLS] * OFTEN,
        one_of: [{**ACME, "user": BOB.username, "session_id": one["id"]} for one in bobs],
        app: [{"client_id": client_id} for client_id in devices],
        device: [{"client_id": "parallel-cli", "device_id": one} for one in kept],
    }
    either = in_turn(bearer(crowd), session)
    called = {
        **dict.fromkeys((f"GET {MEMBER}/login-sessions", f"GET {CONNECTED}", app, device), either),
        **by(roots, (all_of, one_of)),
    }
    found = explore_group(crowd, SIGN_INS, called, in_real_places(places))
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == SIGN_INS
    assert not never_done(found)


def acting(opened: Opened) -> Iterator[Credential]:
    """Yield sessions in which root acts as carol, and then, for ever, one in which root acts as nobody."""
    for _ in range(5):
        own = {"Cookie": f"cloud.sso={opened.session(ROOT)}"}
        body = {"username": CAROL.username, "reason": "to see what carol sees"}
        begun = opened.http.post("/api/sso/impersonate", json=body, headers=own).raise_for_status()
        yield {"cookie:cloud.sso": begun.headers["set-cookie"].partition("=")[2].partition(";")[0]}
    idle = cookie(opened, ROOT)
    while True:
        yield idle


def as_carol(times: int) -> Callable[[Case], None]:
    """Return what lets the first requests that fit name carol, and every reason one that can be shown."""
    waiting = [CAROL.username] * times

    def mend(case: Case) -> None:
        fit_to_be_shown(case)
        if case.operation.label == "POST /api/sso/impersonate" and isinstance(case.body, dict) and waiting:
            case.body["username"] = waiting.pop()

    return mend


def test_no_answer_to_who_signs_in_and_out_is_undocumented_whatever_is_sent(crowd: Opened) -> None:
    session, in_her_name = cookie(crowd), acting(crowd)
    called = {
        "POST /api/sso/logout": lambda: cookie(crowd),
        "POST /api/sso/mfa/webauthn/authenticate": lambda: session,
        "POST /api/sso/impersonate": lambda: cookie(crowd, ROOT),
        "DELETE /api/sso/impersonate": lambda: next(in_her_name),
    }
    found = explore_group(crowd, SIGNING_IN, called, as_carol(OFTEN))
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == SIGNING_IN
    assert not never_done(found)


def test_no_answer_about_second_factors_is_undocumented_whatever_is_sent(crowd: Opened) -> None:
    of_member = "DELETE /api/organizations/{organization}/users/{username}/mfa"
    places = {of_member: [{**ACME, "username": CAROL.username}] * OFTEN}
    found = explore_group(crowd, SECOND_FACTORS, by(cookie(crowd), SECOND_FACTORS), in_real_places(places))
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == SECOND_FACTORS
    assert not never_done(found)


def test_no_answer_about_passwords_is_undocumented_whatever_is_sent(apart: Opened) -> None:
    apart.add(CAROL)
    to_carol = in_real_places({f"PUT {MEMBER}/password": [CAROLS] * OFTEN})

    def mend(case: Case) -> None:
        to_carol(case)
        with_good_passwords(case)

    called = {"PATCH /api/sso/password": cookie(apart, BOB), f"PUT {MEMBER}/password": cookie(apart)}
    credentials = {operation: (lambda own=own: own) for operation, own in called.items()}
    found = explore_group(apart, PASSWORDS, credentials, mend)
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == PASSWORDS
    assert not never_done(found)


def test_no_answer_about_the_policies_of_an_organization_is_undocumented_whatever_is_sent(apart: Opened) -> None:
    flags = [{**ACME, "name": name} for name in ("enforce-mfa", "disable-password-login", "disable-device-login")]
    places = {
        **{operation: [ACME] * OFTEN for operation in OF_ORGANIZATION if "{name}" not in operation},
        f"POST {POLICIES}/{{name}}": flags * 7,
        f"DELETE {POLICIES}/{{name}}": flags * 7,
    }
    session = cookie(apart)
    called = {**by(session, OF_ORGANIZATION), f"GET {POLICIES}": in_turn(session, bearer(apart))}
    found = explore_group(apart, OF_ORGANIZATION, called, in_real_places(places))
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == OF_ORGANIZATION
    assert not never_done(found)


def test_no_answer_about_the_policies_of_the_platform_is_undocumented_whatever_is_sent(apart: Opened) -> None:
    found = explore_group(apart, OF_PLATFORM, by(cookie(apart, ROOT), OF_PLATFORM))
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == OF_PLATFORM
    assert not never_done(found)
