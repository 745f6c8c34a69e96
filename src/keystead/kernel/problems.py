"""The catalogue of problems: every refusal, with a stable code, a status, a sentence for a person and what to do next.

A problem is raised where the rule is; the edge turns it into RFC 9457, OAuth (RFC 6749, section 5.2) or the Account
API's shape. The documentation pages at ``/problems/<code>`` are made from these classes: the docstring is the meaning.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one part of a request: where it stands, a code for programs, a sentence for people."""

    location: str
    name: str
    code: str
    detail: str


class Problem(Exception):  # noqa: N818 - the field's word (RFC 9457) is problem
    """The base of all refusals. ``detail`` is public; anything private belongs in the log.

    ``says_nothing_more`` tells that ``detail`` is only the class's title and remedy.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    remedy: ClassVar[str]
    oauth_error: ClassVar[str] = "invalid_request"
    challenge: ClassVar[str] = 'Bearer realm="keystead", Basic realm="keystead"'
    """How to authenticate, where the status is 401 (RFC 9110, section 11.6.1)."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Sequence[FieldProblem] = (),
    ) -> None:
        """Refuse with ``detail``, a public sentence, or with the class's own title and remedy."""
        self.says_nothing_more = detail is None
        self.detail = detail or f"{self.title}. {self.remedy}"
        self.headers = dict(headers or {})
        self.fields = tuple(fields)
        super().__init__(self.detail)


def catalogue() -> Iterator[type[Problem]]:
    """Yield every kind of problem there is, by code."""
    found: list[type[Problem]] = []
    waiting = [Problem]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if "code" in vars(kind):
                found.append(kind)
    yield from sorted(found, key=lambda kind: kind.code)


def retry_after(seconds: int) -> dict[str, str]:
    """Return the Retry-After header: whole seconds, at least one (RFC 9110, section 10.2.3)."""
    return {"Retry-After": str(max(1, seconds))}


class InvalidRequest(Problem):
    """A parameter, header, body or cookie is missing, repeated, too long, wrongly encoded or of the wrong type."""

    code, status, title = "invalid_request", 400, "The request is malformed"
    remedy = "Mend what the detail names and send it again."


class InvalidParameters(Problem):
    """The request could be read, but one or more of its values do not fit. Each is named in ``errors``."""

    code, status, title = "invalid_parameters", 422, "Some values do not fit"
    remedy = "Mend the values named in errors and send it again."


class TwoCredentials(Problem):
    """One request carried two different credentials, so it is not clear who is acting."""

    code, status, title = "two_credentials", 400, "Two different credentials in one request"
    remedy = "Send one only: a bearer token, an API key or the session cookie."


class Unauthenticated(Problem):
    """No credential was sent, or it is unknown, malformed, expired or revoked. All of these look the same."""

    code, status, title = "unauthenticated", 401, "A valid credential is needed"
    remedy = "Check that the token or API key is complete, not expired and not revoked."
    oauth_error = "invalid_token"


class WrongSignIn(Problem):
    """The user name or the password is not right. Unknown, locked and wrong look and take the same."""

    code, status, title = "wrong_sign_in", 401, "The user name or the password is not right"
    remedy = "Check both and try again."
    challenge = 'Bearer realm="keystead"'  # without Basic: a browser would ask with a window of its own


class SecondFactorRequired(Problem):
    """The password is right, and more than a password is asked for: a code, a passkey or a recovery code.

    That is so for people who have set up a second factor, and in organizations that ask all their members for one.
    """

    code, status, title = "second_factor_required", 403, "A second factor is needed"
    remedy = (
        "Sign in on the sign-in page in a browser, which asks for it. A program sends what is asked for to "
        "/api/sso/mfa/login, with the cookie of this answer."
    )


class SignInOver(Problem):
    """There is no sign-in to go on with: it is too old, was finished, had too many tries, or something changed."""

    code, status, title = "sign_in_over", 401, "This sign-in has ended"
    remedy = "Begin again with the user name and the password."
    challenge = WrongSignIn.challenge


