"""Problems as answers: one catalogue, told in the dialect of the surface that was asked.

- ``/getServiceKeys/*`` speaks OAuth (RFC 6749, section 5.2), compact JSON, because its clients search the text.
- ``/account/service/*`` speaks as FastAPI documents it: ``{"detail": ...}``.
- The OAuth endpoints under ``/api/oidc/`` speak both OAuth and RFC 9457 in one body: their ``error`` is OAuth's code.
- Everything else speaks RFC 9457 and the older ``error``/``message`` envelope in one body; people get a page.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec

from keystead.kernel.problems import FieldProblem, Problem, Unauthenticated

OAUTH_PREFIX: Final = "/getServiceKeys/"
ACCOUNT_PREFIX: Final = "/account/"
DEVICE_PAGE: Final = "/getServiceKeys/device"
OPENID_ENDPOINTS: Final = frozenset(
    f"/api/oidc/{name}" for name in ("device_authorization", "token", "revoke", "introspect")
)
"""The endpoints of the ACTIVATE API that OAuth clients call."""
PAGE_HEADERS: Final[dict[str, str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What every page carries: it cannot be framed, forged or told what to load (promise W4)."""
_JSON_ONLY: Final = ("/api/", "/verify", "/.well-known/", "/healthz", "/readyz", "/metrics", "/openapi.json")

_encode = msgspec.json.Encoder().encode


class Surface(Enum):
    """The dialect in which a problem is told."""

    OAUTH = "oauth"
    OPENID = "openid"
    ACCOUNT = "account"
    UNION = "union"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


PageRenderer = Callable[[Problem, str], bytes]
"""Makes the page that tells a person of a problem, given the request's id."""


def surface_of(path: str, accept: str) -> Surface:
    """Return the dialect for a path; a browser that asks for HTML gets a page wherever pages live."""
    if path == DEVICE_PAGE:
        return Surface.PAGE
    if path.startswith(OAUTH_PREFIX):
        return Surface.OAUTH
    if path.startswith(ACCOUNT_PREFIX):
        return Surface.ACCOUNT
    if path in OPENID_ENDPOINTS:
        return Surface.OPENID
    if path.startswith(_JSON_ONLY) or "text/html" not in accept:
        return Surface.UNION
    return Surface.PAGE


def answer(problem: Problem, surface: Surface, request_id: str, page: PageRenderer) -> Answer:
    """Return the response that tells of a problem."""
    headers = {"Cache-Control": "no-store", "Content-Language": "en", **problem.headers}
    if problem.status == Unauthenticated.status:
        headers.setdefault("WWW-Authenticate", problem.challenge)
    if surface is Surface.PAGE:
        if problem.status == Unauthenticated.status:  # no pop-up from the browser: pages have their own sign-in
            del headers["WWW-Authenticate"]
        return Answer(problem.status, {**headers, **PAGE_HEADERS}, page(problem, request_id))
    media = "application/problem+json" if surface is Surface.UNION else "application/json"
    return Answer(problem.status, {**headers, "Content-Type": media}, _encode(_BODIES[surface](problem)))


def _oauth_body(problem: Problem) -> dict[str, Any]:
    description = _oauth_text(problem.detail)
    return {"error": problem.oauth_error, "error_description": description, "message": description}


def _oauth_text(text: str) -> str:
    """Keep to the characters that RFC 6749, section 5.2 allows in ``error_description``."""
    text = text.replace('"', "'").replace("\\", "/")
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _openid_body(problem: Problem) -> dict[str, Any]:
    """Return what OAuth clients read and both parsers of the ACTIVATE SDK do too (contract, rule 14)."""
    return {
        **_union_body(problem),
        "error": problem.oauth_error,
        "error_description": _oauth_text(problem.detail),
    }


def _account_body(problem: Problem) -> dict[str, Any]:
    if not problem.fields:
        return {"detail": problem.detail}
    return {"detail": [{"loc": [f.location, *_parts(f.name)], "msg": f.detail, "type": f.code} for f in problem.fields]}


def _union_body(problem: Problem) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "error": True,
        "message": problem.detail,
    }
    if problem.fields:
        body["errors"] = [_field(found, problem.code) for found in problem.fields]
    return body


def _field(found: FieldProblem, code: str) -> dict[str, str]:
    body = {"code": found.code, "type": f"/problems/{code}", "detail": found.detail}
    if found.location == "body":
        body["pointer"] = "#" + "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in _parts(found.name))
    else:
        body["in"], body["parameter"] = found.location, found.name
    return body


def _parts(name: str) -> list[str]:
    """Return the steps from the body to a value; the body itself is no step away."""
    return name.split(".") if name else []


_BODIES: Final[dict[Surface, Callable[[Problem], dict[str, Any]]]] = {
    Surface.OAUTH: _oauth_body,
    Surface.OPENID: _openid_body,
    Surface.ACCOUNT: _account_body,
    Surface.UNION: _union_body,
}
