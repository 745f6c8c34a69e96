"""The records and bodies of the sessions room."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pydantic import BaseModel, Field

from keystead.kernel.principal import Identity
from keystead.kernel.secrets import Secret

IMPERSONATE_PATH: Final = "/api/sso/impersonate"
LONGEST_REASON: Final = 200
"""Characters of why an operator acts as somebody."""
STOP_PATH: Final = "/settings/stop-acting"
"""Where an operator stops acting as somebody, on the pages."""
RESET_PATH: Final = "/sign-in/reset"
RESET_LIFETIME: Final = 3_600
"""Seconds for which the link to a new password is good."""
TOO_MANY_CODES: Final = (
    "Too many wrong codes were typed for this account within a day, so none is taken now. If it was not you who typed "
    "them, somebody knows your password: choose another one. A passkey still lets you in."
)
SIGN_UP_PATH: Final = "/sign-up"
SIGN_UP_LIFETIME: Final = 86_400
"""Seconds for which the link that proves an e-mail address is good."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a browser is given after a sign-in: the values of its two cookies."""

    session_id: str
    secret: Secret
    device_cookie: Secret


@dataclass(frozen=True, slots=True)
class StepNeeded:
    """A right password that is not enough. ``step`` is the value of the cookie with which the next page is reached.

    There the person shows a second factor or, with ``enrol``, sets one up, because their organization asks for it.
    """

    step: Secret
    enrol: bool


class Refused(Enum):
    """Why a step of a sign-in led nowhere."""

    WRONG = "what was shown is not right; it may be tried again"
    OVER = "the sign-in has ended: it is too old, was finished, had too many tries, or something changed meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The browser that wants a session: from where it asks, what it calls itself, and the cookies that it brought.

    ``previous`` is the session that it already had, which is dead once another one begins (W2).
    """

    address: str
    user_agent: str = ""
    device_cookie: str | None = None
    previous: Secret | None = None


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is drawn at random for a session before the transaction that begins it."""

    session_id: str
    secret: Secret
    device_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """A sign-in that is not finished; ``expires_at`` is in Unix seconds."""

    id: str
    user_id: str | None
    attempts: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStep:
    """What the page of a step shows. ``enrol`` tells that the person has no second factor and must set one up."""

    step_id: str
    user_id: str
    username: str
    enrol: bool
    totp: bool = False
    passkeys: bool = False
    recovery_codes: bool = False


@dataclass(frozen=True, slots=True)
class PasskeyQuestion:
    """What a browser asks its passkeys: the options as JSON, and the token that comes back with their answer."""

    options: str
    token: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A second factor that was set up within a sign-in: the recovery codes, shown this once, and the session.

    Without a session the person signs in once more.
    """

    recovery_codes: tuple[Secret, ...]
    signed_in: SignedIn | None


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something happened of late, and since when in Unix seconds, or None for never."""

    times: int
    oldest: int | None


@dataclass(frozen=True, slots=True)
class KeptSession:
    """What a session hands on to the one that takes its place. Times are in Unix seconds."""

    id: str
    user_id: str
    organization_id: str
    created_at: int
    expires_at: int
    address: str
    user_agent: str
    second_factor: int
    password: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as whom an operator acts, in one of their organizations."""

    user_id: str
    username: str
    email: str
    organization_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A session that acts as somebody: the value of its cookie, and in how many seconds it ends in any case."""

    session_id: str
    secret: Secret
    lasts: int
    username: str


@dataclass(frozen=True, slots=True)
class SignUpLink:
    """What the link of a sign-up says: whose address it proves, and where the person was going."""

    email: str
    next_path: str


@dataclass(frozen=True, slots=True)
class Device:
    """A browser in which this user has signed in before; ``issued_at`` is in Unix seconds."""

    user_id: str
    device_id: str
    issued_at: int


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was just removed; the last two are the operator who acted in it and their own session, or None."""

    id: str
    user_id: str
    organization_id: str
    impersonator_id: str | None
    impersonator_session: str | None


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A session as its owner sees it. Times are in Unix seconds; ``expires_at`` is when it ends in any case.

    ``impersonator`` is the user name of the operator who acts as the owner in it, for ``impersonation_reason``; both
    are None where it is the owner's own.
    """

    id: str
    created_at: int
    last_used_at: int
    expires_at: int
    address: str
    user_agent: str
    impersonator: str | None = None
    impersonation_reason: str | None = None


@dataclass(frozen=True, slots=True)
class SessionHolder(Identity):
    """Whose session it is and, in the same row, the session. Times are in Unix seconds.

    ``impersonator_id`` is the operator who acts as the person in it; None for everybody's own.
    """

    session_id: str
    last_used_at: int
    expires_at: int
    impersonator_id: str | None


class SessionItem(BaseModel):
    """A browser in which you are signed in."""

    session_id: str = Field(description="The id of the session.")
    created_at: int = Field(description="When you signed in, in Unix seconds.")
    last_used_at: int = Field(description="When the session was last used, in Unix seconds, at most two minutes stale.")
    expires_at: int = Field(description="When the session ends unless it is used before, in Unix seconds.")
    address: str = Field(description="The address from which you signed in.")
    user_agent: str = Field(description="What the browser called itself.")


class SessionList(BaseModel):
    """What GET /sessions answers."""

    sessions: list[SessionItem] = Field(description="The browsers in which you are signed in, the oldest first.")