class SignInAgain(Problem):
    """The session is good, but its sign-in was too long ago for a change of how the account is secured.

    Second factors can be changed for 15 minutes after a sign-in, or on the Security page, which asks for the password.
    """

    code, status, title = "sign_in_again", 403, "Sign in again first"
    remedy = "Sign in again and repeat the request, or make the change on the Security page of Account Settings."


class CredentialNotAllowed(Problem):
    """The credential is valid, but this kind of credential cannot be used here."""

    code, status, title = "credential_not_allowed", 403, "This kind of credential cannot be used here"
    remedy = "Use the kind of credential that the endpoint's documentation names."
    oauth_error = "access_denied"


class InsufficientScope(Problem):
    """The token is valid, but it was not given the scope that this needs (RFC 6750, section 3.1)."""

    code, status, title = "insufficient_scope", 403, "The token lacks a scope"
    remedy = "Sign in again and ask for the scope, or ask an owner of the organization to raise your role."
    oauth_error = "insufficient_scope"


class Forbidden(Problem):
    """The person is known, but their role does not allow this."""

    code, status, title = "forbidden", 403, "You may not do this"
    remedy = "Ask an owner or admin of the organization."
    oauth_error = "access_denied"


class Impersonating(Problem):
    """The session acts as somebody else. It shows what that person sees, and nothing can be done in their name."""

    code, status, title = "impersonating", 403, "You act as somebody else"
    remedy = "Stop acting as this person, then do it in your own name."
    oauth_error = "access_denied"


class HttpsRequired(Problem):
    """The request came over plain HTTP, where anybody on the way can read a credential. It is never redirected."""

    code, status, title = "https_required", 403, "Use https"
    remedy = "Send the request to the https address. An API key that was sent this way counts as exposed: replace it."
    oauth_error = "invalid_request"


class CrossSite(Problem):
    """A change that rests on the session cookie was asked for by a page of another site."""

    code, status, title = "cross_site", 403, "The request came from another site"
    remedy = "Open the page here and do it again."
    oauth_error = "access_denied"


class FormExpired(Problem):
    """The form's token is missing, was made for another sign-in, or is too old."""

    code, status, title = "form_expired", 403, "This form is no longer valid"
    remedy = "Load the page again and repeat what you did. Nothing was changed."


class NotFound(Problem):
    """There is nothing at this address, or nothing that you may see."""

    code, status, title = "not_found", 404, "Nothing is here"
    remedy = "Check the address and the id."


class MethodNotAllowed(Problem):
    """The address exists, but not with this HTTP method."""

    code, status, title = "method_not_allowed", 405, "This method is not allowed here"
    remedy = "Use one of the methods that the Allow header names."


class Conflict(Problem):
    """The request collides with what is already there."""

    code, status, title = "conflict", 409, "This collides with what is already there"
    remedy = "Look at the current state and decide again."


class BodyTooLarge(Problem):
    """The body is longer than the server reads."""

    code, status, title = "body_too_large", 413, "The body is too large"
    remedy = "Send at most 64 KiB."


class UnsupportedMediaType(Problem):
    """The Content-Type is not one that this endpoint reads."""

    code, status, title = "unsupported_media_type", 415, "This media type is not read here"
    remedy = "Set the Content-Type that the endpoint's documentation names."


class PaymentRefused(Problem):
    """The payment provider did not take the payment. Nothing was charged."""

    code, status, title = "payment_refused", 402, "The payment was refused"
    remedy = "Ask the operator of this service, or try a smaller amount."


class HeadersTooLarge(Problem):
    """The request's header fields are longer than the server reads (RFC 6585, section 5)."""

    code, status, title = "headers_too_large", 431, "The header fields are too large"
    remedy = "Send less in headers and cookies."


