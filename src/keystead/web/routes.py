"""The pages: signing in and out, home, the documentation of problems, and static files."""

import inspect
from collections.abc import Mapping
from importlib import resources
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import InvalidRequest, NotFound, RateLimited, WrongSignIn, catalogue
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.oauth.user_codes import read_user_code
from keystead.sessions.cookies import DEVICE_COOKIE, SESSION_COOKIE, clear_session_cookie, set_cookies
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.frame import SIGN_OUT
from keystead.web.pages import account_of, code_in, html, local_path, query_value, see_other, signed_in
from keystead.wire.asgi import read_body
from keystead.wire.caller import caller_of
from keystead.wire.forms import parse_form
from keystead.wire.origin import check_same_site

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_LONGEST_PASSWORD: Final = 1_024
_LONGEST_NAME: Final = 320


class PageRoutes:
    """The pages that belong to no single feature."""

    def __init__(self, *, sessions: Sessions, settings: Settings) -> None:
        """Draw the pages in the name of ``settings.product_name``."""
        self._sessions = sessions
        self._settings = settings
        self._static = _static_files()

    def router(self) -> APIRouter:
        """Return the routes; pages are not part of the OpenAPI documents."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(views.HOME_PATH, self.home, methods=["GET"])
        router.add_api_route(views.SIGN_IN_PATH, self.sign_in_form, methods=["GET"])
        router.add_api_route(views.SIGN_IN_PATH, self.sign_in, methods=["POST"])
        router.add_api_route(views.SIGN_OUT_PATH, self.sign_out, methods=["POST"])
        router.add_api_route(views.PROBLEMS_PATH, self.problems, methods=["GET"])
        router.add_api_route(views.PROBLEMS_PATH + "/{code}", self.problem, methods=["GET"])
        router.add_api_route("/static/{name}", self.static, methods=["GET"])
        router.add_api_route("/favicon.ico", self.favicon, methods=["GET"])
        return router

    async def home(self, request: Request) -> Response:
        """Show who is signed in."""
        principal = signed_in(request)
        if principal is None:
            return see_other(views.SIGN_IN_PATH)
        return html(
            views.Home(
                product_name=self._settings.product_name,
                account=account_of(principal),
                organization=principal.identity.organization_display_name,
                role=principal.identity.role,
                form_token=self._sessions.form_token(principal.credential_id, SIGN_OUT),
            )
        )

    async def sign_in_form(self, request: Request) -> Response:
        """Show the sign-in form; to somebody who is signed in as well, for they may want another account."""
        principal = signed_in(request)
        next_path = local_path(query_value(request, "next"))
        return html(
            self._form(
                next_path,
                current=None if principal is None else account_of(principal),
                signed_out=query_value(request, "signed_out") == "1",
            )
        )

    async def sign_in(self, request: Request) -> Response:
        """Begin a session and go on to where the person was going."""
        check_same_site(request.headers, self._settings.public_url)
        form = parse_form(await read_body(request.receive), request.headers.get("content-type", ""))
        username, password = form.get("username", ""), Secret(form.get("password", ""))
        next_path = local_path(form.get("next", ""))
        if len(username) > _LONGEST_NAME or len(password.reveal()) > _LONGEST_PASSWORD:
            raise InvalidRequest("The user name or the password is too long.")
        previous = request.cookies.get(SESSION_COOKIE)
        try:
            started = await self._sessions.sign_in(
                username,
                password,
                address=caller_of(request.scope).address,
                user_agent=request.headers.get("user-agent", ""),
                device_cookie=request.cookies.get(DEVICE_COOKIE),
                previous=Secret(previous) if previous else None,
            )
        except WrongSignIn:
            return html(self._form(next_path, username=username, error="wrong"), WrongSignIn.status)
        except RateLimited as problem:
            wait = int(problem.headers["Retry-After"])
            view = self._form(next_path, username=username, error="too_many", wait_seconds=wait)
            return html(view, RateLimited.status, problem.headers)
        response = see_other(next_path)
        set_cookies(response, started, lifetime=self._sessions.lifetime)
        return response

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

    async def problems(self) -> Response:
        """List every problem there is."""
        entries = tuple(views.ProblemEntry(code=p.code, status=p.status, title=p.title) for p in catalogue())
        return html(views.ProblemsIndex(product_name=self._settings.product_name, problems=entries))

    async def problem(self, code: str) -> Response:
        """Explain one problem: where the ``type`` of every problem document leads."""
        for kind in catalogue():
            if kind.code == code:
                return html(
                    views.ProblemDoc(
                        product_name=self._settings.product_name,
                        code=kind.code,
                        status=kind.status,
                        title=kind.title,
                        meaning=inspect.cleandoc(kind.__doc__ or ""),
                        what_to_do=(kind.remedy,),
                    )
                )
        raise NotFound(f"There is no problem of this name. All of them are listed at {views.PROBLEMS_PATH}.")

    async def static(self, request: Request, name: str) -> Response:
        """Serve a static file; with its content hash in the address it may be kept for a year."""
        found = self._static.get(name)
        if found is None:
            raise NotFound()
        kept = "public, max-age=31536000, immutable" if request.url.query else "public, max-age=300"
        media_type = _TYPES[name.rpartition(".")[2]]
        return Response(found, media_type=media_type, headers={"Cache-Control": kept})

    async def favicon(self) -> Response:
        """Serve the icon to browsers that ask for it by habit."""
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response(self._static["favicon.svg"], media_type=_TYPES["svg"], headers=headers)

    def _form(
        self,
        next_path: str,
        *,
        username: str = "",
        error: views.SignInError | None = None,
        wait_seconds: int = 0,
        current: views.Account | None = None,
        signed_out: bool = False,
    ) -> views.SignIn:
        return views.SignIn(
            product_name=self._settings.product_name,
            next=next_path,
            username=username,
            error=error,
            wait_seconds=wait_seconds,
            user_code=read_user_code(code_in(next_path)) or "",
            current=current,
            signed_out=signed_out,
        )


def _static_files() -> Mapping[str, bytes]:
    files = (resources.files("keystead.web") / "static").iterdir()
    return {file.name: file.read_bytes() for file in files if file.name.rpartition(".")[2] in _TYPES}
