"""What an operator may do while acting as somebody else: look, stop, and sign out. Nothing in the person's name.

It is decided here, by method and address, so that no route has to think of it and a new one is covered by itself.
"""

from typing import Final

from keystead.kernel.principal import Principal
from keystead.kernel.problems import Impersonating
from keystead.sessions.models import IMPERSONATE_PATH, STOP_PATH

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ALWAYS: Final = frozenset(
    {
        ("DELETE", IMPERSONATE_PATH),
        ("POST", IMPERSONATE_PATH),  # which says itself that one acts already
        ("POST", "/api/sso/logout"),
        ("POST", "/sign-out"),
        ("POST", STOP_PATH),
    }
)
_MORE_THAN_LOOKS: Final = frozenset(
    {
        "/api/auth/token",  # makes a token
        "/getServiceKeys/device",  # counts wrong codes against the person
    }
)
"""Where a GET does more than look."""


def check_acting(principal: Principal, method: str, path: str) -> None:
    """Raise Impersonating when somebody acts as this person and the request does more than look."""
    if principal.impersonator is None or (method, path) in _ALWAYS:
        return
    if method not in _SAFE or path in _MORE_THAN_LOOKS:
        raise Impersonating()
