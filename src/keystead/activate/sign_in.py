"""Signing in and out over JSON, for programs that act for a person in a browser. The pages have forms of their own."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyCookie
from pydantic import Field, SecretStr

from keystead.activate.shapes import UNKEPT, Sent, Shape, body_of, described
from keystead.activate.steps import COOKIE_SET, needs_more, visit_of
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    InvalidParameters,
    RateLimited,
    SecondFactorRequired,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
    WrongSignIn,
)
from keystead.kernel.secrets import Secret
from keystead.sessions.cookies import SESSION_COOKIE, clear_session_cookie, set_cookies
from keystead.sessions.models import StepNeeded
from keystead.sessions.service import Sessions
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, documented
from keystead.wire.origin import check_same_site

_declared = APIKeyCookie(
    name=SESSION_COOKIE, scheme_name="cookie", description="The session that a sign-in begins.", auto_error=False
)


class PasswordSignIn(Sent):
    """The body of a sign-in."""

    username: str = Field(description="The user name or the e-mail address.", min_length=1, max_length=320)
    password: SecretStr = Field(description="The password.", min_length=1, max_length=1_024)


class SignedOut(Shape):
    """The body that answers a sign-out: an object without members."""


class SignInRoutes:
    """POST /api/sso/password/login and POST /api/sso/logout."""

    def __init__(self, sessions: Sessions, *, public_url: str) -> None:
        """Serve pages of ``public_url`` and programs, and no other site's pages."""
        self._sessions = sessions
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Sign-in"])
        router.add_api_route(
            "/api/sso/password/login",
            self.sign_in,
            methods=["POST"],
            status_code=204,
            response_class=Response,
            summary="Sign in with a password",
            operation_id="sign_in",
            responses={
                204: {"headers": COOKIE_SET},
                **documented(
                    *ANYWHERE,
                    WrongSignIn,
                    CrossSite,
                    Forbidden,
                    SecondFactorRequired,
                    UnsupportedMediaType,
                    InvalidParameters,
                    RateLimited,
                ),
            },
            openapi_extra=described(PasswordSignIn),
        )
        router.add_api_route(
            "/api/sso/logout",
            self.sign_out,
            methods=["POST"],
            response_model=SignedOut,
            summary="Sign out",
            operation_id="sign_out",
            responses={
                200: {"headers": COOKIE_SET},
                **documented(*ANYWHERE, TwoCredentials, Unauthenticated, CrossSite, CredentialNotAllowed, RateLimited),
            },
        )
        return router

    async def sign_in(self, request: Request) -> Response:
        """Begin a session and set its cookie, ``cloud.sso``. A session that the browser had before is ended.

        Where a password is not enough, the answer is 403 `second_factor_required` with the cookie `cloud.mfa`, which is
        good for ten minutes: `/api/sso/mfa/login` goes on with it. Members who have to set up a second factor first do
        that on the sign-in page in a browser.
        """
        check_same_site(request.headers, self._public_url)
        body = await body_of(request, PasswordSignIn)
        password = Secret(body.password.get_secret_value())
        begun = await self._sessions.sign_in_by_steps(body.username, password, visit_of(request))
        if isinstance(begun, StepNeeded):
            raise needs_more(begun)
        response = Response(status_code=204, headers=UNKEPT)
        set_cookies(response, begun, lifetime=self._sessions.lifetime)
        return response

    async def sign_out(
        self,
        request: Request,
        principal: Annotated[Principal, Depends(allow(Permission.SIGN_OUT))],
        _: Annotated[str | None, Security(_declared)],
    ) -> Response:
        """End the session that the cookie names, and clear the cookie."""
        check_same_site(request.headers, self._public_url)
        await self._sessions.sign_out(principal.credential_id, address=caller_of(request.scope).address)
        response = JSONResponse({}, headers=UNKEPT)
        clear_session_cookie(response)
        return response
