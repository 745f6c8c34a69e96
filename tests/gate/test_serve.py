"""``keystead serve`` speaks TLS by itself, and refuses to start where a credential would travel in the open."""

import datetime
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.gate.serving import Furnished, Serving, new_key, raw, refused_start, status_of


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a certificate that is its own issuer, and of its private key."""

    chain: Path
    key: Path
    locked_key: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    directory = tmp_path_factory.mktemp("certificate")
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(private, hashes.SHA256())
    )
    files = Certificate(directory / "chain.pem", directory / "key.pem", directory / "locked.pem")
    files.chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    for file, encryption in (
        (files.key, serialization.NoEncryption()),
        (files.locked_key, serialization.BestAvailableEncryption(b"a password")),
    ):
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        file.write_bytes(pem)
    return files


@pytest.fixture(scope="module")
def tls(
    certificate: Certificate, furnished: Furnished, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Serving, httpx.Client]]:
    """Give a server that speaks TLS itself, and a client that trusts its certificate."""
    settings = {
        "KEYSTEAD_PUBLIC_URL": "https://localhost",
        "KEYSTEAD_TLS_CERTIFICATE": str(certificate.chain),
        "KEYSTEAD_TLS_KEY": str(certificate.key),
    }
    context = ssl.create_default_context(cafile=str(certificate.chain))
    with Serving(tmp_path_factory.mktemp("tls"), furnished, settings=settings) as server:
        address = server.address.replace("http:", "https:")
        with httpx.Client(base_url=address, verify=context, trust_env=False) as client:
            yield server, client


def test_the_server_speaks_tls_and_asks_browsers_to_stay_with_it(tls: tuple[Serving, httpx.Client]) -> None:
    server, client = tls
    _, key = new_key(server.data, "https://localhost", "ada")
    answers = [
        client.get("/api/auth/session", headers={"Authorization": f"Bearer {key}"}),
        client.get("/sign-in"),
        client.get("/problems"),
        client.get("/static/keystead.css"),
        client.get("/healthz"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert {answer.headers["strict-transport-security"] for answer in answers} == {"max-age=31536000"}


def test_hsts_is_on_refusals_as_well(tls: tuple[Serving, httpx.Client]) -> None:
    _, client = tls
    for path in ("/api/auth/session", "/account/service/v1/apps", "/nothing", "/getServiceKeys/token"):
        assert client.get(path).headers["strict-transport-security"] == "max-age=31536000", path


def test_plain_http_on_the_tls_port_gets_no_answer(tls: tuple[Serving, httpx.Client]) -> None:
    assert status_of(raw(tls[0].address, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 0


# Refusing to start


def refusal(furnished: Furnished, *options: str, **settings: str) -> str:
    """Return the one sentence with which ``keystead serve`` refuses to start over the furnished data."""
    code, words = refused_start(furnished.data, "--port", "0", *options, settings=settings)
    assert code == 1
    assert "Traceback" not in words
    lines = words.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_without_dev_and_without_a_public_address_serve_refuses_in_one_sentence(furnished: Furnished) -> None:
    assert refusal(furnished) == (
        "Set KEYSTEAD_PUBLIC_URL to the https address under which this server is reached, or use --dev on your "
        "own machine."
    )


def test_without_dev_a_plain_http_address_is_refused_even_on_loopback(furnished: Furnished) -> None:
    assert "https address" in refusal(furnished, KEYSTEAD_PUBLIC_URL="http://127.0.0.1:8080")


def test_a_public_address_without_https_is_refused(furnished: Furnished) -> None:
    assert "https://auth.example.com" in refusal(furnished, KEYSTEAD_PUBLIC_URL="http://auth.example.com")


def test_dev_is_refused_on_an_address_that_others_can_reach(furnished: Furnished) -> None:
    assert "this machine only" in refusal(furnished, "--dev", "--host", "0.0.0.0")


def test_a_certificate_that_is_not_there_is_told_in_one_sentence(furnished: Furnished, tmp_path: Path) -> None:
    words = refusal(
        furnished, KEYSTEAD_PUBLIC_URL="https://localhost", KEYSTEAD_TLS_CERTIFICATE=str(tmp_path / "none.pem")
    )
    assert "No such file" in words


def test_a_file_that_is_no_certificate_is_told_in_one_sentence(furnished: Furnished, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("not a certificate")
    words = refusal(
        furnished,
        KEYSTEAD_PUBLIC_URL="https://localhost",
        KEYSTEAD_TLS_CERTIFICATE=str(tmp_path / "x.pem"),
        KEYSTEAD_TLS_KEY=str(tmp_path / "x.pem"),
    )
    assert "not a PEM certificate chain" in words


def test_a_locked_key_is_told_in_one_sentence_and_asks_for_no_password(
    furnished: Furnished, certificate: Certificate
) -> None:
    words = refusal(
        furnished,
        KEYSTEAD_PUBLIC_URL="https://localhost",
        KEYSTEAD_TLS_CERTIFICATE=str(certificate.chain),
        KEYSTEAD_TLS_KEY=str(certificate.locked_key),
    )
    assert "without a password" in words


def test_a_tls_key_alone_is_told_in_one_sentence(furnished: Furnished, certificate: Certificate) -> None:
    words = refusal(furnished, KEYSTEAD_PUBLIC_URL="https://localhost", KEYSTEAD_TLS_KEY=str(certificate.key))
    assert "set both or none" in words
