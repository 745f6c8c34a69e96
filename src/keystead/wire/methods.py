"""Which methods an address knows, for the Allow header of a 405 (RFC 9110, section 15.5.6)."""

from collections.abc import Iterable
from typing import Final

from starlette.routing import BaseRoute, Match

from keystead.wire.asgi import Scope

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> str:
    """Return every method that some route knows for the path in ``scope``.

    Starlette names those of the first route alone, which is too few where each method has a route of its own.
    """
    known = list(routes)
    return ", ".join(
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in known)
    )
