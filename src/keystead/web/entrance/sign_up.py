"""Signing up: the address first, and the account once a letter has proven it (promise W8)."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound, RateLimited
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.sessions.models import SIGN_UP_LIFETIME, SIGN_UP_PATH, SignUpLink
from keystead.sessions.service import Sessions
from keystead.sessions.sign_ups import NewAccount, SignUps
from keystead.web import views
from keystead.web.entrance import models
from keystead.web.entrance.asking import LONGEST_PASSWORD, form_of, go_on, mistakes, visit_of, wait_of, with_next
from keystead.web.pages import html, local_path, query_value, signed_in

_NO_SIGN_UP = "Nobody can sign up here by themselves. The people who run this service can make an account for you."


class SignUpPages:
    """``/sign-up`` and ``/sign-up/<link>``."""

    def __init__(self, *, sign_ups: SignUps, sessions: Sessions, settings: Settings) -> None:
        """Make accounts by ``sign_ups``."""
        self._sign_ups = sign_ups
        self._sessions = sessions
        self._settings = settings

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(SIGN_UP_PATH, self.show, methods=["GET"])
        router.add_route(SIGN_UP_PATH, self.ask, methods=["POST"])
        router.add_route(SIGN_UP_PATH + "/{link}", self.show_account, methods=["GET"])
        router.add_route(SIGN_UP_PATH + "/{link}", self.make_account, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Ask for the e-mail address."""
        signed_in(request)  # refuses other credentials, as every page does
        self._check_open()
        try:
            await self._sign_ups.check_possible()
        except Forbidden as problem:
            return self._not_now(problem)
        return html(self._form(local_path(query_value(request, "next"))))

    async def ask(self, request: Request) -> Response:
        """Send the letter, and say the same for an address that is known."""
        form = await form_of(request, self._settings)
        self._check_open()
        email, next_path = form.get("email", ""), local_path(form.get("next", ""))
        try:
            await self._sign_ups.ask(email, next_path, address=visit_of(request).address)
        except Forbidden as problem:
            return self._not_now(problem)
        except InvalidParameters as problem:
            return html(self._form(next_path, email, problem.detail), problem.status)
        except RateLimited as problem:
            return html(self._form(next_path, email, wait_of(problem)), problem.status, problem.headers)
        return html(
            models.Notice(
                product_name=self._settings.product_name,
                title="Look into your mailbox",
                sentences=(
                    f"A letter is on its way to {email.strip()}. Its link leads on, for {SIGN_UP_LIFETIME // 3_600} "
                    "hours. Until you open it, there is no account.",
                    "Nothing there after some minutes? Look among the unwanted mail, and check the address.",
                ),
                link_url=with_next(SIGN_UP_PATH, next_path),
                link="Use another address",
            )
        )

    async def show_account(self, request: Request) -> Response:
        """Ask for what makes an account; the address is proven."""
        signed_in(request)
        self._check_open()
        link = self._sign_ups.read(str(request.path_params["link"]))
        if link is None:
            return self._over()
        if await self._sign_ups.is_used(link):
            return self._used(link)
        try:
            await self._sign_ups.check_possible()
        except Forbidden as problem:
            return self._not_now(problem)
        return html(self._account(request, link, {}))

    async def make_account(self, request: Request) -> Response:
        """Make the account with its organization, and begin a session in it."""
        form = await form_of(request, self._settings)
        self._check_open()
        link = self._sign_ups.read(str(request.path_params["link"]))
        if link is None:
            return self._over()
        account = NewAccount(
            username=form.get("username", "").strip(),
            name=form.get("name", ""),
            password=Secret(form.get("password", "")[: LONGEST_PASSWORD + 1]),
            organization=form.get("organization", ""),
        )
        try:
            begun = await self._sign_ups.finish(link, account, visit_of(request))
        except (InvalidParameters, Conflict) as problem:
            errors = mistakes(problem)
            if "email" in errors:
                return self._used(link)
            return html(self._account(request, link, form, errors), InvalidParameters.status)
        except Forbidden as problem:
            return self._not_now(problem)
        except RateLimited as problem:
            errors = {"password": wait_of(problem)}
            return html(self._account(request, link, form, errors), problem.status, problem.headers)
        return go_on(begun, local_path(link.next_path), lifetime=self._sessions.lifetime)

    def _check_open(self) -> None:
        if not self._sign_ups.open:
            raise NotFound(_NO_SIGN_UP)

    def _form(self, next_path: str, email: str = "", error: str = "") -> models.SignUp:
        return models.SignUp(
            product_name=self._settings.product_name,
            next=next_path,
            sign_in_url=with_next(views.SIGN_IN_PATH, next_path),
            email=email,
            error=error,
        )

    def _account(
        self, request: Request, link: SignUpLink, form: Mapping[str, str], errors: dict[str, str] | None = None
    ) -> models.NewAccount:
        return models.NewAccount(
            product_name=self._settings.product_name,
            action=request.url.path,
            email=link.email,
            shortest=self._settings.password_length,
            username=form.get("username", ""),
            name=form.get("name", ""),
            organization=form.get("organization", ""),
            errors=errors or {},
        )

    def _used(self, link: SignUpLink) -> Response:
        return self._notice(
            "You have an account already",
            ("This address has an account. Sign in with it; if the password is lost, the sign-in page helps.",),
            with_next(views.SIGN_IN_PATH, local_path(link.next_path)),
            "Sign in",
            Conflict.status,
        )

    def _not_now(self, problem: Forbidden) -> Response:
        return self._notice(
            "No account can be made just now",
            (problem.detail, "You have an account and a passkey already? Then sign in with it."),
            models.PASSKEY_PATH,
            "Sign in with a passkey",
            problem.status,
        )

    def _over(self) -> Response:
        hours = SIGN_UP_LIFETIME // 3_600
        return self._notice(
            "This link is not good any more",
            (f"A link to an account works for {hours} hours. Give your address again, and you get another one.",),
            SIGN_UP_PATH,
            "Sign up",
            NotFound.status,
        )

    def _notice(self, title: str, sentences: tuple[str, ...], link_url: str, link: str, status: int) -> Response:
        view = models.Notice(
            product_name=self._settings.product_name,
            title=title,
            sentences=sentences,
            link_url=link_url,
            link=link,
        )
        return html(view, status)
