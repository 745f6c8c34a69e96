"""The rules of the accounts room: what a name, an e-mail address and a password may be. All are pure."""

import re
from typing import Final, NoReturn
from unicodedata import normalize

from keystead.accounts.common_passwords import VERY_COMMON
from keystead.kernel.problems import FieldProblem, InvalidParameters
from keystead.kernel.secrets import Secret

LONGEST_NAME: Final = 63
LONGEST_DISPLAY_NAME: Final = 100
LONGEST_EMAIL: Final = 254
LONGEST_PASSWORD: Final = 1_024

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
# Without the characters that part one address from the next (RFC 5322, section 3.2.3), quoted or not.
_ADDRESS = r'@\s<>()\[\]\\,;:"'
_EMAIL = re.compile(rf"[^{_ADDRESS}]{{1,64}}@[^{_ADDRESS}.]+(\.[^{_ADDRESS}.]+)+\Z")


def _refuse(field: str, code: str, sentence: str) -> NoReturn:
    raise InvalidParameters(sentence, fields=[FieldProblem("body", field, code, sentence)])


def check_name(text: str, field: str, thing: str) -> str:
    """Return the name of an organization or a user as it is. Raises InvalidParameters unless it is a slug.

    A slug holds no ``@``, so a user name is never taken for an e-mail address.
    """
    if _SLUG.match(text) is None:
        _refuse(
            field,
            "slug",
            f"The {thing} must begin with a lower-case letter or a digit, hold nothing but lower-case letters, digits, "
            f"dots, hyphens and underscores, and be at most {LONGEST_NAME} characters long.",
        )
    return text


def slug_of(display_name: str) -> str:
    """Return a name that an organization may have, made of the one that people are shown: "Acme Inc." is "acme-inc"."""
    plain = normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-") or "organization"


def check_display_name(text: str, field: str) -> str:
    """Return a name that people are shown, without blanks around it. Raises InvalidParameters."""
    shown = normalize("NFC", text).strip()
    if not shown or len(shown) > LONGEST_DISPLAY_NAME or not shown.isprintable():
        _refuse(
            field,
            "display_name",
            f"A name that people are shown has 1 to {LONGEST_DISPLAY_NAME} characters, all of them printable.",
        )
    return shown


def check_email(text: str) -> str:
    """Return an e-mail address in lower case, the form in which it is stored. Raises InvalidParameters.

    Only its shape is looked at: whether it is somebody's, only a letter to it can tell.
    """
    email = normal_name(text)
    if _EMAIL.match(email) is None or len(email) > LONGEST_EMAIL or not email.isprintable():
        _refuse("email", "email", "The e-mail address must look like name@example.com.")
    return email


def normal_name(typed: str) -> str:
    """Return a user name or e-mail address, as somebody typed it, in the form in which it is stored."""
    return normalize("NFC", typed).strip().lower()


def searched_name(typed: str) -> str:
    """Return the same as something to search for: without a NUL, which no stored name holds and no database takes."""
    return normal_name(typed).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def normal_password(password: Secret) -> Secret:
    """Return a password in Unicode's form NFC (RFC 8265, section 4.2).

    The same characters typed on two systems may arrive composed on one and decomposed on the other. Nothing else is
    changed: not case, not blanks, not length (OWASP ASVS 5.0, 6.2.8).
    """
    return Secret(normalize("NFC", password.reveal()))


def check_new_password(password: Secret, *, shortest: int, username: str, email: str) -> Secret:
    """Return a password that may be set, in its normal form. Raises InvalidParameters.

    Length is what counts; no kind of character is demanded (OWASP ASVS 5.0, 6.2.1, 6.2.5). Refused are the very common
    ones and those that say what everybody can see (6.2.4, 6.2.11).
    """
    normal = normal_password(password)
    text = normal.reveal()
    if not shortest <= len(text) <= LONGEST_PASSWORD:
        _refuse("password", "length", f"A password has {shortest} to {LONGEST_PASSWORD} characters.")
    plain = text.strip().casefold()
    if plain in {username.casefold(), email.casefold(), email.partition("@")[0].casefold()}:
        _refuse("password", "personal", "The password must not be the user name or the e-mail address.")
    if plain in VERY_COMMON or len(set(plain)) <= 2:
        _refuse("password", "common", "This password is among the first that anybody tries. Choose another one.")
    return normal
