"""Every page there is, taken from the application's routes, with an address that shows something."""

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

from starlette.routing import Route

from keystead.kernel.problems import NotFound
from keystead.services import Services
from keystead.web.house import Rooms, pages
from tests.browser.site import Site
from tests.gate.serving import ask

NO_PAGES: Final = frozenset({"/static/{name}", "/favicon.ico", "/settings/organization/audit.csv"})
"""Routes for GET that answer no page."""


def _first(sql: str) -> Callable[[Site], str]:
    """Return a function that finds an id in the installation."""
    return lambda site: str(ask(site.server.data, sql)[0])


def _nothing(_: Site) -> str:
    return "nothing"


_ADA: Final = """(SELECT id FROM "user" WHERE username = 'ada')"""
_KEY: Final = _first(f"SELECT id FROM api_key WHERE user_id = {_ADA} ORDER BY created_at")  # noqa: S608
_TOKEN: Final = _first(f"SELECT id FROM short_term_token WHERE user_id = {_ADA}")  # noqa: S608
_DEVICE: Final = _first(f"SELECT id FROM oauth_grant WHERE user_id = {_ADA} AND ended_at IS NULL")  # noqa: S608
_SESSION: Final = _first(f"SELECT id FROM session WHERE user_id = {_ADA} AND user_agent LIKE '%iPhone%'")  # noqa: S608
_BOB: Final = _first("""SELECT id FROM "user" WHERE username = 'bob'""")
_EVE: Final = _first("""SELECT id FROM "user" WHERE username = 'eve'""")
_FIRST_KEY: Final = _first("SELECT id FROM api_key ORDER BY created_at")
_APP: Final = _first("SELECT app_id FROM api_key ORDER BY created_at")
_INVITATION: Final = _first("SELECT id FROM invitation")
_ORGANIZATION: Final = _first("SELECT name FROM organization WHERE name = 'initech'")
_CLIENT: Final = _first("SELECT id FROM client")
_OPERATOR: Final = "/settings/operator"
_ORGANIZATION_PATH: Final = "/settings/organization"
VALUES: Final[dict[str, tuple[Callable[[Site], str], ...]]] = {
    "/problems/{code}": (lambda _: NotFound.code,),
    "/sign-in/reset/{token}": (_nothing,),
    "/sign-up/{link}": (_nothing,),
    "/invitation/{link}": (_nothing,),
    "/settings/keys/{key}/title": (_KEY,),
    "/settings/keys/{key}/rotate": (_KEY,),
    "/settings/keys/{key}/delete": (_KEY,),
    "/settings/tokens/{token}/revoke": (_TOKEN,),
    "/settings/devices/{device}/sign-out": (_DEVICE,),
    "/settings/sessions/{session}/end": (_SESSION,),
    "/settings/security/passkeys/{passkey}/rename": (_nothing,),
    "/settings/security/passkeys/{passkey}/remove": (_nothing,),
    f"{_ORGANIZATION_PATH}/members/{{user}}": (_BOB,),
    f"{_ORGANIZATION_PATH}/members/{{user}}/remove": (_BOB,),
    f"{_ORGANIZATION_PATH}/invitations/{{invitation}}/revoke": (_INVITATION,),
    f"{_ORGANIZATION_PATH}/apps/{{app}}": (_APP,),
    f"{_ORGANIZATION_PATH}/apps/{{app}}/delete": (_APP,),
    f"{_ORGANIZATION_PATH}/apps/{{app}}/keys/{{key}}/revoke": (
        _APP,
        _first("SELECT id FROM api_key ORDER BY created_at"),
    ),
    f"{_OPERATOR}/organizations/{{organization}}/invite": (_ORGANIZATION,),
    f"{_OPERATOR}/users/{{user}}": (_EVE,),
    f"{_OPERATOR}/users/{{user}}/act-as": (_EVE,),
    f"{_OPERATOR}/users/{{user}}/disable": (_EVE,),
    f"{_OPERATOR}/users/{{user}}/enable": (_EVE,),
    f"{_OPERATOR}/users/{{user}}/reset-link": (_EVE,),
    f"{_OPERATOR}/users/{{user}}/second-factors/remove": (_EVE,),
    f"{_OPERATOR}/clients/{{client}}/switch-off": (_CLIENT,),
    f"{_OPERATOR}/clients/{{client}}/switch-on": (_CLIENT,),
}
"""What stands in the braces of an address, for ada, who owns acme and operates the installation."""
STATUSES: Final = {
    "/invitation": 404,
    "/invitation/{link}": 404,
    "/sign-in/reset/{token}": 404,
    "/sign-up/{link}": 404,
    "/settings/security/passkeys/{passkey}/rename": 404,
    "/settings/security/passkeys/{passkey}/remove": 404,
    "/settings/security/totp/remove": 404,
    "/settings/security/recovery-codes/new": 409,
}
"""What is answered where that is not 200: these links are secret, or ada has no second factor. Other tests go there."""


def templates(site: Site) -> list[str]:
    """Return the path of every page, with braces where an id stands."""

    async def look(services: Services) -> set[str]:
        # What a running process alone has, such as its history, is not asked for routes.
        had: dict[str, Any] = {room.name: getattr(services, room.name, None) for room in fields(Rooms)}
        rooms = Rooms(**had)
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
        address = template
        for value in VALUES[template]:
            address = re.sub(r"{\w+}", value(site), address, count=1)
        found[template] = address
    return found
