"""The cookies: always Secure, HttpOnly and SameSite=Lax, whatever scheme a proxy reports (promise W1).

``Lax`` and not ``Strict``, so that a link in a mail or a terminal opens a page in which the person is signed in.
"""

from typing import Any, Final

from starlette.responses import Response

from keystead.kernel.secrets import Secret
from keystead.sessions.models import Acting, SignedIn
from keystead.sessions.rules import DEVICE_LIFETIME, STEP_LIFETIME

SESSION_COOKIE: Final = "cloud.sso"
DEVICE_COOKIE: Final = "keystead.device"
STEP_COOKIE: Final = "cloud.step"
ENTRANCE_COOKIE: Final = "cloud.entrance"
STEP_PATH: Final = "/sign-in"
MFA_COOKIE: Final = "cloud.mfa"
MFA_CHALLENGE_COOKIE: Final = "cloud.mfa.challenge"
MFA_PATH: Final = "/api/sso/mfa"

_GUARDS: Final[dict[str, Any]] = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}
_MFA_GUARDS: Final[dict[str, Any]] = _GUARDS | {"path": MFA_PATH}


def set_cookies(response: Response, signed_in: SignedIn, *, lifetime: int) -> None:
    """Give the browser its session, for ``lifetime`` seconds, and make its device known."""
    _set(response, SESSION_COOKIE, signed_in.secret, lifetime)
    _set(response, DEVICE_COOKIE, signed_in.device_cookie, DEVICE_LIFETIME)


def set_acting_cookie(response: Response, acting: Acting) -> None:
    """Give an operator's browser a session that acts as somebody. It does not become a device of that person's."""
    _set(response, SESSION_COOKIE, acting.secret, acting.lasts)


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


def mfa_cookie_header(step: Secret) -> dict[str, str]:
    """Return the header that gives a program the step of its sign-in, beside a refusal that says what is missing.

    It is the same step as on the pages, for the addresses of second factors and no others.
    """
    carrier = Response()
    carrier.set_cookie(MFA_COOKIE, step.reveal(), max_age=STEP_LIFETIME, **_MFA_GUARDS)
    return {"Set-Cookie": carrier.headers["set-cookie"]}


def set_mfa_challenge_cookie(response: Response, token: str) -> None:
    """Give a program the token of what its passkeys are asked; it comes back beside their answer."""
    response.set_cookie(MFA_CHALLENGE_COOKIE, token, max_age=STEP_LIFETIME, **_MFA_GUARDS)


def clear_mfa_cookies(response: Response) -> None:
    """Take the step and the question from the program."""
    response.delete_cookie(MFA_COOKIE, **_MFA_GUARDS)
    response.delete_cookie(MFA_CHALLENGE_COOKIE, **_MFA_GUARDS)


def _set(response: Response, name: str, value: Secret, lifetime: int) -> None:
    response.set_cookie(name, value.reveal(), max_age=lifetime, **_GUARDS)
