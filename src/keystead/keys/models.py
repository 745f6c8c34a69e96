"""The records and bodies of the keys room."""

from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, StringConstraints

from keystead.kernel.principal import Identity
from keystead.kernel.secrets import Secret
from keystead.wire.bodies import whole

LONGEST_NAME: Final = 128
"""Most characters of an app's name and of an API key's title."""
SHORTEST_LIFE: Final = 60
"""Seconds that a new API key lives for at least."""
LONGEST_LIFE: Final = 315_360_000
"""Seconds that one with an expiry lives for at most: ten years of 365 days."""
LONGEST_OVERLAP: Final = 2_592_000
"""Seconds for which a key that was rotated goes on working at most: 30 days (promise K7)."""

_HIDDEN: Final = r"\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_BLANK: Final = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
NAME_PATTERN: Final = rf"^[^{_HIDDEN}{_BLANK}]([^{_HIDDEN}]*[^{_HIDDEN}{_BLANK}])?$"
"""No character that hides, breaks a line or turns the direction of writing, and no blank at either end.

Written so that it means the same in Python, in Rust (pydantic) and in ECMA-262 (JSON Schema, section 6.4).
"""


@dataclass(frozen=True, slots=True)
class App:
    """A named group of API keys. ``organization`` is the display name of the one that owns it; times in seconds."""

    id: str
    name: str
    organization_id: str
    organization: str
    created_by: str
    created_at: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as people see it: everything but its text. Times are in Unix seconds.

    ``expires_at`` is None for a key that does not expire, ``last_used_at`` for one that was not used yet (at most two
    minutes stale, promise K2), ``exposed_at`` for one that was never seen on plain HTTP (promise W3), ``successor_id``
    for one that was not rotated.
    """

    id: str
    title: str
    hint: str
    app_id: str
    app_name: str
    organization_id: str
    user_id: str
    username: str
    email: str
    scopes: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    last_used_address: str | None
    exposed_at: int | None
    successor_id: str | None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key that was just made, and its text, which is nowhere else."""

    record: ApiKey
    secret: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """The key that took another one's place, and the Unix second at which that one ends."""

    made: CreatedKey
    predecessor_expires_at: int


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """What the person in whose name a key acts may do in the organization today, and whether on the whole platform."""

    role: str
    platform_admin: int


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What the policies of an organization and of the platform say of new keys.

    Each is how many seconds a key lives at most, None for no end.
    """

    of_organization: int | None
    of_platform: int | None

    @property
    def longest_life(self) -> int | None:
        """The stricter of the two."""
        return min((life for life in (self.of_organization, self.of_platform) if life is not None), default=None)


@dataclass(frozen=True, slots=True)
class EndedKey:
    """A key that was just deleted, or that was found exposed."""

    id: str
    organization_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class KeyHolder(Identity):
    """Whose key it is and, in the same row, the key: all that one look-up answers (promise K1)."""

    key_id: str
    scopes: str
    expires_at: int | None


class FoundKey(NamedTuple):
    """The key alone, where it is known already whose it is. A tuple, because one is made for each look-up."""

    key_id: str
    user_id: str
    organization_id: str
    scopes: str
    expires_at: int | None


Name = Annotated[StrictStr, StringConstraints(min_length=1, max_length=LONGEST_NAME, pattern=NAME_PATTERN)]


class _Body(BaseModel):
    """A request body. Members that are not listed are ignored, so that a newer client is not refused."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class NewApp(_Body):
    """What POST /apps reads."""

    app_name: Name = Field(description="The name of the app, unique in the organization.")


class NewKey(_Body):
    """What POST /apps/{app_id}/keys reads."""

    api_key_name: Name = Field(description="The title of the API key. Several keys may have the same one.")
    expires_in: Annotated[
        Annotated[StrictInt, Field(ge=SHORTEST_LIFE, le=LONGEST_LIFE), BeforeValidator(whole)] | None,
        Field(
            description="In how many seconds the key shall expire. Left out or null, it lives as long as the "
            "organization's policy allows, or for ever where there is none."
        ),
    ] = None


class NewTitle(_Body):
    """What PATCH /apps/{app_id}/keys/{api_key_id} reads."""

    api_key_name: Name = Field(description="The new title of the API key. Several keys may have the same one.")


class Rotation(_Body):
    """What POST /apps/{app_id}/keys/{api_key_id}/rotate reads."""

    overlap_seconds: Annotated[StrictInt, Field(ge=0, le=LONGEST_OVERLAP), BeforeValidator(whole)] = Field(
        description="For how many seconds the old key goes on working beside the new one; 0 ends it at once."
    )


class AppItem(BaseModel):
    """An app in a list."""

    app_name: str = Field(description="The name of the app.")
    org_name: str | None = Field(description="The organization's name as people see it.")
    app_id: str = Field(description="The id of the app.")
    org_id: str = Field(description="The id of the organization that owns the app.")


class AppList(BaseModel):
    """What GET /apps answers."""

    apps: list[AppItem] = Field(description="Every app of the organization, the oldest first.")


class CreatedApp(BaseModel):
    """What POST /apps answers."""

    app_id: str = Field(description="The id of the new app.")


class _KeyFields(BaseModel):
    api_key_id: str = Field(description="The id of the API key.")
    api_key_name: str = Field(description="The key's title.")
    app_id: str = Field(description="The id of the app that the key belongs to.")
    app_name: str = Field(description="The name of that app.")
    created_by_user_id: str = Field(description="The id of the user in whose name the key acts.")
    created_by_user_email: str = Field(description="That user's e-mail address.")
    created_at: int = Field(description="When the key was made, in Unix seconds.")
    display_value: str = Field(description="The first and last characters of the key, to tell keys apart.")


class CreatedKeyBody(_KeyFields):
    """What POST /apps/{app_id}/keys answers: the one time that the key itself is shown."""

    raw_api_key: str = Field(
        description="The API key. It is shown this once and cannot be read again.",
        json_schema_extra={"format": "password"},
    )
    expires_at: int | None = Field(description="When the key expires, in Unix seconds; null for never.")


class RotatedKeyBody(CreatedKeyBody):
    """What POST /apps/{app_id}/keys/{api_key_id}/rotate answers: the new key, and when the old one ends."""

    predecessor_expires_at: int = Field(description="When the old key ends, in Unix seconds.")


class KeyItem(_KeyFields):
    """An API key in a list, without its text."""

    expires_at: int | None = Field(description="When the key expires, in Unix seconds; null for never.")
    last_used_at: int | None = Field(
        description="When the key was last used, in Unix seconds, at most two minutes stale; null for not yet."
    )
    successor_id: str | None = Field(description="The id of the key that replaces this one; null if none does.")


class KeyList(BaseModel):
    """What GET /apps/{app_id}/keys and GET /keys answer."""

    keys: list[KeyItem] = Field(description="Every API key of the app, or of the organization, the oldest first.")
