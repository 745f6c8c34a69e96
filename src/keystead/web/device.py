"""The page on which a person approves or refuses a device sign-in (RFC 8628, section 3.3; promises D4 to D8).

A GET shows and never decides. The decision is one POST with a token that was made for this session and this sign-in,
and one sign-in can be decided once, so the token is good once. After the POST the browser is sent back to the GET,
which shows what became of the sign-in: reloading and going back repeat nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.accounts.models import Membership
from keystead.accounts.service import Accounts
from keystead.db import Database
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Forbidden, FormExpired, InvalidRequest, RateLimited
from keystead.kernel.scopes import DESCRIPTIONS, Role, Scope, Scopes, grantable
from keystead.kernel.settings import Settings
from keystead.oauth.models import Decision, DeviceState, DeviceView
from keystead.oauth.service import OAuth
from keystead.oauth.user_codes import read_user_code
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.pages import account_of, html, query_value, see_other, signed_in
from keystead.wire.asgi import read_body
from keystead.wire.caller import caller_of
from keystead.wire.forms import parse_form

LONGEST_TYPED: Final = 100
LONGEST_KEPT: Final = 24


class DevicePages:
    """The one address ``/getServiceKeys/device``, in all its states."""

    def __init__(
        self,
        *,
        oauth: OAuth,
        sessions: Sessions,
        accounts: Accounts,
        settings: Settings,
        clock: Clock,
        db: Database,
    ) -> None:
        """Show the sign-ins of ``oauth`` to the people of ``accounts``."""
        self._oauth = oauth
        self._sessions = sessions
        self._accounts = accounts
        self._settings = settings
        self._clock = clock
        self._db = db

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(views.DEVICE_PATH, self.show, methods=["GET"])
        router.add_api_route(views.DEVICE_PATH, self.decide, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the form for the code, what a code asks for, or what became of it."""
        typed = query_value(request, "user_code").strip()[:LONGEST_TYPED]
        principal = signed_in(request)
        if principal is None:
            return _to_sign_in(typed)
        if not typed:
            return html(views.DeviceEnter(product_name=self._settings.product_name, account=account_of(principal)))
        found = await self._find(request, principal, typed)
        return found if isinstance(found, Response) else await self._state(principal, found)

    async def decide(self, request: Request) -> Response:
        """Approve or refuse. A sign-in that was decided or expired meanwhile is only shown."""
        form = parse_form(await read_body(request.receive), request.headers.get("content-type", ""))
        typed = form.get("user_code", "").strip()[:LONGEST_TYPED]
        principal = signed_in(request)
        if principal is None:
            return _to_sign_in(typed)
        found = await self._find(request, principal, typed)
        if isinstance(found, Response):
            return found
        try:
            self._sessions.check_form_token(principal.credential_id, _purpose(found), form.get("form_token"))
        except FormExpired:
            return self._outcome("form_expired", FormExpired.status, found.user_code)
        decision = form.get("decision")
        if decision not in {"approve", "deny"}:
            raise InvalidRequest("The parameter 'decision' must be 'approve' or 'deny'.")
        memberships = await self._accounts.memberships_of(principal.identity.user_id)
        # It must be one of the person's own (promise K5), and one that a session like this leads into.
        membership = next((one for one in memberships if one.organization_id == form.get("organization")), None)
        if decision == "approve":
            if membership is None:
                return await self._consent(principal, found, organization_missing=True)
            if membership.organization_id in await self._obstacles(principal, [membership]):
                return await self._consent(principal, found, status=Forbidden.status)
        await self._oauth.devices.decide(
            found,
            Decision(
                approve=decision == "approve",
                organization_id=membership.organization_id if membership else "",
                user_id=principal.identity.user_id,
                session_id=principal.credential_id,
                address=caller_of(request.scope).address,
            ),
            Role(membership.role if membership else principal.role),
            membership.organization_display_name if membership else "",
        )
        return see_other(views.device_url(found.user_code))

    async def _find(self, request: Request, principal: Principal, typed: str) -> DeviceView | Response:
        """Return the sign-in behind a typed code, or the page that says why there is none."""
        user_code = read_user_code(typed)
        if user_code is None:
            # A text this long is no mistyped code; it may be a secret in a wrong place (promise W9).
            return self._enter(principal, typed if len(typed) <= LONGEST_KEPT else "", "malformed", 400)
        address = caller_of(request.scope).address
        try:
            found = await self._oauth.devices.look_up(user_code, principal.identity.user_id, address)
        except RateLimited as problem:
            wait = int(problem.headers["Retry-After"])
            return self._outcome("too_many", RateLimited.status, wait_seconds=wait, headers=problem.headers)
        return self._enter(principal, user_code, "unknown", 404) if found is None else found

    async def _state(self, principal: Principal, found: DeviceView) -> Response:
        authorization = found.authorization
        mine = authorization.decided_by == principal.identity.user_id
        if authorization.state == DeviceState.DENIED and mine:
            return self._outcome("denied", client_name=found.client.name)
        if authorization.state in {DeviceState.APPROVED, DeviceState.CONSUMED} and mine:
            return await self._approved(principal, found)
        if authorization.state != DeviceState.PENDING:
            return self._outcome("used", 409)
        if self._clock.now() >= authorization.expires_at:
            return self._outcome("expired", 410, client_name=found.client.name)
        return await self._consent(principal, found)

    async def _consent(
        self, principal: Principal, found: DeviceView, *, organization_missing: bool = False, status: int = 200
    ) -> Response:
        memberships = await self._accounts.memberships_of(principal.identity.user_id)
        obstacles = await self._obstacles(principal, memberships)
        given = frozenset[Scope]().union(*(grantable(found.scopes, Role(m.role)) for m in memberships))
        view = views.DeviceConsent(
            product_name=self._settings.product_name,
            form_token=self._sessions.form_token(principal.credential_id, _purpose(found)),
            user_code=found.user_code,
            client_name=found.client.name,
            device_name=found.authorization.device_name or "",
            machine=found.client.platform,
            address=found.authorization.address,
            requested_at=found.authorization.created_at,
            expires_at=found.authorization.expires_at,
            now=self._clock.now(),
            scopes=_lines(given),
            withheld=_lines(found.scopes - given),
            organizations=tuple(_choice(m, given, obstacles) for m in memberships),
            organization_missing=organization_missing,
            grant_seconds=self._settings.grant_ttl,
            account=account_of(principal),
        )
        return html(view, 422 if organization_missing else status)

    async def _obstacles(self, principal: Principal, memberships: Sequence[Membership]) -> Mapping[str, views.Obstacle]:
        """Return why organizations cannot be chosen, by id; the service asks again when something is decided."""
        lacks_factor = await self._sessions.lacks_second_factor(principal, memberships)
        asked = any(one.password_sign_in_off for one in memberships)
        by_password = asked and not await self._sessions.begun_without_password(self._db, principal)
        found: dict[str, views.Obstacle] = {}
        for one in memberships:
            if one.device_sign_in_off:
                found[one.organization_id] = "devices"
            elif one.password_sign_in_off and by_password:  # a passkey is a second factor as well
                found[one.organization_id] = "password"
            elif one.second_factor_required and lacks_factor:
                found[one.organization_id] = "second_factor"
        return found

    async def _approved(self, principal: Principal, found: DeviceView) -> Response:
        memberships = await self._accounts.memberships_of(principal.identity.user_id)
        names = {m.organization_id: m.organization_display_name for m in memberships}
        return html(
            views.DeviceOutcome(
                product_name=self._settings.product_name,
                state="approved",
                user_code=found.user_code,
                client_name=found.client.name,
                device_name=found.authorization.device_name or "",
                account=account_of(principal),
                organization=names.get(found.authorization.organization_id or "", ""),
                grant_seconds=self._settings.grant_ttl,
            )
        )

    def _enter(self, principal: Principal, typed: str, error: views.CodeError, status: int) -> Response:
        view = views.DeviceEnter(
            product_name=self._settings.product_name, account=account_of(principal), typed=typed, error=error
        )
        return html(view, status)

    def _outcome(
        self,
        state: views.DeviceState,
        status: int = 200,
        user_code: str = "",
        *,
        client_name: str = "",
        wait_seconds: int = 0,
        headers: dict[str, str] | None = None,
    ) -> Response:
        view = views.DeviceOutcome(
            product_name=self._settings.product_name,
            state=state,
            user_code=user_code,
            client_name=client_name,
            wait_seconds=wait_seconds,
        )
        return html(view, status, headers)


def _purpose(found: DeviceView) -> str:
    """Return what the form token is good for: the decision about this one sign-in (promise D5)."""
    return f"device:{found.authorization.id}"


def _to_sign_in(typed: str) -> Response:
    """Send somebody to the sign-in page and back here, without losing the code."""
    return see_other(views.sign_in_url(views.device_url(typed)))


def _lines(scopes: Scopes) -> tuple[views.ScopeLine, ...]:
    return tuple(views.ScopeLine(scope=scope, sentence=DESCRIPTIONS[scope]) for scope in Scope if scope in scopes)


def _choice(membership: Membership, given: Scopes, obstacles: Mapping[str, views.Obstacle]) -> views.OrganizationChoice:
    return views.OrganizationChoice(
        id=membership.organization_id,
        name=membership.organization_display_name,
        role=membership.role,
        withheld=_lines(given - grantable(given, Role(membership.role))),
        blocked=obstacles.get(membership.organization_id),
    )
