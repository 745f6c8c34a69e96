"""What a client would rather have (RFC 7240). A preference is never refused, and never costs an answer."""

import re
from typing import Final

from keystead.wire.asgi import Scope

_PREFER: Final = b"prefer"
_WAIT: Final = re.compile(r"\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?:;|\Z)", re.IGNORECASE)


def preferred_wait(scope: Scope) -> int | None:
    """Return the seconds of the preference ``wait`` (RFC 7240, section 4.3), or None.

    The first one counts, and whatever is not one is passed over, as section 2 of the RFC has it.
    """
    for name, value in scope["headers"]:
        if name == _PREFER:
            for part in bytes(value).decode("latin-1").split(","):
                if found := _WAIT.match(part):
                    return int(found[1])
    return None
