"""Handing an e-mail to the operator's mail server, over a connection that nobody can read (RFC 5321, RFC 3207)."""

import re
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from keystead.kernel.secrets import Secret
from keystead.mail.models import MailError

PATIENCE: Final = 10.0
"""Seconds for which one answer of the mail server is waited for."""
_WINDOW: Final = 12
_LONGEST_ANSWER: Final = 200


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mail is handed in. ``tls``: from the first byte; otherwise STARTTLS, needless on this machine itself."""

    host: str
    port: int
    tls: bool
    username: str = field(repr=False)
    password: Secret

    @property
    def place(self) -> str:
        """The server's name, for sentences."""
        return f"the mail server {self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether the server is on this machine, so that nothing passes a network."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    def send(self, message: EmailMessage, link: str = "") -> None:
        """Hand in a message. Blocks for as long as the server takes. Raises MailError.

        What the server says in a refusal is told, without the receiver's address and without any part of ``link``.
        """
        receiver = message["To"].addresses[0].addr_spec
        with self._plain_errors(receiver, link), self._connection(message) as connection:
            if not self.tls and not self.is_here:
                self._secure(connection)
            if self.username:
                self._sign_in(connection)
            connection.send_message(message)

    def _connection(self, message: EmailMessage) -> smtplib.SMTP:
        # Its own name, where Python would ask the DNS for this machine's.
        name = message["From"].addresses[0].domain
        if self.tls:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, name, timeout=PATIENCE, context=context)
        return smtplib.SMTP(self.host, self.port, name, timeout=PATIENCE)

    def _secure(self, connection: smtplib.SMTP) -> None:
        connection.ehlo()
        if not connection.has_extn("starttls"):
            raise MailError(
                f"{_upper(self.place)} does not offer STARTTLS, and e-mail is not sent in the clear. Turn STARTTLS on "
                "there, or use its port for TLS with smtps://."
            )
        connection.starttls(context=ssl.create_default_context())

    def _sign_in(self, connection: smtplib.SMTP) -> None:
        """Try the password once, for servers may lock out whoever tries a wrong one several times.

        By PLAIN (RFC 4616), or LOGIN where that is all there is; the connection is secret already.
        """
        connection.ehlo_or_helo_if_needed()
        offered = connection.esmtp_features.get("auth", "").upper().split()
        name, password = self.username, self.password.reveal()
        if "PLAIN" in offered:
            code, answer = connection.docmd("AUTH", f"PLAIN {_base64(f'{chr(0)}{name}{chr(0)}{password}')}")
        elif "LOGIN" in offered:
            code, answer = connection.docmd("AUTH", f"LOGIN {_base64(name)}")
            if code == 334:
                code, answer = connection.docmd(_base64(password))
        else:
            raise smtplib.SMTPNotSupportedError
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, answer)

    @contextmanager
    def _plain_errors(self, receiver: str, link: str) -> Iterator[None]:
        def said(answer: bytes | str) -> str:
            return _told(answer, receiver, link)

        try:
            yield
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message or "it does not fit the name"
            raise MailError(
                f"The certificate of {self.place} is not trusted: {reason}. Give the server a valid one, or trust its "
                "issuer by SSL_CERT_FILE."
            ) from None
        except smtplib.SMTPAuthenticationError as error:
            raise MailError(
                f"{_upper(self.place)} did not take the user name and password in smtp_url ({error.smtp_code} "
                f"{said(error.smtp_error)}).",
                temporary=_passes(error.smtp_code),
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            raise self._refused("the receiver", code, said(answer), final=not _passes(code)) from None
        except smtplib.SMTPSenderRefused as error:
            raise self._refused("the sender in mail_from", error.smtp_code, said(error.smtp_error)) from None
        except smtplib.SMTPResponseException as error:
            raise self._refused(
                "the letter", error.smtp_code, said(error.smtp_error), final=not _passes(error.smtp_code)
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise MailError(
                f"{_upper(self.place)} does not offer what this letter needs: signing in with a password, or an "
                "address with letters beyond ASCII."
            ) from None
        except ssl.SSLError as error:
            raise MailError(
                f"TLS with {self.place} failed ({error.reason}). smtps:// is for a port that begins with TLS, smtp:// "
                "for one with STARTTLS."
            ) from None
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise MailError(f"{_upper(self.place)} cannot be reached: {_reason(error)}.", temporary=True) from None

    def _refused(self, what: str, code: int, answer: str, *, final: bool = False) -> MailError:
        sentence = f"{_upper(self.place)} refused {what} ({code} {answer})."
        return MailError(sentence, temporary=_passes(code), final=final)


def read_url(url: Secret) -> MailServer:
    """Return the mail server of ``smtp_url``. Raises ValueError, with a sentence, unless it names one."""
    parts = urlsplit(url.reveal())
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("give a mail server, for instance smtp://keystead:password@mail.example.com:587")
    tls = parts.scheme == "smtps"
    here = MailServer(parts.hostname, 25, tls, "", Secret("")).is_here
    port = parts.port or (465 if tls else 25 if here else 587)  # RFC 8314, section 3.3; RFC 6409, section 3.1
    return MailServer(parts.hostname, port, tls, unquote(parts.username or ""), Secret(unquote(parts.password or "")))


def masked(address: str) -> str:
    """Return an e-mail address as it may stand in a log: the first letter and the domain."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def _told(answer: bytes | str, receiver: str, link: str) -> str:
    """Return what the server said, on one short line, without the receiver and without any part of the link."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    text = re.sub(re.escape(receiver), masked(receiver), text, flags=re.IGNORECASE)
    parts = {link[start : start + _WINDOW] for start in range(max(0, len(link) - _WINDOW + 1))}
    words = (
        "…" if any(word[start : start + _WINDOW] in parts for start in range(len(word))) else word
        for word in "".join(letter if letter.isprintable() else " " for letter in text).split()
    )
    return " ".join(words)[:_LONGEST_ANSWER]


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _passes(code: int) -> bool:
    """Tell whether a refusal may pass by itself (RFC 5321, section 4.2.1); a connection that was cut has no code."""
    return not 500 <= code < 600


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "it closed the connection"
    return getattr(error, "strerror", None) or type(error).__name__


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
