"""What OpenAPI says of problems, so that every status that an endpoint answers is documented (promise O9)."""

from typing import Any, Final

from keystead.kernel.problems import Problem

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
        known = found.get(problem.status)
        found[problem.status] = {
            "description": f"{problem.title}." if known is None else f"{known['description']} {problem.title}.",
            "content": {"application/problem+json": {"schema": PROBLEM_SCHEMA}},
        }
    return found
