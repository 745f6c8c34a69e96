"""Accepting an invitation: as oneself, after signing in, or with an account that is made for it.

The link of the letter carries its secret in the path, which the log does not repeat. While somebody signs in, a cookie
remembers it, so that no query string has to carry it (promise W9).
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.accounts.service import Accounts
from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound, RateLimited
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.organizations.models import INVITATION_PATH, OpenInvitation
from keystead.organizations.service import Organizations
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.entrance import models
from keystead.web.entrance.asking import LONGEST_PASSWORD, form_of, go_on, mistakes, visit_of, wait_of, with_next
from keystead.web.frame import DONE, SETTINGS, done
from keystead.web.pages import account_of, html, see_other, signed_in
from keystead.wire.limiter import Limiter, limit_key_of_address

INVITATION_COOKIE: Final = "cloud.invitation"
_REMEMBERED: Final = 3_600
_PURPOSE: Final = "invitation"

DONE["invitation-accepted"] = "You belong to one organization more. Switch to it to work there."


class InvitationPages:
    """The pages under ``/invitation``."""

    def __init__(
        self,
        *,
        organizations: Organizations,
        accounts: Accounts,
        sessions: Sessions,
        limiter: Limiter,
        settings: Settings,
    ) -> None:
        """Accept the invitations of ``organizations``."""
        self._organizations = organizations
        self._accounts = accounts
        self._sessions = sessions
        self._limiter = limiter
        self._settings = settings

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(INVITATION_PATH, self.remembered, methods=["GET"])
        router.add_route(INVITATION_PATH + "/{link}", self.show, methods=["GET"])
        router.add_route(INVITATION_PATH + "/{link}/accept", self.accept, methods=["POST"])
        router.add_route(INVITATION_PATH + "/{link}/join", self.join, methods=["POST"])
        return router

    async def remembered(self, request: Request) -> Response:
        """Lead somebody who has signed in back to the invitation that they came for."""
        link = request.cookies.get(INVITATION_COOKIE, "")
        if not link.isascii() or not link.replace("_", "").isalnum():
            return self._over()
        return see_other(f"{INVITATION_PATH}/{link}")

    async def show(self, request: Request) -> Response:
        """Show who invites to what; nothing is accepted by looking."""
        principal = signed_in(request)
        link = _link(request)
        found = await self._organizations.invitation_by_secret(link)
        if found is None:
            return self._over()
        if principal is not None:
            account = account_of(principal)
            response = html(
                models.Invitation(
                    product_name=self._settings.product_name,
                    action=f"{INVITATION_PATH}/{link}/accept",
                    form_token=self._sessions.form_token(principal.credential_id, _PURPOSE),
                    organization=found.organization,
                    inviter=found.inviter or "",
                    role=found.role,
                    email=found.email,
                    ends_at=found.expires_at,
                    account=account,
                    other_address=account.email != found.email,
                    another_account_url=views.sign_in_url(INVITATION_PATH),
                )
            )
        elif await self._accounts.user_by_name(found.email) is not None:
            response = html(
                models.InvitationSignIn(
                    product_name=self._settings.product_name,
                    organization=found.organization,
                    inviter=found.inviter or "",
                    role=found.role,
                    email=found.email,
                    ends_at=found.expires_at,
                    sign_in_url=views.sign_in_url(INVITATION_PATH),
                )
            )
        else:
            try:
                await self._organizations.check_may_be_new(found)
            except Forbidden as problem:
                return self._not_now(link, problem)
            response = html(self._account(link, found, {}))
        _remember(response, link)
        return response

    async def accept(self, request: Request) -> Response:
        """Let the person who is signed in into the organization."""
        principal = signed_in(request)
        if principal is None:
            return see_other(views.sign_in_url(INVITATION_PATH))
        form = await form_of(request, self._settings)
        self._sessions.check_form_token(principal.credential_id, _PURPOSE, form.get("form_token"))
        try:
            await self._organizations.accept(principal.identity.user_id, _link(request), visit_of(request).address)
        except NotFound:
            return self._over()
        response = done(SETTINGS, "invitation-accepted")
        _forget(response)
        return response

    async def join(self, request: Request) -> Response:
        """Make an account with the invited address, which the link proves, and sign the person in."""
        form = await form_of(request, self._settings)
        link, visit = _link(request), visit_of(request)
        found = await self._organizations.invitation_by_secret(link)
        if found is None:
            return self._over()
        password = Secret(form.get("password", "")[: LONGEST_PASSWORD + 1])
        try:
            await self._limiter.charge("sign_in", f"letters:{limit_key_of_address(visit.address)}", times=3)
            user_id = await self._organizations.accept_as_new(
                link, form.get("username", "").strip(), form.get("name", ""), password, visit.address
            )
        except NotFound:
            return self._over()
        except InvalidParameters as problem:
            return html(self._account(link, found, form, mistakes(problem)), problem.status)
        except RateLimited as problem:
            view = self._account(link, found, form, {"password": wait_of(problem)})
            return html(view, problem.status, problem.headers)
        except Conflict:
            return see_other(f"{INVITATION_PATH}/{link}")
        except Forbidden as problem:
            return self._not_now(link, problem)
        response = go_on(await self._sessions.begin_for(user_id, visit), SETTINGS, lifetime=self._sessions.lifetime)
        _forget(response)
        return response

    def _account(
        self, link: str, found: OpenInvitation, form: Mapping[str, str], errors: dict[str, str] | None = None
    ) -> models.NewAccount:
        return models.NewAccount(
            product_name=self._settings.product_name,
            action=f"{INVITATION_PATH}/{link}/join",
            email=found.email,
            shortest=self._settings.password_length,
            joins=found.organization,
            inviter=found.inviter or "",
            role=found.role,
            ends_at=found.expires_at,
            sign_in_url=views.sign_in_url(INVITATION_PATH),
            username=form.get("username", ""),
            name=form.get("name", ""),
            errors=errors or {},
        )

    def _not_now(self, link: str, problem: Forbidden) -> Response:
        view = models.Notice(
            product_name=self._settings.product_name,
            title="No account can be made just now",
            sentences=(
                problem.detail,
                "The invitation stays as it is. You have an account with another address? Sign in to it with a "
                "passkey, and accept the invitation there.",
            ),
            link_url=with_next(models.PASSKEY_PATH, INVITATION_PATH),
            link="Sign in with a passkey",
        )
        response = html(view, problem.status)
        _remember(response, link)
        return response

    def _over(self) -> Response:
        view = models.Notice(
            product_name=self._settings.product_name,
            title="This invitation cannot be used",
            sentences=("It was used before, taken back, or is too old. Ask whoever invited you for a new one.",),
            link_url=views.HOME_PATH,
            link="Go to the start page",
        )
        return html(view, NotFound.status)


def _link(request: Request) -> str:
    return str(request.path_params["link"])


_GUARDS: Final[dict[str, Any]] = {"path": INVITATION_PATH, "secure": True, "httponly": True, "samesite": "lax"}


def _remember(response: Response, link: str) -> None:
    response.set_cookie(INVITATION_COOKIE, link, max_age=_REMEMBERED, **_GUARDS)


def _forget(response: Response) -> None:
    response.delete_cookie(INVITATION_COOKIE, **_GUARDS)
