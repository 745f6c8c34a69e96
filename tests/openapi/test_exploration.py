"""OpenAPI is the truth: whatever is sent, the answer is one that the documents describe (promise O9).

Every check of schemathesis is on, for every operation of both documents. The tables in exceptions.py are the only
exceptions, each with its reason.
"""

from collections.abc import Callable
from itertools import chain

import httpx
import pytest

from tests.openapi.callers import (
    basic,
    bearer,
    by,
    cookie,
    explore_group,
    fit_to_be_shown,
    never_done,
    unexplained,
)
from tests.openapi.conftest import Opened
from tests.openapi.documents import fetch
from tests.openapi.exceptions import ALSO_RIGHT, CHECKS, EXCLUDED, REFUSED, configured
from tests.openapi.exploration import Case, Credentials, explore, in_turn
from tests.openapi.groups import FOR_EVERYBODY, GROUPS, IDENTITY, OAUTH
from tests.support.server import BOB

CHAINED = {"use_after_free", "ensure_resource_availability"}
"""The checks for which something must be made and named in the document that makes it."""

pytestmark = pytest.mark.timeout(300)


def of_real_keys(opened: Opened) -> Callable[[Case], None]:
    """Return what lets the first rotations that fit be those of keys that are there: no answer leads to them."""
    http = httpx.Client(base_url=f"{opened.server.url}/account/service/v1", headers=bearer(opened))
    app_id = http.post("/apps", json={"app_name": "rotating"}).json()["app_id"]
    keys = [http.post(f"/apps/{app_id}/keys", json={"api_key_name": "old"}).json()["api_key_id"] for _ in range(20)]
    http.close()

    def mend(case: Case) -> None:
        if case.operation.label.endswith("/rotate") and keys:
            case.path_parameters = {"app_id": app_id, "api_key_id": keys.pop()}

    return mend


def test_every_operation_is_in_a_group_that_is_explored(opened: Opened) -> None:
    documents = fetch(opened.http)
    there = {
        f"{method.upper()} {path}" for path, item in documents["/openapi.json"]["paths"].items() for method in item
    }
    assert sorted(chain(*GROUPS)) == sorted(there)
    account = documents["/account/service/openapi.json"]["paths"]
    everything = there | {f"{method.upper()} {path}" for path, item in account.items() for method in item}
    assert (ALSO_RIGHT.keys() | REFUSED | {operation for operation, _ in EXCLUDED}) <= everything


def test_no_answer_of_the_account_api_is_undocumented_whatever_is_sent(opened: Opened) -> None:
    a_key = "/service/v1/apps/{app_id}/keys/{api_key_id}"
    operations = {
        "GET /service/v1/apps", "POST /service/v1/apps", "DELETE /service/v1/apps/{app_id}",
        "GET /service/v1/apps/{app_id}/keys", "POST /service/v1/apps/{app_id}/keys", "GET /service/v1/keys",
        f"PATCH {a_key}", f"POST {a_key}/rotate", f"DELETE {a_key}",
        "GET /service/v1/balance", "POST /service/v1/balance/add",
    }  # fmt: skip
    # What concerns nobody but oneself is explored by bob, with an access token: it outlives what is ended meanwhile,
    # and makes short-term tokens. Ada's devices are ended with her short-term token, so that his stays.
    own = {"GET /service/v1/tokens", "POST /service/v1/tokens", "DELETE /service/v1/tokens/{token_id}"}
    own |= {"GET /service/v1/sessions", "DELETE /service/v1/sessions/{session_id}"}
    operations |= {"GET /service/v1/devices", "DELETE /service/v1/devices/{device_id}"}
    bobs = {"Authorization": f"Bearer {opened.device(BOB).access_token}"}
    opened.device()
    found = explore(
        fetch(opened.http)["/account/service/openapi.json"],
        f"{opened.server.url}/account",
        Credentials({**dict.fromkeys(operations, lambda: bearer(opened)), **dict.fromkeys(own, lambda: bobs)}),
        configured(),
        of_real_keys(opened),
    )
    assert not found.failures, unexplained(found)
    assert found.checks.keys() == CHECKS
    assert found.answers.keys() == operations | own
    assert all(statuses[200] and statuses[401] for statuses in found.answers.values()), found.answers


def test_no_answer_of_device_sign_in_and_openid_is_undocumented_whatever_is_sent(opened: Opened) -> None:
    access_token, own_session = {"Authorization": f"Bearer {opened.device().access_token}"}, cookie(opened)
    called = {
        "POST /api/oidc/introspect": in_turn(bearer(opened), basic(opened)),
        **by(access_token, ("GET /api/oidc/userinfo", "POST /api/oidc/userinfo")),
        **by(own_session, ("POST /api/oidc/device/lookup", "POST /api/oidc/device/decision")),
    }
    found = explore_group(opened, OAUTH, called, fit_to_be_shown)
    assert not found.failures, unexplained(found)
    assert found.checks.keys() >= CHECKS - CHAINED
    assert found.answers.keys() == OAUTH
    assert not never_done(found)


def test_no_answer_to_who_asks_who_they_are_is_undocumented_whatever_is_sent(opened: Opened) -> None:
    every_kind = in_turn(bearer(opened), basic(opened), cookie(opened))
    found = explore_group(opened, IDENTITY, dict.fromkeys(IDENTITY, every_kind))
    assert not found.failures, unexplained(found)
    assert found.checks.keys() >= CHECKS - CHAINED
    assert found.answers.keys() == IDENTITY
    assert not never_done(found)


def test_no_answer_that_is_for_everybody_is_undocumented_whatever_is_sent(opened: Opened) -> None:
    found = explore_group(opened, FOR_EVERYBODY, {})
    assert not found.failures, unexplained(found)
    assert found.answers.keys() == FOR_EVERYBODY
    assert not never_done(found)
