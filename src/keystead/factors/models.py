"""The records of the factors room. Times are in Unix seconds."""

from dataclasses import dataclass, field
from typing import Final

from keystead.kernel.secrets import Secret

PENDING_LIFETIME: Final = 900
"""Seconds in which a new authenticator app must be confirmed."""
CHALLENGE_LIFETIME: Final = 600
"""Seconds in which a new passkey must be made."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as its owner knows it. ``credential_id`` is what its authenticator calls it."""

    id: str
    credential_id: bytes = field(repr=False)
    name: str
    created_at: int
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class StoredPasskey:
    """What it takes to check a passkey's answer. ``sign_count`` is how often it says it was used; 0 for never told."""

    id: str
    user_id: str
    public_key: bytes = field(repr=False)
    sign_count: int


@dataclass(frozen=True, slots=True)
class StoredTotp:
    """A person's authenticator app: its secret, sealed, and the last time step of which a code was used."""

    sealed_secret: bytes = field(repr=False)
    last_step: int


@dataclass(frozen=True, slots=True)
class FactorSummary:
    """A person's second factors. ``totp_since`` is None without an authenticator app."""

    totp_since: int | None
    passkeys: tuple[Passkey, ...]
    recovery_codes_left: int

    @property
    def any(self) -> bool:
        """Whether there is a second factor; recovery codes alone are none."""
        return self.totp_since is not None or bool(self.passkeys)


@dataclass(frozen=True, slots=True)
class NewTotp:
    """An authenticator app that is being added and is not stored yet.

    ``uri`` is what its QR code says; ``sealed`` goes through the form and back to ``add_totp``.
    """

    secret: Secret
    uri: Secret
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyOptions:
    """What a browser's ``navigator.credentials`` is asked with, as JSON, and the challenge that stands in it."""

    json: str
    challenge: bytes


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that a browser has just made, checked."""

    credential_id: bytes
    public_key: bytes = field(repr=False)
    sign_count: int


@dataclass(frozen=True, slots=True)
class PasskeyAnswer:
    """Which passkey answered, and whose it says it is, before its signature was checked."""

    credential_id: bytes
    user_id: str | None
