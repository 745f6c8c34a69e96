"""The rules of the keys room: what a name may be, how long a key may live, what it may do, who may end it. All pure."""

import re
from datetime import UTC, datetime
from typing import Final

from keystead.kernel.ids import is_id
from keystead.kernel.principal import Identity, Principal
from keystead.kernel.problems import Conflict, FieldProblem, Forbidden, InsufficientScope, InvalidParameters
from keystead.kernel.scopes import ROLE_SCOPES, Role, Scopes, format_scopes
from keystead.kernel.secrets import random_text
from keystead.keys.models import (
    LONGEST_LIFE,
    LONGEST_NAME,
    LONGEST_OVERLAP,
    NAME_PATTERN,
    SHORTEST_LIFE,
    ApiKey,
    KeyOwner,
)

_NAME: Final = re.compile(NAME_PATTERN)
_BY_POWER: Final = tuple(Role)
"""The roles, the most powerful one first."""
ROTATED_BEFORE: Final = "This key was rotated before. Rotate the key that replaces it, or create another one."
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SUFFIX_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class TitleTaken(Conflict):
    """Another key of the same person in the organization has this title already."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("You have an API key with this title already. Choose another title, or delete that key.")


def check_name(text: str, field: str, thing: str) -> str:
    """Return the name of an app or the title of a key as it is. Raises InvalidParameters."""
    if not is_name(text):
        sentence = (
            f"The {thing} has 1 to {LONGEST_NAME} characters, all of them visible, and neither begins nor ends with a "
            "blank."
        )
        raise InvalidParameters(sentence, fields=[FieldProblem("body", field, "name", sentence)])
    return text


def is_name(text: str) -> bool:
    """Tell whether an app or a key may have this name."""
    # "$" would let a line feed end the name, fullmatch does not; half a surrogate pair is no character at all.
    return 1 <= len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None and _SURROGATE.search(text) is None


def title_of(now: int) -> str:
    """Return the title of a key for which nobody chose one: the time in UTC and four random characters."""
    return f"token-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{random_text(_SUFFIX_LETTERS, 4)}"


def check_new_place(app_id: str | None, app_name: str, key_id: str | None) -> None:
    """Check where a new key shall go, without an ``app_id`` into the app of a name, and the id that it shall have.

    Raises InvalidParameters for a name that is none, and for an id that is not written as ours are.
    """
    if app_id is None:
        check_name(app_name, "app_name", "app's name")
    if key_id is not None and not is_id(key_id):
        sentence = "The id of a new key is a UUID in small letters."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "key_id", "id", sentence)])


def check_expiry(expires_at: int | None, now: int) -> int | None:
    """Return the time at which a new key shall expire. Raises InvalidParameters for one that has passed."""
    if expires_at is not None and expires_at <= now:
        sentence = "The expiry lies in the past. Choose a later time, or none."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "expires_at", "past", sentence)])
    return expires_at


def check_life(seconds: int | None) -> int | None:
    """Return for how many seconds a new key shall live, None for ever. Raises InvalidParameters."""
    if seconds is not None and not SHORTEST_LIFE <= seconds <= LONGEST_LIFE:
        sentence = f"An API key lives for {SHORTEST_LIFE} to {LONGEST_LIFE} seconds, or without an expiry."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "expires_in", "range", sentence)])
    return seconds


def check_cap(ends: int | None, now: int, longest: int | None, field: str) -> int | None:
    """Return when a new key ends. Raises InvalidParameters when that is later than the policies allow.

    ``longest`` is the longest life in seconds, None where keys may live for ever; ``field`` is what told the end.
    """
    if longest is not None and (ends is None or ends > now + longest):
        sentence = f"In this organization an API key lives for at most {_span(longest)}. Choose an expiry within that."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", field, "policy", sentence)])
    return ends


def capped(ends: int | None, now: int, longest: int | None) -> int | None:
    """Return when a key ends for which nobody chooses an end: as it would, or as the policies say."""
    if longest is None:
        return ends
    return now + longest if ends is None else min(ends, now + longest)


def _span(seconds: int) -> str:
    """Return a length of time in the largest unit in which it is whole."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % size == 0:
            return f"1 {unit}" if seconds == size else f"{seconds // size} {unit}s"
    return f"{seconds} seconds"


def check_overlap(seconds: int) -> int:
    """Return for how many seconds a key goes on working beside its successor. Raises InvalidParameters."""
    if not 0 <= seconds <= LONGEST_OVERLAP:
        sentence = f"The overlap is 0 to {LONGEST_OVERLAP} seconds."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "overlap_seconds", "range", sentence)])
    return seconds


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


def check_may_manage(principal: Principal, owner_id: str, act: str) -> None:
    """Raise Forbidden when a member would ``act`` on somebody else's key; owners and admins may (promise K8)."""
    if principal.role is Role.MEMBER and owner_id != principal.identity.user_id:
        raise Forbidden(f"This key belongs to somebody else. Ask an owner or admin of the organization to {act} it.")


def check_may_rotate(principal: Principal, key: ApiKey, owner: KeyOwner | None, now: int) -> Role:
    """Return the role of a key's owner when this principal may rotate the key.

    Raises Conflict for a key that cannot be replaced, and Forbidden. Whoever rotates a key gets to know the new one,
    which acts in its owner's name: so nobody rotates a key of somebody who may do more than they (promise K12).
    """
    check_may_manage(principal, key.user_id, "rotate")
    if key.successor_id is not None:
        raise Conflict(ROTATED_BEFORE)
    if key.expires_at is not None and key.expires_at <= now:
        raise Conflict("This key has expired. Create another one.")
    if owner is None:
        raise Conflict("The person in whose name this key acts is no longer active here. Create a key of your own.")
    role = Role(owner.role)
    if key.user_id != principal.identity.user_id:
        above = _BY_POWER.index(role) < _BY_POWER.index(principal.role)
        if above or owner.platform_admin > principal.identity.platform_admin:
            raise Forbidden("This key acts in the name of somebody who may do more than you. Ask them to rotate it.")
    return role


def end_of_rotated(expires_at: int | None, now: int, overlap: int) -> int:
    """Return when a key ends that is rotated now: after the overlap, or when it would have expired before (K7)."""
    ends = now + overlap
    return ends if expires_at is None else min(ends, expires_at)
