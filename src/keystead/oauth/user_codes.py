"""User codes: made hard to guess and easy to type, read without regard to their dress (RFC 8628, 6.1; D6, D7)."""

import unicodedata
from typing import Final

from keystead.kernel.secrets import random_text

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Twenty consonants: no vowels, so no words; 20**8 codes are 34.6 bits."""
LENGTH: Final = 8
_LIKE_DASHES: Final = "_.\u00b7\u02d7\u2043\u2053\u2212\u30fb\u30fc"
"""What stands for a dash beside Unicode's dashes: minus, bullets, the long vowel mark of a Japanese keyboard."""
_INVISIBLE: Final = "\u034f" + "".join(map(chr, range(0xFE00, 0xFE10)))
"""What is not seen beside Unicode's format characters: the joiner of letters, the selectors of their variants."""

_DRESS: Final = frozenset({"Pd", "Zs", "Zl", "Zp", "Cf", "Cc"})


def new_user_code() -> str:
    """Return a fresh code in its canonical form, ``XXXX-XXXX``."""
    return dressed(random_text(ALPHABET, LENGTH))


def dressed(letters: str) -> str:
    """Return eight letters in the form in which people see them."""
    return f"{letters[:4]}-{letters[4:]}"


def read_user_code(typed: str) -> str | None:
    """Return the canonical form of what a person typed, or None when it cannot be a code.

    Case, spaces, dashes of any kind, invisible characters and full-width letters make no difference.
    """
    if len(typed) > 100:
        return None
    letters = "".join(c.upper() for c in unicodedata.normalize("NFKC", typed) if not _is_dress(c))
    if len(letters) != LENGTH or any(letter not in ALPHABET for letter in letters):
        return None
    return dressed(letters)


def _is_dress(character: str) -> bool:
    return character in _LIKE_DASHES + _INVISIBLE or unicodedata.category(character) in _DRESS
