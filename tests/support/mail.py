"""A real mail server in a thread, which keeps what it is given, as people find it in their mail programs.

With ``tls`` it speaks STARTTLS or begins with TLS, by a certificate of its own; with ``accounts`` one must sign in.
``refusals`` are answers to the next letters instead of taking them. ``mail.example.com`` leads to it within
``found_by_name``: a server by that name is not on this machine for all that the sender knows.
"""

import asyncio
import datetime
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from tests.support.processes import free_port

HOST: Final = "127.0.0.1"
NAME: Final = "mail.example.com"
SENDER: Final = "desk@example.com"
_PATIENCE: Final = 10.0

Tls = Literal["", "starttls", "from the start"]


@dataclass(frozen=True, slots=True)
class Received:
    """A letter as it arrived. ``text`` and ``html`` are what a mail program shows; ``link`` is the button's address."""

    to: str
    sender: str
    message: EmailMessage
    raw: bytes
    text: str
    html: str
    link: str

    @property
    def subject(self) -> str:
        """The letter's subject."""
        return str(self.message["Subject"])

    @property
    def shown(self) -> str:
        """The words of the HTML part, without its tags."""
        words = _Words()
        words.feed(self.html)
        return " ".join(" ".join(words.found).split())


class PostOffice:
    """The mail server. Use it in a ``with`` statement."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        tls: Tls = "",
        accounts: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """Choose the port. ``directory`` gets the certificate, which TLS needs; ``without`` are ways to sign in."""
        self.port = free_port()
        self.accounts = dict(accounts or {})
        self.refusals: deque[str] = deque()
        self.sign_ins = 0
        self.certificate = None if directory is None else directory / "mail-certificate.pem"
        self._tls = tls
        self._without = without
        self._received: list[Received] = []
        self._news = threading.Condition()
        self._controller = self._made()

    @property
    def url(self) -> str:
        """What ``smtp_url`` is to be, with the first account, if there are any."""
        return self.url_at(HOST)

    def url_at(self, host: str) -> str:
        """Return ``smtp_url`` by another name of the server."""
        name, password = next(iter(self.accounts.items()), ("", ""))
        account = f"{quote(name, safe='')}:{quote(password, safe='')}@" if name else ""
        return f"{'smtps' if self._tls == 'from the start' else 'smtp'}://{account}{host}:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of an installation that sends by this server."""
        return {"smtp_url": SecretStr(self.url), "mail_from": SENDER}

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process of its own."""
        return {"KEYSTEAD_SMTP_URL": self.url, "KEYSTEAD_MAIL_FROM": SENDER}

    @property
    def all_letters(self) -> list[Received]:
        """Every letter so far, to whomever."""
        with self._news:
            return list(self._received)

    def letters_to(self, address: str) -> list[Received]:
        """Return the letters to somebody so far, the oldest first."""
        return [letter for letter in self.all_letters if letter.to == address]

    def wait_for(self, address: str, number: int = 1) -> Received:
        """Return the ``number``-th letter to somebody, as soon as it is there. Blocks. Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._to(address)) >= number, _PATIENCE):
                raise TimeoutError(f"{len(self._to(address))} letters to {address}, waited for {number}")
            return self._to(address)[number - 1]

    async def arrived(self, address: str, number: int = 1) -> Received:
        """Do the same where a loop runs, which goes on meanwhile."""
        return await asyncio.to_thread(self.wait_for, address, number)

    def wait_for_refusal(self) -> None:
        """Return when no refusal is left to give. Blocks. Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: not self.refusals, _PATIENCE):
                raise TimeoutError(f"{len(self.refusals)} refusals were not needed")

    def _to(self, address: str) -> list[Received]:
        return [letter for letter in self._received if letter.to == address]

    @contextmanager
    def found_by_name(self) -> Iterator[None]:
        """Let ``mail.example.com`` lead here, as the DNS would."""
        real = socket.getaddrinfo

        def look_up(host: Any, *rest: Any, **options: Any) -> Any:
            return real(HOST if host == NAME else host, *rest, **options)

        socket.getaddrinfo = look_up
        try:
            yield
        finally:
            socket.getaddrinfo = real

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a letter, or refuse it if that is its turn."""
        if self.accounts and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if self.refusals:
            with self._news:
                self._news.notify_all()
                return self.refusals.popleft()
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        with self._news:
            for receiver in envelope.rcpt_tos:
                self._received.append(read(raw, receiver, envelope.mail_from or ""))
            self._news.notify_all()
        return "250 Taken"

    def _made(self) -> Controller:
        context = None if not self._tls or self.certificate is None else _context(self.certificate)
        options: dict[str, Any] = {}
        if self.accounts:
            options |= {"authenticator": self._signed_in, "auth_require_tls": self._tls == "starttls"}
            options["auth_exclude_mechanism"] = self._without
        if self._tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if self._tls == "from the start":
            options["ssl_context"] = context
        return Controller(self, HOST, self.port, ready_timeout=_PATIENCE, server_hostname=NAME, **options)

    def _signed_in(self, _: SMTP, __: Session, ___: Envelope, ____: str, data: Any) -> AuthResult:
        self.sign_ins += 1
        right = isinstance(data, LoginPassword) and self.accounts.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=right, handled=False)

    def __enter__(self) -> "PostOffice":
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


def read(raw: bytes, receiver: str, sender: str) -> Received:
    """Return a message as a mail program understands it."""
    message = message_from_bytes(raw, policy=default)
    if not isinstance(message, EmailMessage):
        raise TypeError("the default policy makes another kind of message")
    text, html = (_part(message, kind) for kind in ("plain", "html"))
    link = re.search(r"^https?://\S+$", text, re.MULTILINE)
    return Received(receiver, sender, message, raw, text, html, link[0] if link else "")


def _part(message: EmailMessage, kind: Literal["plain", "html"]) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in {"style", "title"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "title"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)


def _context(certificate: Path) -> ssl.SSLContext:
    """Make a certificate for the server's names that vouches for itself."""
    key = certificate.with_name("mail-key.pem")
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(ip_address(HOST))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    unsealed = serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unsealed))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
