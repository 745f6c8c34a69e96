"""What OpenAPI says of the endpoints that the gate answers itself (promise O9)."""

from typing import Any, Final

from keystead.gate.hot import OLDER_SESSION, SESSION, VERIFY
from keystead.gate.measures import CONTENT_TYPE
from keystead.gate.operations import HEALTH, HEALTH_IN_A_WORD, METRICS, READY
from keystead.kernel.problems import (
    HeadersTooLarge,
    HttpsRequired,
    InsufficientScope,
    NotFound,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
    Unavailable,
)
from keystead.wire.documented import NO_STORE, SCOPES, documented

_TEXT: Final = {"type": "string"}
_TRUTH: Final = {"type": "boolean"}
_TEXTS: Final = {"type": "array", "items": _TEXT}

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A short-term token, an access token or an API key."},
    "basic": {"type": "http", "scheme": "basic", "description": "An API key as the user name, with an empty password."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "cloud.sso", "description": "A browser session."},
}
_ANY: Final[list[dict[str, list[str]]]] = [{name: []} for name in SECURITY_SCHEMES]

AUTH_SESSION: Final[dict[str, Any]] = {
    "title": "AuthSession",
    "description": "Who the credential belongs to. An optional member without a value is absent.",
    "type": "object",
    "properties": {
        "id": _TEXT,
        "username": _TEXT,
        "safeUsername": _TEXT,
        "name": _TEXT,
        "email": _TEXT,
        "organization": _TEXT,
        "organizationDisplayName": _TEXT,
        "organizationRoles": _TEXTS,
        "organizationAdmin": _TRUTH,
        "organizationOwner": _TRUTH,
        "admin": _TRUTH,
        "billingAdmin": _TRUTH,
        "partner": _TRUTH,
        "allocationSystem": {"enum": ["flexible", "legacy"]},
        "previews": _TEXTS,
        "sidebarOptions": _TEXTS,
        "passwordUpdatedAt": {"type": "string", "format": "date-time"},
        "impersonatedBy": {"type": "string", "description": "The operator who acts as the person."},
    },
}
AUTH_SESSION["required"] = [name for name in AUTH_SESSION["properties"] if name not in {
    "organizationDisplayName", "passwordUpdatedAt", "impersonatedBy"}]  # fmt: skip

_WHO: Final = {
    "User": "The user name.",
    "Organization": "The name of the organization.",
    "Scopes": "What the credential may do, separated by spaces.",
    "Method": "What kind of credential it is.",
}
_STATUS: Final[dict[str, Any]] = {"type": "object", "properties": {"status": _TEXT}, "required": ["status"]}
_READINESS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"status": _TEXT, "checks": {"type": "object", "additionalProperties": _TEXT}},
    "required": ["status", "checks"],
}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "headers": NO_STORE, "content": {"application/json": {"schema": schema}}}


def _responses(success: dict[str, Any], *problems: Any) -> dict[str, Any]:
    return {"200": success, **{str(status): found for status, found in documented(*problems).items()}}


_REFUSALS: Final = (Unauthenticated, HttpsRequired, HeadersTooLarge, Unavailable)

_SESSION: Final[dict[str, Any]] = {
    "operationId": "session",
    "summary": "Who is this credential?",
    "tags": ["Identity"],
    "security": _ANY,
    "responses": _responses(_json("The person.", AUTH_SESSION), *_REFUSALS, TwoCredentials, RateLimited),
}

PATHS: Final[dict[str, Any]] = {
    SESSION: {"get": _SESSION},
    OLDER_SESSION: {
        "get": {
            **_SESSION,
            "operationId": "session_of_older_clients",
            "summary": "Who is this credential? Asked by older clients",
            "deprecated": True,
        }
    },
    VERIFY: {
        "get": {
            "operationId": "verify",
            "summary": "Who is behind a request? For proxies that ask before they pass it on",
            "tags": ["Identity"],
            "security": _ANY,
            "parameters": [
                {
                    "name": "scope",
                    "in": "query",
                    "required": False,
                    "description": "Scopes that the credential must have, separated by spaces. Any other query is "
                    "answered no.",
                    "schema": {"type": "string", "pattern": SCOPES},
                }
            ],
            "responses": _responses(
                {
                    "description": "A valid credential.",
                    "headers": NO_STORE
                    | {
                        f"X-Keystead-{name}": {"description": meaning, "required": True, "schema": _TEXT}
                        for name, meaning in _WHO.items()
                    }
                    | {
                        "X-Keystead-Impersonator": {
                            "description": "The user name of the operator who acts as the person, where one does.",
                            "required": False,
                            "schema": _TEXT,
                        }
                    },
                },
                *_REFUSALS,
                InsufficientScope,
            ),
        }
    },
    HEALTH: {
        "get": {
            "operationId": "healthz",
            "summary": "Is the process alive?",
            "tags": ["Operation"],
            "responses": _responses(_json("It is.", _STATUS), HeadersTooLarge),
        }
    },
    HEALTH_IN_A_WORD: {
        "get": {
            "operationId": "healthzz",
            "summary": "Is the process alive? Answered in a word",
            "tags": ["Operation"],
            "responses": _responses(_json("It is.", {"type": "string", "const": "ok"}), HeadersTooLarge),
        }
    },
    READY: {
        "get": {
            "operationId": "readyz",
            "summary": "Can this node answer?",
            "tags": ["Operation"],
            "responses": {
                **_responses(_json("It can.", _READINESS), HeadersTooLarge),
                "503": _json("It cannot; the checks say why.", _READINESS),
            },
        }
    },
    METRICS: {
        "get": {
            "operationId": "metrics",
            "summary": "What does this node count? For the networks that the setting metrics_networks names",
            "tags": ["Operation"],
            "responses": _responses(
                {
                    "description": "The counters, in Prometheus's text format.",
                    "headers": NO_STORE,
                    "content": {CONTENT_TYPE: {"schema": _TEXT}},
                },
                NotFound,
                HeadersTooLarge,
            ),
        }
    },
}
