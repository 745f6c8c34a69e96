"""Sealing: what the database holds of our own keys is encrypted, so that a dump of it is worth nothing alone.

One random root key exists per installation, sealed under the operator's master secret. Every other key is derived from
the root by name (HKDF, RFC 5869), so rotating the master secret rewrites one row and changes no credential.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystead.kernel.secrets import Secret

MASTER_SECRET_MINIMUM: Final = 32
"""The fewest characters of a master secret."""

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class WrongKey(Exception):  # noqa: N818 - reads as what happened
    """The sealed bytes were not made with this key, or were changed."""


def derive_key(root: bytes, name: str) -> bytes:
    """Return the 32-byte key called ``name``; different names give unrelated keys (RFC 5869)."""
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"keystead/" + name.encode()).derive(root)


def seal(key: bytes, plaintext: bytes, purpose: str) -> bytes:
    """Return ``plaintext`` encrypted with AES-256-GCM (NIST SP 800-38D); ``purpose`` must be the same to open it."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, purpose.encode())


def open_sealed(key: bytes, sealed: bytes, purpose: str) -> bytes:
    """Return what ``seal`` was given. Raises WrongKey when the key or the purpose is another one."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
    except InvalidTag:
        raise WrongKey from None


def master_key(master_secret: Secret) -> bytes:
    """Return the key that seals the root key. The master secret must carry its own entropy: it is not stretched."""
    return derive_key(master_secret.reveal().encode(), "master")


def new_root() -> bytes:
    """Return a fresh root key of 256 random bits."""
    return secrets.token_bytes(_KEY_BYTES)
