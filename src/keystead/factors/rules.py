"""The rules of the factors room: what codes look like, which code fits now, and what travels through a form."""

import base64
import binascii
import hmac
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from keystead.factors.models import CHALLENGE_LIFETIME, PENDING_LIFETIME
from keystead.kernel.problems import FieldProblem, InvalidParameters
from keystead.kernel.sealing import WrongKey, open_sealed, seal
from keystead.kernel.secrets import Secret, keyed_hash, random_text

STEP_SECONDS: Final = 30
"""The length of a time step (RFC 6238, section 5.2: the recommended default)."""
DRIFT_STEPS: Final = 1
"""Time steps that the app's clock may be off, either way (RFC 6238, section 6)."""
TOTP_SECRET_BYTES: Final = 20
"""160 bits, the length that RFC 4226, section 4, recommends."""

RECOVERY_CODES: Final = 10
RECOVERY_ALPHABET: Final = "23456789BCDFGHJKMNPQRSTVWXYZ"
"""Nothing that looks like something else (0 and O, 1, I and L), and no vowels, so no words."""
RECOVERY_LENGTH: Final = 12
"""28**12 codes are 57 bits, stored as a hash under a key of 256 bits that no dump holds."""
_GROUP: Final = 4

LONGEST_PASSKEY_NAME: Final = 64
MOST_PASSKEYS: Final = 50
_LONGEST_CODE: Final = 100
_DRESS: Final = frozenset({"Pd", "Zs", "Zl", "Zp", "Cf", "Cc"})
_LIKE_DASHES: Final = "_.\u00b7\u2212\u30fb\u30fc"
_SEALED_AT_LEAST: Final = 28  # a nonce and a tag

_CHALLENGE = re.compile(r"(?P<issued>[0-9]{1,12})\.(?P<challenge>[A-Za-z0-9_-]{22,128})\.[A-Za-z0-9_-]{43}\Z")


def refuse(field: str, code: str, sentence: str) -> InvalidParameters:
    """Return the refusal of one field of a form."""
    return InvalidParameters(sentence, fields=[FieldProblem("body", field, code, sentence)])


def undressed(typed: str) -> str:
    """Return what a person typed as a code without regard to its dress: capitals, no blanks, no dashes of any kind."""
    shown = unicodedata.normalize("NFKC", typed[:_LONGEST_CODE])
    return "".join(c.upper() for c in shown if unicodedata.category(c) not in _DRESS and c not in _LIKE_DASHES)


def matching_step(secret: str, typed: str, *, now: int, after: int) -> int | None:
    """Return the time step whose code this is, later than the step ``after``; None when it is no such code.

    ``secret`` is in base 32, ``now`` in Unix seconds. Every step is compared, each in constant time.
    """
    import pyotp

    code, app, found = undressed(typed), pyotp.TOTP(secret, interval=STEP_SECONDS), None
    for step in _steps(now):
        fits = hmac.compare_digest(app.generate_otp(step).encode(), code.encode("utf-8", "surrogatepass"))
        if fits and step > after and found is None:
            found = step
    return found


def _steps(now: int) -> Iterator[int]:
    current = now // STEP_SECONDS
    yield from (step for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1) if step >= 0)


def totp_uri(secret: Secret, *, label: str, issuer: str) -> Secret:
    """Return what the QR code of an authenticator app says (the de facto ``otpauth`` form)."""
    import pyotp

    app = pyotp.TOTP(secret.reveal(), interval=STEP_SECONDS)
    return Secret(app.provisioning_uri(name=label, issuer_name=issuer))


def seal_pending(key: bytes, user_id: str, secret: Secret, now: int) -> str:
    """Return the secret of an app that is not confirmed yet, sealed for this user and the next 15 minutes."""
    sealed = seal(key, f"{now}.{secret.reveal()}".encode(), f"pending-totp/{user_id}")
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def open_pending(key: bytes, user_id: str, sealed: str, now: int) -> Secret | None:
    """Return the secret that was sealed for this user within the last 15 minutes, or None for any other text."""
    try:
        raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        if len(raw) < _SEALED_AT_LEAST:
            return None
        issued, _, secret = open_sealed(key, raw, f"pending-totp/{user_id}").decode().partition(".")
    except (binascii.Error, ValueError, WrongKey):
        return None
    return Secret(secret) if now - PENDING_LIFETIME < int(issued) else None


def new_recovery_codes() -> tuple[Secret, ...]:
    """Return ten fresh recovery codes as people see them, ``XXXX-XXXX-XXXX``."""
    return tuple(Secret(_grouped(random_text(RECOVERY_ALPHABET, RECOVERY_LENGTH))) for _ in range(RECOVERY_CODES))


def read_recovery_code(typed: str) -> str | None:
    """Return the twelve characters of a recovery code as somebody typed it, or None when it cannot be one."""
    code = undressed(typed)
    return code if len(code) == RECOVERY_LENGTH and all(c in RECOVERY_ALPHABET for c in code) else None


def recovery_hash(key: bytes, user_id: str, code: str) -> bytes:
    """Return what is stored of a user's recovery code, which is in the form of ``read_recovery_code``."""
    return keyed_hash(key, f"recovery/{user_id}/{code}")


def challenge_token(key: bytes, session_id: str, challenge: bytes, now: int) -> str:
    """Return a challenge in the form in which it travels through a form of this session."""
    return _challenge_token(key, session_id, _encoded(challenge), now)


def read_challenge(key: bytes, session_id: str, token: str, now: int) -> bytes | None:
    """Return the challenge that was given to this session within the last ten minutes, or None for any other text."""
    match = _CHALLENGE.match(token)
    if match is None:
        return None
    issued, text = int(match["issued"]), match["challenge"]
    right = _challenge_token(key, session_id, text, issued)
    if not hmac.compare_digest(right, match[0]) or issued <= now - CHALLENGE_LIFETIME:
        return None
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_passkey_name(typed: str) -> str:
    """Return a passkey's name without blanks around it. Raises InvalidParameters on the field ``name``."""
    name = unicodedata.normalize("NFC", typed).strip()
    if not name or len(name) > LONGEST_PASSKEY_NAME or not name.isprintable():
        raise refuse(
            "name", "passkey_name", f"Give the passkey a name of 1 to {LONGEST_PASSKEY_NAME} printable characters."
        )
    return name


def _challenge_token(key: bytes, session_id: str, challenge: str, issued: int) -> str:
    body = f"{issued}.{challenge}"
    return f"{body}.{_encoded(keyed_hash(key, f'passkey/{session_id}/{body}'))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
