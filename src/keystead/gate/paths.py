"""How the log names a path: in the words of its route, with ids, and with nothing else that a caller chose.

A path is not only what the server knows: people paste keys and passwords into addresses (promise W9).
"""

import re
from typing import Any, Final

from keystead.kernel.ids import is_id
from keystead.wire.asgi import Scope

NO_ROUTE: Final = "(no route)"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


def logged_path(scope: Scope) -> str:
    """Return the path of a request that was routed; what stands for a parameter is shown only when it is an id."""
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return NO_ROUTE
    given: dict[str, Any] = scope.get("path_params") or {}

    def shown(found: re.Match[str]) -> str:
        value = str(given.get(found[1], ""))
        return value if is_id(value) else f"{{{found[1]}}}"

    return str(scope.get("root_path") or "") + _PARAMETER.sub(shown, template)
