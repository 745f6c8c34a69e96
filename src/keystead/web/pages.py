"""What all pages share: who is looking, how a view becomes a response, and where a person may be sent next."""

import inspect
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import CredentialNotAllowed, Internal, InvalidRequest, Problem
from keystead.web import views
from keystead.web.render import render
from keystead.wire.answers import PAGE_HEADERS
from keystead.wire.caller import caller_of

LONGEST_NEXT: Final = 400


@dataclass(frozen=True, slots=True)
class ProblemPages:
    """Draws the page of a problem, wherever in the server it arose."""

    product_name: str

    def __call__(self, problem: Problem, request_id: str) -> bytes:
        """Return the page; the reference that a person can quote is the request's id."""
        view = views.ProblemPage(
            product_name=self.product_name,
            status=problem.status,
            title=problem.title,
            detail=inspect.cleandoc(type(problem).__doc__ or "") if problem.says_nothing_more else problem.detail,
            next_step=problem.remedy,
            code=problem.code,
            reference=request_id if isinstance(problem, Internal) else "",
            retry_after=int(problem.headers.get("Retry-After", 0)),
        )
        return render(view).encode()


def html(view: views.Page, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a page."""
    return Response(render(view), status, headers={**(headers or {}), **PAGE_HEADERS})


def see_other(location: str) -> RedirectResponse:
    """Send the browser on with GET, so that reloading repeats nothing (RFC 9110, section 15.4.4)."""
    return RedirectResponse(location, 303, headers={"Cache-Control": "no-store"})


def signed_in(request: Request) -> Principal | None:
    """Return who is looking, or None when nobody is signed in.

    Pages are for browsers: another kind of credential is refused, and so is a request with two.
    """
    caller = caller_of(request.scope)
    if caller.principal is not None:
        if caller.principal.method is not Method.SESSION:
            raise CredentialNotAllowed("Pages are read with a browser session, not with a token or an API key.")
        return caller.principal
    if caller.refusal is not None and caller.refusal.status != 401:
        raise caller.refusal
    return None


def account_of(principal: Principal) -> views.Account:
    """Return the account as the pages show it."""
    return views.Account(username=principal.identity.username, email=principal.identity.email)


def query_value(request: Request, name: str) -> str:
    """Return a query parameter, or an empty text. Unknown parameters are ignored; a repeated one is refused."""
    values = request.query_params.getlist(name)
    if len(set(values)) > 1:
        raise InvalidRequest(f"The parameter '{name}' was sent more than once.")
    return values[0] if values else ""


def local_path(text: str) -> str:
    """Return a path of this server to go on to; anything else, another site above all, becomes the home page."""
    fits = (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and len(text) <= LONGEST_NEXT
        and text.isascii()
        and text.isprintable()
        and "\\" not in text
    )
    return text if fits else views.HOME_PATH


def code_in(path: str) -> str:
    """Return the user code that a path to the device page carries, or an empty text."""
    parts = urlsplit(path)
    if parts.path != views.DEVICE_PATH:
        return ""
    return parse_qs(parts.query).get("user_code", [""])[0][:100]
