"""Which credential may do what: a table, and what is not in it is refused."""

import pytest

from keystead.kernel.permissions import ALLOWED_METHODS, SCOPES_ASKED, Permission, check_permission
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import CredentialNotAllowed, InsufficientScope
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope, Scopes

IDENTITY = Identity("u1", "ada", "ada@example.com", "Ada", 1, None, "o1", "acme", "Acme", "owner")
ACCOUNT = [permission for permission in Permission if isinstance(permission.value, Scope)]


def principal(method: Method, scopes: Scopes = ALL_SCOPES) -> Principal:
    return Principal(IDENTITY, method, scopes, "c1", None)


def may(method: Method, permission: Permission, scopes: Scopes = ALL_SCOPES) -> bool:
    try:
        check_permission(principal(method, scopes), permission)
    except (CredentialNotAllowed, InsufficientScope):
        return False
    return True


def test_every_permission_is_in_the_table_and_every_scope_is_a_permission() -> None:
    assert set(ALLOWED_METHODS) == set(Permission)
    assert {permission.value for permission in ACCOUNT} == set(Scope)


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("method", Method)
def test_only_the_kinds_of_credential_in_the_table_are_let_through(method: Method, permission: Permission) -> None:
    anybody = {
        Permission.IDENTITY,
        Permission.OWN_KEYS_READ,
        Permission.OWN_KEYS_DELETE,
        Permission.LOGIN_SESSIONS_READ,
        Permission.CONNECTED_READ,
        Permission.CONNECTED_END,
        Permission.POLICIES_READ,
    }
    person = {
        Permission.SIGN_OUT,
        Permission.DECIDE_DEVICE,
        Permission.MAKE_KEY,
        Permission.LOGIN_SESSIONS_END,
        Permission.OWN_ACCOUNT,
        Permission.ADMINISTER,
    }
    wanted = {
        Method.SESSION: {*anybody, *person, Permission.MAKE_TOKEN},
        Method.API_KEY: {*anybody, Permission.MAKE_TOKEN, Permission.INTROSPECT},
        Method.SHORT_TERM_TOKEN: {*anybody, *ACCOUNT, Permission.INTROSPECT} - {Permission.TOKENS_CREATE},
        Method.ACCESS_TOKEN: {
            *anybody, *ACCOUNT, Permission.MAKE_TOKEN, Permission.INTROSPECT, Permission.USERINFO,
        },
    }  # fmt: skip
    assert may(method, permission) == (permission in wanted[method])


@pytest.mark.parametrize("permission", ACCOUNT)
def test_a_token_without_the_scope_is_refused_and_the_scope_is_named(permission: Permission) -> None:
    scopes = ALL_SCOPES - {Scope(permission.value)}
    with pytest.raises(InsufficientScope) as refusal:
        check_permission(principal(Method.ACCESS_TOKEN, scopes), permission)
    assert str(permission.value) in refusal.value.detail


@pytest.mark.parametrize("permission", SCOPES_ASKED)
@pytest.mark.parametrize("method", Method)
def test_where_a_scope_is_asked_of_some_kinds_of_credential_those_are_refused_without_it(
    method: Method, permission: Permission
) -> None:
    scope, asked_of = SCOPES_ASKED[permission]
    if method in ALLOWED_METHODS[permission]:
        assert may(method, permission, frozenset({scope}))
        assert may(method, permission, ALL_SCOPES - {scope}) == (method not in asked_of)
    assert asked_of & ALLOWED_METHODS[permission]


@pytest.mark.parametrize("permission", ACCOUNT)
def test_a_scope_allows_exactly_its_own_permission(permission: Permission) -> None:
    scopes = frozenset({Scope(permission.value)})
    assert [other for other in ACCOUNT if may(Method.ACCESS_TOKEN, other, scopes)] == [permission]


def test_being_an_administrator_of_the_platform_lends_no_scope() -> None:
    assert IDENTITY.platform_admin
    assert not any(may(Method.ACCESS_TOKEN, permission, frozenset()) for permission in ACCOUNT)


def test_a_permission_that_is_missing_from_the_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ALLOWED_METHODS, Permission.IDENTITY)
    assert not any(may(method, Permission.IDENTITY) for method in Method)


def test_no_role_may_do_more_than_a_more_powerful_one() -> None:
    assert ROLE_SCOPES[Role.MEMBER] < ROLE_SCOPES[Role.ADMIN] <= ROLE_SCOPES[Role.OWNER] == ALL_SCOPES
