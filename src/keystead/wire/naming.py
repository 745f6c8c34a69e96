"""Routes that say which one they are, so that the log and the metrics name a request by its template."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Route

from keystead.wire.asgi import Scope


class NamedRoute(Route):
    """A route of Starlette's that is found as ``scope["route"]``, as FastAPI's own are."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return what Starlette finds, and the route itself."""
        match, found = super().matches(scope)
        if match is not Match.NONE:
            found["route"] = self
        return match, found


def named(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Return the routes, each of which is found as ``scope["route"]``."""
    return [_named(route) for route in routes]


def _named(route: BaseRoute) -> BaseRoute:
    if type(route) is not Route:  # what is of another kind looks after itself
        return route
    return NamedRoute(route.path, route.endpoint, methods=route.methods, include_in_schema=route.include_in_schema)
