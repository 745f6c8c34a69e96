"""OpenAPI is the truth: whatever is sent, the answer is one that the documents describe (promise O9).

Every check of schemathesis is on, for every operation of both documents. The two tables below are the only exceptions,
each with its reason.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest

from tests.openapi.conftest import Opened
from tests.openapi.exploration import Case, Credential, Credentials, Exploration, explore, in_turn
from tests.support.server import BOB

NO_ID = "404: an id that nobody gave names nothing"
NOT_OFFERED: Final = [(method, name) for method in ("GET", "POST") for name in ("authorize", "end_session")]
ALSO_RIGHT: Final[dict[str, tuple[list[int], str]]] = {
    "POST /service/v1/apps": ([409], "an app's name is unique in its organization"),
    "DELETE /service/v1/apps/{app_id}": ([404], NO_ID),
    "GET /service/v1/apps/{app_id}/keys": ([404], NO_ID),
    "POST /service/v1/apps/{app_id}/keys": ([404], NO_ID),
    "PATCH /service/v1/apps/{app_id}/keys/{api_key_id}": ([404], NO_ID),
    "POST /service/v1/apps/{app_id}/keys/{api_key_id}/rotate": ([404, 409], f"{NO_ID}; a key is rotated once"),
    "DELETE /service/v1/apps/{app_id}/keys/{api_key_id}": ([404], NO_ID),
    "POST /service/v1/tokens": ([409], "a sign-in makes no more than so many short-term tokens a day"),
    "DELETE /service/v1/tokens/{token_id}": ([404], NO_ID),
    "DELETE /service/v1/sessions/{session_id}": ([404], NO_ID),
    "DELETE /service/v1/devices/{device_id}": ([404], NO_ID),
    "POST /service/v1/balance/add": ([409], "an idempotency key that was used with another amount is refused"),
    "POST /getServiceKeys/device/code": ([401], "a client id that nobody gave is unknown (RFC 6749, section 5.2)"),
    "POST /api/oidc/device_authorization": ([401], "a client id that nobody gave is unknown (RFC 6749, section 5.2)"),
    "POST /api/oidc/device/lookup": ([404, 422, 429], "a code cannot be made up, and whoever tries is stopped"),
    "POST /api/oidc/device/decision": ([404, 422, 429], "the same"),
    **{f"{method} /api/oidc/{name}": ([404], "it is not offered") for method, name in NOT_OFFERED},
    "POST /api/sso/mfa/otp/verify": ([409, 422], "neither the cookie of a beginning nor a code can be made up"),
    "POST /api/sso/mfa/webauthn/verify": ([409, 422], "neither that cookie nor the answer of a passkey can be made up"),
    "DELETE /api/sso/mfa": ([404, 422], "there is nothing to remove; a schema does not say that one member is needed"),
    "DELETE /api/organizations/{organization}/users/{username}/mfa": ([404], "a name that nobody has names nobody"),
    "GET /verify": ([403], "a session and an API key have fewer scopes than there are"),
    "POST /api/sso/password/login": ([401], "a password cannot be made up"),
}
"""What ``positive_data_acceptance`` takes for an answer to a request that fits its schema, beyond 2xx."""

SECOND_FACTORS: Final = {
    *(f"POST /api/sso/mfa/{name}" for name in ("otp", "otp/verify", "webauthn", "webauthn/verify")),
    *("GET /api/sso/mfa", "DELETE /api/sso/mfa", "DELETE /api/organizations/{organization}/users/{username}/mfa"),
}
"""What a browser session alone is answered of second factors."""

EXCLUDED: Final[dict[tuple[str, str], str]] = {
    (f"POST {path}", "positive_data_acceptance"): (
        "a device code or refresh token cannot be made up, and RFC 6749, section 5.2, answers 400 to one that was"
    )
    for path in ("/getServiceKeys/token", "/api/oidc/token")
}
"""Checks that are off for one operation."""

CHECKS: Final = {
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header",
    "unsupported_method", "allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth",
    "object_level_authorization",
}  # fmt: skip
"""Every check that schemathesis has."""

pytestmark = pytest.mark.timeout(300)


def configured() -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for operation, (statuses, _) in ALSO_RIGHT.items():
        found.setdefault(operation, {})["positive_data_acceptance"] = {"expected-statuses": ["2xx", *statuses]}
    for operation, check in EXCLUDED:
        found.setdefault(operation, {})[check] = {"enabled": False}
    return [{"include-name": operation, "checks": checks} for operation, checks in found.items()]


def bearer(opened: Opened) -> Credential:
    return {"Authorization": f"Bearer {opened.token}"}


def basic(opened: Opened) -> Credential:
    return {"Authorization": f"Basic {b64encode(f'{opened.api_key}:'.encode()).decode()}"}


def cookie(opened: Opened) -> Credential:
    return {"cookie:cloud.sso": opened.session()}


def fit_to_be_shown(case: Case) -> None:
    """Give clients and devices names and platforms that can be shown: which can is Unicode's to say."""
    if not isinstance(case.body, dict):
        return
    device = case.body.get("device_name")
    if isinstance(device, str):
        case.body["device_name"] = shown(device)[:20]
    if case.operation.label != "POST /getServiceKeys/register":
        return
    name, platform = case.body.get("client_name"), case.body.get("platform")
    if isinstance(name, str):
        case.body["client_name"] = shown(name)[:20].strip() or "x"
    if isinstance(platform, dict):
        for key, value in platform.items():
            if key in {"system", "machine"} and isinstance(value, str):
                platform[key] = shown(value)


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


