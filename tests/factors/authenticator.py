"""A software authenticator: it does what a phone or a security key does with ``navigator.credentials``.

It makes keys on P-256, attests to nothing, keeps each credential discoverable, and refuses a relying party that the
page's origin may not ask for, as browsers do (W3C Web Authentication, level 3, sections 5.1.3, 5.1.4 and 6.3).
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

_PRESENT: Final = 0x01
_VERIFIED: Final = 0x04
_ATTESTED: Final = 0x40


class NothingFits(Exception):  # noqa: N818 - reads as what happened
    """The authenticator holds no credential that was asked for, or one that was not to be made again."""


@dataclass
class Credential:
    """One passkey inside the authenticator."""

    id: bytes
    party: str
    user_handle: bytes
    key: ec.EllipticCurvePrivateKey
    count: int = 0


class Authenticator:
    """Makes passkeys for the pages of one origin, and answers with them.

    ``verifies`` tells whether it sees that its owner uses it, ``counts`` whether it counts uses, as security keys do.
    """

    def __init__(self, origin: str, *, verifies: bool = True, counts: bool = True) -> None:
        self.origin = origin
        self.verifies = verifies
        self.counts = counts
        self.credentials: list[Credential] = []

    def create(self, options_json: str) -> str:
        """Make a passkey as ``navigator.credentials.create`` does, and return what a page sends of it."""
        options = json.loads(options_json)
        if any(self._held(one["id"]) for one in options["excludeCredentials"]):
            raise NothingFits("there is one already")
        made = Credential(
            secrets.token_bytes(32),
            options["rp"]["id"],
            unbase64(options["user"]["id"]),
            ec.generate_private_key(ec.SECP256R1()),
        )
        self.credentials.append(made)
        attested = bytes(16) + len(made.id).to_bytes(2, "big") + made.id + _cose(made.key)
        statement = {"fmt": "none", "attStmt": {}, "authData": self._data(made, _ATTESTED) + attested}
        response = {
            "clientDataJSON": base64(self._client_data("webauthn.create", options["challenge"])),
            "attestationObject": base64(cbor2.dumps(statement)),
            "transports": ["internal"],
        }
        return _credential(made.id, response)

    def get(self, options_json: str) -> str:
        """Answer as ``navigator.credentials.get`` does, with the newest passkey that fits."""
        options = json.loads(options_json)
        allowed = {unbase64(one["id"]) for one in options.get("allowCredentials") or ()}
        fitting = [
            one for one in self.credentials if one.party == options["rpId"] and (not allowed or one.id in allowed)
        ]
        if not fitting:
            raise NothingFits("no passkey fits")
        used = fitting[-1]
        used.count += self.counts
        data = self._data(used, 0)
        client_data = self._client_data("webauthn.get", options["challenge"])
        signature = used.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": base64(client_data),
            "authenticatorData": base64(data),
            "signature": base64(signature),
            "userHandle": base64(used.user_handle),
        }
        return _credential(used.id, response)

    def _held(self, credential_id: str) -> bool:
        return any(one.id == unbase64(credential_id) for one in self.credentials)

    def _data(self, credential: Credential, flags: int) -> bytes:
        flags |= _PRESENT | (_VERIFIED if self.verifies else 0)
        party = hashlib.sha256(credential.party.encode()).digest()
        return party + bytes([flags]) + credential.count.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()


def base64(raw: bytes) -> str:
    """Return base64url without padding, as WebAuthn's JSON has it."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unbase64(text: str) -> bytes:
    """Read what ``base64`` wrote."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _cose(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key as a COSE key for ES256 (RFC 9053, sections 2.1 and 7.1.1)."""
    numbers = key.public_key().public_numbers()
    x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
    return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})


def _credential(credential_id: bytes, response: dict[str, Any]) -> str:
    shown = base64(credential_id)
    return json.dumps(
        {"id": shown, "rawId": shown, "type": "public-key", "response": response, "clientExtensionResults": {}}
    )
