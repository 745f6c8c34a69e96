"""The records of the accounts room."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Organization:
    """A company. ``name`` is its slug, unique; ``display_name`` is for people."""

    id: str
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Policies:
    """What an organization, or the whole platform, asks of people and of their credentials.

    ``longest_key_life`` is how many seconds a new API key lives at most, None for no end. ``second_factor_required``:
    nobody signs in with a password alone. ``password_sign_in_off``: nobody begins a session with a password, with or
    without a second factor; a passkey lets them in. ``device_sign_in_off``: nobody signs in a device any more.
    """

    longest_key_life: int | None = None
    second_factor_required: bool = False
    password_sign_in_off: bool = False
    device_sign_in_off: bool = False


@dataclass(frozen=True, slots=True)
class Membership:
    """An organization that a person belongs to, their role in it, and what it asks of a sign-in (each 0 or 1).

    What the whole platform asks is asked by each organization: see ``Policies``.
    """

    organization_id: str
    organization: str
    organization_display_name: str
    role: str
    second_factor_required: int = 0
    password_sign_in_off: int = 0
    device_sign_in_off: int = 0


@dataclass(frozen=True, slots=True)
class NewUser:
    """A person who may be stored as a user: everything of them was checked, and the password is hashed."""

    id: str
    username: str
    email: str
    name: str
    password_hash: str | None = field(repr=False)
    platform_admin: bool


@dataclass(frozen=True, slots=True)
class User:
    """A person. ``password_hash`` is None while no password is set; times are in Unix seconds."""

    id: str
    username: str
    email: str
    password_hash: str | None = field(repr=False)
    password_updated_at: int | None
    disabled_at: int | None

    @property
    def may_sign_in(self) -> bool:
        """Whether the person has a password and is not disabled."""
        return self.password_hash is not None and self.disabled_at is None
