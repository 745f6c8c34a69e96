"""Which methods an address knows, for the Allow header of a 405 (RFC 9110, section 15.5.6)."""

from collections.abc import Iterable
from typing import Final

from starlette.routing import BaseRoute, Match

from keystead.wire.asgi import Scope

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> str:
    """Return every method that some route knows for the path in ``scope``.

    Starlette names those of the first route alone, which is too few where each method has a route of its own. What
    answers GET answers HEAD: the gate passes it on as GET.
    """
    known = list(routes)
    asked = {**{method: method for method in _METHODS}, "HEAD": "GET"}
    return ", ".join(
        method
        for method, passed_on in asked.items()
        if any(route.matches({**scope, "method": passed_on})[0] is Match.FULL for route in known)
    )
