"""The two surfaces of device sign-in: tables of names and shapes in front of one implementation.

``/getServiceKeys/*`` is what the published command line calls, ``/api/oidc/*`` what programs of the ACTIVATE API do. A
code that was issued at one is polled for, redeemed and revoked at either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keystead.kernel.scopes import format_scopes
from keystead.oauth.models import AccessTokenKind, TokenSet
from keystead.wire.answers import Surface

REGISTER: Final = "/getServiceKeys/register"
DEVICE_CODE: Final = "/getServiceKeys/device/code"
TOKEN: Final = "/getServiceKeys/token"  # noqa: S105 - a path
REVOKE: Final = "/getServiceKeys/token/revoke"

DEVICE_AUTHORIZATION: Final = "/api/oidc/device_authorization"
OPENID_TOKEN: Final = "/api/oidc/token"  # noqa: S105 - a path
OPENID_REVOKE: Final = "/api/oidc/revoke"
INTROSPECT: Final = "/api/oidc/introspect"

OPENID_GIVEN: Final = ("openid", "profile", "email", "offline_access")
"""What every sign-in gives at the ACTIVATE API: who signed in, and tokens that are renewed while nobody is there."""
OPENID_SCOPES: Final = frozenset({*OPENID_GIVEN, "groups"})
"""What may be asked for there beside the scopes of accounts. Nobody is in a group here, so ``groups`` gives nothing."""


@dataclass(frozen=True, slots=True)
class OAuthSurface:
    """What a surface calls its endpoints, and how it reads and tells what is the same at both.

    ``register`` is None where clients do not register; ``revoked_by`` are the names under which a token is sent that is
    to be taken back. ``scope`` returns the scopes of accounts in a list that a client sent, or None when it sent none.
    """

    register: str | None
    device_authorization: str
    token: str
    revoke: str
    dialect: Surface
    kind: AccessTokenKind
    scope: Callable[[str | None], str | None]
    tokens: Callable[[TokenSet], Mapping[str, Any]]
    revoked_by: tuple[str, ...]
    revoked: Mapping[str, Any] | None
    """The body that says that a token is taken back; None for an empty one."""


def service_key_tokens(found: TokenSet) -> Mapping[str, Any]:
    """Return a token set in the words of ``/getServiceKeys/token`` (contract A5)."""
    return {
        "access_token": found.access_token.reveal(),
        "token_type": "Bearer",
        "expires_in": found.expires_in,
        "refresh_token": found.refresh_token.reveal(),
        "refresh_token_expires_in": found.refresh_token_expires_in,
        "authorization_expires_in": found.authorization_expires_in,
        "scope": format_scopes(found.scopes),
        "org_id": found.organization_id,
        "org_name": found.organization,
    }


def openid_tokens(found: TokenSet) -> Mapping[str, Any]:
    """Return a token set in the words of ``/api/oidc/token`` (OpenID Connect Core 1.0, section 3.1.3.3)."""
    told = {
        "access_token": found.access_token.reveal(),
        "token_type": "Bearer",
        "expires_in": found.expires_in,
        "refresh_token": found.refresh_token.reveal(),
        "scope": openid_scope(format_scopes(found.scopes)),
    }
    return told if found.id_token is None else {**told, "id_token": found.id_token.reveal()}


def openid_scope(scope: str) -> str:
    """Return the scopes of accounts with those that every sign-in gives."""
    return " ".join((*OPENID_GIVEN, scope)).rstrip(" ")


def _as_sent(scope: str | None) -> str | None:
    return scope


def _without_openid(scope: str | None) -> str | None:
    return None if scope is None else " ".join(name for name in scope.split(" ") if name not in OPENID_SCOPES)


SERVICE_KEYS: Final = OAuthSurface(
    register=REGISTER,
    device_authorization=DEVICE_CODE,
    token=TOKEN,
    revoke=REVOKE,
    dialect=Surface.OAUTH,
    kind=AccessTokenKind.JWT,
    scope=_as_sent,
    tokens=service_key_tokens,
    revoked_by=("refresh_token", "token"),
    revoked=None,
)
OPENID: Final = OAuthSurface(
    register=None,
    device_authorization=DEVICE_AUTHORIZATION,
    token=OPENID_TOKEN,
    revoke=OPENID_REVOKE,
    dialect=Surface.OPENID,
    kind=AccessTokenKind.OPAQUE,
    scope=_without_openid,
    tokens=openid_tokens,
    revoked_by=("token",),
    revoked={},
)
SURFACES: Final = (SERVICE_KEYS, OPENID)
