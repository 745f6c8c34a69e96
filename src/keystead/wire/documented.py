"""What OpenAPI says of problems, so that every status that an endpoint answers is documented (promise O9)."""

from collections.abc import Mapping
from typing import Any, Final

from keystead.kernel.problems import (
    BodyTooLarge,
    HeadersTooLarge,
    HttpsRequired,
    InvalidRequest,
    Problem,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from keystead.kernel.scopes import Scope

_ONE_SCOPE: Final = f"({'|'.join(Scope)})"
SCOPES_OR_NONE: Final = f"^ *({_ONE_SCOPE} +)*{_ONE_SCOPE}?$"
"""What a list of scopes may be (RFC 6749, section 3.3); an empty one counts as none (section 3.1)."""
SCOPES: Final = f"^ *{_ONE_SCOPE}( +{_ONE_SCOPE})* *$"
"""The same where there must be one at least."""

NO_STORE: Final[dict[str, Any]] = {
    "Cache-Control": {
        "description": "The answer carries a secret, or says who somebody is: it is kept nowhere.",
        "required": True,
        "schema": {"type": "string", "const": "no-store"},
    }
}
_SECONDS: Final = {
    "Retry-After": {
        "description": "In how many seconds to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
REFUSAL_HEADERS: Final[Mapping[int, dict[str, Any]]] = {
    Unauthenticated.status: {
        "WWW-Authenticate": {
            "description": "How to authenticate (RFC 9110, section 11.6.1).",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    RateLimited.status: _SECONDS,
    Unavailable.status: _SECONDS,
}
"""What a refusal says in its headers, by its status, on every surface."""

ANYWHERE: Final[tuple[type[Problem], ...]] = (
    InvalidRequest, HttpsRequired, BodyTooLarge, HeadersTooLarge, Unavailable,
)  # fmt: skip
"""What the gate and the database may answer before any route is asked."""

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What was wrong and what to do next (RFC 9457), with the members of the older envelope.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "The address of the problem's documentation."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "code": {"type": "string", "description": "The problem's name for programs; it never changes."},
        "error": {"type": "boolean", "const": True},
        "message": {"type": "string", "description": "The same as detail."},
        "errors": {
            "type": "array",
            "description": "What is wrong with each value.",
            "items": {
                "type": "object",
                "properties": {
                    "code": {"type": "string"},
                    "type": {"type": "string"},
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "A JSON pointer into the body."},
                    "in": {"type": "string"},
                    "parameter": {"type": "string"},
                },
                "required": ["code", "type", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "error", "message"],
}


def documented(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of an endpoint that answers these problems as ``application/problem+json``."""
    found: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        response = found.setdefault(problem.status, {"description": ""})
        response["description"] = f"{response['description']} {problem.title}.".strip()
        response["content"] = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
        if problem.status in REFUSAL_HEADERS:
            response["headers"] = REFUSAL_HEADERS[problem.status]
    return found
