"""Every address of the server, read from its wiring, so that a new one joins the tests by itself."""

import inspect
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from keystead.app import build_application
from keystead.gate.hot import OLDER_SESSION, SESSION, VERIFY
from keystead.gate.operations import PATHS
from keystead.kernel.clock import SystemClock
from keystead.kernel.ids import new_id
from keystead.kernel.settings import Settings
from keystead.services import open_services
from keystead.wire.forms import FORM

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method at an address. ``reads`` is the media type of its body, empty when it has none.

    ``members`` are the names of the body's members or fields; ``guarded`` says that a route asks for a permission;
    ``page`` says that it is a page for people, which is in no OpenAPI document.
    """

    method: str
    path: str
    reads: str = ""
    members: tuple[str, ...] = ()
    guarded: bool = False
    page: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters."""
        return re.findall(r"{(\w+)}", self.path)

    def at(self, values: Mapping[str, str]) -> str:
        """Return the path with these values for its parameters."""
        return re.sub(r"{(\w+)}", lambda match: values[match[1]], self.path)


_FIELD: Final = re.compile(r"""form(?:\.get\(|\[)"(\w+)\"""")
_PAGES: Final = "keystead.web."


def values_of(everything: Iterable[Endpoint], known: Mapping[str, str]) -> dict[str, str]:
    """Return a value for each parameter of a path: one that is known, or the id of nothing."""
    return {**{name: new_id() for one in everything for name in one.parameters}, **known}


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
        direct = [Endpoint(method.upper(), path) for path in gate._direct for method in paths[path]]
        hot = (SESSION, OLDER_SESSION, VERIFY)
        own = [Endpoint("GET", path, guarded=path in hot) for path in (*hot, *sorted(PATHS))]
        return tuple(_described(one, documents) for one in (*_walk(inner.routes, ""), *direct, *own))
    finally:
        services.close()


def _walk(routes: Iterable[BaseRoute], prefix: str) -> Iterator[Endpoint]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _walk(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            guarded = isinstance(route, APIRoute) and _asks_for_permission(route.dependant)
            page = is_page(route)
            for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
                members = _fields_of(route.endpoint) if page and method == "POST" else ()
                yield Endpoint(method, prefix + route.path_format, FORM if members else "", members, guarded, page)
        else:  # FastAPI keeps the routers that were included as they are
            yield from _walk(route.original_router.routes, prefix)  # type: ignore[attr-defined]


def is_page(route: Route) -> bool:
    """Tell whether a route leads to a page, or to what pages are made of."""
    return str(route.endpoint.__module__).startswith(_PAGES)


@cache
def _fields_of(handler: Callable[..., Any]) -> tuple[str, ...]:
    """Return the fields of a page's form, which no document describes: those that its module reads."""
    found = _FIELD.findall(inspect.getsource(inspect.getmodule(handler) or handler))
    return tuple(sorted({"form_token", *found}))


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


def _described(one: Endpoint, documents: list[tuple[str, dict[str, Any]]]) -> Endpoint:
    for prefix, document in documents:
        operation = document["paths"].get(one.path.removeprefix(prefix), {}).get(one.method.lower())
        if operation is not None and one.path.startswith(prefix):
            content = operation.get("requestBody", {}).get("content", {})
            for media, said in content.items():
                return replace(one, reads=media, members=tuple(_schema(said["schema"], document).get("properties", ())))
    return one


def _schema(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema
