"""The rules of the keys room: what a name may be, how long a key may live, what it may do, who may end it. All pure."""

import re
from typing import Final

from keystead.kernel.principal import Identity, Principal
from keystead.kernel.problems import FieldProblem, Forbidden, InsufficientScope, InvalidParameters
from keystead.kernel.scopes import ROLE_SCOPES, Role, Scopes, format_scopes
from keystead.keys.models import LONGEST_NAME, NAME_PATTERN

_NAME: Final = re.compile(NAME_PATTERN)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def check_name(text: str, field: str, thing: str) -> str:
    """Return the name of an app or the title of a key as it is. Raises InvalidParameters."""
    # "$" would let a line feed end the name, fullmatch does not; half a surrogate pair is no character at all.
    if not 1 <= len(text) <= LONGEST_NAME or _NAME.fullmatch(text) is None or _SURROGATE.search(text):
        sentence = (
            f"The {thing} has 1 to {LONGEST_NAME} characters, all of them visible, and neither begins nor ends with a "
            "blank."
        )
        raise InvalidParameters(sentence, fields=[FieldProblem("body", field, "name", sentence)])
    return text


def check_expiry(expires_at: int | None, now: int) -> int | None:
    """Return the time at which a new key shall expire. Raises InvalidParameters for one that has passed."""
    if expires_at is not None and expires_at <= now:
        sentence = "The expiry lies in the past. Choose a later time, or none."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "expires_at", "past", sentence)])
    return expires_at


def check_scopes(scopes: Scopes, creator: Principal | Identity) -> Scopes:
    """Return the scopes of a new key. Raises InsufficientScope for one that its creator does not have (promise K12)."""
    if isinstance(creator, Principal):
        most = creator.scopes & ROLE_SCOPES[creator.role]
    else:
        most = ROLE_SCOPES[Role(creator.role)]
    beyond = scopes - most
    if beyond:
        raise InsufficientScope(f"A key can do no more than its creator, who lacks: {format_scopes(beyond)}")
    return scopes


def check_may_end(principal: Principal, owner_id: str) -> None:
    """Raise Forbidden when a member would end somebody else's key; owners and admins may end any (promise K8)."""
    if principal.role is Role.MEMBER and owner_id != principal.identity.user_id:
        raise Forbidden("This key belongs to somebody else. Ask an owner or admin of the organization to delete it.")
