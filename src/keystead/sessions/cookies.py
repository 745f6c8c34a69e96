"""The cookies: always Secure, HttpOnly and SameSite=Lax, whatever scheme a proxy reports (promise W1).

``Lax`` and not ``Strict``, so that a link in a mail or a terminal opens a page in which the person is signed in.
"""

from typing import Any, Final

from starlette.responses import Response

from keystead.kernel.secrets import Secret
from keystead.sessions.models import SignedIn
from keystead.sessions.rules import DEVICE_LIFETIME, STEP_LIFETIME

SESSION_COOKIE: Final = "cloud.sso"
DEVICE_COOKIE: Final = "keystead.device"
STEP_COOKIE: Final = "cloud.step"
ENTRANCE_COOKIE: Final = "cloud.entrance"
STEP_PATH: Final = "/sign-in"

_GUARDS: Final[dict[str, Any]] = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}


def set_cookies(response: Response, signed_in: SignedIn, *, lifetime: int) -> None:
    """Give the browser its session, for ``lifetime`` seconds, and make its device known."""
    _set(response, SESSION_COOKIE, signed_in.secret, lifetime)
    _set(response, DEVICE_COOKIE, signed_in.device_cookie, DEVICE_LIFETIME)


def clear_session_cookie(response: Response) -> None:
    """Take the session from the browser. The device stays known."""
    response.delete_cookie(SESSION_COOKIE, **_GUARDS)


def set_step_cookie(response: Response, step: Secret) -> None:
    """Give the browser the step of its sign-in. Only the pages of signing in see it."""
    guards = _GUARDS | {"path": STEP_PATH}
    response.set_cookie(STEP_COOKIE, step.reveal(), max_age=STEP_LIFETIME, **guards)


def clear_step_cookie(response: Response) -> None:
    """Take the step from the browser."""
    response.delete_cookie(STEP_COOKIE, **(_GUARDS | {"path": STEP_PATH}))


def set_entrance_cookie(response: Response, browser: str) -> None:
    """Give the browser a name by which only it can use what it was asked on the page for passkeys."""
    response.set_cookie(ENTRANCE_COOKIE, browser, max_age=STEP_LIFETIME, **(_GUARDS | {"path": STEP_PATH}))


def _set(response: Response, name: str, value: Secret, lifetime: int) -> None:
    response.set_cookie(name, value.reveal(), max_age=lifetime, **_GUARDS)
