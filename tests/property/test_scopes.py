"""Scopes: order and repetition mean nothing, and nobody hands on more than they have (promise K12)."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from keystead.kernel.problems import InvalidScope
from keystead.kernel.scopes import (
    ALL_SCOPES,
    ROLE_SCOPES,
    Role,
    Scope,
    Scopes,
    format_scopes,
    grantable,
    parse_scopes,
    stored_scopes,
)

scope_sets = st.frozensets(st.sampled_from(list(Scope)))
roles = st.sampled_from(list(Role))
lists_of_scopes = st.lists(st.sampled_from(list(Scope)), max_size=12)


@given(scope_sets)
def test_what_is_written_reads_back(scopes: Scopes) -> None:
    assert parse_scopes(format_scopes(scopes)) == scopes
    assert stored_scopes(format_scopes(scopes)) == scopes


@given(st.data(), lists_of_scopes, st.integers(1, 3))
def test_order_repetition_and_spaces_do_not_matter(data: st.DataObject, scopes: list[Scope], gap: int) -> None:
    again = data.draw(st.permutations(scopes * 2))
    assert parse_scopes((" " * gap).join(again)) == frozenset(scopes)
    assert format_scopes(again) == format_scopes(scopes)
    assert format_scopes(parse_scopes(" ".join(scopes))) == format_scopes(scopes)


@given(scope_sets, roles)
def test_what_is_granted_never_grows(requested: Scopes, role: Role) -> None:
    granted = grantable(requested, role)
    assert granted <= requested
    assert granted <= ROLE_SCOPES[role]
    assert grantable(granted, role) == granted


@given(scope_sets, scope_sets, roles)
def test_who_asks_for_more_gets_no_less(some: Scopes, others: Scopes, role: Role) -> None:
    assert grantable(some, role) <= grantable(some | others, role)


@given(scope_sets)
def test_a_lower_role_never_grants_more(requested: Scopes) -> None:
    member, admin, owner = (grantable(requested, role) for role in (Role.MEMBER, Role.ADMIN, Role.OWNER))
    assert member <= admin <= owner


@given(lists_of_scopes, st.text(min_size=1, max_size=20), lists_of_scopes)
@example([], "keys:read\n", [])
@example([], "keys:read\tkeys:create", [])
@example([], "KEYS:READ", [])
@example([], "keys:rea\u0501", [])
@example([], "\udcff", [])
def test_an_unknown_or_malformed_scope_is_refused_wherever_it_stands(
    before: list[Scope], wrong: str, after: list[Scope]
) -> None:
    assume(not {part for part in wrong.split(" ") if part} <= set(ALL_SCOPES))
    with pytest.raises(InvalidScope) as refused:
        parse_scopes(" ".join([*before, wrong, *after]))
    assert refused.value.oauth_error == "invalid_scope"


@given(st.text(max_size=60))
def test_a_stored_list_of_another_version_grants_only_what_is_known(stored: str) -> None:
    assert stored_scopes(stored) <= {scope for scope in Scope if scope in stored.split(" ")}
