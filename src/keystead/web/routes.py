"""The pages that belong to no single feature: home, the documentation of problems, and static files."""

import inspect

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import NotFound, catalogue
from keystead.kernel.settings import Settings
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.frame import SETTINGS
from keystead.web.pages import html, see_other, signed_in
from keystead.web.static_files import static_files


class PageRoutes:
    """The pages that belong to no single feature."""

    def __init__(self, *, sessions: Sessions, settings: Settings) -> None:
        """Draw the pages in the name of ``settings.product_name``."""
        self._sessions = sessions
        self._settings = settings
        self._static = static_files()

    def router(self) -> APIRouter:
        """Return the routes; pages are not part of the OpenAPI documents."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(views.HOME_PATH, self.home, methods=["GET"])
        router.add_api_route(views.PROBLEMS_PATH, self.problems, methods=["GET"])
        router.add_api_route(views.PROBLEMS_PATH + "/{code}", self.problem, methods=["GET"])
        router.add_api_route("/static/{name}", self.static, methods=["GET"])
        router.add_api_route("/favicon.ico", self.favicon, methods=["GET"])
        return router

    async def home(self, request: Request) -> Response:
        """Lead to Account Settings, and who is not signed in to the sign-in page."""
        return see_other(views.SIGN_IN_PATH if signed_in(request) is None else SETTINGS)

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
        return found.response(request, kept)

    async def favicon(self, request: Request) -> Response:
        """Serve the icon to browsers that ask for it by habit."""
        return self._static["favicon.svg"].response(request, "public, max-age=86400")
