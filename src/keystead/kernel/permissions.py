"""Which kind of credential may do what. What is not in the table is refused."""

from enum import Enum
from typing import Final

from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import CredentialNotAllowed, InsufficientScope
from keystead.kernel.scopes import Scope


class Permission(Enum):
    """One thing that a route asks for: a scope of the Account API, or one of the acts of a signed-in person."""

    KEYS_READ = Scope.KEYS_READ
    KEYS_CREATE = Scope.KEYS_CREATE
    KEYS_UPDATE = Scope.KEYS_UPDATE
    KEYS_ROTATE = Scope.KEYS_ROTATE
    KEYS_DELETE = Scope.KEYS_DELETE
    APPS_READ = Scope.APPS_READ
    APPS_CREATE = Scope.APPS_CREATE
    APPS_DELETE = Scope.APPS_DELETE
    BALANCE_READ = Scope.BALANCE_READ
    BALANCE_ADD = Scope.BALANCE_ADD
    TOKENS_READ = Scope.TOKENS_READ
    TOKENS_CREATE = Scope.TOKENS_CREATE
    TOKENS_DELETE = Scope.TOKENS_DELETE
    SESSIONS_READ = Scope.SESSIONS_READ
    SESSIONS_DELETE = Scope.SESSIONS_DELETE
    DEVICES_READ = Scope.DEVICES_READ
    DEVICES_DELETE = Scope.DEVICES_DELETE
    IDENTITY = "identity"
    SIGN_OUT = "sign-out"
    DECIDE_DEVICE = "decide-device"


_BEARER: Final = frozenset({Method.SHORT_TERM_TOKEN, Method.ACCESS_TOKEN})

ALLOWED_METHODS: Final[dict[Permission, frozenset[Method]]] = {
    **{permission: _BEARER for permission in Permission if isinstance(permission.value, Scope)},
    # A short-term token makes no other one: it would live for ever by handing itself on.
    Permission.TOKENS_CREATE: frozenset({Method.ACCESS_TOKEN}),
    Permission.IDENTITY: frozenset(Method),
    Permission.SIGN_OUT: frozenset({Method.SESSION}),
    Permission.DECIDE_DEVICE: frozenset({Method.SESSION}),
}


def check_permission(principal: Principal, permission: Permission) -> None:
    """Raise CredentialNotAllowed or InsufficientScope unless this principal may do this."""
    if principal.method not in ALLOWED_METHODS.get(permission, frozenset()):
        raise CredentialNotAllowed()
    if isinstance(permission.value, Scope) and permission.value not in principal.scopes:
        raise InsufficientScope(f"This needs the scope '{permission.value}', which the token does not have.")
