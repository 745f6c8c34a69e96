"""Reading forms: once, strictly, into plain values (RFC 6749, appendix B and section 3.1).

A parameter that comes twice is refused; one without a value counts as absent; unknown ones are ignored.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from keystead.kernel.problems import InvalidRequest, UnsupportedMediaType

FORM: Final = "application/x-www-form-urlencoded"
MOST_FIELDS: Final = 40
MOST_SAID_OF_A_SECRET: Final = 11
"""Most characters that are repeated of a text that may be a secret."""

_NAME = re.compile(r"[a-z]+(_[a-z]+)*\Z")


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type header, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def parse_form(body: bytes, content_type: str) -> Mapping[str, str]:
    """Return the parameters of a form. Raises UnsupportedMediaType and InvalidRequest."""
    if content_type != FORM and media_type(content_type) != FORM:
        raise UnsupportedMediaType(f"Send the parameters as {FORM}.")
    return parse_parameters(body)


def parse_parameters(text: bytes) -> Mapping[str, str]:
    """Return the parameters of a form's body or of a query string. Raises InvalidRequest."""
    if text.count(b"&") >= MOST_FIELDS:
        raise InvalidRequest(f"Send at most {MOST_FIELDS} parameters.")
    found: dict[str, str] = {}
    try:
        for pair in text.decode("ascii").split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            if "%" in pair or "+" in pair:
                name, value = _decoded(name), _decoded(value)
            if name in found:
                raise InvalidRequest(f"The parameter '{printable(name)}' was sent more than once.")
            if "\x00" in value:
                raise InvalidRequest(f"The parameter '{printable(name)}' holds a NUL character.")
            found[name] = value
    except UnicodeDecodeError:
        raise InvalidRequest("The parameters are not valid percent-encoded UTF-8.") from None
    return {name: value for name, value in found.items() if value}


def _decoded(part: str) -> str:
    part = part.replace("+", " ")
    return unquote_to_bytes(part).decode() if "%" in part else part


def required(form: Mapping[str, str], name: str) -> str:
    """Return a parameter's value. Raises InvalidRequest when it is missing or empty."""
    try:
        return form[name]
    except KeyError:
        raise InvalidRequest(f"The parameter '{name}' is missing.") from None


def printable(text: str, longest: int = 64) -> str:
    """Return text that came from outside, fit to be shown in a sentence: printable ASCII, not too long.

    What does not look like a name may be a secret in a wrong place: little of it is repeated (promise W9).
    """
    if _NAME.match(text) is None:
        longest = min(longest, MOST_SAID_OF_A_SECRET)
    shown = "".join(c if c.isascii() and c.isprintable() and c not in "'\"\\" else "?" for c in text[:longest])
    return shown + ("..." if len(text) > longest else "")