class RateLimited(Problem):
    """Too many requests in a short time. The Retry-After header says in how many seconds to try again."""

    code, status, title = "rate_limited", 429, "Too many requests"
    remedy = "Wait as long as Retry-After says, then try again more slowly."
    oauth_error = "temporarily_unavailable"


class Internal(Problem):
    """Something failed that should not have. The incident id lets the operator find it in the logs."""

    code, status, title = "internal", 500, "Something went wrong on our side"
    remedy = "Try again; if it stays, tell the operator the incident id."
    oauth_error = "server_error"


class Unavailable(Problem):
    """The server cannot know the answer just now, for instance because its database is away. Nothing is lost."""

    code, status, title = "unavailable", 503, "The service cannot answer just now"
    remedy = "Try again in a few seconds. Keep your credentials: they are still valid."
    oauth_error = "temporarily_unavailable"

    def __init__(self, detail: str | None = None, *, seconds: int = 1) -> None:
        """Refuse for now; ``seconds`` goes into Retry-After."""
        super().__init__(detail, headers=retry_after(seconds))


class InvalidClient(Problem):
    """The client id is unknown here. Register again to get a new one (RFC 6749, section 5.2; RFC 7591)."""

    code, status, title = "invalid_client", 401, "Unknown client"
    remedy = "Register the client again and use the new client_id."
    oauth_error = "invalid_client"


class UnauthorizedClient(Problem):
    """The operator has switched this client off: nobody signs in with it any more (RFC 6749, section 5.2).

    What is signed in with it goes on.
    """

    code, status, title = "unauthorized_client", 400, "This client is switched off"
    remedy = "Ask the operator of this service whether another version or another program should be used."
    oauth_error = "unauthorized_client"


class InvalidClientMetadata(Problem):
    """The description of a client that wants to register does not fit (RFC 7591, section 3.2.2)."""

    code, status, title = "invalid_client_metadata", 400, "The client's description does not fit"
    remedy = "Mend the field that the detail names and register again."
    oauth_error = "invalid_client_metadata"


class InvalidGrant(Problem):
    """The device code or refresh token is unknown, spent, revoked, expired, or belongs to another client."""

    code, status, title = "invalid_grant", 400, "The code or refresh token is not valid"
    remedy = "Start a new sign-in."
    oauth_error = "invalid_grant"


class InvalidScope(Problem):
    """A scope was asked for that does not exist (RFC 6749, section 5.2)."""

    code, status, title = "invalid_scope", 400, "There is no such scope"
    remedy = "Ask only for scopes that the documentation lists."
    oauth_error = "invalid_scope"


class UnsupportedGrantType(Problem):
    """The token endpoint knows the device grant and the refresh grant only (RFC 6749, section 5.2)."""

    code, status, title = "unsupported_grant_type", 400, "This grant type is not supported"
    remedy = "Use urn:ietf:params:oauth:grant-type:device_code or refresh_token."
    oauth_error = "unsupported_grant_type"


class AuthorizationPending(Problem):
    """The person has not decided yet (RFC 8628, section 3.5)."""

    code, status, title = "authorization_pending", 400, "The sign-in is not decided yet"
    remedy = "Wait the interval and poll again."
    oauth_error = "authorization_pending"


class SlowDown(Problem):
    """The client polled before its interval had passed; the interval has grown by five seconds (RFC 8628, 3.5)."""

    code, status, title = "slow_down", 400, "You are polling too fast"
    remedy = "Add five seconds to your interval and poll again."
    oauth_error = "slow_down"


class AccessDenied(Problem):
    """The person refused the sign-in (RFC 8628, section 3.5)."""

    code, status, title = "access_denied", 400, "The sign-in was refused"
    remedy = "Stop polling. Start again only if the person wants to."
    oauth_error = "access_denied"


class ExpiredToken(Problem):
    """The device code expired before it was approved and redeemed (RFC 8628, section 3.5)."""

    code, status, title = "expired_token", 400, "The device code has expired"
    remedy = "Start a new sign-in."
    oauth_error = "expired_token"
