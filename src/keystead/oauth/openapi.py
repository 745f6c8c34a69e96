"""What OpenAPI says of the OAuth endpoints, which FastAPI does not see (promise O9)."""

from collections.abc import Sequence
from typing import Any, Final

from keystead.kernel.problems import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidClient,
    InvalidClientMetadata,
    InvalidGrant,
    InvalidScope,
    Problem,
    RateLimited,
    SlowDown,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedMediaType,
)
from keystead.oauth.client_ids import LONGEST_NAME, LONGEST_SENT
from keystead.oauth.polls import LONGEST_HOLD
from keystead.oauth.service import DEVICE_CODE as DEVICE_GRANT
from keystead.oauth.surfaces import DEVICE_CODE, REGISTER, REVOKE, TOKEN
from keystead.wire.documented import ANYWHERE, NO_STORE, REFUSAL_HEADERS, SCOPES_OR_NONE
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
_COMMON: Final[tuple[type[Problem], ...]] = (*ANYWHERE, UnsupportedMediaType, RateLimited)


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


def _form(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the schema of a form: no parameter comes twice, and one that is not listed is ignored (RFC 6749, 3.1)."""
    return _object(required, optional, additionalProperties=_SENT, **more)


def _operation(
    name: str, summary: str, media: str, body: dict[str, Any], success: tuple[int, dict[str, Any] | None],
    *problems: type[Problem], parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    status, answer = success
    done: dict[str, Any] = {"description": "Done.", "headers": NO_STORE}
    if answer is not None:
        done["content"] = {"application/json": {"schema": answer}}
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "tags": ["Device sign-in"],
            "requestBody": {"required": True, "content": {media: {"schema": body}}},
            "responses": {str(status): done, **_refusals(*_COMMON, *problems)},
        }
    }


def _refusals(*problems: type[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for problem in problems:
        response = found.setdefault(str(problem.status), {"description": ""})
        response["description"] = f"{response['description']} {problem.title} (`{problem.oauth_error}`).".strip()
        response["headers"] = NO_STORE | REFUSAL_HEADERS.get(problem.status, {})
        response["content"] = {"application/json": {"schema": _ERROR}}
    return found


_SENT: Final = {"type": "string", "pattern": "^[^\\u0000]*$"}
_NOT_EMPTY: Final = {"minLength": 1}
_SCOPE: Final = {"type": "string", "pattern": SCOPES_OR_NONE, "description": "Scopes, separated by spaces."}
_NAME: Final = {
    "type": "string",
    "minLength": 1,
    "description": f"What people see when they decide: 1 to {LONGEST_NAME} characters that can be shown, counted after "
    "normalization (Unicode NFC) and without spaces around and between that are too many.",
    "examples": ["acme-cli"],
}
_MACHINE: Final = {"type": "string", "maxLength": LONGEST_SENT, "description": "Shown to people as well."}
_PLATFORM: Final = {
    "type": ["object", "null"],
    "description": "What the client runs on. Other members are ignored.",
    "properties": {"system": _MACHINE, "machine": _MACHINE},
    "examples": [{"system": "Linux", "machine": "x86_64"}],
}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "With a device code: `wait=N` lets the server hold the poll of a sign-in that nobody has decided "
    f"for up to N seconds, at most {LONGEST_HOLD}, instead of as long as it usually does (RFC 7240, section 4.3). A "
    "server that is set to hold no polls passes it over, as it does whatever else stands here.",
    "schema": {"type": "string"},
    "examples": {"wait": {"value": f"wait={LONGEST_HOLD}"}},
}
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
        _object({"client_name": _NAME}, {"platform": _PLATFORM}),
        (201, _REGISTRATION),
        InvalidClientMetadata,
    ),
    DEVICE_CODE: _operation(
        "device_code",
        "Start a device sign-in (RFC 8628, section 3.1)",
        FORM,
        _form({"client_id": _SENT | _NOT_EMPTY}, {"scope": _SCOPE}),
        (200, _CODES),
        InvalidScope,
        UnauthorizedClient,
        InvalidClient,
    ),
    TOKEN: _operation(
        "token",
        "Exchange a device code or a refresh token for tokens (RFC 6749, section 3.2)",
        FORM,
        _form(
            {"grant_type": {"enum": [DEVICE_GRANT, "refresh_token"]}},
            {
                "client_id": _SENT | {"description": "Needed with a device code."},
                "device_code": _SENT | {"description": "Needed with the device code grant."},
                "refresh_token": _SENT | {"description": "Needed with the refresh token grant."},
                "scope": _SCOPE | {"description": "With a refresh token: fewer scopes than were granted."},
            },
        ),
        (200, _TOKENS),
        InvalidGrant,
        InvalidScope,
        UnsupportedGrantType,
        AuthorizationPending,
        SlowDown,
        AccessDenied,
        ExpiredToken,
        InvalidClient,
        parameters=[_PREFER],
    ),
    REVOKE: _operation(
        "revoke",
        "Sign out: revoke a refresh token and the grant behind it (RFC 7009)",
        FORM,
        _form(
            {},
            {
                "refresh_token": _SENT,
                "token": _SENT | {"description": "The same under the name that RFC 7009 gives it."},
            },
            anyOf=[_object({"refresh_token": _NOT_EMPTY}), _object({"token": _NOT_EMPTY})],
        ),
        (200, None),
    ),
}
