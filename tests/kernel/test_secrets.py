"""A secret does not show itself, whoever prints, logs, formats or pickles it (promise W9)."""

import copy
import hmac
import json
import logging
import pickle
import traceback
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.kernel.secrets import Secret, hint_of, keyed_hash, new_api_key, new_opaque

TEXT = "kss_0123456789abcdefghij"
SECRET = Secret(TEXT)


@dataclass(frozen=True)
class Holder:
    """Something that carries a secret."""

    name: str
    secret: Secret


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET:>40}",
        f"{SECRET!s} {SECRET!r} {SECRET!a}",
        "{}".format(SECRET),  # noqa: UP032 - a way in which secrets get printed
        "%s %r" % (SECRET, SECRET),  # noqa: UP031
        repr([SECRET]),
        repr({"a": (SECRET,)}),
        repr(Holder("a", SECRET)),
        str(Holder("a", SECRET)),
        ascii(SECRET),
    ],
)
def test_a_secret_is_masked_however_it_is_printed(shown: str) -> None:
    assert TEXT not in shown
    assert TEXT[4:16] not in shown
    assert "********" in shown


def test_a_secret_is_masked_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("issued %s to %r", SECRET, Holder("a", SECRET))
    assert "********" in caplog.text
    assert TEXT not in caplog.text


def test_a_secret_is_masked_in_a_traceback_with_its_variables() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(f"could not use {secret}")

    with pytest.raises(ValueError, match=r"\*{8}") as failure:
        fail(SECRET)
    shown = "".join(traceback.TracebackException.from_exception(failure.value, capture_locals=True).format())
    assert TEXT not in shown.replace('"kss_0123456789abcdefghij"', "")


def test_a_secret_cannot_be_pickled_copied_away_or_turned_into_json() -> None:
    for leak in (lambda: pickle.dumps(SECRET), lambda: copy.deepcopy(SECRET), lambda: json.dumps({"a": SECRET})):
        with pytest.raises(TypeError) as failure:
            leak()
        assert TEXT not in str(failure.value)


def test_a_secret_has_no_attributes_that_show_it() -> None:
    with pytest.raises(TypeError) as failure:
        vars(SECRET)
    assert TEXT not in str(failure.value)


def test_revealing_is_the_one_way_to_the_text() -> None:
    assert SECRET.reveal() == TEXT


def test_secrets_are_equal_by_their_text_and_to_nothing_else() -> None:
    assert Secret(TEXT) == SECRET
    assert Secret(TEXT + "x") != SECRET
    assert SECRET != TEXT
    assert len({SECRET, Secret(TEXT)}) == 1


def test_a_hint_tells_keys_apart_and_gives_no_twelve_characters_away() -> None:
    key = new_api_key("pwt", "https://auth.example.com")
    hint = hint_of(key)
    assert hint[:4] + hint[-4:] == key.reveal().rpartition(".")[2][:4] + key.reveal()[-4:]
    assert len(hint) == 9


def test_no_two_secrets_are_alike() -> None:
    assert len({new_opaque("kss_").reveal() for _ in range(200)}) == 200


@given(key=st.binary(min_size=1, max_size=130), text=st.text())
def test_a_keyed_hash_is_hmac_sha_256(key: bytes, text: str) -> None:
    assert keyed_hash(key, text) == hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")
