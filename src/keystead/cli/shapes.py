"""The shapes of what ``--json`` prints. They are documented, tested, and the one way to the documents themselves.

A shape is a word for a single value, a mapping for an object, a list with one shape in it for an array. Times are Unix
seconds. Members may be added by a later version; none is taken away or changes its meaning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

TEXT: Final = "text"
TEXT_OR_NULL: Final = "text or null"
NUMBER: Final = "number"
FLAG: Final = "true or false"
TIME: Final = "time"
TIME_OR_NULL: Final = "time or null"
SECRET: Final = "secret"  # noqa: S105 - the word, not one of them
ANY: Final = "anything"


@dataclass(frozen=True, slots=True)
class OrNull:
    """This shape, or null."""

    shape: "Shape"


Shape = str | Mapping[str, Any] | Sequence[Any] | OrNull

ERROR: Final = {"error": {"code": TEXT, "message": TEXT, "hint": TEXT}}
WHOAMI: Final = {
    "user_id": TEXT,
    "username": TEXT,
    "name": TEXT,
    "email": TEXT,
    "organization": TEXT,
    "roles": [TEXT],
    "platform_admin": FLAG,
}
APP: Final = {"id": TEXT, "name": TEXT, "organization_id": TEXT, "organization": TEXT_OR_NULL}
KEY: Final = {
    "id": TEXT,
    "title": TEXT,
    "app_id": TEXT,
    "app": TEXT,
    "created_by": TEXT,
    "created_at": TIME,
    "expires_at": TIME_OR_NULL,
    "last_used_at": TIME_OR_NULL,
    "hint": TEXT,
}
BALANCE: Final = {
    "organization_id": TEXT,
    "credit_cents": NUMBER,
    "pending_debit_cents": NUMBER,
    "will_invoice": FLAG,
}
TOKEN: Final = {"id": TEXT, "created_at": TIME, "expires_at": TIME}
SESSION: Final = {
    "id": TEXT,
    "created_at": TIME,
    "last_used_at": TIME,
    "expires_at": TIME,
    "address": TEXT,
    "user_agent": TEXT,
}
DEVICE: Final = {
    "id": TEXT,
    "client": TEXT,
    "platform": TEXT,
    "address": TEXT,
    "organization": TEXT,
    "scopes": [TEXT],
    "created_at": TIME,
    "last_used_at": TIME,
    "expires_at": TIME,
    "current": FLAG,
}
STORE: Final = {"kind": TEXT, "path": TEXT}
"""Where a sign-in is kept: ``file`` or ``keyring``, and the file, which exists in both cases."""
SIGN_IN: Final = {
    "context": TEXT,
    "server": TEXT,
    "username": TEXT,
    "user_id": TEXT,
    "organization_id": TEXT,
    "organization": TEXT_OR_NULL,
    "scopes": [TEXT],
    "access_token_expires_at": TIME,
    "refresh_token_expires_at": TIME,
    "authorization_expires_at": TIME,
    "also": [TEXT],
    "store": STORE,
}


def as_json(shape: Shape, value: Any) -> Any:
    """Return a value in its shape: what the shape does not name is left out, so no answer grows by accident.

    A secret is revealed only where the shape says that one is meant.
    """
    if isinstance(shape, Mapping):
        return {name: as_json(part, getattr(value, name)) for name, part in shape.items()}
    if isinstance(shape, OrNull):
        return None if value is None else as_json(shape.shape, value)
    if not isinstance(shape, str):
        return [as_json(shape[0], item) for item in value]
    return value.reveal() if shape == SECRET else value
