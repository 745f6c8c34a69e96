"""The step after the password: a code, a passkey or a recovery code; or an authenticator app that must be set up."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.factors.models import NewTotp
from keystead.kernel.problems import FormExpired, InvalidParameters, RateLimited, WrongSignIn
from keystead.kernel.settings import Settings
from keystead.sessions.cookies import STEP_COOKIE, clear_step_cookie, set_cookies
from keystead.sessions.models import TOO_MANY_CODES, OpenStep, Refused, SignedIn
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.entrance.asking import form_of, go_on, mistakes, over, visit_of, wait_of, with_next
from keystead.web.entrance.models import ENROL_PATH, SECOND_FACTOR_PATH, Enrol, FirstCodes, SecondFactor
from keystead.web.pages import html, local_path, query_value, see_other, signed_in
from keystead.web.qr import qr_svg
from keystead.web.render import wait_words

_EMPTY = "Type the code."
_WRONG = {
    "code": "This code is not right, or was used already. Wait for the next one, and check that the clock of the phone "
    "is right.",
    "recovery_code": "This is not one of your recovery codes, or it was used already. Each works once.",
    "answer": "The passkey did not fit your account. Try again, or use something else.",
}


class SecondFactorPages:
    """``/sign-in/second-factor`` and ``/sign-in/enrol``: pages for somebody who has shown the right password."""

    def __init__(self, *, sessions: Sessions, settings: Settings) -> None:
        """Go on with the steps of ``sessions``."""
        self._sessions = sessions
        self._steps = sessions.steps
        self._settings = settings

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(SECOND_FACTOR_PATH, self.show, methods=["GET"])
        router.add_route(SECOND_FACTOR_PATH, self.prove, methods=["POST"])
        router.add_route(ENROL_PATH, self.show_enrol, methods=["GET"])
        router.add_route(ENROL_PATH, self.enrol, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Ask for the second factor."""
        next_path = local_path(query_value(request, "next"))
        step = await self._step(request)
        if step is None:
            return over(request, next_path)
        if step.enrol:
            return see_other(with_next(ENROL_PATH, next_path))
        return await self._ask(step, next_path)

    async def prove(self, request: Request) -> Response:
        """Begin the session if what was shown is right."""
        form = await form_of(request, self._settings)
        next_path = local_path(form.get("next", ""))
        step = await self._step(request)
        if step is None or step.enrol:
            return over(request, next_path)
        self._steps.check_form_token(step, form.get("form_token"))
        try:
            shown, begun = await self._shown(request, form)
        except RateLimited as problem:
            return await self._ask(step, next_path, problem=_wait(problem), status=problem.status, of=problem)
        if begun is Refused.OVER:
            return over(request, next_path)
        if isinstance(begun, SignedIn):
            response = go_on(begun, next_path, lifetime=self._sessions.lifetime)
            clear_step_cookie(response)
            return response
        errors = {shown: _WRONG[shown] if form.get(shown) else _EMPTY}
        return await self._ask(step, next_path, errors=errors, status=WrongSignIn.status)

    async def _shown(self, request: Request, form: Mapping[str, str]) -> tuple[str, SignedIn | Refused]:
        """Return which field the person used, and what came of it."""
        cookie, visit = request.cookies.get(STEP_COOKIE, ""), visit_of(request)
        if "answer" in form:
            challenge = form.get("challenge", "")
            return "answer", await self._steps.show_passkey(cookie, form["answer"], challenge, visit)
        if "recovery_code" in form:
            return "recovery_code", await self._steps.show_recovery_code(cookie, form["recovery_code"], visit)
        if "code" in form:
            return "code", await self._steps.show_code(cookie, form["code"], visit)
        return ("recovery_code" if form.get("with") == "recovery_code" else "code"), Refused.WRONG

    async def show_enrol(self, request: Request) -> Response:
        """Show an authenticator app that is to be set up."""
        next_path = local_path(query_value(request, "next"))
        step = await self._step(request)
        if step is None:
            return over(request, next_path)
        if not step.enrol:
            return see_other(with_next(SECOND_FACTOR_PATH, next_path))
        return self._enrol(step, self._steps.new_app(step), next_path)

    async def enrol(self, request: Request) -> Response:
        """Set up the app that shows the code, show the recovery codes, and begin the session."""
        form = await form_of(request, self._settings)
        next_path = local_path(form.get("next", ""))
        step = await self._step(request)
        if step is None or not step.enrol:
            return over(request, next_path)
        self._steps.check_form_token(step, form.get("form_token"))
        sealed = form.get("sealed", "")
        try:
            app = self._steps.pending_app(step, sealed)
        except FormExpired:
            late = "That took too long. Scan this new picture instead of the first one."
            return self._enrol(step, self._steps.new_app(step), next_path, problem=late)
        try:
            cookie = request.cookies.get(STEP_COOKIE, "")
            enrolled = await self._steps.enrol(cookie, sealed, form.get("code", ""), visit_of(request))
        except InvalidParameters as problem:
            return self._enrol(step, app, next_path, errors=mistakes(problem), status=problem.status)
        except RateLimited as problem:
            return self._enrol(step, app, next_path, problem=wait_of(problem), status=problem.status, of=problem)
        if isinstance(enrolled, Refused):
            return over(request, next_path)
        response = html(
            FirstCodes(
                product_name=self._settings.product_name,
                codes=tuple(code.reveal() for code in enrolled.recovery_codes),
                on_url=next_path if enrolled.signed_in else with_next(views.SIGN_IN_PATH, next_path),
                signed_in=enrolled.signed_in is not None,
            )
        )
        clear_step_cookie(response)
        if enrolled.signed_in is not None:
            set_cookies(response, enrolled.signed_in, lifetime=self._sessions.lifetime)
        return response

    async def _step(self, request: Request) -> OpenStep | None:
        signed_in(request)  # refuses other credentials, as every page does
        return await self._steps.look(request.cookies.get(STEP_COOKIE, ""))

    async def _ask(
        self,
        step: OpenStep,
        next_path: str,
        *,
        errors: Mapping[str, str] | None = None,
        problem: str = "",
        status: int = 200,
        of: RateLimited | None = None,
    ) -> Response:
        view = SecondFactor(
            product_name=self._settings.product_name,
            next=next_path,
            username=step.username,
            form_token=self._steps.form_token(step),
            again_url=with_next(views.SIGN_IN_PATH, next_path),
            totp=step.totp,
            recovery_codes=step.recovery_codes,
            question=await self._steps.passkey_question(step) if step.passkeys else None,
            errors=errors or {},
            problem=problem,
        )
        return html(view, status, of.headers if of is not None else None)

    def _enrol(
        self,
        step: OpenStep,
        app: NewTotp,
        next_path: str,
        *,
        errors: Mapping[str, str] | None = None,
        problem: str = "",
        status: int = 200,
        of: RateLimited | None = None,
    ) -> Response:
        secret = app.secret.reveal()
        view = Enrol(
            product_name=self._settings.product_name,
            next=next_path,
            username=step.username,
            form_token=self._steps.form_token(step),
            sealed=app.sealed,
            qr=qr_svg(app.uri),
            secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
            errors=errors or {},
            problem=problem,
        )
        return html(view, status, of.headers if of is not None else None)


def _wait(problem: RateLimited) -> str:
    """Say how long somebody has to wait, and what they can do meanwhile when it may take a day."""
    if problem.detail != TOO_MANY_CODES:
        return wait_of(problem)
    return f"{problem.detail} Codes are taken again in {wait_words(int(problem.headers['Retry-After']))}."
