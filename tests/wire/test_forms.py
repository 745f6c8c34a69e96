"""Forms are read once and strictly: what could mean two things is refused (RFC 6749, section 3.1 and appendix B)."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.kernel.problems import InvalidRequest, UnsupportedMediaType
from keystead.wire.forms import FORM, MOST_FIELDS, parse_form, parse_parameters, printable, required

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(st.dictionaries(TEXT, TEXT, max_size=MOST_FIELDS))
def test_what_was_encoded_is_read_again_and_what_has_no_value_is_absent(form: dict[str, str]) -> None:
    assert parse_form(urlencode(form).encode(), FORM) == {name: value for name, value in form.items() if value}


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        found = parse_parameters(body)
    except InvalidRequest:
        found = {}
    assert all(value and "\x00" not in value for value in found.values())


@pytest.mark.parametrize("body", [b"a=1&a=2", b"a=1&a=1", b"a=1&a=", b"a=&a=", b"a=1&%61=2", b"+=1&%20=2"])
def test_a_parameter_that_comes_twice_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_parameters(body)
    assert "more than once" in refusal.value.detail


@pytest.mark.parametrize("body", [b"a=%ff", b"%ff=a", b"a=%ed%a0%80", b"a=%c0%80", b"a=\xc3\xa4", b"a=%f4%90%80%80"])
def test_what_is_not_percent_encoded_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_parameters(body)
    assert "UTF-8" in refusal.value.detail


@pytest.mark.parametrize("body", [b"a=%00", b"a=b%00c", b"a=b\x00"])
def test_a_nul_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_parameters(body)
    assert refusal.value.detail == "The parameter 'a' holds a NUL character."


def test_more_parameters_than_any_endpoint_knows_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_parameters("&".join(f"a{n}=1" for n in range(MOST_FIELDS + 1)).encode())
    assert str(MOST_FIELDS) in refusal.value.detail


@pytest.mark.parametrize("media_type", [FORM, FORM + "; charset=UTF-8", " Application/X-WWW-Form-Urlencoded ;a=b"])
def test_the_media_type_is_read_without_its_parameters_and_in_any_case(media_type: str) -> None:
    assert parse_form(b"a=b", media_type) == {"a": "b"}


@pytest.mark.parametrize(
    "media_type", ["", "application/json", "text/plain", "multipart/form-data", FORM + "x", f"x/{FORM}"]
)
def test_any_other_media_type_is_refused_and_the_right_one_named(media_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as refusal:
        parse_form(b"a=b", media_type)
    assert FORM in refusal.value.detail


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        required({"a": "b"}, "client_id")
    assert refusal.value.detail == "The parameter 'client_id' is missing."


@given(st.text(max_size=300))
def test_a_name_from_outside_is_shown_short_and_in_printable_ascii(text: str) -> None:
    shown = printable(text)
    assert len(shown) <= 67
    assert shown.isascii()
    assert shown == "" or shown.isprintable()
    assert not set("'\"\\") & set(shown)
