"""The records of the store: a context, which is one person's sign-in at one server, and a sign-in that still waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from keystead.client import _quick
from keystead.client._models import DeviceCode, TokenSet
from keystead.kernel.secrets import Secret

IN_FILE: Final = "file"
IN_KEYRING: Final = "keyring"


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who has signed in, where, and as which client: all that the tokens do not say.

    ``name`` is what the context is to be called, empty for ``username@host``. ``also`` names the other programs whose
    files get the sign-in too: ``parallel-cli``, ``pw``.
    """

    server: str
    client_id: str
    username: str
    user_id: str
    name: str = ""
    also: tuple[str, ...] = ()

    @property
    def context(self) -> str:
        """The context's name."""
        return self.name or f"{self.username}@{urlsplit(self.server).netloc}"


@dataclass(frozen=True, slots=True)
class Context:
    """A stored sign-in. Times are Unix seconds by this machine's clock (promise R9).

    ``refresh_token`` is None when there is none in the file: it is in the keyring then, if ``kept_in`` says so.
    """

    name: str
    server: str
    client_id: str
    username: str
    user_id: str
    organization_id: str
    organization: str | None
    scopes: tuple[str, ...]
    access_token: Secret
    access_token_issued_at: int
    access_token_expires_at: int
    refresh_token: Secret | None
    refresh_token_expires_at: int
    authorization_expires_at: int
    kept_in: str
    also: tuple[str, ...]

    @property
    def account(self) -> str:
        """What the keyring calls it."""
        return f"{self.name} {self.server}"

    def is_due(self, now: float, share: float, at_least: float) -> bool:
        """Tell whether the access token is to be renewed (``_quick.is_due``)."""
        return _quick.is_due(self.access_token_issued_at, self.access_token_expires_at, now, share, at_least)

    def is_valid(self, now: float) -> bool:
        """Tell whether the access token can still be used, as far as this machine knows."""
        return bool(self.access_token.reveal()) and now < self.access_token_expires_at

    @property
    def valid_until(self) -> int:
        """When the refresh token ends: it, or the authorization behind it."""
        ends = (self.refresh_token_expires_at, self.authorization_expires_at)
        return min((end for end in ends if end), default=0)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that waits for a person while no program does (promise D11). ``id`` is what it is resumed by."""

    id: str
    server: str
    code: DeviceCode
    created_at: int
    name: str = ""
    also: tuple[str, ...] = ()


def read_context(name: str, kept: Mapping[str, Any]) -> Context:
    """Return a context as the file holds it. Raises KeyError, TypeError or ValueError for anything else."""
    refresh_token = kept.get("refresh_token")
    return Context(
        name=name,
        server=_text(kept["server"]),
        client_id=_text(kept["client_id"]),
        username=_text(kept.get("username", "")),
        user_id=_text(kept.get("user_id", "")),
        organization_id=_text(kept.get("organization_id", "")),
        organization=None if kept.get("organization") is None else _text(kept["organization"]),
        scopes=tuple(_text(scope) for scope in kept.get("scopes", ())),
        access_token=Secret(_text(kept.get("access_token", ""))),
        access_token_issued_at=int(kept.get("access_token_issued_at", 0)),
        access_token_expires_at=int(kept.get("access_token_expires_at", 0)),
        refresh_token=None if refresh_token is None else Secret(_text(refresh_token)),
        refresh_token_expires_at=int(kept.get("refresh_token_expires_at", 0)),
        authorization_expires_at=int(kept.get("authorization_expires_at", 0)),
        kept_in=IN_KEYRING if kept.get("store") == IN_KEYRING else IN_FILE,
        also=tuple(_text(name) for name in kept.get("also", ())),
    )


def signed_in(sign_in: SignIn) -> dict[str, Any]:
    """Return the members of a context that stay as they are when tokens are renewed."""
    return {
        "server": sign_in.server,
        "client_id": sign_in.client_id,
        "username": sign_in.username,
        "user_id": sign_in.user_id,
        "also": sorted(set(sign_in.also)),
    }


def renewed(tokens: TokenSet, now: int, kept_in: str, refresh_token: Secret | None) -> dict[str, Any]:
    """Return the members of a context that each new set of tokens replaces; None stands for one to be left out.

    ``refresh_token`` is the one that is kept when the set brings none (RFC 6749, section 6).
    """
    newest = tokens.refresh_token or refresh_token
    return {
        "organization_id": tokens.organization_id,
        "organization": tokens.organization,
        "scopes": list(tokens.scopes),
        "access_token": tokens.access_token.reveal(),
        "access_token_issued_at": now,
        "access_token_expires_at": tokens.expires_at,
        "refresh_token": newest.reveal() if newest is not None and kept_in == IN_FILE else None,
        "store": kept_in,
        "refresh_token_expires_at": tokens.refresh_expires_at,
        "authorization_expires_at": tokens.authorization_expires_at,
    }


def read_pending(id: str, kept: Mapping[str, Any]) -> PendingSignIn:
    """Return a waiting sign-in as the file holds it. Raises KeyError, TypeError or ValueError for anything else."""
    return PendingSignIn(
        id=id,
        server=_text(kept["server"]),
        code=DeviceCode(
            user_code=_text(kept["user_code"]),
            verification_uri=_text(kept["verification_uri"]),
            verification_uri_complete=_text(kept["verification_uri_complete"]),
            device_code=Secret(_text(kept["device_code"])),
            expires_at=int(kept["expires_at"]),
            interval=float(kept["interval"]),
            client_id=_text(kept["client_id"]),
        ),
        created_at=int(kept.get("created_at", 0)),
        name=_text(kept.get("name", "")),
        also=tuple(_text(name) for name in kept.get("also", ())),
    )


def write_pending(pending: PendingSignIn) -> dict[str, Any]:
    """Return a waiting sign-in as the file holds it."""
    code = pending.code
    return {
        "server": pending.server,
        "client_id": code.client_id,
        "device_code": code.device_code.reveal(),
        "user_code": code.user_code,
        "verification_uri": code.verification_uri,
        "verification_uri_complete": code.verification_uri_complete,
        "interval": code.interval,
        "expires_at": code.expires_at,
        "created_at": pending.created_at,
        "name": pending.name,
        "also": list(pending.also),
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
