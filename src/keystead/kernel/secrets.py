"""Secrets: the type that masks them, the formats in which they are issued, and how they are hashed.

Every secret carries 256 random bits, an API key at least 107 (user codes excepted, which are guarded by limits), so a
fast keyed hash is enough to store it (OWASP ASVS 5.0, 11.4); a slow hash would buy nothing and cost every request.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARACTERS: Final = 43  # 62**43 > 2**256
_CHECKSUM_CHARACTERS: Final = 2
_CHECKSUM_PRIME: Final = 3_833  # the largest prime below 62**2

LONGEST_UNBROKEN_KEY: Final = 56
"""With its colon, as many bytes as GNU ``base64`` puts on one line (docs/decisions/api-key-length.md)."""
_FEWEST_KEY_CHARACTERS: Final = 18  # 62**18 > 2**107

SESSION_PREFIX: Final = "kss_"
INVITATION_PREFIX: Final = "ksi_"
STEP_PREFIX: Final = "kst_"
DEVICE_CODE_PREFIX: Final = "pwd_"
REFRESH_TOKEN_PREFIX: Final = "pwr_"  # noqa: S105 - a public prefix, not a secret
ACCESS_TOKEN_PREFIX: Final = "pwoa_"  # noqa: S105 - a public prefix, not a secret

ISSUED_PREFIXES: Final = frozenset(
    {
        SESSION_PREFIX,
        INVITATION_PREFIX,
        STEP_PREFIX,
        DEVICE_CODE_PREFIX,
        REFRESH_TOKEN_PREFIX,
        ACCESS_TOKEN_PREFIX,
    }
)
"""How every secret begins that is no API key."""

_API_KEY = re.compile(r"(?P<prefix>[a-z]{2,8})_(?P<host>[A-Za-z0-9_-]{1,340})\.[0-9A-Za-z]{20,45}\Z")
_OPAQUE = re.compile(r"[a-z]{3}_[0-9A-Za-z]{45}\Z")


class Secret:
    """A text that must not be shown: its ``repr``, ``str`` and format are masked, and it compares in constant time.

    ``reveal`` is the one way to the text, so that a search for it finds every place where a secret leaves our hands.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hold ``text``."""
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return "********"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


_CHECKSUMS: Final = tuple(_ALPHABET[number // 62] + _ALPHABET[number % 62] for number in range(_CHECKSUM_PRIME))
"""Each remainder in base 62, written beforehand: every check of a key needs one of them."""


def checksum(text: str) -> str:
    """Return the two characters that end a secret, so that a typo or a scanner's false hit costs no look-up.

    The text, read as a number, modulo a prime: every change of a single character changes it.
    """
    return _CHECKSUMS[int.from_bytes(text.encode()) % _CHECKSUM_PRIME]


def random_text(alphabet: str, number: int) -> str:
    """Return so many random characters of an alphabet, each as likely as any other.

    The system is asked once for all of them: asking for each costs more than all else that goes into a device code.
    """
    fair = 256 - 256 % len(alphabet)
    found = ""
    while len(found) < number:
        found += "".join(alphabet[byte % len(alphabet)] for byte in secrets.token_bytes(number + 16) if byte < fair)
    return found[:number]


def _random_characters(number: int = _SECRET_CHARACTERS) -> str:
    return random_text(_ALPHABET, number)


def new_opaque(prefix: str) -> Secret:
    """Return a fresh secret of the form ``<prefix><43 random characters><checksum>``."""
    body = prefix + _random_characters()
    return Secret(body + checksum(body))


def is_opaque(text: str, prefix: str) -> bool:
    """Tell whether ``text`` has the form and the checksum of a secret with this prefix."""
    return (
        text.startswith(prefix)
        and _OPAQUE.match(text) is not None
        and hmac.compare_digest(text[-_CHECKSUM_CHARACTERS:], checksum(text[:-_CHECKSUM_CHARACTERS]))
    )


def encode_host(public_url: str) -> str:
    """Return the host segment of an API key: the host alone for https, the whole origin otherwise (contract B1)."""
    host = public_url.removeprefix("https://").rstrip("/")
    return base64.urlsafe_b64encode(host.encode()).decode().rstrip("=")


def new_api_key(prefix: str, public_url: str) -> Secret:
    """Return a fresh API key, ``<prefix>_<base64url of the host>.<random characters><checksum>``.

    It has as many random characters, 43 at most, as let the whole key be encoded on one line; where the host is too
    long for that to leave 107 random bits, it has 43.
    """
    start = f"{prefix}_{encode_host(public_url)}."
    room = LONGEST_UNBROKEN_KEY - len(start) - _CHECKSUM_CHARACTERS
    fitting = min(room, _SECRET_CHARACTERS) if room >= _FEWEST_KEY_CHARACTERS else _SECRET_CHARACTERS
    body = start + _random_characters(fitting)
    return Secret(body + checksum(body))


def is_api_key(text: str, prefix: str) -> bool:
    """Tell whether ``text`` has the form and the checksum of an API key with this prefix."""
    match = _API_KEY.match(text)
    return (
        match is not None
        and match["prefix"] == prefix
        and hmac.compare_digest(text[-_CHECKSUM_CHARACTERS:], checksum(text[:-_CHECKSUM_CHARACTERS]))
    )


def hint_of(key: Secret) -> str:
    """Return what people tell an API key by: the first and the last four characters of its secret part."""
    text = key.reveal().rpartition(".")[2]
    return f"{text[:4]}…{text[-4:]}"


_BLOCK: Final = 64
"""Bytes of a block of SHA-256."""


def keyed_hash(key: bytes, text: str) -> bytes:
    """Return HMAC-SHA-256 of a secret: what the database holds instead of it (RFC 2104)."""
    begun, ending = _begun(key)
    inner, outer = begun.copy(), ending.copy()
    inner.update(text.encode("utf-8", "surrogatepass"))
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=16)
def _begun(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return both hashes after the block of the key, which is the same each time and takes half of the work."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


@dataclass(frozen=True, slots=True)
class RefreshLocator:
    """What a refresh token says in the clear: its grant, and which of the grant's tokens it is."""

    grant: bytes
    generation: int


