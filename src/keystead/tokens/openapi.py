"""What OpenAPI says of the list of revoked tokens, which FastAPI does not see (promise O9)."""

from typing import Any, Final

from keystead.kernel.problems import RateLimited
from keystead.wire.documented import ANYWHERE, documented

REVOCATIONS: Final = "/.well-known/revocations"
JWT: Final = "application/jwt"
LONGEST_WAIT: Final = 25
USUAL_WAIT: Final = 20

_NO_STORE: Final[dict[str, Any]] = {
    "Cache-Control": {
        "description": "Each answer is another step: it is kept nowhere.",
        "required": True,
        "schema": {"type": "string", "const": "no-store"},
    }
}
_AFTER: Final[dict[str, Any]] = {
    "name": "after",
    "in": "query",
    "required": False,
    "description": "The claim `next` of the last answer. Without it, or with one that is too old or unknown, the whole "
    "list is told.",
    "schema": {"type": "string", "pattern": "^[^\\u0000]*$"},
}
_WAIT: Final[dict[str, Any]] = {
    "name": "wait",
    "in": "query",
    "required": False,
    "description": "For how many seconds to hold the request while there is nothing new; 0 answers at once, "
    "and an empty one counts as none.",
    "schema": {
        "anyOf": [{"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT}, {"const": ""}],
        "default": USUAL_WAIT,
    },
}
_PREFER: Final[dict[str, Any]] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=N` says the same (RFC 7240, section 4.3). Other preferences are ignored.",
    "schema": {"type": "string"},
}

PATHS: Final[dict[str, Any]] = {
    REVOCATIONS: {
        "get": {
            "operationId": "revocations",
            "summary": "The short-term tokens that were taken back, signed, for those who verify tokens offline",
            "tags": ["Keys"],
            "parameters": [_AFTER, _WAIT, _PREFER],
            "responses": {
                "200": {
                    "description": "A compact JWS of the type `revocations+jwt`, signed with a published key. Its "
                    "claims are `iss`, `iat`, `exp`, `after`, `full`, `revoked` (pairs of `jti` and `exp`), `more` and "
                    "`next`; docs/offline-verification.md says what to do with them.",
                    "headers": _NO_STORE,
                    "content": {JWT: {}},  # a text of its own kind, which no JSON schema describes
                },
                **{str(status): found for status, found in documented(*ANYWHERE, RateLimited).items()},
            },
        }
    }
}
