"""The two ceremonies of a passkey, registration and authentication (W3C Web Authentication, level 3, section 7).

The checking is py_webauthn's. It is imported when a passkey is first used: it takes 0.1 s and memory that a server
without passkeys does not need.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from keystead.factors.models import NewPasskey, Passkey, PasskeyAnswer, PasskeyOptions, StoredPasskey

CHALLENGE_BYTES: Final = 32
"""Section 13.4.3 asks for at least 16."""
LONGEST_ANSWER: Final = 16_384
"""Characters of a browser's answer. Even one with a manufacturer's certificates has about 6,000."""
_LONGEST_CREDENTIAL_ID: Final = 1_023  # section 5.8.3
_TIMEOUT_MS: Final = 300_000
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who asks for passkeys: the host of the public URL, and the origins from which a page may ask."""

    id: str
    name: str
    origins: list[str]

    @classmethod
    def at(cls, public_url: str, name: str) -> "RelyingParty":
        """Return the party of a server at ``public_url``.

        A passkey belongs to a name, never to the number of a host (section 5.1.2), so on one's own machine it belongs
        to ``localhost`` under whatever address the server was started.
        """
        parts = urlsplit(public_url)
        host = parts.hostname or "localhost"
        port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
        shown = f"[{host}]" if ":" in host else host
        origins = [f"{parts.scheme}://{shown}{port}"]
        if host in _LOOPBACK:
            return cls("localhost", name, [*origins, f"{parts.scheme}://localhost{port}"])
        return cls(host, name, origins)


def new_challenge() -> bytes:
    """Return a fresh challenge."""
    return secrets.token_bytes(CHALLENGE_BYTES)


def registration_options(
    party: RelyingParty, user_id: str, username: str, passkeys: Sequence[Passkey]
) -> PasskeyOptions:
    """Return what a browser makes a new passkey with. An authenticator that has one of ``passkeys`` makes no other.

    A user's id says nothing about the person, so it is their handle (section 14.6.1). No attestation is asked for:
    which make of authenticator people use is theirs to choose.
    """
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers import structs

    challenge = new_challenge()
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_name=username,
        user_id=user_id.encode(),
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=_descriptors(passkeys),
    )
    return PasskeyOptions(options_to_json(options), challenge)


def request_options(party: RelyingParty, passkeys: Sequence[Passkey]) -> PasskeyOptions:
    """Return what a browser is asked for a passkey with: one of these, or any when there are none.

    A passkey that stands alone must have seen that it is its owner who uses it (user verification).
    """
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers import structs

    challenge = new_challenge()
    preferred, required = structs.UserVerificationRequirement.PREFERRED, structs.UserVerificationRequirement.REQUIRED
    options = generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        allow_credentials=_descriptors(passkeys),
        user_verification=preferred if passkeys else required,
    )
    return PasskeyOptions(options_to_json(options), challenge)


def new_passkey(party: RelyingParty, answer_json: str, challenge: bytes) -> NewPasskey | None:
    """Return the passkey that a browser made, or None for an answer that does not fit (section 7.1)."""
    if len(answer_json) > LONGEST_ANSWER:
        return None
    try:
        from webauthn import verify_registration_response

        made = verify_registration_response(
            credential=answer_json,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origins,
        )
    except Exception as error:  # whatever parsers of JSON, CBOR and certificates raise over hostile bytes is a refusal
        _log_refusal(error)
        return None
    if len(made.credential_id) > _LONGEST_CREDENTIAL_ID:
        return None
    return NewPasskey(made.credential_id, made.credential_public_key, made.sign_count)


def read_answer(answer_json: str) -> PasskeyAnswer | None:
    """Return which passkey answered, or None for a text that is no answer of a passkey."""
    if len(answer_json) > LONGEST_ANSWER:
        return None
    try:
        parsed = _parsed(answer_json)
        handle = parsed.response.user_handle
        return PasskeyAnswer(parsed.raw_id, None if handle is None else handle.decode())
    except Exception as error:  # as above
        _log_refusal(error)
        return None


def told_count(
    party: RelyingParty, answer_json: str, challenge: bytes, passkey: StoredPasskey, *, alone: bool
) -> int | None:
    """Return the counter that a passkey told with its right answer, or None when the answer does not fit (section 7.2).

    Standing ``alone``, it must have verified its user. What the counter means is for the caller to judge.
    """
    try:
        from webauthn import verify_authentication_response

        verified = verify_authentication_response(
            credential=_parsed(answer_json),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origins,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
            require_user_verification=alone,
        )
    except Exception as error:  # as above
        _log_refusal(error)
        return None
    return verified.new_sign_count


def _parsed(answer_json: str) -> Any:
    from webauthn.helpers import parse_authentication_credential_json

    return parse_authentication_credential_json(answer_json)


def _descriptors(passkeys: Sequence[Passkey]) -> list[Any]:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in passkeys]


def _log_refusal(error: Exception) -> None:
    """Tell the operator what kind of mistake it was, and nothing of what was sent."""
    _log.info("the answer of a passkey was refused: %s", type(error).__name__)
