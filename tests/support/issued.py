"""The secrets that tests were given or sent, and the search for them where none may be (promises K13 and W9).

Whatever hands a secret to a test notes it here; each server's log and database are searched for all of them when it
stops. What is searched for is the part that is secret: of an API key what follows its host, of a token of ours what
follows its prefix, of a refresh token or an opaque access token its MAC (what it says stands before that), of a JWT its
signature (its header and claims say nothing that is not said elsewhere), of a cookie or form token with a MAC that MAC.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

PIECE: Final = 12
"""So many characters of a secret in a row are a leak."""

_SHAPES: Final = {
    kind: re.compile(shape)
    for kind, shape in (
        ("a JWT", r"eyJ[\w-]+\.eyJ[\w-]+\.(?P<secret>[\w-]+)\Z"),
        ("a refresh token", r"pwr_[\w-]{27}(?P<secret>[\w-]+)\Z"),
        ("an opaque access token", r"pwoa_[\w-]{60}(?P<secret>[\w-]+)\Z"),
        ("a session", r"kss_(?P<secret>[0-9A-Za-z]+)\Z"),
        ("an invitation", r"(?:https?://\S+/)?ksi_(?P<secret>[0-9A-Za-z]+)\Z"),
        ("a device code", r"pwd_(?P<secret>[0-9A-Za-z]+)\Z"),
        ("an API key", r"[a-z]{2,8}_[\w-]+\.(?P<secret>[0-9A-Za-z]+)\Z"),
        ("a form token or device cookie", r"(?:[0-9a-f-]+\.)*[0-9]+\.(?P<secret>[\w-]{43})\Z"),
        ("a user code", r"(?P<secret>[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4})\Z"),
    )
}
_USER_CODE: Final = _SHAPES["a user code"]

_READABLE: Final = re.compile(rb"[\x20-\x7e\x80-\xff]{8,}")


class Needles:
    """What is searched for: every piece of every secret, in every way in which it may have been written down."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Search for these secret parts; the values are their kinds."""
        self._known: set[str] = set()
        self._pieces: dict[int, dict[bytes, str]] = {}
        self.add(secrets)

    def add(self, secrets: Mapping[str, str]) -> None:
        """Search for these as well."""
        for secret in secrets.keys() - self._known:
            for way, written, length in _ways(secret):
                pieces = self._pieces.setdefault(length, {})
                for start in range(len(written) - length + 1):
                    pieces[written[start : start + length]] = f"{secrets[secret]}, {way}"
        self._known |= secrets.keys()

    def find(self, haystack: bytes) -> list[str]:
        """Return what is there of the secrets: their kind, how they are written and what stands before them."""
        found: dict[str, str] = {}
        for text in set(_READABLE.findall(haystack)):
            for length, pieces in self._pieces.items():
                for start in range(len(text) - length + 1):
                    known = pieces.get(text[start : start + length])
                    if known is not None and known not in found:
                        found[known] = f"{known}, after {text[max(0, start - 80) : start]!r}"
        return sorted(found.values())


_noted = Needles({})


def note(*texts: str) -> None:
    """Remember secrets that were issued or sent."""
    _noted.add(parts_of(texts))


def leaked(haystack: bytes) -> list[str]:
    """Return what is there of the secrets that were noted so far."""
    return _noted.find(haystack)


def parts_of(texts: Iterable[str]) -> dict[str, str]:
    """Return the secret parts of these texts, each with its kind.

    A text too short to be told from an ordinary word is left out.
    """
    return {secret_part(text): kind_of(text) for text in texts if len(text) >= PIECE or _USER_CODE.match(text)}


def secret_part(text: str) -> str:
    """Return the part of a credential that is secret; all of it for anything else, a password for instance."""
    for shape in _SHAPES.values():
        found = shape.match(text)
        if found is not None:
            return found["secret"]
    return text


def kind_of(text: str) -> str:
    """Return what kind of secret it is, in words that give none of it away."""
    return next((kind for kind, shape in _SHAPES.items() if shape.match(text)), "a password")


def _ways(secret: str) -> Iterator[tuple[str, bytes, int]]:
    """Yield how a secret may have been written down, and how long a piece of it says twelve characters of it."""
    plain = secret.encode()
    piece = min(PIECE, len(plain))
    yield "as it is", plain, piece
    yield "percent-encoded", quote(secret).encode(), piece
    yield "as in a form", quote_plus(secret).encode(), piece
    yield "in hexadecimal", plain.hex().encode(), 2 * piece
    if _USER_CODE.match(secret):
        yield "without its dash", secret.replace("-", "").encode(), piece - 1
        return
    for shift in range(3):
        # Where a secret begins in a group of three bytes decides its base64; what mixes with neighbours is cut off.
        mixed = base64.b64encode(b"\0" * shift + plain)
        written = mixed[4 if shift else 0 : -4]
        yield "in base64", written, 16
        yield "in base64 for addresses", written.replace(b"+", b"-").replace(b"/", b"_"), 16
