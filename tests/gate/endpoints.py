"""Every address of the server, read from its wiring, so that a new one joins the tests by itself."""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from keystead.app import build_application, open_services
from keystead.gate.hot import SESSION, VERIFY
from keystead.gate.operations import PATHS
from keystead.kernel.clock import SystemClock
from keystead.kernel.settings import Settings
from keystead.wire.forms import FORM

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method at an address. ``reads`` is the media type of its body, empty when it has none.

    ``members`` are the names of the body's members or fields; ``guarded`` says that a route asks for a permission.
    """

    method: str
    path: str
    reads: str = ""
    members: tuple[str, ...] = ()
    guarded: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters."""
        return re.findall(r"{(\w+)}", self.path)

    def at(self, values: Mapping[str, str]) -> str:
        """Return the path with these values for its parameters."""
        return re.sub(r"{(\w+)}", lambda match: values[match[1]], self.path)


_PAGE_FIELDS: Final = {
    "/sign-in": ("username", "password", "next"),
    "/sign-out": ("form_token",),
    "/getServiceKeys/device": ("form_token", "user_code", "organization", "decision"),
}
"""The fields of the pages' forms, which no OpenAPI document describes."""


@cache
def endpoints(furnished: Path, scratch: Path) -> tuple[Endpoint, ...]:
    """Return every endpoint of a server over a copy, in ``scratch``, of the furnished data."""
    shutil.copytree(furnished, scratch)
    services = open_services(scratch, Settings(public_url="https://auth.example.com"), SystemClock())
    try:
        gate = build_application(services, dev=True).asgi
        inner: Any = gate._inner
        documents = list(_documents(inner))
        paths = documents[0][1]["paths"]
        direct = [(method.upper(), path, False) for path in gate._direct for method in paths[path]]
        found = [*_walk(inner.routes, ""), *direct]
        found += [("GET", path, path in {SESSION, VERIFY}) for path in (SESSION, VERIFY, *sorted(PATHS))]
        return tuple(_described(method, path, guarded, documents) for method, path, guarded in found)
    finally:
        services.close()


def _walk(routes: Iterable[BaseRoute], prefix: str) -> Iterator[tuple[str, str, bool]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _walk(route.routes, prefix + route.path)
        elif isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield method, prefix + route.path, _asks_for_permission(route.dependant)
        elif isinstance(route, Route):
            yield "GET", prefix + route.path, False
        else:  # FastAPI keeps the routers that were included as they are
            yield from _walk(route.original_router.routes, prefix)  # type: ignore[attr-defined]


def _asks_for_permission(dependant: Dependant) -> bool:
    return any(
        getattr(one.call, "__module__", "") == "keystead.wire.access" or _asks_for_permission(one)
        for one in dependant.dependencies
    )


def _documents(inner: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", inner.openapi()
    for route in inner.routes:
        if isinstance(route, Mount):
            yield route.path, route.app.openapi()  # type: ignore[attr-defined]


def _described(method: str, path: str, guarded: bool, documents: list[tuple[str, dict[str, Any]]]) -> Endpoint:
    for prefix, document in documents:
        operation = document["paths"].get(path.removeprefix(prefix), {}).get(method.lower())
        if operation is not None and path.startswith(prefix):
            content = operation.get("requestBody", {}).get("content", {})
            for media, said in content.items():
                return Endpoint(method, path, media, tuple(_schema(said["schema"], document)["properties"]), guarded)
            return Endpoint(method, path, guarded=guarded)
    if method == "POST":
        return Endpoint(method, path, FORM, _PAGE_FIELDS[path], guarded)
    return Endpoint(method, path, guarded=guarded)


def _schema(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema
