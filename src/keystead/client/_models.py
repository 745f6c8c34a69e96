"""What the SDK answers with. Times are Unix seconds; secrets are masked until ``reveal()`` is called."""

from dataclasses import dataclass

from keystead.kernel.secrets import Secret


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a sign-in or a refresh gave (RFC 6749, section 5.1). Every time is absolute, by this machine's clock (R9).

    ``refresh_token`` is None for a token that cannot be renewed.
    """

    access_token: Secret
    expires_at: int
    refresh_token: Secret | None
    refresh_expires_at: int
    authorization_expires_at: int
    scopes: tuple[str, ...]
    organization_id: str
    organization: str | None


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A sign-in that waits for a person (RFC 8628, section 3.2): what to show them, and what to poll with."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str
    device_code: Secret
    expires_at: int
    interval: float
    client_id: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that was stored. ``name`` is what ``context`` means elsewhere; ``where`` says in words where it is.

    ``notices`` are sentences that the person should see, such as that there is no keyring and where the file is.
    """

    name: str
    server: str
    username: str
    organization: str | None
    where: str
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignedOut:
    """How a sign-out went. Times are Unix seconds; ``name`` is empty for tokens that were not stored.

    ``access_token_until`` is when copies of the short-lived access token stop working. ``refresh_token_until`` is when
    what could not be revoked ends by itself, None when it was revoked. ``sentence`` says all of it for a person.
    """

    name: str
    server: str
    revoked: bool
    access_token_until: int
    refresh_token_until: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Whoami:
    """Who a credential is, from ``/api/auth/session``. ``organization`` is the name that people see."""

    user_id: str
    username: str
    name: str
    email: str
    organization: str
    roles: tuple[str, ...]
    platform_admin: bool


@dataclass(frozen=True, slots=True)
class App:
    """A named group of API keys."""

    id: str
    name: str
    organization_id: str
    organization: str | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its text. ``hint`` is its first and last characters."""

    id: str
    title: str
    app_id: str
    app: str
    created_by: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    hint: str


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made, and its text, which is shown this once."""

    key: ApiKey
    secret: Secret


@dataclass(frozen=True, slots=True)
class RotatedApiKey:
    """The successor of a key, its text, which is shown this once, and when the predecessor stops working."""

    key: ApiKey
    secret: Secret
    predecessor_expires_at: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What an organization has to spend, in cents."""

    organization_id: str
    credit_cents: float
    pending_debit_cents: float
    will_invoice: bool


@dataclass(frozen=True, slots=True)
class ShortTermToken:
    """A short-term token without its text."""

    id: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class NewShortTermToken:
    """A short-term token that was just made, and its text, which is shown this once."""

    token: ShortTermToken
    secret: Secret


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in."""

    id: str
    created_at: int
    last_used_at: int
    expires_at: int
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Device:
    """A command line or device that is signed in. ``current`` is the one that asks."""

    id: str
    client: str
    platform: str
    address: str
    organization: str
    scopes: tuple[str, ...]
    created_at: int
    last_used_at: int
    expires_at: int
    current: bool
