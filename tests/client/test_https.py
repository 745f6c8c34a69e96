"""The way to a server over TLS: whom it trusts, which proxy it takes, and where it does not go."""

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keystead.client import AsyncKeystead, InsecureAddress, Keystead, NetworkError, RetryPolicy
from keystead.client._credentials import BearerCredential
from keystead.kernel.secrets import Secret
from tests.client.answering import Answering, Told

BALANCE = {"org_id": "o", "credit_balance_cents": 500, "pending_debit_balance_cents": 0, "will_invoice": False}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a certificate for 127.0.0.1 that nobody trusts yet, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keystead tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Give what a server needs to speak TLS; no proxy is set."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def acting(server: Answering) -> Keystead:
    """Return a client of a server."""
    return Keystead(BearerCredential(server.url, Secret("a-bearer-token")), policy=RetryPolicy(attempts=1))


def test_a_certificate_that_nobody_trusts_is_refused_before_anything_is_sent(tls: ssl.SSLContext) -> None:
    server = Answering(Told(200, BALANCE), tls=tls)
    with server, acting(server) as client:
        with pytest.raises(NetworkError, match="certificate verify failed") as failed:
            client.account.balance.get()
        assert not failed.value.may_be_done
    assert server.asked == []


async def test_a_certificate_that_the_environment_names_is_trusted(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Answering(Told(200, BALANCE), tls=tls) as server:
        with acting(server) as client:
            assert client.account.balance.get().credit_cents == 500
        async with AsyncKeystead(BearerCredential(server.url, Secret("a-bearer-token"))) as program:
            assert (await program.account.balance.get()).credit_cents == 500


def test_a_redirect_from_https_to_http_is_another_server(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Answering(Told(200, BALANCE)) as plain:
        server = Answering(Told(307, b"", {"Location": f"{plain.url}/account/service/v1/balance"}), tls=tls)
        with server, acting(server) as client, pytest.raises(InsecureAddress):
            client.account.balance.get()
        assert plain.asked == []


def test_the_proxy_of_the_system_is_taken_for_https(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Answering(Told(502)) as proxy, Answering(Told(200, BALANCE), tls=tls) as server:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with acting(server) as client, pytest.raises(NetworkError) as failed:
            client.account.balance.get()
        assert not failed.value.may_be_done
        assert [asked.method for asked in proxy.asked] == ["CONNECT"]
        assert "authorization" not in proxy.asked[0].headers
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with acting(server) as client:
            assert client.account.balance.get().credit_cents == 500
