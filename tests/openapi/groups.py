"""The operations of the document at /openapi.json, in the groups in which they are explored."""

from typing import Final

from tests.openapi.exceptions import CONNECTED, LIFE, MEMBER, NOT_OFFERED, PLATFORM, POLICIES

OAUTH: Final = {
    "POST /getServiceKeys/register", "POST /getServiceKeys/device/code", "POST /getServiceKeys/token",
    "POST /getServiceKeys/token/revoke", "POST /api/oidc/device_authorization", "POST /api/oidc/token",
    "POST /api/oidc/revoke", "POST /api/oidc/introspect", "GET /api/oidc/userinfo", "POST /api/oidc/userinfo",
    "POST /api/oidc/device/lookup", "POST /api/oidc/device/decision",
    *(f"{method} /api/oidc/{name}" for method, name in NOT_OFFERED),
}  # fmt: skip
IDENTITY: Final = {
    "GET /api/auth/session", "GET /api/v2/auth/session", "GET /verify", "GET /api/auth/whoami",
    "GET /api/auth/whoami/organization", "GET /api/ping",
}  # fmt: skip
FOR_EVERYBODY: Final = {
    "GET /healthz", "GET /healthzz", "GET /readyz", "GET /metrics", "GET /.well-known/revocations",
    "GET /.well-known/jwks.json", "GET /api/platform/keys", "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/openid-configuration", "GET /api/oidc/.well-known/openid-configuration",
}  # fmt: skip
OWN_KEYS: Final = {"GET /api/apikeys", "POST /api/apikeys", "DELETE /api/apikeys/{name}", "GET /api/auth/token"}
SIGN_INS: Final = {
    f"GET {MEMBER}/login-sessions", f"DELETE {MEMBER}/login-sessions",
    f"DELETE {MEMBER}/login-sessions/{{session_id}}",
    f"GET {CONNECTED}", f"DELETE {CONNECTED}/{{client_id}}", f"DELETE {CONNECTED}/{{client_id}}/devices/{{device_id}}",
}  # fmt: skip
SIGNING_IN: Final = {
    "POST /api/sso/password/login", "POST /api/sso/logout", "POST /api/sso/mfa/login",
    "POST /api/sso/mfa/webauthn/authenticate", "POST /api/sso/impersonate", "DELETE /api/sso/impersonate",
}  # fmt: skip
SECOND_FACTORS: Final = {
    *(f"POST /api/sso/mfa/{name}" for name in ("otp", "otp/verify", "webauthn", "webauthn/verify")),
    *("GET /api/sso/mfa", "DELETE /api/sso/mfa", "DELETE /api/organizations/{organization}/users/{username}/mfa"),
}
PASSWORDS: Final = {
    "PATCH /api/sso/password", "POST /api/sso/password/reset", "POST /api/sso/password/reset/verify",
    f"PUT {MEMBER}/password",
}  # fmt: skip
OF_ORGANIZATION: Final = {
    f"GET {POLICIES}", f"POST {POLICIES}/{LIFE}", f"DELETE {POLICIES}/{LIFE}",
    f"POST {POLICIES}/{{name}}", f"DELETE {POLICIES}/{{name}}",
}  # fmt: skip
OF_PLATFORM: Final = {
    f"GET {PLATFORM}", f"POST {PLATFORM}/{LIFE}", f"DELETE {PLATFORM}/{LIFE}",
    f"POST {PLATFORM}/{{name}}", f"DELETE {PLATFORM}/{{name}}",
}  # fmt: skip

GROUPS: Final = (
    OAUTH, IDENTITY, FOR_EVERYBODY, OWN_KEYS, SIGN_INS, SIGNING_IN, SECOND_FACTORS, PASSWORDS, OF_ORGANIZATION,
    OF_PLATFORM,
)  # fmt: skip
"""Every group. A test holds them against the document, and each is explored by a test of its own."""
