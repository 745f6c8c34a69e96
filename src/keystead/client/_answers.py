"""Reading answers: every dialect in which the server speaks, and what is no answer of Keystead at all.

Refusals come as OAuth JSON (RFC 6749, section 5.2), as FastAPI's ``{"detail": ...}``, or as RFC 9457 with the older
``error`` and ``message``. A proxy's page, an empty body or something else becomes an error that says so. Whatever of a
request is secret is struck out of the sentences, and so is what could steer a terminal.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from keystead.client._errors import (
    ApiError,
    Conflict,
    FieldError,
    Forbidden,
    InvalidRequest,
    KeysteadError,
    NotFound,
    RateLimited,
    ServerUnavailable,
    SignInEnded,
    SignInExpired,
    SignInRefused,
    SignInRequired,
)
from keystead.client._http import Answer, Request
from keystead.client._retry import retry_after
from keystead.kernel.secrets import Secret

LONGEST_SENTENCE: Final = 500
_MOST_FIELDS: Final = 50
_SHORTEST_SECRET: Final = 6

_KINDS: Final[dict[int, type[ApiError]]] = {
    400: InvalidRequest,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    431: InvalidRequest,
}
_CODES: Final = {
    400: "invalid_request",
    402: "payment_refused",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_parameters",
    429: "rate_limited",
    431: "headers_too_large",
}
"""What the Account API's refusals are called in docs/problems.md; its own dialect has no word for it."""
_SIGN_INS: Final[dict[str, type[SignInRequired]]] = {
    "access_denied": SignInRefused,
    "expired_token": SignInExpired,
    "invalid_grant": SignInEnded,
}


class Foreign(Exception):  # noqa: N818 - it says what an answer is
    """An answer that is not this protocol's: a member is missing or of another type."""


class Fields:
    """The members of a JSON object, read with their types. Each reader raises Foreign for another type."""

    __slots__ = ("_members",)

    def __init__(self, value: object) -> None:
        """Raises Foreign for anything but an object."""
        if not isinstance(value, dict):
            raise Foreign
        self._members: Mapping[str, Any] = value

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        found = self._members.get(name)
        if not isinstance(found, str):
            raise Foreign
        return found

    def text_or(self, name: str, default: str) -> str:
        """Return a text, or ``default`` where it is absent or null."""
        return default if self._members.get(name) is None else self.text(name)

    def text_or_none(self, name: str) -> str | None:
        """Return a text, or None where it is absent or null."""
        return None if self._members.get(name) is None else self.text(name)

    def whole(self, name: str) -> int:
        """Return a number, without what is behind its point. A text of digits is taken for one (contract A5)."""
        found = self._members.get(name)
        try:
            return int(float(found)) if isinstance(found, (int, float, str)) and not isinstance(found, bool) else _no()
        except (ValueError, OverflowError):
            raise Foreign from None

    def whole_or(self, name: str, default: int) -> int:
        """Return a number, or ``default`` where it is absent or null."""
        return default if self._members.get(name) is None else self.whole(name)

    def whole_or_none(self, name: str) -> int | None:
        """Return a number, or None where it is absent or null."""
        return None if self._members.get(name) is None else self.whole(name)

    def number(self, name: str) -> float:
        """Return a number as it is."""
        found = self._members.get(name)
        return found if isinstance(found, (int, float)) and not isinstance(found, bool) else _no()

    def truth(self, name: str) -> bool:
        """Return true or false; absent and null are false."""
        found = self._members.get(name)
        return found if isinstance(found, bool) else False if found is None else _no()

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; absent and null are none."""
        found = self._members.get(name)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise Foreign
        return tuple(found)

    def items(self, name: str) -> list["Fields"]:
        """Return a list of objects; null is none."""
        found = self._members.get(name, _MISSING)
        if found is None:
            return []
        if not isinstance(found, list):
            raise Foreign
        return [Fields(one) for one in found]


_MISSING: Final = object()


def _no() -> Any:
    raise Foreign


def json_of(answer: Answer) -> Any:
    """Return what a body says as JSON. Raises Foreign."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Foreign from None


def speaks_oauth(answer: Answer) -> bool:
    """Tell whether a refusal is an OAuth error (RFC 6749, section 5.2), and not what a network put in its place."""
    return isinstance(_object(answer).get("error"), str)


