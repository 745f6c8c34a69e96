"""Everything that can go wrong in the SDK, as one tree.

::

    KeysteadError
    ├── UsageError                the call itself is wrong: a bad address, two credentials, a value out of range
    │   └── InsecureAddress       plain HTTP beyond this machine, or a redirect to another server (promise W3)
    ├── SignInRequired            there is no credential that works: sign in (again)
    │   ├── SignInRefused         the person said no on the page
    │   ├── SignInExpired         the code ran out before anybody decided
    │   └── SignInEnded           the server no longer knows the sign-in: signed out, expired or revoked
    ├── SignInCancelled           the program gave up waiting
    ├── ApiError                  the server understood and said no
    │   ├── InvalidRequest        400, 422: what was sent cannot be followed
    │   ├── Forbidden             403: the credential may not do this
    │   ├── NotFound              404
    │   ├── Conflict              409: it collides with what is there
    │   └── RateLimited           429: too often; says when to come back
    ├── NetworkError              the server could not be asked, or did not answer in time
    │   └── ServerUnavailable     5xx, or an answer that is not this protocol's: it may work later
    └── StoreError                the credential store cannot be read or written
        └── KeyringUnavailable    the keyring of the operating system is required and is absent, locked or hung

``str(error)`` is a sentence for a person; nothing in it, nor in the ``repr``, is a secret.
"""

from dataclasses import dataclass


class KeysteadError(Exception):
    """Any error of this package. ``hint`` says what to do next, or is empty."""

    hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """``message`` is one sentence for a person."""
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UsageError(KeysteadError):
    """The call itself is wrong."""


class InsecureAddress(UsageError):
    """A credential would travel over plain HTTP beyond this machine, or to another server (promise W3)."""

    hint = "Use an address that begins with https://."


class SignInRequired(KeysteadError):
    """There is no credential that works."""

    hint = "Sign in: keystead login"


class SignInRefused(SignInRequired):
    """The person refused the sign-in (``access_denied``, RFC 8628, section 3.5)."""

    hint = "Start again if that was a mistake: keystead login"


class SignInExpired(SignInRequired):
    """The code ran out before anybody decided (``expired_token``, RFC 8628, section 3.5)."""

    hint = "Start again: keystead login"


class SignInEnded(SignInRequired):
    """The server no longer knows the sign-in (``invalid_grant``, RFC 6749, section 5.2)."""

    hint = "Sign in again: keystead login"


class SignInCancelled(KeysteadError):
    """The program gave up waiting. Nothing was stored; the code runs out by itself."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake in a request: where it is, its code, and a sentence."""

    where: str
    code: str
    message: str


class ApiError(KeysteadError):
    """The server understood and said no.

    ``status`` is the HTTP status, ``code`` the stable name of the problem (docs/problems.md), ``request_id`` what to
    name to the operator, ``fields`` the mistakes in a request one by one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        request_id: str = "",
        fields: tuple[FieldError, ...] = (),
        hint: str | None = None,
    ) -> None:
        """Hold what the server told."""
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.fields = fields


class InvalidRequest(ApiError):
    """What was sent cannot be followed (400, 413, 415, 422)."""


class Forbidden(ApiError):
    """The credential may not do this (403)."""


class NotFound(ApiError):
    """There is no such thing (404)."""


class Conflict(ApiError):
    """It collides with what is there already (409)."""


class RateLimited(ApiError):
    """Too often (429). ``retry_after`` is how many seconds to wait."""

    retry_after: float = 0.0


class NetworkError(KeysteadError):
    """The server could not be asked, or did not answer in time.

    ``may_be_done`` tells whether what was asked may have been done all the same; it is False where no connection came
    about.
    """

    hint = "Check the address and your connection, then try again."
    may_be_done: bool = True


class ServerUnavailable(NetworkError):
    """The server answered that it cannot answer now (5xx), or something that is not this protocol's.

    ``retry_after`` is how many seconds to wait, None where the server did not say.
    """

    hint = "Try again in a moment."
    status: int = 503
    retry_after: float | None = None


class StoreError(KeysteadError):
    """The credential store cannot be read or written. Nothing that was stored is lost."""


class KeyringUnavailable(StoreError):
    """The keyring of the operating system is required, and is absent, locked or hung (promise C1)."""

    hint = "Unlock it, or sign in without --require-keyring."
