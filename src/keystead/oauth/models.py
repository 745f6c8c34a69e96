"""The records of device sign-in, and the requests of its endpoints, each parsed once."""

from dataclasses import dataclass
from enum import Enum, StrEnum

import msgspec

from keystead.kernel.principal import Identity
from keystead.kernel.scopes import Scopes
from keystead.kernel.secrets import Secret


class DeviceState(StrEnum):
    """Where a device authorization stands. Expiry is told by its time, not by its state."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CONSUMED = "consumed"


class AccessTokenKind(Enum):
    """What an access token is made like: signed for whoever verifies it, or opaque to everybody but this server."""

    JWT = "jwt"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Client:
    """An installation that asks for sign-ins. Nothing about it is proven: it said so itself (RFC 7591)."""

    id: str
    name: str
    system: str
    machine: str

    @property
    def platform(self) -> str:
        """What it runs on, in a word or two; empty when it did not say."""
        return " ".join(part for part in (self.system, self.machine) if part)


@dataclass(frozen=True, slots=True)
class Standing:
    """A client, and what tells whether it was deleted since: how often its description was, when its id was made.

    A client that is built in has no fingerprint and cannot be deleted.
    """

    client: Client
    fingerprint: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """One pending or decided sign-in, as stored."""

    id: str
    client_id: str
    scopes: str
    address: str
    device_name: str | None
    created_at: int
    expires_at: int
    interval: int
    last_poll_ms: int | None
    state: str
    decided_at: int | None
    decided_by: str | None
    decided_session: str | None
    organization_id: str | None
    granted_scopes: str | None


class PolledDevice(msgspec.Struct, frozen=True, gc=False):
    """What a poll needs to know of a device authorization. It is read for every poll, so it is a struct."""

    id: str
    client_id: str
    expires_at: int
    interval: int
    last_poll_ms: int | None
    state: str


class RedeemedDevice(msgspec.Struct, frozen=True, gc=False):
    """What a grant is made of: a device authorization that was just consumed."""

    id: str
    client_id: str
    address: str
    decided_at: int | None
    decided_by: str | None
    organization_id: str | None
    granted_scopes: str | None


@dataclass(frozen=True, slots=True)
class ApprovedDevice:
    """A device authorization that somebody approved, and the organization for which they did."""

    id: str
    organization_id: str


@dataclass(frozen=True, slots=True)
class Grant(Identity):
    """A user's standing permission to a client, with the user and the organization that it was given in."""

    grant_id: str
    client_id: str
    scopes: str
    created_at: int
    expires_at: int
    generation: int
    rotated_at: int
    refresh_expires_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """The answer to a device authorization request (RFC 8628, section 3.2). Lifetimes are in seconds."""

    device_code: Secret
    user_code: Secret
    expires_in: int
    interval: int


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The answer to a successful token request (RFC 6749, section 5.1). Lifetimes are in seconds from now."""

    access_token: Secret
    expires_in: int
    refresh_token: Secret
    refresh_token_expires_in: int
    authorization_expires_in: int
    scopes: Scopes
    organization_id: str
    organization: str
    id_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class GrantHolder(Identity):
    """Who an opaque access token belongs to, as one row tells it, and the client that it was issued to."""

    client_id: str


@dataclass(frozen=True, slots=True)
class LiveRefreshToken:
    """A refresh token that can be redeemed, and until when, in Unix seconds.

    ``issued_at`` is None for one that was redeemed before and gives its successor again.
    """

    grant: Grant
    issued_at: int | None
    expires_at: int


class Poll(msgspec.Struct, frozen=True, gc=False):
    """What a poll asks: after which code, by the hash of it, for which client."""

    device_hash: bytes
    client_id: str


class TokenRequest(msgspec.Struct, frozen=True, gc=False):
    """A token request, parsed once, and the address that it came from. What is absent is None.

    ``wait`` is for how many seconds the client prefers to wait for an answer (RFC 7240, section 4.3); ``sight`` is what
    a poll is known by when it comes again in the same words; ``kind`` is the access token that is asked for. This is a
    struct because it is made for every poll: a frozen dataclass takes six times as long to make.
    """

    grant_type: str
    client_id: str | None
    device_code: str | None
    refresh_token: str | None
    scope: str | None
    address: str | None = None
    wait: int | None = None
    sight: bytes | None = None
    kind: AccessTokenKind = AccessTokenKind.JWT


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What the approval page may show of a sign-in to the session that typed its code."""

    authorization: DeviceAuthorization
    client: Client
    user_code: str
    scopes: Scopes


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a sign-in, and where."""

    approve: bool
    organization_id: str
    user_id: str
    session_id: str
    address: str
