"""Client ids that carry their client: registering stores nothing, however often it is done (promise X1; RFC 7591).

A client id is the normalized description and a MAC over it. The same description gives the same id; an id that this
server did not make is unknown. Only a client that somebody approved is kept in the database.
"""

import base64
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from keystead.kernel.problems import InvalidClientMetadata, InvalidRequest
from keystead.oauth.models import Client

BUILT_IN: Final = {
    "parallel-cli": Client("parallel-cli", "parallel-cli", "", ""),
    "pw-cli": Client("pw-cli", "pw CLI", "", ""),
}
"""Clients that need not register: what ``parallel-cli`` falls back to when that fails, and the id of ``pw``."""

LONGEST_NAME: Final = 64
LONGEST_PLATFORM: Final = 24
LONGEST_DESCRIPTION: Final = 128
"""The bytes of a description: the client id goes into every access token, which must fit in 1 KB (promise C3)."""
LONGEST_SENT: Final = 512
_LONGEST_ID: Final = 700
_MAC_BYTES: Final = 12
_VERSION: Final = 1
_PREFIX: Final = "kc_"


@dataclass(frozen=True, slots=True)
class Description:
    """What a client said of itself, normalized: the part that tells it from other clients."""

    name: str
    system: str
    machine: str

    def fingerprint(self, key: bytes) -> str:
        """Return what the database calls this description."""
        return hmac.digest(key, b"fingerprint\x00" + self.packed(), "sha256").hex()

    def packed(self) -> bytes:
        """Return the description as bytes."""
        return "\x00".join((self.name, self.system, self.machine)).encode()


def read_description(metadata: Any) -> Description:
    """Return the normalized description of a registration request. Raises InvalidClientMetadata.

    Of the platform, system and machine count; release and version change with every update and are ignored.
    """
    if not isinstance(metadata, dict):
        raise InvalidClientMetadata("Send a JSON object with client_name and platform.")
    name = metadata.get("client_name")
    if not isinstance(name, str):
        raise InvalidClientMetadata("client_name is missing or not a string.")
    platform = metadata.get("platform", {})
    if platform is None:
        platform = {}
    if not isinstance(platform, dict):
        raise InvalidClientMetadata("platform is not an object of strings.")
    description = Description(
        _shown(name, "client_name", LONGEST_NAME), _platform(platform, "system"), _platform(platform, "machine")
    )
    if len(description.packed()) > LONGEST_DESCRIPTION:
        raise InvalidClientMetadata(f"The description is too long: at most {LONGEST_DESCRIPTION} bytes of UTF-8.")
    return description


def read_device_name(text: str | None) -> str | None:
    """Return what a client calls the machine that it runs on, normalized as its name is; None for nothing.

    Raises InvalidRequest for what cannot be shown or is longer than a client's name may be.
    """
    if text is None or not text.strip(" "):
        return None
    try:
        return _shown(text, "device_name", LONGEST_NAME)
    except InvalidClientMetadata as problem:
        raise InvalidRequest(problem.detail) from None


def client_id_of(key: bytes, description: Description, generation: int) -> str:
    """Return the client id of a description. ``generation`` counts how often an operator deleted the client."""
    body = bytes([_VERSION]) + generation.to_bytes(2, "big") + description.packed()
    mac = hmac.digest(key, body, "sha256")[:_MAC_BYTES]
    return _PREFIX + base64.urlsafe_b64encode(mac + body).decode().rstrip("=")


def read_client_id(key: bytes, client_id: str) -> tuple[Description, int] | None:
    """Return the description and generation that a client id carries, or None when this server did not make it."""
    if not client_id.startswith(_PREFIX) or len(client_id) > _LONGEST_ID or not client_id.isascii():
        return None
    encoded = client_id.removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        name, system, machine = raw[_MAC_BYTES + 3 :].decode().split("\x00")
    except ValueError:  # not base64, not UTF-8, or not three parts
        return None
    generation = int.from_bytes(raw[_MAC_BYTES + 1 : _MAC_BYTES + 3], "big")
    description = Description(name, system, machine)
    if not hmac.compare_digest(client_id_of(key, description, generation), client_id):
        return None
    return description, generation


def _platform(platform: Mapping[Any, Any], name: str) -> str:
    value = platform.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_SENT:
        raise InvalidClientMetadata(f"platform.{name} is not a string of at most {LONGEST_SENT} characters.")
    return _shown(value, f"platform.{name}", LONGEST_PLATFORM, cut=True) if value.strip() else ""


def _shown(text: str, field: str, longest: int, *, cut: bool = False) -> str:
    """Return text fit to be shown to a person who decides about it: printable, normalized, not too long (D4)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidClientMetadata(f"{field} is not valid Unicode.") from None
    normal = " ".join(part for part in unicodedata.normalize("NFC", text).split(" ") if part)
    if not normal.isprintable():
        raise InvalidClientMetadata(f"{field} holds characters that cannot be shown.")
    if cut:
        return normal[:longest].rstrip(" ")
    if not 1 <= len(normal) <= longest:
        raise InvalidClientMetadata(f"{field} must have 1 to {longest} characters.")
    return normal
