"""The form of a letter: an e-mail with a plain and an HTML part that say the same (RFC 2046, section 5.1.4).

There are no pictures, no styles from elsewhere and nothing that tells when it was read.
"""

import re
import textwrap
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from keystead.kernel.colors import Theme
from keystead.kernel.ids import new_id
from keystead.mail.models import Letter, MailError

_COLUMNS: Final = 72
_POLICY: Final = SMTP
_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("keystead.mail", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def compose(letter: Letter, *, product_name: str, sender: str, theme: Theme, now: int) -> EmailMessage:
    """Return the e-mail of a letter. ``now`` is in Unix seconds. Raises MailError for an address that is none.

    ``Auto-Submitted`` keeps programs that answer letters from answering this one (RFC 3834, section 5).
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = _address(sender, "mail_from is not an e-mail address.", _one_line(product_name))
    message["To"] = _receiver(letter.to)
    message["Subject"] = _one_line(letter.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{new_id()}@{_ascii_domain(sender)}>"
    message["Auto-Submitted"] = "auto-generated"
    _set_text(message, plain_text(letter, product_name))
    html = _ENVIRONMENT.get_template("letter.html").render(
        letter=letter, product_name=_one_line(product_name), theme=theme
    )
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def plain_text(letter: Letter, product_name: str) -> str:
    """Return a letter as plain text. Its link stands alone on a line, which nothing breaks."""
    parts = [_wrapped(paragraph) for paragraph in letter.paragraphs]
    if letter.items:
        parts.append("\n".join(_wrapped(item, "- ") for item in letter.items))
    if letter.button is not None:
        label, url = letter.button
        parts.append(f"{label}:\n{url.reveal()}")
    parts.extend(_wrapped(paragraph) for paragraph in letter.closing)
    return "\n\n".join([*parts, f"-- \n{_one_line(product_name)}"]) + "\n"


def _wrapped(paragraph: str, mark: str = "") -> str:
    return textwrap.fill(
        _one_line(paragraph),
        _COLUMNS,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _set_text(message: EmailMessage, text: str) -> None:
    """Set the plain part, untouched where it is ASCII: a program that decodes nothing shows the link whole, too."""
    untouched = text.isascii() and all(len(line) < 998 for line in text.split("\n"))  # RFC 5322, section 2.1.1
    message.set_content(text, cte="7bit" if untouched else "quoted-printable")


def _address(spec: str, refusal: str, name: str = "") -> Address:
    """Return an address that is surely one: no line ends, no second address, no other header behind it."""
    if re.fullmatch(r"[^@\s<>,;:\"()\[\]\\]+@[^@\s<>,;:\"()\[\]\\]+", spec) is None or not spec.isprintable():
        raise MailError(refusal)
    local, _, _ = spec.partition("@")
    try:
        return Address(display_name=name, username=local, domain=_ascii_domain(spec))
    except ValueError as error:
        raise MailError(refusal) from error


def _receiver(spec: str) -> Address:
    try:
        return _address(spec, "The receiver's address is not an e-mail address.")
    except MailError as error:
        raise MailError(str(error), final=True) from error


def _ascii_domain(spec: str) -> str:
    domain = spec.rpartition("@")[2]
    try:
        return domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise MailError("The domain of an e-mail address is none.") from error


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
