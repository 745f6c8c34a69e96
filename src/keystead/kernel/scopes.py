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
    KEYS_UPDATE = "keys:update"
    KEYS_ROTATE = "keys:rotate"
    KEYS_DELETE = "keys:delete"
    APPS_READ = "apps:read"
    APPS_CREATE = "apps:create"
    APPS_DELETE = "apps:delete"
    BALANCE_READ = "balance:read"
    BALANCE_ADD = "balance:add"
    TOKENS_READ = "tokens:read"
    TOKENS_CREATE = "tokens:create"
    TOKENS_DELETE = "tokens:delete"
    SESSIONS_READ = "sessions:read"
    SESSIONS_DELETE = "sessions:delete"
    DEVICES_READ = "devices:read"
    DEVICES_DELETE = "devices:delete"


class Role(StrEnum):
    """A person's role in an organization, from the most to the least powerful."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


Scopes = frozenset[Scope]

ALL_SCOPES: Final[Scopes] = frozenset(Scope)
READ_SCOPES: Final[Scopes] = frozenset({Scope.KEYS_READ, Scope.APPS_READ, Scope.BALANCE_READ})
"""What a sign-in asks for that names no scope."""
KEY_SCOPES: Final[Scopes] = frozenset({Scope.KEYS_CREATE, Scope.KEYS_UPDATE, Scope.KEYS_ROTATE, Scope.KEYS_DELETE})
"""Managing keys: a member manages their own, an owner or admin everybody's."""
OWN_SCOPES: Final[Scopes] = frozenset(
    {
        Scope.TOKENS_READ,
        Scope.TOKENS_CREATE,
        Scope.TOKENS_DELETE,
        Scope.SESSIONS_READ,
        Scope.SESSIONS_DELETE,
        Scope.DEVICES_READ,
        Scope.DEVICES_DELETE,
    }
)
"""What everybody may do, because it concerns nobody but themselves."""

ROLE_SCOPES: Final[dict[Role, Scopes]] = {
    Role.OWNER: ALL_SCOPES,
    Role.ADMIN: ALL_SCOPES,
    Role.MEMBER: READ_SCOPES | KEY_SCOPES | OWN_SCOPES,
}

DESCRIPTIONS: Final[dict[Scope, str]] = {
    Scope.KEYS_READ: "See the API keys of your organization's apps, without their secrets",
    Scope.KEYS_CREATE: "Create API keys in your name",
    Scope.KEYS_UPDATE: "Rename API keys",
    Scope.KEYS_ROTATE: "Replace API keys with new ones that act in the same name",
    Scope.KEYS_DELETE: "Delete API keys",
    Scope.APPS_READ: "See your organization's apps",
    Scope.APPS_CREATE: "Create apps",
    Scope.APPS_DELETE: "Delete apps together with their API keys",
    Scope.BALANCE_READ: "See your organization's balance",
    Scope.BALANCE_ADD: "Add money to your organization's balance",
    Scope.TOKENS_READ: "See when your short-term tokens were made and until when they are valid",
    Scope.TOKENS_CREATE: "Create short-term tokens that can do the same as this sign-in, for up to a day",
    Scope.TOKENS_DELETE: "Revoke your short-term tokens",
    Scope.SESSIONS_READ: "See the browsers in which you are signed in, and from where; owners and admins also members'",
    Scope.SESSIONS_DELETE: "Sign you out of browsers",
    Scope.DEVICES_READ: "See the devices and programs that you signed in, and from where",
    Scope.DEVICES_DELETE: "Sign out the devices and programs that you signed in",
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
