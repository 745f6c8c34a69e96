"""Secrets: they read back, and no single character of one can be another without being noticed."""

import string
from collections.abc import Iterator

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from keystead.kernel.secrets import (
    DEVICE_CODE_PREFIX,
    SESSION_PREFIX,
    RefreshLocator,
    derive_refresh_token,
    encode_host,
    is_api_key,
    is_opaque,
    new_api_key,
    new_opaque,
    read_refresh_token,
)

LONGEST_REFRESH_TOKEN = 64  # promise C3
KEY = b"k" * 32

hosts = st.sampled_from(["https://auth.example.com", "http://127.0.0.1:8080", "https://a.b", "https://ключ.example"])
prefixes = st.from_regex(r"[a-z]{2,8}", fullmatch=True)
locators = st.builds(RefreshLocator, st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1))
characters = st.characters(categories=["L", "N", "P", "S", "Z", "C"]) | st.sampled_from("+/-_=. \n\x00aA0O1lI")


LIKELY = "+/-_=. \n" + string.ascii_letters + string.digits


def misspelled(text: str) -> Iterator[str]:
    """Yield ``text`` with each of its characters replaced by each that may stand in a secret, or nearly may."""
    for place, right in enumerate(text):
        for other in LIKELY:
            if other != right:
                yield text[:place] + other + text[place + 1 :]


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """Return ``text`` with one character replaced by another."""
    place = draw(st.integers(0, len(text) - 1))
    other = draw(characters)
    assume(other != text[place])
    return text[:place] + other + text[place + 1 :]


@given(st.data(), prefixes, hosts)
def test_an_api_key_is_recognised_and_every_changed_character_is_refused(
    data: st.DataObject, prefix: str, host: str
) -> None:
    key = new_api_key(prefix, host).reveal()
    assert key.startswith(f"{prefix}_{encode_host(host)}.")
    assert is_api_key(key, prefix)
    assert not is_api_key(data.draw(changed(key)), prefix)


@given(st.data(), st.sampled_from([SESSION_PREFIX, DEVICE_CODE_PREFIX]))
def test_an_opaque_secret_is_recognised_and_every_changed_character_is_refused(
    data: st.DataObject, prefix: str
) -> None:
    secret = new_opaque(prefix).reveal()
    assert is_opaque(secret, prefix)
    assert not is_opaque(data.draw(changed(secret)), prefix)


@given(st.data(), locators)
def test_a_refresh_token_locates_its_grant_and_every_changed_character_is_refused(
    data: st.DataObject, locator: RefreshLocator
) -> None:
    token = derive_refresh_token(KEY, locator).reveal()
    assert len(token) <= LONGEST_REFRESH_TOKEN
    assert read_refresh_token(KEY, token) == locator
    assert read_refresh_token(KEY, data.draw(changed(token))) is None


@given(hosts, locators)
@settings(max_examples=20)
def test_no_secret_has_a_second_spelling(host: str, locator: RefreshLocator) -> None:
    key, opaque = new_api_key("pwt", host).reveal(), new_opaque(SESSION_PREFIX).reveal()
    refresh = derive_refresh_token(KEY, locator).reveal()
    assert not any(is_api_key(text, "pwt") for text in misspelled(key))
    assert not any(is_opaque(text, SESSION_PREFIX) for text in misspelled(opaque))
    assert not any(read_refresh_token(KEY, text) for text in misspelled(refresh))


@given(locators, locators)
def test_two_refresh_tokens_are_the_same_only_for_the_same_grant_and_generation(
    one: RefreshLocator, other: RefreshLocator
) -> None:
    same = derive_refresh_token(KEY, one) == derive_refresh_token(KEY, other)
    assert same is (one == other)


@given(locators)
def test_a_refresh_token_of_another_installation_is_unknown(locator: RefreshLocator) -> None:
    token = derive_refresh_token(b"another key".ljust(32), locator).reveal()
    assert read_refresh_token(KEY, token) is None


@given(st.text(max_size=120) | st.text("pwtr_.=-+/ABCabc019", max_size=120))
@example("pwr_\udcff")
@example("pwr_" + "A" * 59 + "=")
def test_any_text_is_answered_without_an_error_and_none_is_ours(text: str) -> None:
    assert not is_api_key(text, "pwt")
    assert not is_opaque(text, SESSION_PREFIX)
    assert read_refresh_token(KEY, text) is None


@given(st.data())
def test_a_secret_of_fixed_length_with_a_character_more_or_less_is_refused(data: st.DataObject) -> None:
    opaque = new_opaque(SESSION_PREFIX).reveal()
    refresh = derive_refresh_token(KEY, RefreshLocator(b"g" * 16, 1)).reveal()
    place, more = data.draw(st.integers(0, len(opaque) - 1)), data.draw(characters)
    for rest, extra in ((1, ""), (0, more)):
        assert not is_opaque(opaque[:place] + extra + opaque[place + rest :], SESSION_PREFIX)
        assert read_refresh_token(KEY, refresh[:place] + extra + refresh[place + rest :]) is None
