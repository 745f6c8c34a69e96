"""The records of the organizations room. Times are in Unix seconds."""

from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from keystead.kernel.secrets import Secret

INVITATION_LIFE: Final = 604_800
"""Seconds for which an invitation can be accepted: seven days."""
INVITATION_PATH: Final = "/invitation"
"""Where an invitation is shown; its secret is the rest of the path."""
DAY: Final = 86_400
LONGEST_POLICY_DAYS: Final = 3_650
"""Most days that a policy may name: as long as a key with an expiry lives at most."""
PAGE: Final = 40
"""Organizations or users on one page of an operator."""

LIFE: Final = "longest_key_life"
POLICY_NAMES: Final = {
    "max-api-key-ttl": LIFE,
    "enforce-mfa": "second_factor_required",
    "disable-password-login": "password_sign_in_off",
    "disable-device-login": "device_sign_in_off",
}
"""The names that policies have in the API and on the command line, and the fields of ``Policies``."""

FateOfKeys = Literal["delete", "take"]
"""What becomes of the API keys of a removed member: they end, or they become the remover's own (promise K8)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A person in an organization, as its owners and admins see them.

    ``keys`` is how many API keys act in the person's name here. ``disabled_at`` is None unless an operator has disabled
    the person; ``second_factor`` says whether the person has an authenticator app or a passkey (0 or 1).
    """

    user_id: str
    username: str
    email: str
    name: str
    role: str
    joined_at: int
    disabled_at: int | None
    keys: int
    second_factor: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is in an organization at this moment, and whether an operator has disabled them."""

    role: str
    email: str
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """A member's account as somebody finds it who would set anew how they sign in.

    ``platform_admin`` is 0 or 1; ``organizations`` is how many the person belongs to, ``role`` what they are in this
    one, whose name for people is ``organization``.
    """

    user_id: str
    username: str
    email: str
    role: str
    organization_id: str
    organization: str
    platform_admin: int
    organizations: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What ended with a membership, or with ``keys`` and "take", changed hands."""

    keys: int
    sessions: int
    tokens: int
    grants: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as the organization sees it; ``inviter`` is a user name. It may have expired."""

    id: str
    email: str
    role: str
    inviter: str | None
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation that was just made.

    Whoever has ``url`` can accept it, and make the account of the invited address with it. ``mailed`` says that a
    letter takes it there: then it proves that the address is theirs, and nobody else is to be shown it (promise W8).
    """

    invitation: Invitation
    url: Secret
    mailed: bool


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation as the invited person sees it, while it can be accepted; names are for people."""

    id: str
    organization_id: str
    organization: str
    email: str
    role: str
    inviter: str | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class FoundInvitation:
    """An invitation that has not expired, and what its inviter may do today."""

    id: str
    organization_id: str
    organization: str
    email: str
    role: str
    inviter: str | None
    expires_at: int
    inviter_role: str | None
    inviter_operates: int | None
    inviter_disabled_at: int | None


@dataclass(frozen=True, slots=True)
class ListedOrganization:
    """An organization as an operator sees it: how many people and API keys it has, and when it was made."""

    id: str
    name: str
    display_name: str
    members: int
    keys: int
    created_at: int


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A person as an operator sees them. ``second_factor`` and ``platform_admin`` are 0 or 1."""

    id: str
    username: str
    email: str
    name: str
    platform_admin: int
    disabled_at: int | None
    created_at: int
    organizations: int
    second_factor: int


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Some of a long list. ``after`` is what the next part is asked for with, empty at the end."""

    items: tuple[T, ...]
    after: str
