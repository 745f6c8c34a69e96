"""What OpenAPI says of the OAuth endpoints, which FastAPI does not see (promise O9)."""

from typing import Any, Final

from keystead.kernel.problems import (
    BodyTooLarge,
    HeadersTooLarge,
    HttpsRequired,
    InvalidClient,
    InvalidRequest,
    Problem,
    RateLimited,
    Unavailable,
    UnsupportedMediaType,
)
from keystead.oauth.client_ids import LONGEST_NAME
from keystead.oauth.routes import DEVICE_CODE, REGISTER, REVOKE, TOKEN
from keystead.wire.forms import FORM

_TEXT: Final = {"type": "string"}
_SECONDS: Final = {"type": "integer", "minimum": 0, "description": "Seconds."}
_ERROR: Final[dict[str, Any]] = {
    "title": "OAuthError",
    "description": "What was wrong (RFC 6749, section 5.2; RFC 8628, section 3.5).",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "The name of the error for programs."},
        "error_description": {"type": "string", "description": "A sentence for a person."},
        "message": {"type": "string", "description": "The same as error_description."},
    },
    "required": ["error", "error_description", "message"],
    "additionalProperties": False,
}
_COMMON: Final[tuple[type[Problem], ...]] = (
    InvalidRequest, HttpsRequired, BodyTooLarge, UnsupportedMediaType, RateLimited, HeadersTooLarge, Unavailable,
)  # fmt: skip


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


def _operation(
    name: str, summary: str, media: str, body: dict[str, Any], success: tuple[int, dict[str, Any] | None],
    *problems: type[Problem],
) -> dict[str, Any]:  # fmt: skip
    status, answer = success
    found: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        found["content"] = {"application/json": {"schema": answer}}
    responses: dict[str, Any] = {str(status): found}
    for problem in (*_COMMON, *problems):
        known = responses.get(str(problem.status), {"description": ""})["description"]
        responses[str(problem.status)] = {
            "description": f"{known} {problem.title}.".strip(),
            "content": {"application/json": {"schema": _ERROR}},
        }
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "tags": ["Device sign-in"],
            "requestBody": {"required": True, "content": {media: {"schema": body}}},
            "responses": responses,
        }
    }


_NAME: Final = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": "^[A-Za-z0-9._-]+$"}
_CODES: Final = _object(
    {
        "device_code": _TEXT,
        "user_code": {"type": "string", "pattern": "^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$"},
        "verification_uri": {"type": "string", "format": "uri"},
        "verification_uri_complete": {"type": "string", "format": "uri"},
        "expires_in": _SECONDS,
        "interval": _SECONDS,
    }
)
_TOKENS: Final = _object(
    {
        "access_token": _TEXT,
        "token_type": {"type": "string", "const": "Bearer"},
        "expires_in": _SECONDS,
        "refresh_token": _TEXT,
        "refresh_token_expires_in": _SECONDS,
        "authorization_expires_in": _SECONDS,
        "scope": _TEXT,
        "org_id": _TEXT,
        "org_name": _TEXT,
    }
)
_REGISTRATION: Final = _object(
    {
        "client_id": _TEXT,
        "client_name": _TEXT,
        "platform": {"type": "object", "additionalProperties": _TEXT},
        "grant_types": {"type": "array", "items": _TEXT},
        "response_types": {"type": "array", "items": _TEXT},
        "token_endpoint_auth_method": _TEXT,
    }
)

PATHS: Final[dict[str, Any]] = {
    REGISTER: _operation(
        "register",
        "Register a client (RFC 7591)",
        "application/json",
        _object({"client_name": _NAME}, {"platform": {"type": "object", "additionalProperties": _TEXT}}),
        (201, _REGISTRATION),
    ),
    DEVICE_CODE: _operation(
        "device_code",
        "Start a device sign-in (RFC 8628, section 3.1)",
        FORM,
        _object({"client_id": _TEXT}, {"scope": _TEXT}),
        (200, _CODES),
        InvalidClient,
    ),
    TOKEN: _operation(
        "token",
        "Exchange a device code or a refresh token for tokens (RFC 6749, section 3.2)",
        FORM,
        _object(
            {"grant_type": {"enum": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]}},
            {"client_id": _TEXT, "device_code": _TEXT, "refresh_token": _TEXT, "scope": _TEXT},
        ),
        (200, _TOKENS),
        InvalidClient,
    ),
    REVOKE: _operation(
        "revoke",
        "Sign out: revoke a refresh token and the grant behind it (RFC 7009)",
        FORM,
        _object({"refresh_token": _TEXT}),
        (200, None),
    ),
}
