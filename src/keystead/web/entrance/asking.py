"""What the pages of the entrance share: the browser that asks, its form, and where it goes next."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from keystead.kernel.problems import Problem
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.sessions.cookies import (
    DEVICE_COOKIE,
    SESSION_COOKIE,
    STEP_COOKIE,
    clear_step_cookie,
    set_cookies,
    set_step_cookie,
)
from keystead.sessions.models import SignedIn, StepNeeded, Visit
from keystead.web import views
from keystead.web.entrance.models import ENROL_PATH, SECOND_FACTOR_PATH
from keystead.web.pages import see_other
from keystead.web.render import wait_words
from keystead.wire.asgi import read_body
from keystead.wire.caller import caller_of
from keystead.wire.forms import parse_form
from keystead.wire.origin import check_same_site

LONGEST_PASSWORD: Final = 1_024
LONGEST_NAME: Final = 320


def visit_of(request: Request) -> Visit:
    """Return the browser that asks."""
    previous = request.cookies.get(SESSION_COOKIE)
    return Visit(
        address=caller_of(request.scope).address,
        user_agent=request.headers.get("user-agent", ""),
        device_cookie=request.cookies.get(DEVICE_COOKIE),
        previous=Secret(previous) if previous else None,
    )


async def form_of(request: Request, settings: Settings) -> Mapping[str, str]:
    """Return the fields of a form that one of our pages sent. Raises CrossSite when it was another site's."""
    check_same_site(request.headers, settings.public_url)
    return parse_form(await read_body(request.receive), request.headers.get("content-type", ""))


def mistakes(problem: Problem) -> dict[str, str]:
    """Return what a service said of each field."""
    return {field.name: field.detail for field in problem.fields}


def wait_of(problem: Problem) -> str:
    """Say how long somebody has to wait who tried too often."""
    return f"There were too many tries. Please wait {wait_words(int(problem.headers['Retry-After']))}, then try again."


def with_next(path: str, next_path: str) -> str:
    """Return the address of a page of the entrance, from which the person goes on to ``next_path``."""
    return path if next_path == views.HOME_PATH else f"{path}?next={quote(next_path, safe='')}"


def go_on(begun: SignedIn | StepNeeded, next_path: str, *, lifetime: int) -> Response:
    """Send the browser on with its session, or to the page of the next step."""
    if isinstance(begun, StepNeeded):
        response: Response = see_other(with_next(ENROL_PATH if begun.enrol else SECOND_FACTOR_PATH, next_path))
        set_step_cookie(response, begun.step)
        return response
    response = see_other(next_path)
    set_cookies(response, begun, lifetime=lifetime)
    return response


def over(request: Request, next_path: str) -> Response:
    """Send somebody back to the password whose sign-in has ended."""
    target = with_next(views.SIGN_IN_PATH, next_path)
    response = see_other(f"{target}{'&' if '?' in target else '?'}done=over")
    if STEP_COOKIE in request.cookies:
        clear_step_cookie(response)
    return response
