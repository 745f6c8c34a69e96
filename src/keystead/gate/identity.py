"""The two hottest answers, written once for each remembered credential: ``/api/auth/session`` and ``/verify``.

The session body is the AuthSession that existing clients read; an optional field that has no value is absent.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from keystead.kernel.principal import Principal
from keystead.kernel.scopes import Role, format_scopes

ORGANIZATION_ROLES: Final[dict[Role, list[str]]] = {
    Role.OWNER: ["org:owner", "org:admin", "org:users"],
    Role.ADMIN: ["org:admin", "org:users"],
    Role.MEMBER: ["org:member"],
}

_encode = msgspec.json.Encoder().encode


def session_body(principal: Principal) -> bytes:
    """Return the AuthSession of a principal as JSON."""
    identity, role = principal.identity, principal.role
    body: dict[str, Any] = {
        "id": identity.user_id,
        "username": identity.username,
        "safeUsername": safe_username(identity.username),
        "name": identity.name,
        "email": identity.email,
        "organization": identity.organization,
        "organizationDisplayName": identity.organization_display_name,
        "organizationRoles": ORGANIZATION_ROLES[role],
        "organizationAdmin": role in {Role.OWNER, Role.ADMIN},
        "organizationOwner": role is Role.OWNER,
        "admin": bool(identity.platform_admin),
        "billingAdmin": role in {Role.OWNER, Role.ADMIN},
        "partner": False,
        "allocationSystem": "flexible",
        "previews": [],
        "sidebarOptions": [],
    }
    if identity.password_updated_at is not None:
        body["passwordUpdatedAt"] = iso(identity.password_updated_at)
    if principal.impersonator is not None:
        body["impersonatedBy"] = principal.impersonator.username
    return _encode(body)


def verify_headers(principal: Principal) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell a proxy who is behind a request (forward authentication)."""
    values = {
        b"x-keystead-user": principal.identity.username,
        b"x-keystead-organization": principal.identity.organization,
        b"x-keystead-scopes": format_scopes(principal.scopes),
        b"x-keystead-method": principal.method.value,
    }
    if principal.impersonator is not None:
        values[b"x-keystead-impersonator"] = principal.impersonator.username
    return [(name, value.encode("ascii", "replace")) for name, value in values.items()]


def safe_username(username: str) -> str:
    """Return the user name for stricter systems: at most 32 of a-z, 0-9 and _, beginning with a letter."""
    safe = re.sub(r"[^a-z0-9_]", "_", username.lower())
    return (safe if safe[:1].isalpha() else f"u{safe}")[:32]


def iso(at: int) -> str:
    """Return Unix seconds as an ISO 8601 time in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
