"""What the Account API's OpenAPI says of refusals, in FastAPI's shapes.

A refusal is ``{"detail": "a sentence"}``; a request whose values do not fit is FastAPI's ``HTTPValidationError``, which
FastAPI documents by itself. ``documented`` does the same for the surfaces that speak RFC 9457.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field

from keystead.kernel.problems import (
    BodyTooLarge,
    Forbidden,
    HeadersTooLarge,
    InvalidRequest,
    Problem,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

Responses = dict[int | str, dict[str, Any]]


class Refusal(BaseModel):
    """A refusal of the Account API."""

    detail: str = Field(description="A sentence for a person: what was wrong and what to do next.")


_SECONDS: Final = {
    "Retry-After": {
        "description": "In how many seconds to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_HEADERS: Final[Mapping[int, dict[str, Any]]] = {
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


def refusals(*problems: type[Problem]) -> Responses:
    """Return the ``responses`` of an endpoint that answers these problems beyond ``ERROR_RESPONSES``."""
    return {**ERROR_RESPONSES, **{problem.status: _response(problem) for problem in problems}}


def _response(problem: type[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": Refusal, "description": f"{HTTPStatus(problem.status).phrase}. {problem.title}."}
    if problem.status in _HEADERS:
        found["headers"] = _HEADERS[problem.status]
    return found


ERROR_RESPONSES: Final[Responses] = {
    problem.status: _response(problem)
    for problem in (
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        BodyTooLarge,
        RateLimited,
        HeadersTooLarge,
        Unavailable,
    )
}
"""What any endpoint of the Account API may answer, besides the 422 that FastAPI adds where it reads something."""
