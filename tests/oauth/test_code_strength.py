"""Neither kind of code can be guessed: enough bits, from the operating system's random source (promise D6)."""

import random
from collections import Counter
from math import log2

from keystead.kernel.secrets import DEVICE_CODE_PREFIX, new_opaque
from keystead.oauth.user_codes import ALPHABET, LENGTH, new_user_code, read_user_code

CODES = 20_000
FEWEST_BITS = 34
FEWEST_BITS_OF_A_DEVICE_CODE = 128


def test_a_user_code_has_at_least_34_bits() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET)
    assert LENGTH * log2(len(ALPHABET)) >= FEWEST_BITS


def test_every_letter_is_as_likely_at_every_place_of_a_user_code() -> None:
    letters = [code.replace("-", "") for code in (new_user_code() for _ in range(CODES))]
    expected = CODES / len(ALPHABET)
    for place in range(LENGTH):
        seen = Counter(code[place] for code in letters)
        assert set(seen) == set(ALPHABET)
        # Eight standard deviations: a fair draw is never so far off.
        assert max(abs(count - expected) for count in seen.values()) < 8 * expected**0.5
    assert len(set(letters)) > CODES - 10


def test_no_code_comes_from_a_random_source_that_can_be_seeded() -> None:
    drawn = []
    state = random.getstate()
    for _ in range(2):
        random.seed(1)
        drawn.append((new_user_code(), new_opaque(DEVICE_CODE_PREFIX).reveal()))
    random.setstate(state)
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_a_device_code_is_beyond_guessing_and_no_user_code() -> None:
    codes = [new_opaque(DEVICE_CODE_PREFIX).reveal().removeprefix(DEVICE_CODE_PREFIX) for _ in range(1_000)]
    characters = set("".join(codes))
    assert min(len(code) for code in codes) * log2(len(characters)) > FEWEST_BITS_OF_A_DEVICE_CODE
    assert {read_user_code(code) for code in codes} == {None}
