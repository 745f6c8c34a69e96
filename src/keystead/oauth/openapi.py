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
from keystead.oauth.surfaces import (
    DEVICE_AUTHORIZATION,
    DEVICE_CODE,
    OPENID_REVOKE,
    OPENID_SCOPES,
    OPENID_TOKEN,
    REGISTER,
    REVOKE,
    TOKEN,
)
from keystead.wire.documented import ANYWHERE, NO_STORE, PROBLEM_SCHEMA, REFUSAL_HEADERS, SCOPES_OR_NONE
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
_OPENID_ERROR: Final[dict[str, Any]] = {
    **PROBLEM_SCHEMA,
    "title": "OpenIdError",
    "description": "What was wrong, as OAuth tells it (RFC 6749, section 5.2) and as a problem (RFC 9457) in one body.",
    "properties": {**PROBLEM_SCHEMA["properties"], **_ERROR["properties"]},
    "required": [*PROBLEM_SCHEMA["required"], "error_description"],
}
_COMMON: Final[tuple[type[Problem], ...]] = (*ANYWHERE, UnsupportedMediaType, RateLimited)


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


def _form(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the schema of a form: no parameter comes twice, and one that is not listed is ignored (RFC 6749, 3.1)."""
    return _object(required, optional, additionalProperties=_SENT, **more)


def _operation(
    name: str, summary: str, media: str, body: dict[str, Any], success: tuple[int, dict[str, Any] | None],
    *problems: type[Problem], parameters: Sequence[dict[str, Any]] = (), error: dict[str, Any] = _ERROR,
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
            "parameters": list(parameters),
            "requestBody": {"required": True, "content": {media: {"schema": body}}},
            "responses": {str(status): done, **_refusals(*_COMMON, *problems, error=error)},
        }
    }


def openid_refusals(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of an OAuth endpoint of the ACTIVATE API that answers these problems."""
    return {int(status): told for status, told in _refusals(*problems, error=_OPENID_ERROR).items()}


def _refusals(*problems: type[Problem], error: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for problem in problems:
        response = found.setdefault(str(problem.status), {"description": ""})
        response["description"] = f"{response['description']} {problem.title} (`{problem.oauth_error}`).".strip()
        response["headers"] = NO_STORE | REFUSAL_HEADERS.get(problem.status, {})
        response["content"] = {"application/json": {"schema": error}}
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
_DEVICE_NAME: Final = _SENT | {
    "description": f"What the machine is called: at most {LONGEST_NAME} characters that can be shown, normalized as a "
    "client's name is. People see it beside the client's name.",
    "examples": ["ada's laptop"],
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

_TOKEN_REFUSALS: Final[tuple[type[Problem], ...]] = (
    InvalidGrant, InvalidScope, UnsupportedGrantType, AuthorizationPending, SlowDown, AccessDenied, ExpiredToken,
    InvalidClient,
)  # fmt: skip


def _token_form(scope: dict[str, Any]) -> dict[str, Any]:
    return _form(
        {"grant_type": {"enum": [DEVICE_GRANT, "refresh_token"]}},
        {
            "client_id": _SENT | {"description": "Needed with a device code."},
            "device_code": _SENT | {"description": "Needed with the device code grant."},
            "refresh_token": _SENT | {"description": "Needed with the refresh token grant."},
            "scope": scope | {"description": "With a refresh token: fewer scopes than were granted."},
        },
    )


_OPENID_SCOPE: Final = {
    "type": "string",
    "pattern": SCOPES_OR_NONE.replace("(keys:read", f"({'|'.join(sorted(OPENID_SCOPES))}|keys:read"),
    "description": "Scopes, separated by spaces. Every sign-in gives openid, profile, email and offline_access, asked "
    "for or not; groups gives nothing.",
}
_OPENID_TOKENS: Final = _object(
    {
        "access_token": _TEXT | {"description": "An opaque token. It ends at once when the sign-in does."},
        "token_type": {"type": "string", "const": "Bearer"},
        "expires_in": _SECONDS,
        "refresh_token": _TEXT,
        "scope": _TEXT,
    },
    {"id_token": _TEXT | {"description": "Who signed in, with a device code only (OpenID Connect Core 1.0)."}},
)
INTROSPECT_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": _form(
                    {"token": _SENT | _NOT_EMPTY},
                    {"token_type_hint": _SENT | {"description": "Not needed: a token says by itself what it is."}},
                )
            }
        },
    }
}
"""The body that POST /api/oidc/introspect reads."""

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
        _form({"client_id": _SENT | _NOT_EMPTY}, {"scope": _SCOPE, "device_name": _DEVICE_NAME}),
        (200, _CODES),
        InvalidScope,
        UnauthorizedClient,
        InvalidClient,
    ),
    TOKEN: _operation(
        "token",
        "Exchange a device code or a refresh token for tokens (RFC 6749, section 3.2)",
        FORM,
        _token_form(_SCOPE),
        (200, _TOKENS),
        *_TOKEN_REFUSALS,
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
    DEVICE_AUTHORIZATION: _operation(
        "device_authorization",
        "Start a device sign-in (RFC 8628, section 3.1)",
        FORM,
        _form({"client_id": _SENT | _NOT_EMPTY}, {"scope": _OPENID_SCOPE, "device_name": _DEVICE_NAME}),
        (200, _CODES),
        InvalidScope,
        UnauthorizedClient,
        InvalidClient,
        error=_OPENID_ERROR,
    ),
    OPENID_TOKEN: _operation(
        "openid_token",
        "Exchange a device code or a refresh token for tokens (RFC 6749, section 3.2)",
        FORM,
        _token_form(_OPENID_SCOPE),
        (200, _OPENID_TOKENS),
        *_TOKEN_REFUSALS,
        parameters=[_PREFER],
        error=_OPENID_ERROR,
    ),
    OPENID_REVOKE: _operation(
        "openid_revoke",
        "Sign out: revoke a refresh token or an opaque access token, and the grant behind it (RFC 7009)",
        FORM,
        _form(
            {"token": _SENT | _NOT_EMPTY},
            {"token_type_hint": _SENT | {"description": "Not needed: a token says by itself what it is."}},
        ),
        (200, {"type": "object", "maxProperties": 0}),
        error=_OPENID_ERROR,
    ),
}
