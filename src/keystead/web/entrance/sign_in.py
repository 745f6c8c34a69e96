"""Signing in with a password or with a passkey, and signing out."""

import secrets
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Forbidden, InvalidRequest, RateLimited, WrongSignIn
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.oauth.user_codes import read_user_code
from keystead.sessions.cookies import ENTRANCE_COOKIE, clear_session_cookie, set_entrance_cookie
from keystead.sessions.models import SIGN_UP_PATH, Refused
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.entrance.asking import LONGEST_NAME, LONGEST_PASSWORD, form_of, go_on, visit_of, wait_of, with_next
from keystead.web.entrance.models import PASSKEY_PATH, PasskeySignIn
from keystead.web.frame import SIGN_OUT
from keystead.web.pages import account_of, code_in, html, local_path, query_value, see_other, signed_in
from keystead.wire.asgi import read_body
from keystead.wire.caller import caller_of
from keystead.wire.forms import parse_form

NOTICES: Final = {
    "over": "That sign-in was not finished in time, or something changed meanwhile. Begin again with your password.",
    "password": "Your password was changed, and you are signed out everywhere. Sign in with the new one.",
}
"""What the page says by the word in ``?done=``."""
_BROWSER_BYTES: Final = 16
_UNKNOWN_PASSKEY: Final = (
    "This passkey does not belong to an account here, or it did not check that it is you. Use another passkey, or your "
    "password."
)
_LATE: Final = "That took too long, or was done already. Try again."


class SignInPages:
    """``/sign-in``, ``/sign-in/passkey`` and ``/sign-out``."""

    def __init__(self, *, sessions: Sessions, settings: Settings, sign_up: bool) -> None:
        """``sign_up`` tells whether anybody may make an account."""
        self._sessions = sessions
        self._settings = settings
        self._sign_up = sign_up

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(views.SIGN_IN_PATH, self.show, methods=["GET"])
        router.add_route(views.SIGN_IN_PATH, self.sign_in, methods=["POST"])
        router.add_route(PASSKEY_PATH, self.ask_passkey, methods=["GET"])
        router.add_route(PASSKEY_PATH, self.use_passkey, methods=["POST"])
        router.add_route(views.SIGN_OUT_PATH, self.sign_out, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the sign-in form; to somebody who is signed in as well, for they may want another account."""
        principal = signed_in(request)
        return html(
            self._form(
                local_path(query_value(request, "next")),
                current=None if principal is None else account_of(principal),
                signed_out=query_value(request, "signed_out") == "1",
                notice=NOTICES.get(query_value(request, "done"), ""),
            )
        )

    async def sign_in(self, request: Request) -> Response:
        """Begin a session, or the next step, and go on to where the person was going."""
        form = await form_of(request, self._settings)
        username, password = form.get("username", ""), Secret(form.get("password", ""))
        next_path = local_path(form.get("next", ""))
        if len(username) > LONGEST_NAME or len(password.reveal()) > LONGEST_PASSWORD:
            raise InvalidRequest("The user name or the password is too long.")
        try:
            begun = await self._sessions.sign_in_by_steps(username, password, visit_of(request))
        except WrongSignIn:
            return html(self._form(next_path, username=username, error="wrong"), WrongSignIn.status)
        except RateLimited as problem:
            wait = int(problem.headers["Retry-After"])
            view = self._form(next_path, username=username, error="too_many", wait_seconds=wait)
            return html(view, RateLimited.status, problem.headers)
        except Forbidden as problem:
            view = self._form(next_path, username=username, error="refused", refusal=problem.detail)
            return html(view, Forbidden.status)
        return go_on(begun, next_path, lifetime=self._sessions.lifetime)

    async def ask_passkey(self, request: Request) -> Response:
        """Ask the browser for a passkey. What it is asked fits this browser only, once, for ten minutes."""
        signed_in(request)  # refuses other credentials, as every page does
        return self._passkey(request, local_path(query_value(request, "next")))

    async def use_passkey(self, request: Request) -> Response:
        """Begin a session for whoever's passkey answered."""
        form = await form_of(request, self._settings)
        next_path, browser = local_path(form.get("next", "")), request.cookies.get(ENTRANCE_COOKIE, "")
        try:
            begun = await self._sessions.steps.sign_in_with_passkey(
                form.get("answer", ""), form.get("challenge", ""), browser, visit_of(request)
            )
        except RateLimited as problem:
            return self._passkey(request, next_path, wait_of(problem), problem.status, problem.headers)
        if isinstance(begun, Refused):
            sentence = _LATE if begun is Refused.OVER else _UNKNOWN_PASSKEY
            return self._passkey(request, next_path, sentence, WrongSignIn.status)
        return go_on(begun, next_path, lifetime=self._sessions.lifetime)

    async def sign_out(self, request: Request) -> Response:
        """End the session. Somebody who is not signed in any more has what they wanted."""
        principal = signed_in(request)
        if principal is not None:
            form = parse_form(await read_body(request.receive), request.headers.get("content-type", ""))
            self._sessions.check_form_token(principal.credential_id, SIGN_OUT, form.get("form_token"))
            await self._sessions.sign_out(principal.credential_id, address=caller_of(request.scope).address)
        response = see_other(f"{views.SIGN_IN_PATH}?signed_out=1")
        clear_session_cookie(response)
        return response

    def _passkey(
        self,
        request: Request,
        next_path: str,
        problem: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:
        browser = request.cookies.get(ENTRANCE_COOKIE) or secrets.token_urlsafe(_BROWSER_BYTES)
        view = PasskeySignIn(
            product_name=self._settings.product_name,
            next=next_path,
            question=self._sessions.steps.passkey_alone(browser),
            password_url=with_next(views.SIGN_IN_PATH, next_path),
            problem=problem,
        )
        response = html(view, status, headers)
        set_entrance_cookie(response, browser)
        return response

    def _form(
        self,
        next_path: str,
        *,
        username: str = "",
        error: views.SignInError | None = None,
        wait_seconds: int = 0,
        refusal: str = "",
        current: views.Account | None = None,
        signed_out: bool = False,
        notice: str = "",
    ) -> views.SignIn:
        return views.SignIn(
            product_name=self._settings.product_name,
            next=next_path,
            username=username,
            error=error,
            wait_seconds=wait_seconds,
            refusal=refusal,
            user_code=read_user_code(code_in(next_path)) or "",
            current=current,
            signed_out=signed_out,
            notice=notice,
            passkey_url=with_next(PASSKEY_PATH, next_path),
            sign_up_url=with_next(SIGN_UP_PATH, next_path) if self._sign_up else "",
        )
