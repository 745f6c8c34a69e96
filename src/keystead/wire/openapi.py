"""What the Account API's OpenAPI says of refusals, in FastAPI's shapes.

A refusal is ``{"detail": "a sentence"}``; a request whose values do not fit is FastAPI's ``HTTPValidationError``, which
FastAPI documents by itself. ``documented`` does the same for the surfaces that speak RFC 9457.
"""

from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field

from keystead.kernel.problems import (
    CredentialNotAllowed,
    Forbidden,
    InsufficientScope,
    Problem,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
)
from keystead.wire.documented import ANYWHERE, REFUSAL_HEADERS

Responses = dict[int | str, dict[str, Any]]


class Refusal(BaseModel):
    """A refusal of the Account API."""

    detail: str = Field(description="A sentence for a person: what was wrong and what to do next.")


def refusals(*problems: type[Problem]) -> Responses:
    """Return the ``responses`` of an endpoint that answers these problems beyond ``ERROR_RESPONSES``."""
    return _responses(*_ANY, *problems)


def _responses(*problems: type[Problem]) -> Responses:
    found: Responses = {}
    for problem in problems:
        phrase = f"{HTTPStatus(problem.status).phrase}."
        response = found.setdefault(problem.status, {"model": Refusal, "description": phrase})
        response["description"] += f" {problem.title}."
        if problem.status in REFUSAL_HEADERS:
            response["headers"] = REFUSAL_HEADERS[problem.status]
    return found


_ANY: Final[tuple[type[Problem], ...]] = (
    *ANYWHERE, TwoCredentials, Unauthenticated, CredentialNotAllowed, InsufficientScope, Forbidden, RateLimited,
)  # fmt: skip
ERROR_RESPONSES: Final[Responses] = _responses(*_ANY)
"""What any endpoint of the Account API may answer, besides the 422 that FastAPI adds where it reads something."""
