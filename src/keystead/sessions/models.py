"""The records and bodies of the sessions room."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from keystead.kernel.principal import Identity
from keystead.kernel.secrets import Secret


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a browser is given after a sign-in: the values of its two cookies."""

    session_id: str
    secret: Secret
    device_cookie: Secret


@dataclass(frozen=True, slots=True)
class Device:
    """A browser in which this user has signed in before; ``issued_at`` is in Unix seconds."""

    user_id: str
    device_id: str
    issued_at: int


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was just removed."""

    id: str
    user_id: str
    organization_id: str


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A session as its owner sees it. Times are in Unix seconds; ``expires_at`` is when it ends in any case."""

    id: str
    created_at: int
    last_used_at: int
    expires_at: int
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class SessionHolder(Identity):
    """Whose session it is and, in the same row, the session. Times are in Unix seconds."""

    session_id: str
    last_used_at: int
    expires_at: int


class PasswordSignIn(BaseModel):
    """The body of a sign-in. Members that are not listed are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,
        json_schema_extra={"examples": [{"username": "ada", "password": "correct horse battery staple"}]},
    )

    username: str = Field(description="The user name or the e-mail address.", min_length=1, max_length=320)
    password: SecretStr = Field(description="The password.", min_length=1, max_length=1_024)


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


class SignedOut(BaseModel):
    """The body that answers a sign-out: an object without members."""
