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
    OWN_KEYS_READ = "own-keys-read"
    OWN_KEYS_DELETE = "own-keys-delete"
    MAKE_KEY = "make-key"
    MAKE_TOKEN = "make-token"  # noqa: S105 - a name, not a secret
    LOGIN_SESSIONS_READ = "login-sessions-read"
    LOGIN_SESSIONS_END = "login-sessions-end"
    CONNECTED_READ = "connected-read"
    CONNECTED_END = "connected-end"
    OWN_ACCOUNT = "own-account"
    """A person's password and second factors."""
    ADMINISTER = "administer"
    """What owners, admins and operators change for others; the services ask for the role."""
    POLICIES_READ = "policies-read"
    INTROSPECT = "introspect"
    USERINFO = "userinfo"


_BEARER: Final = frozenset({Method.SHORT_TERM_TOKEN, Method.ACCESS_TOKEN})

ALLOWED_METHODS: Final[dict[Permission, frozenset[Method]]] = {
    **{permission: _BEARER for permission in Permission if isinstance(permission.value, Scope)},
    # A short-term token makes no other one: it would live for ever by handing itself on.
    Permission.TOKENS_CREATE: frozenset({Method.ACCESS_TOKEN}),
    Permission.IDENTITY: frozenset(Method),
    Permission.SIGN_OUT: frozenset({Method.SESSION}),
    Permission.DECIDE_DEVICE: frozenset({Method.SESSION}),
    Permission.OWN_KEYS_READ: frozenset(Method),
    Permission.OWN_KEYS_DELETE: frozenset(Method),
    Permission.MAKE_KEY: frozenset({Method.SESSION}),
    # Nor here: see TOKENS_CREATE.
    Permission.MAKE_TOKEN: frozenset({Method.SESSION, Method.API_KEY, Method.ACCESS_TOKEN}),
    Permission.LOGIN_SESSIONS_READ: frozenset(Method),
    Permission.LOGIN_SESSIONS_END: frozenset({Method.SESSION}),
    Permission.CONNECTED_READ: frozenset(Method),
    Permission.CONNECTED_END: frozenset(Method),
    Permission.OWN_ACCOUNT: frozenset({Method.SESSION}),
    Permission.ADMINISTER: frozenset({Method.SESSION}),
    Permission.POLICIES_READ: frozenset(Method),
    Permission.INTROSPECT: frozenset({Method.API_KEY, *_BEARER}),
    Permission.USERINFO: frozenset({Method.ACCESS_TOKEN}),
}

_KEY: Final = frozenset({Method.API_KEY})
SCOPES_ASKED: Final[dict[Permission, tuple[Scope, frozenset[Method]]]] = {
    # An API key that can do nothing else still tells its owner which keys there are.
    Permission.OWN_KEYS_READ: (Scope.KEYS_READ, _BEARER),
    Permission.OWN_KEYS_DELETE: (Scope.KEYS_DELETE, _BEARER | _KEY),
    Permission.MAKE_TOKEN: (Scope.TOKENS_CREATE, frozenset({Method.ACCESS_TOKEN})),
    Permission.LOGIN_SESSIONS_READ: (Scope.SESSIONS_READ, _BEARER | _KEY),
    Permission.CONNECTED_READ: (Scope.DEVICES_READ, _BEARER | _KEY),
    Permission.CONNECTED_END: (Scope.DEVICES_DELETE, _BEARER | _KEY),
}
"""The scope that a permission asks of these methods, where it is not the permission itself."""


def check_permission(principal: Principal, permission: Permission) -> None:
    """Raise CredentialNotAllowed or InsufficientScope unless this principal may do this."""
    if principal.method not in ALLOWED_METHODS.get(permission, frozenset()):
        raise CredentialNotAllowed()
    if isinstance(permission.value, Scope):
        check_scope(principal, permission.value)
    asked = SCOPES_ASKED.get(permission)
    if asked is not None and principal.method in asked[1]:
        check_scope(principal, asked[0])


def check_scope(principal: Principal, scope: Scope) -> None:
    """Raise InsufficientScope unless this principal has the scope."""
    if scope not in principal.scopes:
        raise InsufficientScope(f"This needs the scope '{scope}', which the credential does not have.")
