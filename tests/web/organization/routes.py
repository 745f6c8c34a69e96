"""Every route of the pages under a path, found in the application, so that a new one is tried without being named."""

from collections.abc import Iterator
from typing import Any

from starlette.routing import Route

from tests.account.nodes import Node
from tests.web.settings.visiting import Visit

NO_IDS = ("x", "0", "..%2f..", "%00", "%ff", "é", "a" * 600, "00000000-0000-7000-8000-00000000000Z", "' OR 1=1 --")
NOBODY = "01890000-0000-7000-8000-000000000000"


def routes(node: Node, under: str) -> Iterator[tuple[str, str]]:
    """Yield method and path of each route; parts of a path that are not fixed stand in braces."""
    transport: Any = node.http._transport
    for route in transport.app._inner.routes:
        if isinstance(route, Route) and route.path.startswith(under):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, route.path


def filled(path: str, value: str) -> str:
    """Return a path with this in place of whatever stands in braces."""
    parts = (value if part.startswith("{") else part for part in path.split("/"))
    return "/".join(parts)


async def status(visit: Visit, method: str, path: str, form: dict[str, str] | None = None) -> int:
    """Return the status of one request, redirects not followed."""
    sent = {"form_token": visit.form_token} if form is None else form
    answer = await visit.node.http.request(
        method, path, data=sent if method == "POST" else None, headers=visit._headers()
    )
    return answer.status_code
