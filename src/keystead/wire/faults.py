"""How an application answers what is raised in it: each problem in the dialect of its address, no detail of ours."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from keystead.kernel.problems import (
    BodyTooLarge,
    FieldProblem,
    Internal,
    InvalidParameters,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
)
from keystead.wire.answers import PageRenderer, answer, surface_of
from keystead.wire.caller import caller_of
from keystead.wire.methods import allowed_methods


def answer_problems(app: FastAPI, page: PageRenderer) -> None:
    """Let an application answer problems, bodies that do not fit, addresses that there are not, and our own faults."""

    def told(request: Request, problem: Problem) -> Response:
        path = request.scope.get("root_path", "") + request.scope["path"].removeprefix(
            request.scope.get("root_path", "")
        )
        surface = surface_of(path, request.headers.get("accept", ""))
        found = answer(problem, surface, caller_of(request.scope).request_id, page)
        return Response(found.body, found.status, headers=dict(found.headers))

    async def refused(request: Request, problem: Problem) -> Response:
        return told(request, problem)

    async def misfit(request: Request, error: RequestValidationError) -> Response:
        fields = [_field(mistake) for mistake in error.errors()]
        return told(request, InvalidParameters(fields=fields))

    async def unrouted(request: Request, error: HTTPException) -> Response:
        return told(request, _problem_of(error, allowed_methods(app.routes, request.scope)))

    async def incident(request: Request, _: Exception) -> Response:
        request_id = caller_of(request.scope).request_id
        return told(request, Internal(f"Something went wrong on our side. Incident {request_id}."))

    handlers: dict[type[Exception], Callable[..., Any]] = {
        Problem: refused,
        RequestValidationError: misfit,
        HTTPException: unrouted,
        Exception: incident,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _problem_of(error: HTTPException, allowed: str) -> Problem:
    if error.status_code == 405:
        return MethodNotAllowed(headers={"Allow": allowed})
    if error.status_code == 413:
        return BodyTooLarge()
    return NotFound() if error.status_code == 404 else InvalidRequest()


def _field(mistake: Any) -> FieldProblem:
    """Name what is wrong without repeating what was sent: it may hold a secret."""
    location, *rest = [str(part) for part in mistake["loc"]]
    return FieldProblem(location, ".".join(rest), str(mistake["type"]), str(mistake["msg"]))