def shown(text: str) -> str:
    return "".join(character if character.isprintable() else "x" for character in text)


def unexplained(found: Exploration) -> str:
    return f"{len(found.failures)} failures\n\n" + "\n".join(sorted(set(found.failures)))


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
        f"{opened.server.url}/account/service/openapi.json",
        f"{opened.server.url}/account",
        Credentials({**dict.fromkeys(operations, lambda: bearer(opened)), **dict.fromkeys(own, lambda: bobs)}),
        configured(),
        of_real_keys(opened),
    )
    assert not found.failures, unexplained(found)
    assert found.checks.keys() == CHECKS
    assert found.answers.keys() == operations | own
    assert all(statuses[200] and statuses[401] for statuses in found.answers.values()), found.answers


def test_no_answer_of_the_rest_is_undocumented_whatever_is_sent(opened: Opened) -> None:
    access_token, own_session = {"Authorization": f"Bearer {opened.device().access_token}"}, cookie(opened)
    every_kind = in_turn(bearer(opened), basic(opened), cookie(opened))
    found = explore(
        f"{opened.server.url}/openapi.json",
        opened.server.url,
        Credentials(
            {
                "GET /api/auth/session": every_kind,
                "GET /verify": every_kind,
                "POST /api/sso/logout": lambda: cookie(opened),
                "POST /api/oidc/introspect": in_turn(bearer(opened), basic(opened)),
                **dict.fromkeys(("GET /api/oidc/userinfo", "POST /api/oidc/userinfo"), lambda: access_token),
                **dict.fromkeys(SECOND_FACTORS, lambda: own_session),
                "POST /api/oidc/device/lookup": lambda: own_session,
                "POST /api/oidc/device/decision": lambda: own_session,
            }
        ),
        configured(),
        fit_to_be_shown,
    )
    assert not found.failures, unexplained(found)
    assert found.checks.keys() >= CHECKS - {"use_after_free", "ensure_resource_availability"}
    refused = {"POST /getServiceKeys/token", "POST /api/oidc/token"}
    refused |= SECOND_FACTORS & ALSO_RIGHT.keys()
    refused |= {"POST /api/oidc/device/lookup", "POST /api/oidc/device/decision"}
    refused |= {f"{method} /api/oidc/{name}" for method, name in NOT_OFFERED}
    for operation, statuses in found.answers.items():
        assert operation in refused or any(200 <= status < 300 for status in statuses), f"{operation}: {statuses}"
    assert len(found.answers) == 15
