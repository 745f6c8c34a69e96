"""The records of the accounts room."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Organization:
    """A company. ``name`` is its slug, unique; ``display_name`` is for people."""

    id: str
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Membership:
    """An organization that a person belongs to, their role in it, and whether it asks for a second factor (0 or 1)."""

    organization_id: str
    organization: str
    organization_display_name: str
    role: str
    second_factor_required: int = 0


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
