"""Scopes: what a credential may do, as the Account API names it, and what each role may grant (RFC 6749, 3.3)."""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final

from keystead.kernel.problems import InvalidScope


class Scope(StrEnum):
    """One thing that a bearer token can be allowed to do."""

    KEYS_READ = "keys:read"
    KEYS_CREATE = "keys:create"
    KEYS_DELETE = "keys:delete"
    APPS_READ = "apps:read"
    APPS_CREATE = "apps:create"
    APPS_DELETE = "apps:delete"
    BALANCE_READ = "balance:read"
    BALANCE_ADD = "balance:add"


class Role(StrEnum):
    """A person's role in an organization, from the most to the least powerful."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


Scopes = frozenset[Scope]

ALL_SCOPES: Final[Scopes] = frozenset(Scope)
READ_SCOPES: Final[Scopes] = frozenset({Scope.KEYS_READ, Scope.APPS_READ, Scope.BALANCE_READ})

ROLE_SCOPES: Final[dict[Role, Scopes]] = {
    Role.OWNER: ALL_SCOPES,
    Role.ADMIN: ALL_SCOPES,
    Role.MEMBER: READ_SCOPES | {Scope.KEYS_CREATE, Scope.KEYS_DELETE},
}

DESCRIPTIONS: Final[dict[Scope, str]] = {
    Scope.KEYS_READ: "See the API keys of your organization's apps, without their secrets",
    Scope.KEYS_CREATE: "Create API keys in your name",
    Scope.KEYS_DELETE: "Delete API keys",
    Scope.APPS_READ: "See your organization's apps",
    Scope.APPS_CREATE: "Create apps",
    Scope.APPS_DELETE: "Delete apps together with their API keys",
    Scope.BALANCE_READ: "See your organization's balance",
    Scope.BALANCE_ADD: "Add money to your organization's balance",
}

_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")
_LIKE_A_SCOPE = re.compile(r"[a-z_]{1,20}:[a-z_]{1,20}\Z")


def parse_scopes(text: str) -> Scopes:
    """Return the scopes that a space-separated list names; an empty list names none.

    Raises InvalidScope for a character outside RFC 6749's ``scope-token`` and for a scope that does not exist.
    """
    names = text.split(" ")
    scopes = set()
    for name in names:
        if not name:
            continue
        if _TOKEN.match(name) is None:
            raise InvalidScope("The scope holds a character that is not allowed. Separate scopes with single spaces.")
        try:
            scopes.add(Scope(name))
        except ValueError:
            raise InvalidScope(f"There is no scope {_named(name)}. The scopes are: {' '.join(Scope)}") from None
    return frozenset(scopes)


def _named(name: str) -> str:
    """Return a scope that does not exist as a sentence may show it: anything else may be a secret (promise W9)."""
    return f"'{name}'" if _LIKE_A_SCOPE.match(name) else "of this name"


@lru_cache(maxsize=256)
def stored_scopes(text: str) -> Scopes:
    """Return the scopes of a stored list; one that this version no longer knows grants nothing and is left out."""
    known = Scope.__members__.values()
    return frozenset(scope for scope in known if scope in text.split(" "))


def format_scopes(scopes: Iterable[Scope]) -> str:
    """Return scopes as the space-separated list of the wire, always in the same order."""
    return _formatted(frozenset(scopes))


@lru_cache(maxsize=256)
def _formatted(scopes: Scopes) -> str:
    return " ".join(scope for scope in Scope if scope in scopes)


def grantable(requested: Scopes, role: Role) -> Scopes:
    """Return what of ``requested`` a person with this role may hand on: nobody grants more than they have."""
    return requested & ROLE_SCOPES[role]
