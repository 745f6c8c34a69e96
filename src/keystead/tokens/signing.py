"""One signing key: making it, sealing it, signing and verifying with it.

The JOSE work is joserfc's, but for writing ES256: what it costs beside the bare OpenSSL calls is measured in
docs/decisions/tokens-signing.md.
"""

import binascii
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from keystead.db.master_secret import InstallationError
from keystead.kernel.sealing import WrongKey, open_sealed, seal
from keystead.tokens.models import TOKEN_TYPES, Algorithm, SigningKeyRow

RSA_BITS: Final = 2_048
"""NIST SP 800-57 part 1, table 2: enough through 2030 for keys that sign for a month."""

_ES256: Final = ec.ECDSA(SHA256())
_ES256_BYTES: Final = 32
_REGISTRIES: Final = {algorithm: jws.JWSRegistry(algorithms=[algorithm]) for algorithm in Algorithm}


class UnreadableSigningKey(InstallationError):  # noqa: N818 - reads as what happened
    """A stored signing key cannot be opened or was changed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made and is not stored yet."""

    kid: str
    algorithm: Algorithm
    public_jwk: str
    sealed_private: bytes


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A key in memory, ready to sign and verify."""

    row: SigningKeyRow
    algorithm: Algorithm
    jwk: dict[str, Any]
    secret: ECKey | RSAKey

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.row.kid!r}, algorithm={self.algorithm.value!r})"

    def signs(self, now: int) -> bool:
        """Tell whether it is this key's turn to sign."""
        return self.row.signs_from <= now < self.row.signs_until

    def published(self, now: int) -> bool:
        """Tell whether tokens that this key signed are still accepted."""
        return now < self.row.remove_at

    def sign(self, claims: msgspec.Struct, typ: str | None = None) -> str:
        """Return the claims as a signed compact JWS (RFC 7515, section 7.1): a token, or another ``typ`` of text."""
        kind = typ or TOKEN_TYPES[self.algorithm]
        if isinstance(self.secret, ECKey):
            return _signed(_protected(self.algorithm, self.row.kid, kind), msgspec.json.encode(claims), self.secret)
        header = {"alg": self.algorithm.value, "kid": self.row.kid, "typ": kind}
        registry = _REGISTRIES[self.algorithm]
        return jws.serialize_compact(header, msgspec.json.encode(claims), self.secret, registry=registry)

    def verify(self, text: str) -> bytes | None:
        """Return the payload of a compact JWS that this key signed, or None.

        The algorithm is this key's own, whatever the header says (RFC 8725, section 3.1).
        """
        try:
            return jws.deserialize_compact(text, self.secret, registry=_REGISTRIES[self.algorithm]).payload
        except (JoseError, binascii.Error, UnicodeError):
            return None


def make_key(algorithm: Algorithm, sealing_key: bytes) -> NewKey:
    """Return a fresh key. An RSA key takes 30 to 100 ms of one core, so call this in a thread."""
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if algorithm is Algorithm.ACCESS:
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
    kid = secrets.token_urlsafe(12)  # short, because every token carries it (promise C3)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_jwk = msgspec.json.encode(_public_jwk(kid, algorithm, _imported(private))).decode()
    return NewKey(kid, algorithm, public_jwk, seal(sealing_key, pem, kid))


def open_key(row: SigningKeyRow, sealing_key: bytes) -> SigningKey:
    """Return the key of a row. Raises UnreadableSigningKey when it was sealed elsewhere or its row was changed.

    The public part is derived from the sealed one, so that nobody who can only write to the database can publish a key.
    """
    algorithm = Algorithm(row.alg)
    try:
        pem = open_sealed(sealing_key, row.sealed_private, row.kid)
    except WrongKey:
        raise UnreadableSigningKey(
            f"The signing key {row.kid} cannot be read: its row comes from another installation or was changed. "
            "Put back the backup that it belongs to."
        ) from None
    # What was sealed is what was made: checking the primes again would take 25 ms on the event loop.
    secret = _imported(load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True))
    jwk = _public_jwk(row.kid, algorithm, secret)
    if msgspec.json.decode(row.public_jwk) != jwk:
        raise UnreadableSigningKey(
            f"The public part of the signing key {row.kid} was changed in the database. Put back a backup."
        )
    return SigningKey(row, algorithm, jwk, secret)


@lru_cache(maxsize=16)
def _protected(algorithm: Algorithm, kid: str, typ: str) -> bytes:
    """Return the first part of a compact JWS, which is the same for all that a key signs of a kind."""
    return _encoded(msgspec.json.encode({"alg": algorithm.value, "kid": kid, "typ": typ}))


def _signed(protected: bytes, payload: bytes, key: ECKey) -> str:
    """Return a compact JWS with ES256 (RFC 7518, section 3.4). Thousands of sign-ins may be approved at one moment."""
    signed = protected + b"." + _encoded(payload)
    private = key.private_key
    if private is None:
        raise TypeError("a public key signs nothing")
    r, s = decode_dss_signature(private.sign(signed, _ES256))
    signature = _encoded(r.to_bytes(_ES256_BYTES) + s.to_bytes(_ES256_BYTES))
    return (signed + b"." + signature).decode()


def _encoded(part: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(part).rstrip(b"=")


def _imported(private: Any) -> ECKey | RSAKey:
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return ECKey.import_key(private)
    return RSAKey.import_key(private)


def _public_jwk(kid: str, algorithm: Algorithm, key: ECKey | RSAKey) -> dict[str, Any]:
    members = key.as_dict(private=False)
    return {**members, "kty": key.key_type, "use": "sig", "alg": algorithm.value, "kid": kid}
