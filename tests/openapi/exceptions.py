"""What an exploration takes for right beyond what holds of every operation, each with its reason."""

from typing import Any, Final

NO_ID: Final = "404: an id that nobody gave names nothing"
NO_NAME: Final = "404: nobody is called so, and no organization that is in reach"
NO_CODE: Final = "neither the cookie of a beginning nor a code can be made up"
OPERATORS: Final = "403: it is for operators"
NOT_OFFERED: Final = [(method, name) for method in ("GET", "POST") for name in ("authorize", "end_session")]
MEMBER: Final = "/api/organizations/{organization}/users/{user}"
POLICIES: Final = "/api/organizations/{organization}/policies"
PLATFORM: Final = "/api/platform/policies"
LIFE: Final = "max-api-key-ttl"
CONNECTED: Final = "/api/oidc/connected-apps"

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
    f"DELETE {CONNECTED}/{{client_id}}": ([404], NO_ID),
    f"DELETE {CONNECTED}/{{client_id}}/devices/{{device_id}}": ([404], NO_ID),
    "POST /api/apikeys": ([409], "a title is unique among a person's keys"),
    "DELETE /api/apikeys/{name}": ([404], "no key has a made-up title"),
    "GET /api/auth/token": ([409], "a sign-in makes no more than so many short-term tokens a day"),
    f"GET {MEMBER}/login-sessions": ([404], NO_NAME),
    f"DELETE {MEMBER}/login-sessions": ([404], NO_NAME),
    f"DELETE {MEMBER}/login-sessions/{{session_id}}": ([404], f"{NO_NAME}, and {NO_ID}"),
    "POST /api/sso/mfa/otp/verify": ([409, 422], NO_CODE),
    "POST /api/sso/mfa/webauthn/verify": ([409, 422], "neither that cookie nor the answer of a passkey can be made up"),
    "DELETE /api/sso/mfa": ([404, 422], "there is nothing to remove; a schema does not say that one member is needed"),
    "DELETE /api/organizations/{organization}/users/{username}/mfa": ([404], NO_NAME),
    "GET /verify": ([403], "a session and an API key have fewer scopes than there are"),
    "POST /api/sso/password/login": ([401], "a password cannot be made up"),
    "POST /api/sso/mfa/login": ([401], NO_CODE),
    "POST /api/sso/mfa/webauthn/authenticate": ([404], "who is signed in has no passkey"),
    "PATCH /api/sso/password": ([422, 429], "the present password cannot be made up, and whoever tries is stopped"),
    "POST /api/sso/password/reset/verify": ([422], "the token of a letter cannot be made up"),
    f"PUT {MEMBER}/password": ([404], NO_NAME),
    "POST /api/sso/impersonate": ([404], "nobody has a made-up name"),
    "DELETE /api/sso/impersonate": ([409], "a session that acts as nobody has nothing to stop"),
    f"GET {POLICIES}": ([404], NO_NAME),
    f"POST {POLICIES}/{LIFE}": ([404], NO_NAME),
    f"DELETE {POLICIES}/{LIFE}": ([404], NO_NAME),
    f"POST {POLICIES}/{{name}}": ([403, 404], f"{NO_NAME}; 403: who asks others for more signs in with that first"),
    f"DELETE {POLICIES}/{{name}}": ([404], NO_NAME),
    f"POST {PLATFORM}/{{name}}": ([403], "who asks others for a second factor or a passkey signs in with it first"),
}
"""What ``positive_data_acceptance`` takes for an answer to a request that fits its schema, beyond 2xx."""

REFUSED: Final = {
    "POST /getServiceKeys/token", "POST /api/oidc/token",
    "POST /api/oidc/device/lookup", "POST /api/oidc/device/decision",
    *(f"{method} /api/oidc/{name}" for method, name in NOT_OFFERED),
    "POST /api/sso/mfa/otp/verify", "POST /api/sso/mfa/webauthn/verify", "DELETE /api/sso/mfa",
    "POST /api/sso/password/login", "POST /api/sso/mfa/login", "POST /api/sso/mfa/webauthn/authenticate",
    "PATCH /api/sso/password", "POST /api/sso/password/reset/verify",
}  # fmt: skip
"""What made-up values never get right: no answer is a 2xx."""

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


def configured() -> list[dict[str, Any]]:
    """Return both tables as schemathesis reads them."""
    found: dict[str, dict[str, Any]] = {}
    for operation, (statuses, _) in ALSO_RIGHT.items():
        found.setdefault(operation, {})["positive_data_acceptance"] = {"expected-statuses": ["2xx", *statuses]}
    for operation, check in EXCLUDED:
        found.setdefault(operation, {})[check] = {"enabled": False}
    return [{"include-name": operation, "checks": checks} for operation, checks in found.items()]
