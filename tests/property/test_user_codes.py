"""User codes read back whatever they wear, and nothing else is read as one (promise D7)."""

import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from keystead.oauth.user_codes import ALPHABET, LENGTH, dressed, new_user_code, read_user_code

CANONICAL = re.compile(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}")

# Unicode 16, PropList.txt: every character with the property Dash, and beside them what looks like one on a keyboard.
DASHES = (
    "-\u058a\u05be\u1400\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2053\u207b\u208b\u2212\u2e17\u2e1a\u2e3a\u2e3b"
    "\u2e40\u2e5d\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d\U00010ead"
    "\u2043\u02d7\u30fc\uff70\u30fb\uff65\u00b7._\uff3f"
)
ZERO_WIDTH = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2066\u2069\ufe0e\ufe0f\ufeff"
SPACES = " \t\n\r\x0b\x0c\x85\u00a0\u1680\u2000\u2003\u2007\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

canonical_codes = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH).map(dressed)
dress = st.one_of(
    st.sampled_from(DASHES + ZERO_WIDTH + SPACES),
    st.characters(categories=["Pd", "Zs", "Zl", "Zp", "Cf", "Cc"]),
)
BOLD_A = 0x1D400


@st.composite
def dressings(draw: st.DrawFn, code: str) -> str:
    """Return a code as somebody may type or paste it."""
    shapes = st.sampled_from((str.upper, str.lower, _full_width, _full_width_small, _bold))
    typed = draw(st.text(dress, max_size=4))
    for letter in code.replace("-", ""):
        typed += draw(shapes)(letter) + draw(st.text(dress, max_size=3))
    return typed


def _full_width(letter: str) -> str:
    return chr(ord(letter) - ord("A") + ord("\uff21"))


def _full_width_small(letter: str) -> str:
    return chr(ord(letter) - ord("A") + ord("\uff41"))


def _bold(letter: str) -> str:
    return chr(ord(letter) - ord("A") + BOLD_A)


@given(st.data(), canonical_codes)
def test_a_code_reads_back_the_same_whatever_it_wears(data: st.DataObject, code: str) -> None:
    assert read_user_code(data.draw(dressings(code))) == code


@given(st.text(max_size=120) | st.text(ALPHABET + ALPHABET.lower() + "- ", max_size=12))
@example("\u00dfBCDFGH")  # a letter that becomes two
@example("\udcff" * 8)
def test_any_text_is_read_as_a_canonical_code_or_as_none(typed: str) -> None:
    found = read_user_code(typed)
    assert found is None or CANONICAL.fullmatch(found)


@given(canonical_codes, st.integers(0, LENGTH - 1), st.characters(categories=["L", "N", "So"]))
def test_another_letter_in_a_code_never_reads_as_that_code(code: str, place: int, letter: str) -> None:
    letters = code.replace("-", "")
    changed = letters[:place] + letter + letters[place + 1 :]
    same = unicodedata.normalize("NFKC", letter).upper() == letters[place]
    assert (read_user_code(changed) == code) is same


@given(canonical_codes, st.integers(0, LENGTH))
def test_a_letter_more_or_less_is_no_code(code: str, place: int) -> None:
    letters = code.replace("-", "")
    assert read_user_code(letters[:place] + "B" + letters[place:]) is None
    assert read_user_code(letters[:-1]) is None


def test_a_fresh_code_is_canonical_and_reads_as_itself() -> None:
    codes = [new_user_code() for _ in range(1_000)]
    assert [read_user_code(code) for code in codes] == codes
    assert all(CANONICAL.fullmatch(code) for code in codes)


def test_every_dash_space_and_invisible_character_is_dress() -> None:
    worn = {c: read_user_code(f"BCDF{c}GHJK") for c in DASHES + ZERO_WIDTH + SPACES}
    assert {f"U+{ord(c):04X}": found for c, found in worn.items() if found != "BCDF-GHJK"} == {}