def foreign(answer: Answer, server: str) -> ServerUnavailable:
    """Return the error for a successful answer that is not this protocol's."""
    found = ServerUnavailable(
        f"What answered at {server} does not speak as Keystead does (status {answer.status}).",
        hint="Check the address. If it is right, a proxy or a sign-in page of the network may stand in between.",
    )
    found.status = answer.status
    return found


def refusal(answer: Answer, request: Request, server: str, now: float) -> KeysteadError:
    """Return the error that an answer without success stands for. ``now`` is in Unix seconds."""
    body = _object(answer)
    said = _plain(_sentence(body), request.secrets)
    wait = retry_after(answer.headers, now)
    if answer.status >= 500 or answer.status == 408:
        return _unavailable(answer.status, said, server, wait)
    code = _code(body, answer.status)
    if answer.status == 400 and (kind := _SIGN_INS.get(code)) is not None:
        return kind(said or "The sign-in has ended.")
    if answer.status == 401 and code != "invalid_client":
        return SignInRequired(said or f"{server} did not accept the credential.")
    found = _KINDS.get(answer.status, ApiError)(
        said or _unexplained(answer.status, server),
        status=answer.status,
        code=code,
        request_id=_plain(answer.headers.get("x-request-id", ""), ())[:64],
        fields=_fields(body, request.secrets),
    )
    if isinstance(found, RateLimited):
        found.retry_after = wait or 0.0
        found.hint = f"Try again in {_seconds(wait)}." if wait else "Try again in a moment, and more slowly."
    return found


def _unavailable(status: int, said: str, server: str, wait: float | None) -> ServerUnavailable:
    found = ServerUnavailable(said or _unexplained(status, server))
    found.status, found.retry_after = status, wait
    if wait:
        found.hint = f"Try again in {_seconds(wait)}."
    return found


def _seconds(wait: float) -> str:
    whole = max(1, round(wait))
    return "1 second" if whole == 1 else f"{whole} seconds"


def _unexplained(status: int, server: str) -> str:
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    return f"{server} answered {words} without saying why; it may have been a proxy in between."


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        found = json_of(answer)
    except Foreign:
        return {}
    return found if isinstance(found, dict) else {}


def _code(body: Mapping[str, Any], status: int) -> str:
    """Return the stable name of a problem: RFC 9457's ``code``, OAuth's ``error``, or what the status stands for."""
    for name in ("code", "error"):
        found = body.get(name)
        if isinstance(found, str) and found.isascii() and found.replace("_", "").isalnum() and len(found) <= 64:
            return "rate_limited" if status == 429 else found  # OAuth has no word of its own for it
    return _CODES.get(status, "refused")


def _sentence(body: Mapping[str, Any]) -> str:
    for name in ("detail", "error_description", "message", "title"):
        found = body.get(name)
        if isinstance(found, str) and found.strip():
            return found
        if name == "detail" and isinstance(found, list):
            told = [f"{one.where}: {one.message}" if one.where else one.message for one in _listed(found)]
            if told:
                return "Some values do not fit: " + "; ".join(told)
    return ""


def _fields(body: Mapping[str, Any], secrets: tuple[Secret, ...]) -> tuple[FieldError, ...]:
    for name in ("errors", "detail"):
        found = body.get(name)
        if isinstance(found, list):
            return tuple(
                FieldError(_plain(one.where, secrets), _plain(one.code, secrets), _plain(one.message, secrets))
                for one in _listed(found)
            )
    return ()


def _listed(found: list[Any]) -> list[FieldError]:
    """Return the mistakes in a list of FastAPI's or of RFC 9457's (its section 3)."""
    mistakes = []
    for one in found[:_MOST_FIELDS]:
        if not isinstance(one, dict):
            continue
        place = one.get("loc")
        if isinstance(place, list):
            where = ".".join(str(step) for step in place if step != "body")
            mistakes.append(FieldError(where, str(one.get("type", "")), str(one.get("msg", ""))))
        else:
            where = str(one.get("pointer", "")).removeprefix("#/").replace("/", ".") or str(one.get("parameter", ""))
            mistakes.append(FieldError(where, str(one.get("code", "")), str(one.get("detail", ""))))
    return mistakes


def _plain(text: str, secrets: Iterable[Secret]) -> str:
    """Return a sentence that is fit to be shown: in one line, not too long, without secrets and control characters."""
    for secret in secrets:
        hidden = secret.reveal()
        if len(hidden) >= _SHORTEST_SECRET:
            text = text.replace(hidden, "********")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= LONGEST_SENTENCE else text[: LONGEST_SENTENCE - 1] + "…"
