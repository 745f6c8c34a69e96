"""Reading the one credential of a request: pure, over its header fields (promise K11).

Every honest way to send a key is read: ``Bearer``, Basic ``key:`` and Basic ``key``, ``x-api-key``. Two different
credentials in one request are refused, because it is not clear who is acting.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keystead.kernel.problems import HeadersTooLarge, TwoCredentials

Headers = Iterable[tuple[bytes, bytes]]

CARRIERS: Final = frozenset({b"authorization", b"x-api-key", b"cookie"})
"""The fields in which a credential may come."""
SESSION_COOKIE: Final = b"cloud.sso"
LONGEST: Final = 8_192


class Kind(StrEnum):
    """What a credential was presented as."""

    API_KEY = "api_key"
    TOKEN = "token"  # noqa: S105 - a name, not a secret
    SESSION = "session"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, repr=False)
class Presented:
    """A credential as it stood in a request; it has no ``repr`` that shows it."""

    kind: Kind
    text: str


def read_credential(headers: Headers, api_key_prefix: str) -> Presented | None:
    """Return the credential of a request, or None. Raises TwoCredentials and HeadersTooLarge.

    What cannot be read is presented all the same, as UNREADABLE: it must not pass for no credential.
    """
    found: Presented | None = None
    for name, value in headers:
        if name not in CARRIERS:
            continue
        if name == b"authorization":
            one = _authorization(value, api_key_prefix)
        elif name == b"x-api-key":
            one = _decoded(Kind.API_KEY, value.strip())
        else:
            one = _session(value)
        if one is None or one == found:
            continue
        if found is not None:
            raise TwoCredentials(
                "Two different credentials came with this request. Send only one of them: an Authorization header, "
                "an x-api-key header or the session cookie."
            )
        if len(one.text) > LONGEST:
            raise HeadersTooLarge()
        found = one
    return found


def _authorization(value: bytes, api_key_prefix: str) -> Presented | None:
    scheme, _, rest = value.strip().partition(b" ")
    rest = rest.strip()
    kind = scheme.lower()
    if kind == b"bearer":
        presented = _decoded(Kind.TOKEN, rest)
        if presented is not None and presented.text.startswith(api_key_prefix + "_"):
            return Presented(Kind.API_KEY, presented.text)
        return presented or Presented(Kind.UNREADABLE, "bearer")
    if kind == b"basic":
        return _basic(rest)
    return Presented(Kind.UNREADABLE, scheme.decode("latin-1")) if scheme else None


def _basic(encoded: bytes) -> Presented:
    """Read an API key as the user name of Basic authentication, with an empty password (RFC 7617)."""
    try:
        decoded = a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
    except Base64Error:
        return Presented(Kind.UNREADABLE, "basic")
    key, _, password = decoded.partition(b":")
    presented = _decoded(Kind.API_KEY, key)
    if password or presented is None:
        return Presented(Kind.UNREADABLE, "basic")
    return presented


def _session(header: bytes) -> Presented | None:
    """Read the session cookie. Two cookies of its name with different values are two credentials."""
    found: Presented | None = None
    for pair in header.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name != SESSION_COOKIE:
            continue
        one = _decoded(Kind.SESSION, value.strip().strip(b'"'))
        if one is not None and found is not None and one != found:
            raise TwoCredentials("The session cookie came twice with different values. Delete this site's cookies.")
        found = one or found
    return found


def _decoded(kind: Kind, value: bytes) -> Presented | None:
    if not value:
        return None
    try:
        return Presented(kind, value.decode("ascii"))
    except UnicodeDecodeError:
        return Presented(Kind.UNREADABLE, kind.value)
