"""Who a credential turned out to be."""

from dataclasses import dataclass
from enum import StrEnum

from keystead.kernel.scopes import Role, Scopes


class Method(StrEnum):
    """How a request proved who it is."""

    SESSION = "session"
    API_KEY = "api_key"
    SHORT_TERM_TOKEN = "short_term_token"  # noqa: S105 - a name, not a secret
    ACCESS_TOKEN = "access_token"  # noqa: S105 - a name, not a secret


@dataclass(frozen=True, slots=True)
class Identity:
    """A user in one organization, as one row of the database tells it."""

    user_id: str
    username: str
    email: str
    name: str
    platform_admin: int
    password_updated_at: int | None
    organization_id: str
    organization: str
    organization_display_name: str
    role: str

    def alone(self) -> "Identity":
        """Return the identity without what a record adds that was read in the same row."""
        return Identity(*(getattr(self, name) for name in Identity.__slots__))


@dataclass(frozen=True, slots=True)
class Impersonator:
    """The operator who acts as somebody else, and the session of their own from which they do."""

    user_id: str
    username: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Principal:
    """The user, organization and powers behind a credential; every acting identity comes from here (promise K5).

    ``grant_id`` is the grant that an access token was issued under, None for any other credential. ``impersonator`` is
    the operator in whose hands a session is that was begun to act as the person, None for everybody else. A credential
    that ``ends_with_grant`` is worth nothing from the moment on in which its grant ends; others live until they expire.
    """

    identity: Identity
    method: Method
    scopes: Scopes
    credential_id: str
    expires_at: int | None
    grant_id: str | None = None
    impersonator: Impersonator | None = None
    ends_with_grant: bool = False

    @property
    def role(self) -> Role:
        """The person's role in the organization."""
        return Role(self.identity.role)
