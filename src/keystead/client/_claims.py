"""What a credential says of itself in the clear. It is read, never trusted: only a server can verify it."""

import base64
import json
from typing import Any


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without verifying it (RFC 7519, section 7.2), empty for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(_decoded(parts[1]))
    except (ValueError, RecursionError):  # no base64, no UTF-8, no JSON, or too deep
        return {}
    return found if isinstance(found, dict) else {}


def server_in(credential: str) -> str | None:
    """Return the server that an API key or a short-term token names, as it stands there, or None when it names none.

    An API key is ``<prefix>_<base64url of the host>.<secret>``, and a JWT has the claim ``platform_host``. A host
    without a scheme is reached over https.
    """
    if is_api_key(credential):
        try:
            host: object = _decoded(credential.partition("_")[2].partition(".")[0]).decode()
        except ValueError:
            return None
    else:
        host = claims_of(credential).get("platform_host")
    return host if isinstance(host, str) and host else None


def is_api_key(credential: str) -> bool:
    """Tell whether a credential has the form of an API key; any other is a bearer token."""
    prefix, underscore, rest = credential.partition("_")
    return bool(underscore) and credential.count(".") == 1 and prefix.isascii() and prefix.isalpha() and len(rest) > 2


def _decoded(text: str) -> bytes:
    """Decode base64 in either alphabet, with or without padding."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
