"""What a name and an e-mail address may be, and how they are found again."""

import pytest

from keystead.accounts.rules import check_display_name, check_email, check_name, normal_name
from keystead.kernel.problems import InvalidParameters


@pytest.mark.parametrize("name", ["a", "acme", "0x", "ada.lovelace", "a-b_c.d", "a" * 63])
def test_a_name_is_a_lower_case_slug(name: str) -> None:
    assert check_name(name, "name", "user name") == name


@pytest.mark.parametrize("name", ["", "Ada", "-a", ".a", "a b", "a@b", "å", "a\n", "a" * 64, "a/b", "a\x00"])
def test_any_other_name_is_refused_with_a_sentence_that_says_what_a_name_may_hold(name: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        check_name(name, "username", "user name")
    assert refusal.value.detail.startswith("The user name must begin with a lower-case letter or a digit")
    assert [field.name for field in refusal.value.fields] == ["username"]


@pytest.mark.parametrize("email", ["ada@example.com", "a+b@mail.example.co.uk", "å@example.com"])
def test_an_email_address_has_a_name_an_at_sign_and_a_domain(email: str) -> None:
    assert check_email(email) == email


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@example.com", "a@b@c.de", "a b@example.com", "ada@example", "a@example.com\x00"]
)
def test_what_is_no_email_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        check_email(email)
    assert refusal.value.detail == "The e-mail address must look like name@example.com."


def test_an_email_address_is_stored_and_looked_for_in_lower_case() -> None:
    assert check_email(" Ada@Example.COM ") == normal_name("ada@example.com")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "a\x1b[31mb"])
def test_a_name_that_people_are_shown_is_printable_and_not_too_long(name: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        check_display_name(name, "name")
    assert "printable" in refusal.value.detail
