"""A real nginx in front of several servers, over http and over https, whose list can be changed while it runs."""

import datetime
import os
import re
import signal
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import Machine, MachineError, free_port, wait_for
from tests.support.programs import program

HOST: Final = "127.0.0.1"
TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CONFIGURATION: Final = """\
daemon off;
{user}worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
{temporary}
    upstream nodes {{
{servers}
        keepalive 32;
    }}
    server {{
        listen {host}:{port};
        listen {host}:{tls_port} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        client_max_body_size 16m;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_connect_timeout 2s;
            proxy_read_timeout 90s;
        }}
    }}
}}
"""


class NginxProxy(Machine):
    """nginx in front of ``upstreams``, each in its turn; the addresses are like ``http://127.0.0.1:8000``.

    ``url`` is its http address, ``tls_url`` its https address, and ``certificate`` what clients are to trust for it.
    X-Forwarded-For and X-Forwarded-Proto are set as its documentation advises. A server that refuses the connection is
    passed over, and asked again at its next turn. ``directory`` gets the log and everything else.
    """

    at_our_death: ClassVar[str] = "TERM"  # its children would live on after a SIGKILL

    def __init__(self, directory: Path, upstreams: Sequence[str]) -> None:
        """Choose the ports and make a certificate. Nothing runs before ``start``."""
        super().__init__(directory / "nginx.log")
        self.upstreams = list(upstreams)
        self.tls_port = free_port()
        self.certificate = directory / "certificate.pem"
        self._directory = directory
        _write_certificate(self.certificate, directory / "key.pem")

    @property
    def url(self) -> str:
        """Its http address, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def tls_url(self) -> str:
        """Its https address, without a slash at the end."""
        return f"https://{HOST}:{self.tls_port}"

    def command(self) -> list[str]:
        """Return what starts it, after its configuration is written."""
        self._configure()
        return [
            *(program("nginx"), "-e", "stderr", "-p", str(self._directory)),
            *("-c", str(self._directory / "nginx.conf")),
        ]

    def _configure(self) -> None:
        addresses = [upstream.removeprefix("http://").rstrip("/") for upstream in self.upstreams]
        text = CONFIGURATION.format(
            user="user root;\n" if os.geteuid() == 0 else "",  # so that its children may enter our directories
            host=HOST,
            port=self.port,
            tls_port=self.tls_port,
            directory=self._directory,
            temporary="\n".join(f"    {kind}_temp_path {self._directory}/{kind};" for kind in TEMPORARY),
            servers="\n".join(f"        server {address} max_fails=0;" for address in addresses),
        )
        (self._directory / "nginx.conf").write_text(text, encoding="utf-8")

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        try:
            socket.create_connection((HOST, self.tls_port), timeout=5).close()
        except OSError:
            return False
        return len(self.processes()) > 1

    def reload(self, upstreams: Sequence[str] | None = None) -> None:
        """Let it read its list again, perhaps another, and return when every new request meets the new list.

        Requests in flight are answered by the children of before, which end after them.
        """
        self.upstreams = list(upstreams or self.upstreams)
        self._configure()
        before = len(self.log_text())
        children = [pid for pid in self.processes() if pid != self.pid]
        os.kill(self.pid, signal.SIGHUP)

        def left() -> bool:
            text = self.log_text()
            if "[emerg]" in text[before:]:
                raise MachineError(f"nginx refuses its new configuration:\n{text[before:]}")
            return all(re.search(rf"\b{pid}#\d+: gracefully shutting down", text) for pid in children)

        wait_for(left, "a change of nginx's children")


def _write_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate for localhost that vouches for itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
