"""Every page there is, taken from the application's routes, with an address that shows something."""

from collections.abc import Callable
from dataclasses import fields
from typing import Final

from starlette.routing import Route

from keystead.app import Services
from keystead.kernel.problems import NotFound
from keystead.web.house import Rooms, pages
from tests.browser.site import Site
from tests.gate.serving import ask

NO_PAGES: Final = frozenset({"/static/{name}", "/favicon.ico"})
"""Routes for GET that answer no page."""


def _first(sql: str) -> Callable[[Site], str]:
    """Return a function that finds an id in the installation."""
    return lambda site: str(ask(site.server.data, sql)[0])


_DEVICE: Final = _first(
    "SELECT id FROM oauth_grant WHERE ended_at IS NULL AND user_id = (SELECT id FROM \"user\" WHERE username = 'ada')"
)
_ADA: Final = """(SELECT id FROM "user" WHERE username = 'ada')"""
_KEY: Final = _first(f"SELECT id FROM api_key WHERE user_id = {_ADA} ORDER BY created_at")  # noqa: S608
_TOKEN: Final = _first(f"SELECT id FROM short_term_token WHERE user_id = {_ADA}")  # noqa: S608
_SESSION: Final = _first(
    "SELECT id FROM session WHERE user_id = (SELECT id FROM \"user\" WHERE username = 'ada') ORDER BY created_at"
)
VALUES: Final[dict[str, Callable[[Site], str]]] = {
    "/problems/{code}": lambda _: NotFound.code,
    "/settings/keys/{key}/title": _KEY,
    "/settings/keys/{key}/rotate": _KEY,
    "/settings/keys/{key}/delete": _KEY,
    "/settings/tokens/{token}/revoke": _TOKEN,
    "/settings/devices/{device}/sign-out": _DEVICE,
    "/settings/sessions/{session}/end": _SESSION,
}
"""What stands in the braces of an address: something of ada's, who owns acme and operates the installation."""


def templates(site: Site) -> list[str]:
    """Return the path of every page, with braces where an id stands."""

    async def look(services: Services) -> set[str]:
        rooms = Rooms(**{room.name: getattr(services, room.name) for room in fields(Rooms)})
        routes = [route for some in pages(rooms) for route in some.router().routes if isinstance(route, Route)]
        return {route.path for route in routes if "GET" in (route.methods or ())}

    return sorted(site.do(look) - NO_PAGES)


def addresses(site: Site) -> dict[str, str]:
    """Return an address for every page. Raises LookupError for one with braces that ``VALUES`` does not fill."""
    found = {}
    for template in templates(site):
        if "{" not in template:
            found[template] = template
            continue
        if template not in VALUES:
            raise LookupError(
                f"No browser test visits {template}: say in tests/browser/routes.py what fills its braces."
            )
        head, _, rest = template.partition("{")
        found[template] = head + VALUES[template](site) + rest.partition("}")[2]
    return found
