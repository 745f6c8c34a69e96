"""What joserfc costs beside the bare OpenSSL calls, for the tokens that Keystead signs and checks.

Run it with ``python bench/tokens_signing.py``. It prints microseconds for each call, the best of seven rounds.
"""

import base64
import sys
import time
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead.kernel.ids import new_id
from keystead.kernel.scopes import ALL_SCOPES, format_scopes
from keystead.kernel.sealing import open_sealed
from keystead.tokens.models import AccessClaims, Algorithm, ShortTermClaims, SigningKeyRow
from keystead.tokens.signing import SigningKey, make_key, open_key

ROUNDS = 7
KEYS_MADE = 40
SEALING_KEY = bytes(32)
ISSUER = "https://auth.example.com"


def measure(call: Callable[[], object], times: int) -> float:
    """Return the microseconds of one call, in the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - begin)
    return best / times * 1e6


def key_and_private(algorithm: Algorithm) -> tuple[SigningKey, object]:
    """Return a key as the server holds it, and the same key as OpenSSL holds it."""
    made = make_key(algorithm, SEALING_KEY)
    row = SigningKeyRow(made.kid, made.algorithm, made.public_jwk, made.sealed_private, 0, 0, 1, 2)
    pem = open_sealed(SEALING_KEY, made.sealed_private, made.kid)
    return open_key(row, SEALING_KEY), load_pem_private_key(pem, None)


def unpadded(raw: bytes) -> bytes:
    """Return base64url as JOSE writes it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signing_input(key: SigningKey, claims: msgspec.Struct) -> bytes:
    """Return what is signed: the header and the claims, encoded."""
    head = msgspec.json.encode({"alg": key.algorithm, "kid": key.row.kid, "typ": "at+jwt"})
    return unpadded(head) + b"." + unpadded(msgspec.json.encode(claims))


def compare(name: str, ours: Callable[[], object], bare: Callable[[], object], times: int) -> None:
    """Print one line of the table."""
    with_library, without = measure(ours, times), measure(bare, times)
    sys.stdout.write(f"{name:<14} {with_library:8.1f} {without:8.1f} {with_library / without:6.2f}\n")


def access() -> None:
    """Measure ES256."""
    key, private = key_and_private(Algorithm.ACCESS)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("an EC key was expected")
    algorithm, public = ec.ECDSA(SHA256()), private.public_key()
    scope = format_scopes(ALL_SCOPES)
    claims = AccessClaims(ISSUER, new_id(), ISSUER, 600, 0, new_id(), "kc_" + "A" * 60, scope, new_id(), new_id())
    token = key.sign(claims)

    def bare_sign() -> bytes:
        text = signing_input(key, claims)
        r, s = decode_dss_signature(private.sign(text, algorithm))
        return text + b"." + unpadded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def bare_verify() -> None:
        text, _, signature = token.encode().rpartition(b".")
        raw = base64.urlsafe_b64decode(signature + b"==")
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        public.verify(encode_dss_signature(r, s), text, algorithm)

    compare("ES256 sign", lambda: key.sign(claims), bare_sign, 2_000)
    compare("ES256 verify", lambda: key.verify(token), bare_verify, 2_000)


def short_term() -> None:
    """Measure RS256."""
    key, private = key_and_private(Algorithm.SHORT_TERM)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise TypeError("an RSA key was expected")
    scheme, public = padding.PKCS1v15(), private.public_key()
    claims = ShortTermClaims(ISSUER, new_id(), ISSUER, 86_400, 0, new_id(), "auth.example.com")
    token = key.sign(claims)

    def bare_sign() -> bytes:
        text = signing_input(key, claims)
        return text + b"." + unpadded(private.sign(text, scheme, SHA256()))

    def bare_verify() -> None:
        text, _, signature = token.encode().rpartition(b".")
        public.verify(base64.urlsafe_b64decode(signature + b"=="), text, scheme, SHA256())

    compare("RS256 sign", lambda: key.sign(claims), bare_sign, 500)
    compare("RS256 verify", lambda: key.verify(token), bare_verify, 2_000)


def main() -> None:
    """Print the table."""
    sys.stdout.write("               joserfc     bare  ratio   (microseconds)\n")
    access()
    short_term()
    for algorithm in Algorithm:
        begin = time.perf_counter()
        for _ in range(KEYS_MADE):
            make_key(algorithm, SEALING_KEY)
        each = (time.perf_counter() - begin) / KEYS_MADE * 1000
        sys.stdout.write(f"make a key for {algorithm.value}: {each:.1f} ms on average\n")


if __name__ == "__main__":
    main()
