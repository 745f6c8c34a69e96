"""A forgotten password: asking for the letter, and choosing a new password by its link.

The link carries its secret in the path, which the log does not repeat (``gate.paths``), and looking at it changes
nothing: mail programs look at links before people do.
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Forbidden, InvalidParameters, NotFound, RateLimited
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.sessions.cookies import clear_session_cookie
from keystead.sessions.models import RESET_LIFETIME, RESET_PATH
from keystead.sessions.recovery import FORGOT_PATH, Recovery
from keystead.web import views
from keystead.web.entrance.asking import LONGEST_PASSWORD, form_of, mistakes, visit_of, wait_of
from keystead.web.entrance.models import PASSKEY_PATH, Forgot, Notice, Reset
from keystead.web.pages import html, see_other, signed_in


class ForgottenPages:
    """``/sign-in/forgot`` and ``/sign-in/reset/<token>``."""

    def __init__(self, *, recovery: Recovery, settings: Settings) -> None:
        """Let people in again by ``recovery``."""
        self._recovery = recovery
        self._settings = settings

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(FORGOT_PATH, self.show, methods=["GET"])
        router.add_route(FORGOT_PATH, self.ask, methods=["POST"])
        router.add_route(RESET_PATH + "/{token}", self.show_reset, methods=["GET"])
        router.add_route(RESET_PATH + "/{token}", self.reset, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the form that asks for a letter, or who can help where no letters are sent."""
        signed_in(request)  # refuses other credentials, as every page does
        return html(self._forgot())

    async def ask(self, request: Request) -> Response:
        """Send a letter to whoever has the address, and say the same whether or not somebody has."""
        form = await form_of(request, self._settings)
        if not self._recovery.by_mail:
            raise NotFound("This server sends no e-mail. Its operator can make a link to a new password for you.")
        email = form.get("email", "")
        try:
            await self._recovery.forgot(email, address=visit_of(request).address)
        except InvalidParameters as problem:
            return html(self._forgot(email, problem.detail), problem.status)
        except RateLimited as problem:
            return html(self._forgot(email, wait_of(problem)), problem.status, problem.headers)
        return html(
            Notice(
                product_name=self._settings.product_name,
                title="Look into your mailbox",
                sentences=(
                    f"If there is an account with the address {email.strip()}, a letter is on its way to it. Its link "
                    f"lets you choose a new password, for {RESET_LIFETIME // 60} minutes.",
                    "Nothing there after some minutes? Look among the unwanted mail, and check the address. Perhaps "
                    "your account has another one.",
                ),
                link_url=views.SIGN_IN_PATH,
                link="Back to sign-in",
            )
        )

    async def show_reset(self, request: Request) -> Response:
        """Show the form for a new password."""
        signed_in(request)
        user = await self._recovery.user_of(str(request.path_params["token"]))
        if user is None:
            return self._over()
        try:
            await self._recovery.check_of_use(user)
        except Forbidden as problem:
            return self._of_no_use(problem)
        return html(self._reset(request, user.username))

    async def reset(self, request: Request) -> Response:
        """Set the new password, end every session of the person, and let them sign in."""
        form = await form_of(request, self._settings)
        token, password = str(request.path_params["token"]), Secret(form.get("password", "")[: LONGEST_PASSWORD + 1])
        user = await self._recovery.user_of(token)
        if user is None:
            return self._over()
        try:
            done = await self._recovery.reset(token, password, address=visit_of(request).address)
        except Forbidden as problem:
            return self._of_no_use(problem)
        except InvalidParameters as problem:
            return html(self._reset(request, user.username, mistakes(problem)), problem.status)
        except RateLimited as problem:
            errors = {"password": wait_of(problem)}
            return html(self._reset(request, user.username, errors), problem.status, problem.headers)
        if not done:
            return self._over()
        response = see_other(f"{views.SIGN_IN_PATH}?done=password")
        clear_session_cookie(response)
        return response

    def _forgot(self, email: str = "", error: str = "") -> Forgot:
        return Forgot(
            product_name=self._settings.product_name,
            by_mail=self._recovery.by_mail,
            email=email,
            error=error,
        )

    def _reset(self, request: Request, username: str, errors: dict[str, str] | None = None) -> Reset:
        return Reset(
            product_name=self._settings.product_name,
            action=request.url.path,
            username=username,
            shortest=self._settings.password_length,
            errors=errors or {},
        )

    def _of_no_use(self, problem: Forbidden) -> Response:
        view = Notice(
            product_name=self._settings.product_name,
            title="A new password would not let you in",
            sentences=(problem.detail, "Your password stays as it was."),
            link_url=PASSKEY_PATH,
            link="Sign in with a passkey",
        )
        return html(view, problem.status)

    def _over(self) -> Response:
        view = Notice(
            product_name=self._settings.product_name,
            title="This link is not good any more",
            sentences=(
                f"A link to a new password works once, for {RESET_LIFETIME // 60} minutes, and only while the password "
                "is the one that it was made for.",
                "Ask for another one.",
            ),
            link_url=FORGOT_PATH,
            link="Ask for a new link",
        )
        return html(view, NotFound.status)