_GRANT_BYTES: Final = 16
_MAC_BYTES: Final = 24
_REFRESH_BYTES: Final = _GRANT_BYTES + 4 + _MAC_BYTES


def derive_refresh_token(key: bytes, locator: RefreshLocator) -> Secret:
    """Return the refresh token of a grant's generation: 63 characters, the same each time it is asked for.

    Nothing of it is stored. Whoever lost an answer gets the same successor again from the generation alone.
    """
    body = locator.grant + locator.generation.to_bytes(4, "big")
    mac = hmac.digest(key, body, "sha256")[:_MAC_BYTES]
    return Secret(REFRESH_TOKEN_PREFIX + base64.urlsafe_b64encode(body + mac).decode().rstrip("="))


def read_refresh_token(key: bytes, text: str) -> RefreshLocator | None:
    """Return what a refresh token locates, or None when this server did not make it."""
    if not text.startswith(REFRESH_TOKEN_PREFIX) or not text.isascii():
        return None
    encoded = text.removeprefix(REFRESH_TOKEN_PREFIX)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(raw) != _REFRESH_BYTES:
        return None
    locator = RefreshLocator(raw[:_GRANT_BYTES], int.from_bytes(raw[_GRANT_BYTES : _GRANT_BYTES + 4], "big"))
    return locator if derive_refresh_token(key, locator) == Secret(text) else None


@dataclass(frozen=True, slots=True)
class AccessLocator:
    """What an opaque access token says in the clear: its grant, when it was issued and until when it is good.

    Times are in Unix seconds. ``scopes`` is a set of bits, of which the least is bit 0; who issues the token knows what
    each of them stands for. ``nonce`` tells it from every other token.
    """

    grant: bytes
    issued_at: int
    expires_at: int
    scopes: int
    nonce: bytes


NONCE_BYTES: Final = 10
"""With them the parts of an opaque access token fill its characters to the last bit: it is written in one way only."""
_ACCESS_VERSION: Final = 1
_TIME_BYTES: Final = 5
_SCOPE_BYTES: Final = 8
_ACCESS_BYTES: Final = 1 + _GRANT_BYTES + 2 * _TIME_BYTES + _SCOPE_BYTES + NONCE_BYTES
_ACCESS_TOKEN = re.compile(rf"{ACCESS_TOKEN_PREFIX}[A-Za-z0-9_-]{{{(_ACCESS_BYTES + _MAC_BYTES) * 4 // 3}}}\Z")


def new_nonce() -> bytes:
    """Return what makes an opaque access token one of its kind."""
    return secrets.token_bytes(NONCE_BYTES)


def derive_access_token(key: bytes, locator: AccessLocator) -> Secret:
    """Return the opaque access token that says this: 97 characters, of which the last 32 are a MAC over the others.

    Nothing of it is stored. It is not signed for others to verify: who wants to know about it asks this server.
    """
    body = b"".join(
        (
            bytes([_ACCESS_VERSION]),
            locator.grant,
            locator.issued_at.to_bytes(_TIME_BYTES),
            locator.expires_at.to_bytes(_TIME_BYTES),
            locator.scopes.to_bytes(_SCOPE_BYTES),
            locator.nonce,
        )
    )
    mac = hmac.digest(key, body, "sha256")[:_MAC_BYTES]
    return Secret(ACCESS_TOKEN_PREFIX + base64.urlsafe_b64encode(body + mac).decode())


def read_access_token(key: bytes, text: str) -> AccessLocator | None:
    """Return what an opaque access token says, expired or not, or None when this server did not make it."""
    if _ACCESS_TOKEN.match(text) is None:
        return None
    raw = base64.urlsafe_b64decode(text.removeprefix(ACCESS_TOKEN_PREFIX))
    body, mac = raw[:_ACCESS_BYTES], raw[_ACCESS_BYTES:]
    if not hmac.compare_digest(hmac.digest(key, body, "sha256")[:_MAC_BYTES], mac) or body[0] != _ACCESS_VERSION:
        return None
    times = 1 + _GRANT_BYTES
    scopes = times + 2 * _TIME_BYTES
    return AccessLocator(
        grant=body[1:times],
        issued_at=int.from_bytes(body[times : times + _TIME_BYTES]),
        expires_at=int.from_bytes(body[times + _TIME_BYTES : scopes]),
        scopes=int.from_bytes(body[scopes : scopes + _SCOPE_BYTES]),
        nonce=body[scopes + _SCOPE_BYTES :],
    )
